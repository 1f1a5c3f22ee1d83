"""The last step before a confined command on Linux: leave the network, then become the command.

Run as a script, `confined.py FD PORT PROGRAM [ARGUMENT…]`, and imports nothing of ours: it starts once an attempt. What
it says over the socket FD, in this order:

- `ready` with a descriptor: the command's network now holds a loopback and nothing else. The descriptor listens inside
  it on 127.0.0.1:PORT; whoever holds it outside relays to the gate.
- `refused SENTENCE`: it could not be confined, and nothing was run.
- `failed SENTENCE`: it was confined, and the program could not be started.
- the end of the stream alone: the program runs.

How it is closed in: a user namespace, so that no right it has reaches beyond it and no process outside can be looked
into or joined; a network namespace, so that there is no way to another host, to a service of this one, or to a socket
with an abstract name; and a system call filter, for what is no network to the kernel and still leads out: sockets with
a path (a container's, the desktop's, the service manager's), sockets between virtual machines, and keys pushed into
somebody's terminal.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import socket
import struct
import sys

CLONE_NEWUSER, CLONE_NEWNET = 0x1000_0000, 0x4000_0000
PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 24, 22, 2
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
BACKLOG = 128

MACHINES = {
    # audit name of the machine, then its numbers of socket, socketpair and ioctl
    "x86_64": (0xC000_003E, 41, 53, 16),
    "aarch64": (0xC000_00B7, 198, 199, 29),
    "riscv64": (0xC000_00F3, 198, 199, 29),
}
IO_URING_SETUP = 425  # the same everywhere; what goes through a ring passes no filter
X32 = 0x4000_0000  # numbers of a second call table of x86_64
TIOCSTI, TIOCLINUX = 0x5412, 0x541C  # both put keys into a terminal as if they were typed

LOAD, EQUAL, AT_LEAST, AND, GIVE = 0x20, 0x15, 0x35, 0x54, 0x06  # classic BPF
NUMBER, ARCH, FIRST, SECOND = 0, 4, 16, 24  # where the filter finds them
ALLOW, REFUSE = 0x7FFF_0000, 0x0005_0000


class Refused(Exception):
    """The command cannot be confined here; the sentence says what is in the way."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def call_filter(machine: str) -> bytes:
    """The system call filter of a machine, assembled. Raises Refused for one it is not written for."""
    if machine not in MACHINES or struct.calcsize("P") != 8:
        raise Refused(f"the system call filter is not written for {machine}")
    arch, open_socket, open_pair, control = MACHINES[machine]
    lines: list[tuple[int, int, str | None, str | None, str | None]] = [
        # operation, operand, where to go when true, when false, its own label
        (LOAD, ARCH, None, None, None),
        (EQUAL, arch, None, "unknown", None),
        (LOAD, NUMBER, None, None, None),
        (AT_LEAST, X32, "unknown", None, None),
        (EQUAL, IO_URING_SETUP, "unknown", None, None),
        (EQUAL, open_socket, "socket", None, None),
        (EQUAL, open_pair, "pair", None, None),
        (EQUAL, control, "control", "allow", None),
        (LOAD, FIRST, None, None, "socket"),
        (EQUAL, socket.AF_INET, "allow", None, None),
        (EQUAL, socket.AF_INET6, "allow", None, None),
        (EQUAL, getattr(socket, "AF_NETLINK", 16), "allow", "family", None),
        # A pair of streams is joined for good; of a pair of datagram sockets each can still call somebody else.
        (LOAD, SECOND, None, None, "pair"),
        (AND, 0xF, None, None, None),
        (EQUAL, socket.SOCK_DGRAM, "family", "allow", None),
        (LOAD, SECOND, None, None, "control"),
        (EQUAL, TIOCSTI, "denied", None, None),
        (EQUAL, TIOCLINUX, "denied", "allow", None),
        (GIVE, ALLOW, None, None, "allow"),
        (GIVE, REFUSE | errno.EAFNOSUPPORT, None, None, "family"),
        (GIVE, REFUSE | errno.EPERM, None, None, "denied"),
        (GIVE, REFUSE | errno.ENOSYS, None, None, "unknown"),
    ]
    places = {label: place for place, (*_, label) in enumerate(lines) if label is not None}

    def jump(to: str | None, place: int) -> int:
        return 0 if to is None else places[to] - place - 1

    return b"".join(
        struct.pack("=HBBI", operation, jump(true, place), jump(false, place), operand)
        for place, (operation, operand, true, false, _) in enumerate(lines)
    )


def confine(port: int) -> socket.socket:
    """Put this process into its namespaces and behind the filter; the socket that listens inside. Raises Refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    assembled = call_filter(platform.machine())
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        raise Refused(f"the kernel makes no user and network namespace here ({os.strerror(ctypes.get_errno())})")
    try:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
        listener = socket.socket()
        _raise_loopback(listener)
        listener.bind(("127.0.0.1", port))
        listener.listen(BACKLOG)
    except OSError as error:
        raise Refused(f"its namespace cannot be set up ({error.strerror})") from None
    _lock(libc, assembled)
    return listener


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _raise_loopback(any_socket: socket.socket) -> None:
    name = b"lo".ljust(16, b"\0")
    flags = struct.unpack("16sh", fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16sh", name, 0) + bytes(16))[:18])
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", name, flags[1] | IFF_UP) + bytes(16))


def _lock(libc: ctypes.CDLL, assembled: bytes) -> None:
    """Give up every right inside the namespace too, and set the filter. What is exec'd inherits both."""
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        last = int(file.read())
    for right in range(last + 1):
        libc.prctl(PR_CAPBSET_DROP, right, 0, 0, 0)
    program = _Program(len(assembled) // 8, assembled)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or (
        libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0
    ):
        raise Refused(f"the kernel takes no system call filter ({os.strerror(ctypes.get_errno())})")


def main() -> None:
    """See the top of this file."""
    outside = socket.socket(fileno=int(sys.argv[1]))
    outside.set_inheritable(False)  # it closes, and so says that the program runs, when the program takes over
    port, argv = int(sys.argv[2]), sys.argv[3:]
    try:
        listener = confine(port)
    except Refused as error:
        outside.sendall(f"refused {error}".encode())
        sys.exit(1)
    socket.send_fds(outside, [b"ready"], [listener.fileno()])
    listener.close()
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - an argument list, as everywhere
    except (OSError, ValueError) as error:
        outside.sendall(f"failed {getattr(error, 'strerror', None) or error}".encode())
        sys.exit(127)


if __name__ == "__main__":
    main()
