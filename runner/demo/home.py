"""The demo's home: what its files say, and making it anew without ever emptying a directory that is not ours."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from runner.demo.documents import Document, Section
from runner.errors import LockHeld, Refused
from runner.gate import offline
from runner.home import Home
from runner.lock import lock_is_held
from runner.units import MicroUsd

MARKER = "DEMO"
"""The file that says a directory is the demo's own, and may be emptied by the next one."""
INPUT_USD, OUTPUT_USD = 15, 75
"""Pretend dollars per million tokens, which are micro-dollars a token."""
MAX_OUTPUT_TOKENS = 300
PROMPT = "Sum up this section in three sentences."

SETTINGS = """\
# The home of `afk-runner demo`. Everything works as it would for real, but for one thing:
#
#   THE PRICES BELOW ARE PRETEND. "offline/extract" is built in, needs no network and costs nothing. It is given
#   prices here so that the ledger fills and the cap is seen at work. Nobody is billed.

timezone = "UTC"

[budget]
daily_usd = "@CAP@"     # pretend dollars; reached part-way through the digests, the rest waits for the next day
per_job_usd = "0.50"

[prices."offline/extract"]
input = "@INPUT@"        # pretend dollars per million tokens
output = "@OUTPUT@"

[runner]
workers = 2
stop_grace = "5s"

[retry]                 # quick, so that a dead letter is there to look at within seconds
max_attempts = 3
base = "300ms"
cap = "2s"

[tasks.digest]          # one job for each section of this project's own documents
kind = "prompt"
model = "offline/extract"
prompt = "@PROMPT@"
max_output_tokens = @MAX_OUTPUT_TOKENS@

[tasks.headings]        # a command: its standard output is the result
kind = "command"
command = ["grep", "-rhn", "^#", "."]
cwd = "inputs"

[tasks.disk]            # on a schedule
kind = "command"
command = ["df", "-h", "."]
every = "20s"
"""

TASKS = '''\
"""Two Python tasks. `@task` makes a function a task; what it returns is the job's result."""

import time
from collections import Counter
from pathlib import Path

from runner import Context, task

INPUTS = Path(__file__).parent.parent / "inputs"


@task("word_count", max_seconds="1m")
def word_count(ctx: Context, payload: dict) -> dict:
    """Count in recorded steps: an attempt that is cut short leaves them to the next one."""
    words = (INPUTS / payload["file"]).read_text("utf-8").split()
    count = ctx.step("count", lambda: len(words))
    time.sleep(payload["pause_s"])  # so that there is something running to look at
    longest = ctx.step("longest", lambda: Counter(filter(str.isalpha, words)).most_common(3))
    ctx.log(f"{payload['file']} has {count} words")
    return {"words": count, "most common": longest}


@task("flaky", max_seconds="1m")
def flaky(ctx: Context, payload: dict) -> str:
    """Fails until its cause is mended: create the file it names, then replay the dead letter."""
    mended = INPUTS / "mailbox.open"
    if not mended.exists():
        raise ConnectionError(f"mailbox {payload['box']} is closed; `touch {mended}` opens it")
    return f"read mailbox {payload['box']}"
'''


def place(option: Path | None, environ: Mapping[str, str]) -> Home:
    """The directory of the demo: the one asked for, else one of this user's below the system's temporary files."""
    return Home.find(option or Path(tempfile.gettempdir()) / f".afk-demo-{os.getuid()}", environ)


def make(home: Home, documents: Sequence[Document], found: Sequence[Section]) -> None:
    """Make the home anew. Raises Refused for a directory that is not the demo's, LockHeld while one runs in it."""
    _empty(home)
    home.create()
    (home.root / MARKER).write_text("Made by `afk-runner demo`, which may empty this directory.\n", "utf-8")
    home.config.write_text(settings(found), "utf-8")
    (home.tasks / "demo.py").write_text(TASKS, "utf-8")
    for document in documents:
        (home.inputs / document.name).write_text(document.text, "utf-8")


def settings(found: Sequence[Section]) -> str:
    """The text of its afk.toml, the cap set so that about two thirds of the digests fit under it."""
    words = {
        "@CAP@": f"{cap(found) / 1_000_000:.2f}",
        "@INPUT@": f"{INPUT_USD}.00",
        "@OUTPUT@": f"{OUTPUT_USD}.00",
        "@PROMPT@": PROMPT,
        "@MAX_OUTPUT_TOKENS@": f"{MAX_OUTPUT_TOKENS}",
    }
    text = SETTINGS
    for mark, word in words.items():
        text = text.replace(mark, word)
    return text


def cap(found: Sequence[Section]) -> MicroUsd:
    """Two thirds of what the digests will cost, and room for the largest hold, in whole cents."""
    costs = [_cost(section) for section in found]
    cents = (sum(costs) * 2 // 3 + max(map(_hold, found), default=0)) // 10_000 + 1
    return MicroUsd(cents * 10_000)


def _cost(section: Section) -> int:
    """What the built-in model will ask for a digest: it answers the same question the same way."""
    asked = [{"type": "text", "text": text} for text in (PROMPT, section.payload)]
    messages = [{"role": "user", "content": asked}]
    usage = offline.answer({"model": "offline/extract", "max_tokens": MAX_OUTPUT_TOKENS, "messages": messages})["usage"]
    return int(usage["input_tokens"] * INPUT_USD + usage["output_tokens"] * OUTPUT_USD)


def _hold(section: Section) -> int:
    """About what the gate will hold for it: every byte a token, every output token used."""
    return len(section.payload.encode()) * INPUT_USD + MAX_OUTPUT_TOKENS * OUTPUT_USD


def _empty(home: Home) -> None:
    if home.root.is_symlink():
        raise Refused(f"{home.root} is a symbolic link; the demo wants a directory of its own")
    if not home.root.exists():
        return
    if home.root.is_dir() and not any(home.root.iterdir()):
        return
    if not (home.root / MARKER).is_file():
        raise Refused(f"{home.root} was not made by the demo, so it is left as it is; name an empty directory")
    if lock_is_held(home.lock):
        raise LockHeld(f"a demo runs in {home.root} already (pid {_holder(home)}); end it, or give --home")
    shutil.rmtree(home.root)


def _holder(home: Home) -> str:
    return home.lock.read_text("ascii", "replace").split("\n", 1)[0] or "unknown"
