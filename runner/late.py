"""A module that is loaded when something of it is first wanted: the console's first picture needs few of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Late:
    """Stands for a module by its name. Any thread may be the first."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, wanted: str) -> Any:
        return getattr(import_module(self._name), wanted)
