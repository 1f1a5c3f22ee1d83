"""A container: what is kept, what is the first process, and as whom it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from runner.doctor.finding import Finding, ok, warn
from runner.doctor.look import Look

_MARKS = ("/.dockerenv", "/run/.containerenv")
FIRST = Path("/proc/1/cmdline")


def is_container(environ: Mapping[str, str]) -> bool:
    """Whether this is one of Docker, Podman or Fly."""
    return "FLY_MACHINE_ID" in environ or any(os.path.exists(mark) for mark in _MARKS)


def container(look: Look) -> Iterator[Finding]:
    """What a container takes with it when it goes, and who hears the signal that ends it."""
    if is_container(look.environ):
        yield from examined(look.home.root, first=FIRST, root=Path("/"), user=os.geteuid())


def examined(home: Path, *, first: Path, root: Path, user: int) -> Iterator[Finding]:
    """The container whose first process has the command line in `first`, and whose own layer is `root`."""
    if os.stat(home).st_dev == os.stat(root).st_dev:
        text = f"{home} is in the container itself and goes with it: the caps would forget what today has cost"
        yield warn("container", text, f"mount a volume at {home}")
    else:
        yield ok("container", f"{home} is on a volume")
    try:
        words = first.read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        words = []
    program = os.path.basename(words[0]) if words else ""
    if program in ("sh", "bash", "dash", "ash") and "-c" in words[1:2]:
        text = "the first process is a shell, which passes no signal on: a stop becomes a kill"
        yield warn("container", text, 'CMD ["afk-runner", "run", "--supervisor", "docker"] in the form of a list')
    elif program == "uv":
        text = "the first process is uv run, one more that may sync and fail at each start"
        yield warn("container", text, "start afk-runner from its own environment")
    if user == 0:
        yield warn("container", "everything here runs as root", "give the image a user, and the volume to it")
