"""The headless half: everything but the screen.

A task file needs four names from here; they load nothing but the standard library.
"""

from runner.work.context import Context, Dead, Retry, task

__all__ = ["Context", "Dead", "Retry", "task"]
