"""Texts that try to drive the terminal, the markup or the eye of whoever reads them."""

from __future__ import annotations

HOSTILE = (
    "\x1b[2J\x1b[Hcleared",
    "\x1b]0;owned\x07title",
    "\x1b]52;c;b3duZWQ=\x07clipboard",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x9b2Jc1 csi",
    "\x9d0;c1 osc\x9c",
    "\x1bPdcs\x1b\\",
    "\x1bc full reset",
    "bell\x07 back\x08\x08 nul\x00 del\x7f",
    "one\rtwo",
    "one\ntwo\r\nthree\n",
    "tab\there\x0bvt\x0cff",
    "[@click=app.quit]press[/]",
    "[@click='app.kill']press[/]",
    "[/]",
    "[/red] [bold]bold",
    "[link=file:///etc/passwd]x[/link]",
    "$(touch /tmp/owned) `id` %s %n {0} {app}",
    "\u202eevil\u202c rtl",
    "\u2066isolate\u2069 \u061c \u200f",
    "zero\u200bwidth\u200djoin\ufeff\u2060",
    "line\u2028sep\u2029par\u0085nel",
    "tag\U000e0041\U000e0042\U000e007f",
    "z" + "\u0301" * 200 + "algo",
    "\u0301starts with a mark",
    "wide 漢字かな 😀👩‍👩‍👧‍👦 end",
    "filler \u115f\u1160\u3164\uffa0 end",
    "soft\u00adhyphen",
    "\ufffd\ufffe\uffff",
    "\ud800 lone \udfff",
    "x" * 100_000,
    "\x1b" * 5_000,
    "%1b[31m \\x1b[31m \\033[31m",
    "",
    " ",
)
"""Each must be shown, and none obeyed."""

STORABLE = tuple(text.encode("utf-8", "replace").decode("utf-8") for text in HOSTILE if text)
"""The same as SQLite can hold them."""
