"""What is wrong with a file of settings, each fault once: what a misplaced table leaves missing is no second one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.errors import ConfigError
from runner.settings.lines import KeyPath, line_of


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one line of one file."""

    path: Path
    line: int
    text: str
    """One sentence, without the place."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


class SettingsError(ConfigError):
    """The settings are refused: all problems in line order, one a line. Nothing was started or changed."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(slots=True)
class _Stray:
    """A key that nobody knows where it stands."""

    where: KeyPath
    text: str
    meant: str | None
    """What is spelt nearly like it there."""
    belongs: str = ""
    """Where it does belong, once something is found to be missing there."""

    def __str__(self) -> str:
        if self.belongs:
            return f"{self.text}; {self.belongs}"
        return f'{self.text}; did you mean "{self.meant}"?' if self.meant else self.text

    def explains(self, what: KeyPath) -> bool:
        """Whether something is missing because this one is not where, or how, it should be."""
        *table, key = what
        if len(table) > 1:
            return False  # such names are made up by whoever writes the file, and say nothing
        if self.where[-1] == key:
            self.belongs = f"it belongs in [{table[0]}]" if table else "it belongs above the first table"
        elif table and self.where[-1] == table[0]:
            self.belongs = f"[{table[0]}] is a table of its own"
        else:
            return bool(table) and self.meant == table[0]
        return True


@dataclass(frozen=True, slots=True)
class _Lack:
    """Something that has to be written and is not."""

    what: KeyPath
    at: KeyPath
    text: str
    beside: frozenset[str]
    """The keys that its table does have."""


class Notes:
    """The problems found so far in one TOML file."""

    def __init__(self, path: Path, lines: Mapping[KeyPath, int]) -> None:
        self._path, self._lines = path, lines
        self._problems: list[tuple[KeyPath, str]] = []
        self._no_tables: set[KeyPath] = set()
        self._strays: list[_Stray] = []
        self._lacks: list[_Lack] = []

    def add(self, where: KeyPath, text: str) -> None:
        """Something is wrong there."""
        self._problems.append((where, text))

    def no_table(self, where: KeyPath, text: str) -> None:
        """What should be a table is something else."""
        self._no_tables.add(where)
        self.add(where, text)

    def stray(self, where: KeyPath, text: str, *, meant: str | None) -> None:
        """Nobody knows that key there; `meant`: one that is spelt nearly so."""
        self._strays.append(_Stray(where, text, meant))

    def lacks(self, what: KeyPath, text: str, *, at: KeyPath | None = None, beside: Collection[str] = ()) -> None:
        """Something has to be there. `at`: whose fault that is; `beside`: the keys of its table."""
        self._lacks.append(_Lack(what, what if at is None else at, text, frozenset(beside)))

    @property
    def problems(self) -> list[Problem]:
        """All of them in line order."""
        lacks = [(lack.at, lack.text) for lack in self._lacks if not self._is_explained(lack)]
        strays = [(stray.where, str(stray)) for stray in self._strays]
        found = [Problem(self._path, line_of(self._lines, at), text) for at, text in self._problems + lacks + strays]
        return sorted(found, key=lambda problem: problem.line)

    def _is_explained(self, lack: _Lack) -> bool:
        table = lack.what[:-1]
        own = {stray.where[-1] for stray in self._strays if stray.where[:-1] == table}
        if table in self._no_tables or (lack.beside and own >= lack.beside):
            return True
        return any(stray.explains(lack.what) for stray in self._strays)
