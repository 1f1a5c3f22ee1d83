"""Telling systemd how we are, over its datagram socket. Without one, nothing is told and nothing fails.

Source: sd_notify(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """The socket named by `NOTIFY_SOCKET`."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # a name that is in no file system
            self._address = "\0" + self._address[1:]
        meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watched = bool(self._address) and meant and environ.get("WATCHDOG_USEC", "0").strip("0") != ""
        """Whether we are ended when `alive` is not said for long."""
        self._status = ""

    def ready(self) -> None:
        """The start is over. Said by a runner that stands by or is parked as well: it is where it should be."""
        self._tell("READY=1")

    def status(self, text: str) -> None:
        """A line for `systemctl status`; sent when it changes."""
        line = " ".join(text.split())
        if line != self._status:
            self._status = line
            self._tell(f"STATUS={line}")

    def alive(self) -> None:
        """The loop turns and gets on."""
        if self.watched:
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    def _tell(self, line: str) -> None:
        if not self._address:
            return
        with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)  # a supervisor that does not listen must not hold us up
            sender.connect(self._address)
            sender.send(line.encode("utf-8", "replace"))
