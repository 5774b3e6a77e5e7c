"""`python -m benchmarks.ticker`: is a server too busy to be on time?

A background task of the application wants to run every two milliseconds while wrk keeps many connections
busy. What is promised: never more than ten milliseconds late with 256 of them. The same ticker on the idle
server is measured first: what the machine itself adds. So is the time the process was ready to run and
another had its core: on a machine with other work it explains what the server cannot help.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.answers import UnusableError
from benchmarks.measure import Settings, running, wrk
from benchmarks.provision import provision
from benchmarks.servers import Server, rocket_server
from benchmarks.workloads import WORKLOADS, Workload

MOST_MS = 10.0
HEAD = "| | ticks | p50 ms | p99 ms | p99.9 ms | latest ms | over 10 ms | waited for its core ms |"


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late the ticks of one period were.

    Attributes:
        late_ms: sorted.
        waited_ms: how long the process was ready to run and did not.
    """

    late_ms: Sequence[float]
    waited_ms: float

    def at(self, share: float) -> float:
        """The lateness that this share of the ticks did not exceed."""
        return self.late_ms[min(len(self.late_ms) - 1, int(share * len(self.late_ms)))]

    @property
    def over(self) -> int:
        """Ticks later than what is promised."""
        return sum(late > MOST_MS for late in self.late_ms)

    def row(self, name: str) -> str:
        """One line of the table."""
        if not self.late_ms:  # the loop was never free
            return f"| {name} | 0 | - | - | - | - | - | {self.waited_ms:.0f} |"
        parts = [f"{self.at(share):.2f}" for share in (0.5, 0.99, 0.999, 1.0)]
        counts = f"{self.over} | {self.waited_ms:.0f}"
        return f"| {name} | {len(self.late_ms)} | {' | '.join(parts)} | {counts} |"


def get(port: int, path: str) -> bytes:
    """The content of an answer."""
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while piece := sock.recv(1 << 20):
            received += piece
    return received.partition(b"\r\n\r\n")[2]


def lateness(port: int, waited_before_ms: float) -> Lateness:
    """Of the ticks since the last such question."""
    answer: dict[str, Any] = json.loads(get(port, "/ticker"))
    return Lateness(answer["late_ms"], answer["waited_ms"] - waited_before_ms)


def measure(
    server: Server, workload: Workload, connections: int, settings: Settings
) -> tuple[Lateness, Lateness, dict[str, int]]:
    """Lateness on the idle server and under load, and what wrk counted."""
    with running(server, workload, settings) as (_, place):
        server.verify(place)
        get(place.port, "/ticker/begin")
        start = lateness(place.port, 0.0)
        time.sleep(settings.seconds)
        idle = lateness(place.port, start.waited_ms)
        counted = wrk(place.port, workload, connections, settings)
        return idle, lateness(place.port, start.waited_ms + idle.waited_ms), counted


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0, 1 when nothing was measured, 3 when a tick under load was over ten ms late."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ticker", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--engine", default="python", choices=("python", "epoll", "io_uring"))
    parser.add_argument("--loop", default="asyncio", choices=("asyncio", "uvloop"))
    parser.add_argument("--workload", default="health", choices=("health", "browser", "async", "suspend"))
    parser.add_argument("--connections", type=int, default=256, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=5.0, help="default: %(default)s")
    parser.add_argument(
        "--nice", type=int, default=0, help="below 0, as root, keeps other work off the cores"
    )
    options = parser.parse_args(arguments)
    provision([])
    workload, settings = WORKLOADS[options.workload], Settings(seconds=options.seconds, nice=options.nice)
    server = rocket_server("ticker", options.engine, options.loop, application="ticker:app")
    try:
        idle, busy, counted = measure(server, workload, options.connections, settings)
    except (UnusableError, OSError) as error:
        sys.stderr.write(f"not measured: {error}\n")
        return 1
    name = f"{options.engine}, {options.loop} loop"
    load = f"{name}, {workload.name}, {options.connections} connections"
    rate = counted["requests"] / counted["duration_us"] * 1e3
    lines = [HEAD, "|---" * 8 + "|", idle.row(f"{name}, idle"), busy.row(f"{load}, {rate:.0f}k requests/s")]
    sys.stdout.write("\n".join(lines) + "\n")
    return 3 if busy.over or not busy.late_ms else 0


if __name__ == "__main__":
    sys.exit(main())
