"""A machine in namespaces: its own processes, mounts, host name and control groups over a copy of this one's files.

What is changed in it is gone with it. It shares the network, so it is brought up only as far as it must be.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
SYSTEMD = "/lib/systemd/systemd"
PROGRAM = str(Path(sys.executable).with_name("afk-runner"))

# With chroot instead of pivot_root user namespaces are refused inside, and what a sandbox does there is no proof.
_BOOT = r"""
base=$1; shift
mount -t tmpfs -o mode=755 none "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$base/root"
cd "$base/root"
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount --rbind /dev dev
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for path in "$@"; do
    mkdir -p ".$path"
    mount --bind "$path" ".$path"
    above=".$(dirname "$path")"
    while [ "$above" != . ] && [ "$above" != ./ ]; do chmod a+x "$above"; above=$(dirname "$above"); done
done
echo 0123456789abcdef0123456789abcdef > etc/machine-id
mkdir -p old
pivot_root . old
umount -l /old
container=afk exec "$INIT" $INIT_WORDS < /dev/null
"""


class Inside:
    """The machine. `init`: its first process; `also`: folders of this machine that are to be seen in it."""

    def __init__(self, folder: Path, *init: str, also: Sequence[str] = ()) -> None:
        self._init = init[0]
        self._group = _cgroup2() / f"afk-{os.getpid()}"
        self._group.mkdir(exist_ok=True)
        base = folder / "machine"
        base.mkdir()
        self._log = (folder / "boot.log").open("ab")
        paths = dict.fromkeys([str(ROOT), sys.prefix, sys.base_prefix, *also])
        self._unshare = subprocess.Popen(
            [
                *("sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(self._group)),
                *("unshare", "--cgroup", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts"),
                *("--propagation", "private", "sh", "-euc", _BOOT, "boot", str(base), *paths),
            ],
            env={**os.environ, "INIT": init[0], "INIT_WORDS": " ".join(init[1:])},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self.pid = self._first()

    def _first(self) -> int:
        """The pid of its first process, once that is what it should be."""
        for _ in range(300):
            for entry in Path("/proc").iterdir():
                with suppress(OSError, IndexError):
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    first = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
                    if parent == self._unshare.pid and first == self._init:
                        return int(entry.name)
            assert self._unshare.poll() is None, Path(self._log.name).read_text()
            time.sleep(0.1)
        raise AssertionError(f"it did not come up: {Path(self._log.name).read_text()}")

    def call(self, *argv: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run something in it, as root or as somebody."""
        as_user = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"] if user else []
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": f"/home/{user}" if user else "/root", "LANG": "C.UTF-8"}
        return subprocess.run(
            ["nsenter", "-t", str(self.pid), "-m", "-p", "-i", "-u", "-C", "--", *as_user, *argv],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def must(self, *argv: str, user: str | None = None) -> str:
        done = self.call(*argv, user=user)
        assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def close(self) -> None:
        """All of it ends with its first process."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._unshare.wait()
        self._log.close()
        for folder, _, _ in os.walk(self._group, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)


def why_not(*programs: str) -> str | None:
    """Why a machine cannot be made here; None when it can."""
    if os.geteuid() != 0:
        return "a machine in namespaces is made by root"
    missing = [name for name in ("unshare", "nsenter", "setpriv", *programs) if shutil.which(name) is None]
    if missing:
        return f"there is no {', '.join(missing)} here"
    if _cgroup2() == Path():
        return "there is no cgroup2 here"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "namespaces are not allowed here"


def _cgroup2() -> Path:
    found = re.findall(r"^\S+ \S+ \S+ \S+ (\S+) .* - cgroup2 ", Path("/proc/self/mountinfo").read_text(), re.MULTILINE)
    return Path(found[-1]) if found else Path()


def eventually(look, *, within_s: float = 120, what: str = ""):  # type: ignore[no-untyped-def]
    """The first true answer."""
    deadline = time.monotonic() + within_s
    while not (answer := look()):
        assert time.monotonic() < deadline, f"never came to be: {what}"
        time.sleep(0.2)
    return answer
