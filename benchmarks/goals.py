"""What this project promises, and what was reached.

Ratios to the floor are of CPU per request, but for latency; each holds for every number of connections that
was measured. Whoever is below every peer is so in every workload.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.peers import SERVERS
from benchmarks.report import Cells, ratio
from benchmarks.workloads import WORKLOADS

NATIVE = ("rocket-epoll", "rocket-io_uring")
FLOOR = {  # workload: at most this much of the floor
    "health": 1.05,
    "browser": 1.12,
    "post": 1.15,
    "async": 1.07,
    "suspend": 1.15,
    "pipelined": 1.25,
    "logged": 1.10,
    "latency": 1.05,
}
PORTABLE = {"uvicorn": 0.5, "granian-rsgi": 0.6, "socketify": 1.0}  # peer: at most this much of it
PORTABLE_WORKLOADS = ("health", "browser", "post")
# Of applications that others serve too: (workload, against whom, at most).
APPLICATIONS = (
    ("asgi", "uvicorn", 0.5),
    ("asgi", "granian-asgi", 1.0),
    ("fastapi", "uvicorn", 1.0),
    ("fastapi", "granian-asgi", 1.0),
    ("wsgi", "bjoern", 1.1),
    ("file", "nginx", 1.3),
    ("large", "nginx", 1.3),
    ("echo", "floor", 1.5),
    ("echoes", "socketify", 1.0),
)
BYTES = {"idle": ("bytes for an idle connection", 512), "memory": ("bytes of an acceptor", 20 * 2**20)}


@dataclass(frozen=True, slots=True)
class Goal:
    """One promise and how it was kept.

    Attributes:
        reached: by number of connections.
        below: less than `most` is promised, not just as little.
    """

    server: str
    what: str
    most: float
    reached: dict[int, float]
    below: bool = False

    @property
    def is_met(self) -> bool:
        """Whether it holds for every number of connections."""
        return all(value < self.most if self.below else value <= self.most for value in self.reached.values())

    def as_row(self) -> dict[str, Any]:
        """For the JSON document."""
        reached = {str(count): round(value, 3) for count, value in self.reached.items()}
        row = {"server": self.server, "what": self.what, "most": self.most, "below": self.below}
        return {**row, "reached": reached, "met": self.is_met}


def goals(cells: Cells) -> list[Goal]:
    """Each goal whose measurements are there."""
    return [goal for goal in promised(cells) if goal.reached]


def promised(cells: Cells) -> Iterator[Goal]:
    for server in NATIVE:
        for name, most in FLOOR.items():
            yield Goal(server, f"{name} over the floor", most, ratios(cells, name, server, "floor"))
        for workload in WORKLOADS.values():
            if workload.metric == "cpu_us" and not workload.interface:
                yield below_every_peer(cells, workload.name, server)
        for name, peer, most in APPLICATIONS:
            reached = ratios(cells, name, server, peer)
            yield Goal(server, f"{name} over {peer}", most, reached, below=most == 1.0)
        for name, (what, most) in BYTES.items():
            found = cells.get((name, 0, server))
            yield Goal(server, what, most, {0: found[WORKLOADS[name].metric]} if found else {})
    for name in PORTABLE_WORKLOADS:
        for peer, most in PORTABLE.items():
            reached = ratios(cells, name, "rocket-python", peer)
            yield Goal("rocket-python", f"{name} over {peer}", most, reached, below=most == 1.0)


def ratios(cells: Cells, workload: str, server: str, against: str) -> dict[int, float]:
    """Ratios by number of connections, for those with which both were measured."""
    counts = sorted({count for name, count, _ in cells if name == workload})
    found = {count: ratio(cells, workload, count, server, against) for count in counts}
    return {count: value for count, value in found.items() if value is not None}


def below_every_peer(cells: Cells, workload: str, server: str) -> Goal:
    """The largest ratio to any peer; nginx, which calls no handler, is shown and not counted."""
    rivals = [name for name, other in SERVERS.items() if other.kind == "peer" and name != "nginx"]
    worst: dict[int, float] = {}
    nearest = "any peer"
    for rival in rivals:
        for count, value in ratios(cells, workload, server, rival).items():
            if value > worst.get(count, 0.0):
                worst[count], nearest = value, rival
    return Goal(server, f"{workload} over the cheapest peer ({nearest})", 1.0, worst, below=True)
