"""Who is measured and how each is started: one process that serves, on a given port, pinned to one core.

A server is a command line and, where it needs one, a configuration file written into the run's temporary
directory. Flags are chosen in each peer's favour: its fastest loop and parser, no access log unless that is
the workload, no limit on requests per connection, idle timeouts long enough for the memory measurement.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.answers import UnusableError
from benchmarks.workloads import Workload

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
APPLICATIONS = os.path.join(HERE, "applications")
BUILD = os.path.join(HERE, "build")
BIN = os.path.join(BUILD, "venv", "bin")
FILES = os.path.join(BUILD, "files")  # what `static` workloads ask for
LIBRARIES = os.path.join(BUILD, "debian", "usr", "lib", "x86_64-linux-gnu")  # unpacked there, not installed


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server runs: its port, and a directory of its own for files."""

    port: int
    directory: str

    def write(self, name: str, text: str) -> str:
        """Write a file into the directory; its path."""
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def path(self, name: str) -> str:
        """Where a file of that name is."""
        return os.path.join(self.directory, name)


Command = Callable[[Place, Workload], list[str]]


@dataclass(frozen=True, slots=True)
class Server:
    """A server of the comparison.

    Attributes:
        kind: "floor", "rocket" or "peer".
        command: place and workload to command line.
        package: the distribution whose version is reported; "" for none.
        verify: raises UnusableError when what runs is not what was asked for.
        without: workloads that it cannot take part in.
        interfaces: of applications that it serves; see `Workload.interface`.
    """

    name: str
    kind: str
    command: Command
    package: str = ""
    without: frozenset[str] = frozenset()
    interfaces: frozenset[str] = frozenset({""})
    verify: Callable[[Place], None] = lambda place: None

    def takes(self, workload: Workload) -> bool:
        """Whether it takes part in a workload."""
        return workload.name not in self.without and workload.interface in self.interfaces

    def counts(self, workload: Workload, asked: tuple[int, ...] | None) -> tuple[int, ...]:
        """With how many connections it is measured: a peer with the workload's first, unless asked."""
        if workload.connections == (1,):
            return workload.connections
        return asked or (workload.connections[:1] if self.kind == "peer" else workload.connections)


def tool(name: str) -> str:
    """A command of the benchmark's own virtual environment."""
    return os.path.join(BIN, name)


def floor(place: Place, workload: Workload) -> list[str]:
    binary = os.path.join(BUILD, "floor")
    return [binary, str(place.port), workload.content_type, workload.body, workload.floor_mode]


# By interface; FastAPI's applications are ASGI like any other.
APPLICATION = {
    "": "rocket:app",
    "asgi": "asgi:app",
    "fastapi": "fast:app",
    "wsgi": "wsgi:app",
    "static": "rocket_files:app",
    "ws": "rocket_echo:app",
}


def rocket(engine: str, loop: str, *, application: str = "") -> Command:
    """`rocket-sup` with one acceptor; the sample application where memory after the start is measured. WSGI
    is called without threads, as its peers do it.
    """

    def command(place: Place, workload: Workload) -> list[str]:
        sample = workload.kind == "memory"
        served = application or APPLICATION[workload.interface]
        access = f'access = "json"\naccess_file = "{place.path("access.log")}"'
        config = f"""
[server]
handler = "{"examples.hello:app" if sample else served}"
app_dir = "{ROOT if sample else APPLICATIONS}"
bind = ["127.0.0.1:{place.port}"]
num_acceptors = 1
engine = "{engine}"
loop = "{loop}"
[acceptor]
threads = {0 if workload.interface == "wsgi" else 8}
[timeouts]
idle = 600
[log]
level = "warning"
{access if workload.logs else 'access = "off"'}
[control]
socket = "{place.path("control.sock")}"
"""
        return [tool("rocket-sup"), "--config", place.write("rocket.toml", config)]

    return command


def rocket_server(name: str, engine: str, loop: str, *, application: str = "") -> Server:
    """A row of the comparison that fails where another engine stands in for the wanted one."""

    def verify(place: Place) -> None:
        serving = engine_of(place)
        if (serving["name"], serving["loop"]) != (engine, loop):
            raise UnusableError(f"serves with {serving['name']} on {serving['loop']}: {serving['reason']}")

    command = rocket(engine, loop, application=application)
    return Server(name, "rocket", command, "rocket-sup", interfaces=frozenset(APPLICATION), verify=verify)


def engine_of(place: Place) -> dict[str, Any]:
    """What `rocket-sup status` says of the engine, once the acceptor has told it.

    Raises:
        UnusableError: it never told.
    """
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as sock, sock.makefile("rb") as answer:
            sock.settimeout(5)
            sock.connect(place.path("control.sock"))
            sock.sendall(b'{"command": "status"}\n')
            engines: list[dict[str, Any]] = json.loads(answer.readline())["engines"]
        if engines:
            return engines[0]
        time.sleep(0.05)  # its message to the Listener is on its way
    raise UnusableError("no acceptor has told its engine")
