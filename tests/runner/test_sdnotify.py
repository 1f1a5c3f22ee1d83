"""What systemd is told, read from a real datagram socket."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.sdnotify import Notifier

WATCHED = {"WATCHDOG_USEC": "60000000"}


@pytest.fixture
def heard() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        yield listener


def all_of(listener: socket.socket) -> list[str]:
    """Everything that has arrived."""
    listener.setblocking(False)
    found = []
    while True:
        try:
            found.append(listener.recv(4096).decode())
        except BlockingIOError:
            return found


def test_every_word_arrives_as_systemd_reads_it(heard: socket.socket, tmp_path: Path) -> None:
    heard.bind(str(tmp_path / "notify"))
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), **WATCHED})

    notifier.ready()
    notifier.status("parked (stop):\ntwo lines")
    notifier.status("parked (stop): two lines")
    notifier.alive()
    notifier.stopping()

    assert all_of(heard) == ["READY=1", "STATUS=parked (stop): two lines", "WATCHDOG=1", "STOPPING=1"]


def test_an_abstract_socket_is_found(heard: socket.socket) -> None:
    name = f"afk-{secrets.token_hex(8)}"
    heard.bind(f"\0{name}")

    Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()

    assert all_of(heard) == ["READY=1"]


@pytest.mark.parametrize("environ", [{}, {"WATCHDOG_USEC": "0"}, {**WATCHED, "WATCHDOG_PID": str(os.getpid() + 1)}])
def test_a_watchdog_that_is_not_ours_is_not_fed(heard: socket.socket, tmp_path: Path, environ: dict[str, str]) -> None:
    heard.bind(str(tmp_path / "notify"))
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), **environ})

    notifier.alive()
    notifier.ready()

    assert all_of(heard) == ["READY=1"]


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@", "x" * 200])
def test_without_a_listener_nothing_fails(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, **WATCHED} if address else {})

    notifier.ready()
    notifier.status("running")
    notifier.alive()
    notifier.stopping()


def test_a_listener_that_does_not_read_holds_nobody_up(heard: socket.socket, tmp_path: Path) -> None:
    heard.bind(str(tmp_path / "notify"))
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), **WATCHED})

    for _ in range(3_000):  # more than a socket takes
        notifier.alive()

    assert set(all_of(heard)) == {"WATCHDOG=1"}
