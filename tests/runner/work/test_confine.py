"""A confined command reaches the gate and nothing else, on the real kernel; what cannot be confined is not run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runner.work import command, confine, confined, processes
from runner.work.command import run_command
from runner.work.confine import LAUNCHER, Relay, obstacle, profile
from runner.work.confined import MACHINES, Refused, call_filter

LINUX = sys.platform.startswith("linux")
WHY_NOT = obstacle()
confines = pytest.mark.skipif(WHY_NOT is not None, reason=f"nothing can be confined here: {WHY_NOT}")


class _Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def servers() -> Iterator[tuple[str, str]]:
    """The gate's address, and that of another service of this host."""
    made = [ThreadingHTTPServer(("127.0.0.1", 0), _Hello) for _ in range(2)]
    for server in made:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    gate, other = (f"http://127.0.0.1:{server.server_address[1]}" for server in made)
    yield gate, other
    for server in made:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that stands still for a while a launcher takes its time, and so do last words."""
    monkeypatch.setattr(confine, "SETUP_S", 120.0)
    monkeypatch.setattr(command, "LAST_LOOKS", 1_200)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a command ends everything below its worker; here that would be the test process."""
    monkeypatch.setattr(processes, "end_leftovers", lambda: None)


def order(tmp_path: Path, gate: str, *command: str, **others: Any) -> dict[str, Any]:
    """A worker's order, confined."""
    return {
        "command": list(command),
        "cwd": str(tmp_path),
        "payload": "{}",
        "gate": gate,
        "token": "tok",
        "child_home": str(tmp_path),
        "key": "k",
        "n": 1,
        "max_output_tokens": None,
        "env": {},
        "agents": str(tmp_path / "agents"),
        "confine": "network",
        **others,
    }


def told(tmp_path: Path, gate: str, program: str, *words: str, **others: Any) -> Any:
    """What a confined Python program says, as JSON."""
    answer = run_command(order(tmp_path, gate, sys.executable, "-c", program, *words, **others))
    assert answer["outcome"] == "done", answer
    return json.loads(json.loads(answer["result"]))


_VISIT = """
import json, sys, urllib.request
def visit(url):
    try:
        return urllib.request.urlopen(url, timeout=60).read().decode()
    except OSError as error:
        return type(error).__name__
print(json.dumps([visit(url) for url in sys.argv[1:]]))
"""


@confines
@pytest.mark.parametrize("confined", ["network", None])
def test_a_confined_command_reaches_the_gate_alone(
    tmp_path: Path, servers: tuple[str, str], confined: str | None
) -> None:
    """Another service of this host, such as a local model server, is out of reach; unconfined it is not."""
    gate, other = servers

    answers = told(tmp_path, gate, _VISIT, gate, other, confine=confined)

    assert answers == ["hello", "hello" if confined is None else "URLError"]


_CONNECT = """
import json, socket, sys
def call(address):
    try:
        socket.socket(socket.AF_UNIX).connect(address)
    except OSError as error:
        return error.errno
    return "reached"
print(json.dumps([call(sys.argv[1]), call(chr(0) + sys.argv[2])]))
"""


@confines
@pytest.mark.parametrize("confined", ["network", None])
def test_sockets_with_a_path_or_an_abstract_name_are_no_way_out(
    tmp_path: Path, servers: tuple[str, str], confined: str | None
) -> None:
    """A container's, the desktop's and the service manager's sockets would start work elsewhere."""
    name = f"afk-{os.getpid()}-{id(servers)}"
    with socket.socket(socket.AF_UNIX) as by_path, socket.socket(socket.AF_UNIX) as by_name:
        by_path.bind(str(tmp_path / "s"))
        by_name.bind(f"\0{name}")
        for each in (by_path, by_name):
            each.listen()
        answers = told(tmp_path, servers[0], _CONNECT, str(tmp_path / "s"), name, confine=confined)

    assert ("reached" in answers) == (confined is None)
    assert confined is None or len(answers) == 2


_LOOK = """
import ctypes, fcntl, json, os, socket, sys
def tried(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "done"
libc = ctypes.CDLL(None, use_errno=True)
net = os.open(f"/proc/self/ns/net", os.O_RDONLY)
print(json.dumps({
    "environ": tried(lambda: open(f"/proc/{sys.argv[1]}/environ", "rb").read()),
    "memory": tried(lambda: open(f"/proc/{sys.argv[1]}/mem", "rb")),
    "network": tried(lambda: os.open(f"/proc/{sys.argv[1]}/ns/net", os.O_RDONLY)),
    "keys": tried(lambda: fcntl.ioctl(0, 0x5412, b"x")),
    "pair": tried(lambda: socket.socketpair()),
    "loose pair": tried(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)),
    "machine": tried(lambda: socket.socket(40, socket.SOCK_STREAM)),
    "ring": libc.syscall(425, 8, ctypes.create_string_buffer(256)) != -1,
    "files": sorted(int(name) for name in os.listdir("/proc/self/fd") if int(name) != net)[:-1],
    "rights": [line.split()[1] for line in open("/proc/self/status") if line.startswith("Cap")],
}))
"""


@confines
@pytest.mark.skipif(not LINUX, reason="it is the kernel of Linux that is asked")
def test_no_other_process_is_in_a_confined_ones_reach(tmp_path: Path, servers: tuple[str, str]) -> None:
    """Neither their memory and environment nor a file, a right or a terminal of ours; pairs of streams it may have."""
    found = told(tmp_path, servers[0], _LOOK, str(os.getpid()))

    assert {key: found[key] for key in ("environ", "memory", "network", "keys")} == dict.fromkeys(
        ("environ", "memory", "network", "keys"), "PermissionError"
    )
    assert found["pair"] == "done"
    assert found["loose pair"] == found["machine"] == "OSError"
    assert found["ring"] is False
    assert found["files"] == [0, 1, 2]
    assert {int(rights, 16) for rights in found["rights"]} == {0}


@confines
def test_a_program_that_is_not_there_is_named_when_confined_too(tmp_path: Path, servers: tuple[str, str]) -> None:
    answer = run_command(order(tmp_path, servers[0], "/no/such/program"))

    assert answer["outcome"] == "dead"
    assert answer["error"].startswith("/no/such/program cannot be started: ")


@confines
def test_the_way_to_the_gate_closes_with_the_attempt(tmp_path: Path, servers: tuple[str, str]) -> None:
    """Nothing of the relay is left: no thread, no descriptor."""
    before, fds = {*threading.enumerate()}, open_fds()

    for _ in range(3):
        assert told(tmp_path, servers[0], _VISIT, servers[0]) == ["hello"]

    for thread in {*threading.enumerate()} - before:  # the server's own among them, one for each visit
        thread.join(60)
        assert not thread.is_alive(), thread
    assert open_fds() <= fds


def open_fds() -> set[str]:
    """Empty where the system does not show them."""
    listed = os.listdir("/proc/self/fd") if LINUX else []
    return {fd for fd in listed if os.path.lexists(f"/proc/self/fd/{fd}")}  # that of the look is closed by now


@pytest.mark.skipif(not LINUX, reason="namespaces are of Linux")
def test_where_no_namespace_is_made_nothing_is_run(
    tmp_path: Path, servers: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launcher asks for a namespace that the kernel does not have, and is refused as by one that gives none."""
    stingy = tmp_path / "stingy.py"
    stingy.write_text(
        f"import sys; sys.path.insert(0, {str(LAUNCHER.parent)!r}); import confined\n"
        "confined.CLONE_NEWUSER = 0x1\n"
        "confined.main()\n"
    )
    monkeypatch.setattr(confine, "LAUNCHER", stingy)

    answer = run_command(order(tmp_path, servers[0], "touch", str(tmp_path / "ran")))

    assert answer["outcome"] == "unconfined"
    assert "namespace" in answer["error"]
    assert not (tmp_path / "ran").exists()
    assert "namespace" in str(obstacle())


@pytest.mark.skipif(not LINUX, reason="the launcher is of Linux")
def test_a_launcher_that_dies_runs_nothing(
    tmp_path: Path, servers: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tmp_path / "silent.py"
    silent.write_text("raise SystemExit(3)")
    monkeypatch.setattr(confine, "LAUNCHER", silent)

    answer = run_command(order(tmp_path, servers[0], "touch", str(tmp_path / "ran")))

    assert answer["outcome"] == "unconfined"
    assert not (tmp_path / "ran").exists()


def test_nothing_is_run_on_a_system_that_confines_nothing(
    tmp_path: Path, servers: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confine.sys, "platform", "plan9")

    answer = run_command(order(tmp_path, servers[0], "touch", str(tmp_path / "ran")))

    assert answer == {"outcome": "unconfined", "error": "nothing is known that confines a command on plan9"}
    assert not (tmp_path / "ran").exists()


def test_the_profile_of_macos_lets_one_address_through() -> None:
    """Denied comes first and the one exception after it: the last rule that fits is the one that holds."""
    lines = profile("http://127.0.0.1:40123").splitlines()

    assert lines[:2] == ["(version 1)", "(allow default)"]
    assert lines.index("(deny network*)") < lines.index('(allow network-outbound (remote tcp "localhost:40123"))')
    assert sum("(allow " in line for line in lines) == 2
    assert all(line.count("(") == line.count(")") for line in lines)


def test_a_gate_elsewhere_is_no_reason_to_open_a_way() -> None:
    with pytest.raises(confine.Unconfined):
        profile("http://192.0.2.1:80")


@pytest.mark.parametrize("machine", MACHINES)
def test_every_jump_of_the_filter_leads_forward_to_a_line_of_it(machine: str) -> None:
    """The kernel refuses anything else, but only on the machine it is written for."""
    assembled = call_filter(machine)
    lines = [assembled[at : at + 8] for at in range(0, len(assembled), 8)]

    assert all(place + 1 + max(line[2], line[3]) < len(lines) for place, line in enumerate(lines) if line[0] & 7 == 5)
    assert lines[-1][0] & 7 == 6, "it ends with an answer"


def test_a_machine_without_a_filter_is_refused() -> None:
    with pytest.raises(Refused, match="sparc"):
        call_filter("sparc")


def test_the_launcher_needs_nothing_but_the_standard_library() -> None:
    """It runs without site and with no path of ours."""
    look = f"import runpy, sys; runpy.run_path({str(LAUNCHER)!r}); print(*sys.modules)"
    listed = subprocess.run(
        [sys.executable, "-I", "-S", "-c", look],
        capture_output=True,
        text=True,
        check=True,
    )

    assert not {name for name in listed.stdout.split() if name.partition(".")[0] in ("runner", "anthropic", "httpx")}
    assert confined.__file__ == str(LAUNCHER)


@pytest.fixture
def relayed() -> Iterator[tuple[socket.socket, socket.socket, Relay]]:
    """Both ends of one relayed connection."""
    target = socket.create_server(("127.0.0.1", 0))
    listener = socket.create_server(("127.0.0.1", 0))
    relay = Relay(listener, to=target.getsockname())
    near = socket.create_connection(listener.getsockname(), timeout=60)
    far, _ = target.accept()
    far.settimeout(60)
    yield near, far, relay
    relay.close()
    for each in (near, far, target):
        each.close()


def test_a_relay_passes_on_what_comes_when_it_comes(relayed: tuple[socket.socket, socket.socket, Relay]) -> None:
    """A piece of a stream is not kept back for the next one, and one side may end before the other."""
    near, far, _ = relayed
    near.sendall(b"ask")
    assert far.recv(10) == b"ask"
    near.shutdown(socket.SHUT_WR)
    assert far.recv(10) == b""
    for piece in (b"one", b"two"):
        far.sendall(piece)
        assert near.recv(10) == piece
    far.close()
    assert near.recv(10) == b""


def test_a_client_that_vanishes_is_noticed_at_the_gate(relayed: tuple[socket.socket, socket.socket, Relay]) -> None:
    near, far, _ = relayed
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closing resets the connection
    near.close()

    with suppress(ConnectionResetError):
        assert far.recv(10) == b""


def test_a_closed_relay_cuts_what_is_open_and_takes_no_more(
    relayed: tuple[socket.socket, socket.socket, Relay],
) -> None:
    near, far, relay = relayed
    near.sendall(b"ask")
    assert far.recv(10) == b"ask"
    address = relay._listener.getsockname()

    relay.close()

    assert near.recv(10) == b""
    assert far.recv(10) == b""
    for thread in threading.enumerate():
        if thread.name == "relay":
            thread.join(60)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(address, timeout=60)
