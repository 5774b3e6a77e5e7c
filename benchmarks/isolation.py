"""`python -m benchmarks.isolation`: user-space nanoseconds for a request, without sockets.

Requests are handed to an engine in this process as the bytes a client would have sent, and its answers are
thrown away: parsing, routing, the handler and the serialised answer remain. The kernel, which is nearly all
of a request's cost, is not in these numbers, nor are the loop's wait and its transports.

What is promised of the native engines: with nine fields, 300 ns for a plain handler and 400 ns for an async
one. A door is how an engine is reached without a socket; each engine that has one stands in DOORS.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from benchmarks.answers import request
from benchmarks.servers import APPLICATIONS
from benchmarks.workloads import BROWSER, WORKLOADS, Workload
from rocket_sup.config import Config
from rocket_sup.connection import Connection
from rocket_sup.log import EventLog
from rocket_sup.service import Service, Statistics

CONNECTIONS = 64  # served in turn, as in the measurements with sockets
PROMISED_NS = {"plain": 300, "async": 400}
CASES = {
    "plain": WORKLOADS["health"],
    "plain, nine fields": Workload("plain", "/health", "", fields=BROWSER),
    "routed parameter and JSON, nine fields": WORKLOADS["browser"],
    "1 KiB of content": WORKLOADS["post"],
    "async": WORKLOADS["async"],
    "async, nine fields": Workload("async", "/async", "", fields=BROWSER),
    "async that suspends": WORKLOADS["suspend"],
    "pipelined, sixteen at once": WORKLOADS["pipelined"],
}


class Door(Protocol):
    """An engine with the benchmark's application and CONNECTIONS connections, reached without sockets."""

    def feed(self, number: int, data: bytes) -> None:
        """Hand bytes to one connection; what it answers is thrown away."""

    def answered(self) -> int:
        """How many requests were answered so far."""

    def close(self) -> None:
        """Give back what it holds."""


class Sink:
    """A transport that keeps nothing but the number of bytes."""

    def __init__(self) -> None:
        self.written = 0

    def set_write_buffer_limits(self, high: int) -> None:
        """Nothing is ever buffered."""

    def get_extra_info(self, name: str) -> object:
        """A client without a socket."""
        return ("192.0.2.1", 4711) if name == "peername" else None

    def get_write_buffer_size(self) -> int:
        """All is taken at once."""
        return 0

    def is_closing(self) -> bool:
        """It stays open."""
        return False

    def write(self, data: bytes) -> None:
        """Count it."""
        self.written += len(data)

    def close(self) -> None:
        """Nothing is held."""


class Portable:
    """The portable engine: its connections are asyncio protocols and take bytes by themselves."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        app = importlib.import_module("rocket").app
        app.freeze()
        self._statistics = Statistics()
        self._log = EventLog(level="error", file="/dev/null")
        self._service = Service(
            app,
            Config(),
            loop=loop,
            log=self._log,
            access_log=None,
            statistics=self._statistics,
            on_closed=lambda: None,
            on_stop_accepting=lambda: None,
        )
        self._connections = [Connection(self._service) for _ in range(CONNECTIONS)]
        for connection in self._connections:
            connection.connection_made(cast(Any, Sink()))

    def feed(self, number: int, data: bytes) -> None:
        """Hand bytes to one connection; what it answers is thrown away."""
        self._connections[number].data_received(data)

    def answered(self) -> int:
        """How many requests were answered so far."""
        return self._statistics.requests

    def close(self) -> None:
        """Give back what it holds."""
        self._service.stop()
        self._log.close()


DOORS: dict[str, Callable[[asyncio.AbstractEventLoop], Door]] = {"python": Portable}


def nanoseconds(loop: asyncio.AbstractEventLoop, door: Door, workload: Workload, turns: int) -> float:
    """For one request, the loop's turns for handlers that wait included."""
    data = request(workload) * workload.depth
    each = CONNECTIONS * workload.depth

    async def serve() -> None:
        owed = door.answered()
        for _ in range(turns):
            for number in range(CONNECTIONS):
                door.feed(number, data)
            owed += each
            while door.answered() < owed:  # noqa: ASYNC110 - the turns are what is measured
                await asyncio.sleep(0)

    began = time.process_time_ns()
    loop.run_until_complete(serve())
    return (time.process_time_ns() - began) / (turns * each)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; a table on standard output."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.isolation", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--engine", default="python", choices=sorted(DOORS))
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--turns", type=int, default=200, help="of 64 requests each; default: %(default)s")
    options = parser.parse_args(arguments)
    loop = asyncio.new_event_loop()
    sys.path.insert(0, APPLICATIONS)
    door = DOORS[options.engine](loop)
    sys.stdout.write(f"| {options.engine} | ns/request | least | promised |\n|---|---|---|---|\n")
    for name, workload in CASES.items():
        nanoseconds(loop, door, workload, options.turns)  # warms caches and allocators
        found = [nanoseconds(loop, door, workload, options.turns) for _ in range(options.rounds)]
        most = PROMISED_NS.get(name.partition(", nine")[0], "-") if "nine" in name else "-"
        sys.stdout.write(f"| {name} | {statistics.median(found):.0f} | {min(found):.0f} | {most} |\n")
    door.close()
    loop.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
