"""The headless half: everything but the screen.

A task file needs four names from here; they load nothing but the standard library, and only when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.work.context import Context, Dead, Retry, task

__all__ = ["Context", "Dead", "Retry", "task"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from runner.work import context  # noqa: PLC0415

    return getattr(context, name)
