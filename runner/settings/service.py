"""The `[service]` section: how the machine keeps the runner going."""

from __future__ import annotations

import os
import re
from pathlib import Path

from runner.config import ServiceConfig
from runner.settings.sections import given
from runner.settings.table import Table, quoted

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}")
"""Safe as a file name, in a launchd label, a unit name, a crontab and the name of an app at Fly."""
_LANG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,31}")


def read_service(table: Table) -> ServiceConfig:
    name = table.text("name", such_as="afk-runner")
    if name is not None and not NAME.fullmatch(name):
        table.refuse("name", f"must be letters, digits, - and _, at most 48 of them, not {quoted(name)}")
        name = None
    lang = table.text("lang", such_as="C.UTF-8")
    if lang is not None and not _LANG.fullmatch(lang):
        table.refuse("lang", f'must be the name of a locale such as "C.UTF-8", not {quoted(lang)}')
        lang = None
    program = table.text("program", such_as="/usr/local/bin/afk-runner")
    if program is not None and not _is_plain_path(program):
        table.refuse("program", f"must be an absolute path in one line, not {quoted(program)}")
        program = None
    fields = given(
        name=name,
        program=Path(program) if program is not None else None,
        path=_folders(table),
        lang=lang,
        session=table.choice("session", ("gui", "user")),
        hardening=table.choice("hardening", ("standard", "strict")),
    )
    table.close()
    return ServiceConfig(**fields)


def _folders(table: Table) -> tuple[str, ...] | None:
    folders = table.strings("path")
    if folders is None:
        return None
    for index, folder in folders.items():
        if not _is_plain_path(folder) or ":" in folder:
            text = f"{table.named('path')} must hold absolute paths, each without a colon, not {quoted(folder)}"
            table.notes.add((*table.path, "path", index), text)
    return tuple(folders.values())


def _is_plain_path(text: str) -> bool:
    return os.path.isabs(text) and not any(letter < " " or letter == "\x7f" for letter in text)
