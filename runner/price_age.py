"""How old the installed price list is, as far as anybody can say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from runner.units import UnixMs

_RELEASED = {"0.2.3": date(2026, 11, 10)}
"""When each version of the price list came out. Source: the days its maker published them.

The list itself carries no date, and the start dates of its prices are no substitute: they are announced months ahead,
so an old list would look fresh on the day one of them begins.
"""
OLD_DAYS = 60
"""From then on a person should look for a newer one: models come, and prices change, every few weeks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDate:
    """Which price list is installed, and when it came out."""

    version: str | None
    """Of genai-prices; None: it is not installed."""
    released: date | None
    """None: this program was made before that version was."""

    def age_days(self, now: UnixMs) -> int | None:
        """Whole days since it came out, 0 while the clock is behind that; None: not known."""
        if self.released is None:
            return None
        return max(0, (datetime.fromtimestamp(now / 1000, UTC).date() - self.released).days)

    def old(self, now: UnixMs) -> bool:
        """Whether a person should look for a newer list; also where nobody knows how old it is."""
        days = self.age_days(now)
        return days is None or days >= OLD_DAYS

    def sentence(self, now: UnixMs) -> str:
        """What a person should know of it."""
        days = self.age_days(now)
        if self.version is None:
            return "no price list is installed"
        if days is None:
            return f"genai-prices {self.version}, of a release date this version does not know"
        return f"genai-prices {self.version}, released {self.released} ({days} days ago)"


def list_date() -> ListDate:
    """The installed price list's; reads the package's metadata alone, not the list."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 80 ms, for the verbs that ask

    try:
        installed = version("genai-prices")
    except PackageNotFoundError:
        return ListDate(version=None, released=None)
    return ListDate(version=installed, released=_RELEASED.get(installed))
