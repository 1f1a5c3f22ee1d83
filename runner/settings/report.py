"""The `[report]` section: what an hour is worth, and when the file of the morning is written."""

from __future__ import annotations

import re

from runner.config import ReportConfig
from runner.settings.sections import given
from runner.settings.table import Table, quoted

OFF = "off"
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


def read_report(table: Table) -> ReportConfig:
    fields = given(hourly_rate=table.money("hourly_rate"), keep=table.count("keep", 1, 10_000))
    at = table.text("at", such_as="06:30")
    if at is not None:
        match = _TIME.fullmatch(at)
        if match is None and at != OFF:
            table.refuse("at", f'must be a time of day such as "06:30", or "{OFF}", not {quoted(at)}')
        fields["at"] = int(match[1]) * 60 + int(match[2]) if match else None
    table.close()
    return ReportConfig(**fields)
