"""`python -m benchmarks`: build, install, measure; write JSON, and with --publish the page and its chart.

A round takes the workloads in random order. For each of them all servers are started, on the same core, and
then measured in turns: in a turn each server is loaded once, alone, while the others wait. A server and the
floor it is compared with are measured within seconds of each other, and a machine that slows down for a
while slows all of them down. On a machine that others use, measure inside a lock of your own choosing:
`flock FILE python -m benchmarks`.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.answers import UnusableError, check_answer
from benchmarks.goals import goals
from benchmarks.measure import (
    NotListeningError,
    Settings,
    allow_descriptors,
    measure_idle,
    measure_load,
    measure_memory,
    running,
    warm,
)
from benchmarks.peers import SERVERS
from benchmarks.provision import provision
from benchmarks.publish import publish, write
from benchmarks.report import as_json, machine, medians
from benchmarks.servers import BUILD, Place, Server
from benchmarks.tables import markdown
from benchmarks.workloads import WORKLOADS, Workload

Run = dict[str, Any]
STARTS = 2  # a server that has not listened after so many starts is tried no more


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when measured, 1 when nothing was, 3 when a goal is missed under --goals."""
    options = parse(arguments)
    versions, left_out = provision(options.servers)
    settings = Settings(**{name: getattr(options, name) for name in asdict(Settings())})
    allow_descriptors(settings.idle_connections)
    measured = Measurement([SERVERS[name] for name in options.servers if name in versions], settings)
    for number in range(options.rounds):
        measured.round([WORKLOADS[name] for name in options.workloads], options.connections)
        sys.stderr.write(f"round {number + 1} of {options.rounds} done\n")
    kept = goals(medians(measured.runs))
    document = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "settings": asdict(settings),
        "rounds": options.rounds,
        "versions": versions,
        "left_out": left_out | measured.left_out(),
        "failed_once": measured.failed_once(),
        "goals": [goal.as_row() for goal in kept],
        "runs": measured.runs,
    }
    write(options.output, as_json(document))
    if options.publish:
        publish(document)
    sys.stdout.write(markdown(document))
    if not measured.runs:
        return 1
    return 3 if options.goals and not all(goal.is_met for goal in kept) else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--servers", default=",".join(SERVERS), help="default: %(default)s")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="default: %(default)s")
    parser.add_argument("--connections", default="", help="such as 16,64; default: what each workload names")
    parser.add_argument("--rounds", type=int, default=3, help="at least 3 to publish; default: %(default)s")
    for name, default in asdict(Settings()).items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=type(default), default=default, help="default: %(default)s")
    output = os.path.join(BUILD, "latest.json")
    parser.add_argument("--output", default=output, help="every single run, as JSON; default: %(default)s")
    parser.add_argument("--publish", action="store_true", help="write results/, docs/benchmarks.md and .svg")
    parser.add_argument("--goals", action="store_true", help="exit with 3 when a goal is missed")
    options = parser.parse_args(arguments)
    options.servers, options.workloads = options.servers.split(","), options.workloads.split(",")
    unknown = (set(options.servers) - set(SERVERS)) | (set(options.workloads) - set(WORKLOADS))
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    options.connections = tuple(int(count) for count in options.connections.split(",") if count) or None
    options.output = os.path.abspath(options.output)
    return options


class Measurement:
    """The runs so far, and what could not be measured."""

    def __init__(self, servers: Sequence[Server], settings: Settings) -> None:
        self.runs: list[Run] = []
        self._servers = servers
        self._settings = settings
        self._turn = 0
        self._failures: dict[tuple[str, str], str] = {}  # (server, workload or ""): the last reason
        self._silent_starts: dict[str, int] = {}

    def round(self, workloads: Sequence[Workload], connections: tuple[int, ...] | None) -> None:
        """Measure every workload on every server that takes it."""
        for workload in random.sample(workloads, len(workloads)):
            with contextlib.ExitStack() as stack:
                places = self._start(workload, stack)
                for number in range(self._settings.turns if workload.kind == "load" else 1):
                    self._take_turn(workload, places, connections, is_first=number == 0)

    def _start(self, workload: Workload, stack: contextlib.ExitStack) -> dict[Server, tuple[int, Place]]:
        """Start every server that takes a workload; root pid and place."""
        started: dict[Server, tuple[int, Place]] = {}
        for server in self._servers:
            if not server.takes(workload) or self._silent_starts.get(server.name, 0) >= STARTS:
                continue
            try:
                root, place = stack.enter_context(running(server, workload, self._settings))
                server.verify(place)
                if workload.kind == "load":
                    check_answer(place.port, workload)
            except NotListeningError as error:
                self._silent_starts[server.name] = self._silent_starts.get(server.name, 0) + 1
                self._failures[server.name, ""] = brief(error)
            except (UnusableError, OSError) as error:
                self._failures[server.name, workload.name] = brief(error)
            else:
                self._silent_starts[server.name] = 0
                started[server] = (root, place)
        return started

    def _take_turn(
        self,
        workload: Workload,
        places: dict[Server, tuple[int, Place]],
        connections: tuple[int, ...] | None,
        *,
        is_first: bool,
    ) -> None:
        """Measure each server once with each number of connections; who fails is left out from then on."""
        self._turn += 1
        counts = sorted({count for server in places for count in server.counts(workload, connections)})
        for count in counts:
            for server in random.sample(list(places), len(places)):
                if count not in server.counts(workload, connections):
                    continue
                root, place = places[server]
                try:
                    values = self._measure(root, place.port, workload, count, is_first=is_first)
                except (UnusableError, OSError) as error:
                    self._failures[server.name, workload.name] = brief(error)
                    del places[server]
                else:
                    self._add(server, workload, count if workload.kind == "load" else 0, values)

    def _measure(
        self, root: int, port: int, workload: Workload, count: int, *, is_first: bool
    ) -> dict[str, float]:
        if workload.kind == "idle":
            return measure_idle(root, port, workload, self._settings)
        if workload.kind == "memory":
            return measure_memory(root, port, workload)
        if is_first:
            warm(port, workload, count, self._settings)
        size = check_answer(port, workload)
        return {**measure_load(root, port, workload, count, self._settings), "answer_bytes": size}

    def _add(self, server: Server, workload: Workload, count: int, values: dict[str, float]) -> None:
        shown = values[workload.metric]
        sys.stderr.write(f"  {workload.name:10} {count or '':4} {server.name:20} {shown:12.2f}\n")
        names = {"server": server.name, "workload": workload.name, "connections": count}
        self.runs.append({**names, "turn": self._turn, "values": values})

    def left_out(self) -> dict[str, str]:
        """What was never measured, and why."""
        return {name: why for name, why, measured in self._reasons() if not measured}

    def failed_once(self) -> dict[str, str]:
        """What failed in some rounds and was measured in others."""
        return {name: why for name, why, measured in self._reasons() if measured}

    def _reasons(self) -> list[tuple[str, str, bool]]:
        done = {(run["server"], run["workload"]) for run in self.runs}
        done |= {(server, "") for server, _ in done}
        return [
            (f"{server} {workload}".strip(), why, (server, workload) in done)
            for (server, workload), why in self._failures.items()
        ]


def brief(error: Exception) -> str:
    """A reason on one line."""
    return " ".join(str(error).split())[:200]


if __name__ == "__main__":
    sys.exit(main())
