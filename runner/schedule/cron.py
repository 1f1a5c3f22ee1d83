"""A line of cron as cron itself reads it, also where the clock on the wall moves by half an hour, as on Lord Howe."""

from __future__ import annotations

from cronsim import CronSim

_HOUR_S, _MINUTE_S = 3600, 60


class CronLine(CronSim):
    """Every due time of a line, one after the other.

    The library looks for an hour in steps of 60 minutes and for a single minute in one leap. Past a clock that moves by
    half an hour these land in the middle of what they look for, and what was due before is lost.
    """

    def advance_hour(self) -> bool:
        """Go to the beginning of an hour of the line; False when it is one."""
        if self.dt.hour in self.hours:
            return False
        while self.dt.hour not in self.hours:
            self.tick(_HOUR_S - self.dt.minute * _MINUTE_S - self.dt.second)
            if self.dt.hour == 0:
                break  # another day, which may be none of the line
        return True

    def advance_minute(self) -> bool:
        """Go to a minute of the line; False when it is one."""
        before = self.dt
        if not super().advance_minute():
            return False
        if self.dt.utcoffset() != before.utcoffset():
            self.dt = before.replace(second=0)
            self.tick(_MINUTE_S)
            while self.dt.minute not in self.minutes and self.dt.minute:
                self.tick(_MINUTE_S)
        return True
