"""The child: hands messages to one address through `apprise`, and says of each whether it was taken.

It alone imports `apprise`, which costs 45 MB, and it is gone a moment later. What it is to do comes on its standard
input, one line of JSON: an address is a secret, and arguments and environment can be read by others. When that pipe
closes its runner is gone, and so is it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from typing import Any

from runner.notify.addresses import without_secrets
from runner.work.processes import keep_to_itself

MESSAGE_S = 30
"""An address that has not answered by then did not take the message."""


class Unknown(Exception):
    """The URL means nothing to the library. Nothing was sent."""


class TooLong(BaseException):
    """It did not answer. No `except Exception` of a library is to swallow this."""


class Heard(logging.Handler):
    """The last thing the library complained about."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


def main() -> None:
    """Read one order, answer a line a message, end. Ends at the first message that is not taken."""
    keep_to_itself()
    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_runner, daemon=True).start()
    os.environ.update(order["environment"])
    signal.signal(signal.SIGALRM, _too_long)
    url: str = order["url"]
    heard = Heard()
    _listen(heard)
    for message in order["messages"]:
        fault = _send(url, message, heard)
        said = " ".join(without_secrets(fault, url).split())[:300] if fault else None
        sys.stdout.write(json.dumps({"fault": said}) + "\n")
        sys.stdout.flush()
        if fault:
            return


def _send(url: str, message: dict[str, str], heard: Heard) -> str | None:
    """Why it was not taken; None: it was."""
    heard.last = ""
    signal.alarm(MESSAGE_S)
    try:
        return None if _notify(url, message) else heard.last or "it was not taken, and nothing was said why"
    except TooLong:
        return f"it did not answer within {MESSAGE_S} s"
    except Unknown as error:
        return str(error)
    except Exception as error:  # a hundred plugins, each with faults of its own
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)


def _notify(url: str, message: dict[str, str]) -> bool:
    channel = channel_to(url)
    if not message:
        return True  # only asked whether the URL is understood
    return bool(
        channel.notify(body=message["body"], title=message["title"], notify_type=message["kind"], body_format="text")
    )


def channel_to(url: str) -> Any:
    """The library's channel to one address. Raises Unknown."""
    import apprise  # noqa: PLC0415 - the pipe is watched before half a second goes into this

    # Its own 4 s would call a message untaken that a slow server took, and have it sent again and again.
    apprise.URLBase.socket_connect_timeout = apprise.URLBase.socket_read_timeout = MESSAGE_S
    asset: Any = apprise.AppriseAsset(
        app_id="afk-runner", app_desc="afk-runner", app_url="", storage_mode="memory", async_mode=False
    )
    channel = apprise.Apprise(asset=asset)
    if not channel.add(url):
        raise Unknown("this is no URL that apprise knows; https://appriseit.com lists them")
    return channel


def _listen(heard: Heard) -> None:
    logger = logging.getLogger("apprise")
    logger.addHandler(heard)
    logger.propagate = False


def _end_with_the_runner() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _too_long(*_: object) -> None:
    raise TooLong


if __name__ == "__main__":
    main()
