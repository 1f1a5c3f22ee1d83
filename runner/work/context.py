"""What a task file gets: the `@task` mark, the `Context` its function is handed, and two ways to fail on purpose.

Loads nothing but the standard library, for every worker and every task file imports it.
"""

from __future__ import annotations
