"""Where secrets come from: the home's `.env`, the environment, and files nobody else can read.

No error here repeats a value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

from runner.regular import read_regular
from runner.settings.notes import Problem

MAX_SECRET_BYTES = 64 * 1024
MAX_DOTENV_BYTES = 1024 * 1024

DOTENV_REFUSED = "; .env itself is refused"
"""How the sentence about a missing secret ends when it may stand in a `.env` that was not read."""
NO_SECRET = re.compile(r"names env:([A-Za-z_][A-Za-z0-9_]*), but \1 is (?:set neither|empty)")
"""The sentence about a variable that is missing or empty."""

_TOKEN = 16
"""Characters of a part of a URL that is no word, if a digit is among them."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_SINGLE = re.compile(r"'([^']*)'\s*(?:#.*)?")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?')
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class Secrets:
    """Resolves `env:NAME` and `file:PATH`, and remembers what it gave out."""

    def __init__(self, home: Path, environ: Mapping[str, str]) -> None:
        self._home, self._environ = home, environ
        self._dotenv, self.problems = read_dotenv(home / ".env")
        self.given: list[str] = []
        """Every value resolved so far, for redaction."""

    def resolve(self, reference: str) -> str:
        """The secret a reference stands for. Raises ValueError with the end of a sentence that begins with the key."""
        how, _, what = reference.partition(":")
        if how == "env" and _VARIABLE.fullmatch(what):
            value = self._variable(what)
        elif how == "file" and what and what.isprintable():
            value = self._file(what)
        else:
            raise ValueError('must be "env:NAME" or "file:PATH"; a secret itself does not belong in this file')
        if not value.isprintable():
            raise ValueError(f"names {how}:{what}, which holds more than one line or a control character")
        self.given.append(value)
        return value

    def _variable(self, name: str) -> str:
        value = self._dotenv.get(name, self._environ.get(name))
        if value is None:
            also = DOTENV_REFUSED if self.problems else ""
            raise ValueError(f"names env:{name}, but {name} is set neither in .env nor in the environment{also}")
        if not value.strip():
            raise ValueError(f"names env:{name}, but {name} is empty")
        return value

    def _file(self, name: str) -> str:
        path = self._home / name
        refused = f"names file:{name}, but {path}"
        try:
            status, data = read_regular(path, limit=MAX_SECRET_BYTES)
            value = data.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise ValueError(f"{refused} is not UTF-8 text") from None
        except OSError as error:
            raise ValueError(f"{refused} cannot be read: {error.strerror}") from None
        if status.st_uid != os.geteuid():
            raise ValueError(f"{refused} belongs to somebody else")
        if status.st_mode & 0o077:
            raise ValueError(f"{refused} is open to others; chmod 600 it")
        if not value.strip():
            raise ValueError(f"{refused} is empty")
        return value


def hidden_in(url: str) -> Iterator[str]:
    """The parts of a URL that are secrets by themselves: its password, and what in it looks like a token.

    A library may repeat a part alone. Ordinary words stay: they would be redacted wherever they stand.
    """
    _, _, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    password = authority.rpartition("@")[0].partition(":")[2]
    tokens = (part for part in re.split(r"[/?#&=:@,]", rest) if len(part) >= _TOKEN and re.search(r"\d", part))
    for part in (password, *tokens):
        yield from {part, unquote(part)} - {""}


def read_dotenv(path: Path) -> tuple[dict[str, str], list[Problem]]:
    """The variables of a `.env` and what is wrong with it; nothing at all when there is no such file.

    `KEY=VALUE` lines, `export` allowed, `#` comments, quotes as a shell has them. Nothing is expanded, nothing
    is run. A name given twice has its last value.
    """
    try:
        status, data = read_regular(path, limit=MAX_DOTENV_BYTES, follow=True)
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        return {}, []
    except UnicodeDecodeError as error:
        return {}, [Problem(path, data.count(b"\n", 0, error.start) + 1, "this line is not UTF-8 text")]
    except OSError as error:
        return {}, [Problem(path, 1, f"the file cannot be read: {error.strerror}")]
    if status.st_mode & 0o077:
        return {}, [Problem(path, 1, "the file is open to others; chmod 600 it")]

    variables: dict[str, str] = {}
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        assignment = _ASSIGNMENT.fullmatch(stripped)
        if not assignment or "\0" in stripped:
            problems.append(Problem(path, number, "this line is not KEY=VALUE"))
            continue
        value = _unquoted(assignment[2])
        if value is None:
            problems.append(Problem(path, number, f"the quotes around {assignment[1]} do not match"))
        else:
            variables[assignment[1]] = value
    return variables, problems


def _unquoted(raw: str) -> str | None:
    if raw.startswith("'"):
        single = _SINGLE.fullmatch(raw)
        return single[1] if single else None
    if raw.startswith('"'):
        double = _DOUBLE.fullmatch(raw)
        return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), double[1]) if double else None
    return re.split(r"(?:^|\s)#", raw, maxsplit=1)[0].rstrip()
