"""`python -m benchmarks`: build, install, measure, write JSON and a table into `benchmarks/results`.

Rounds are interleaved: every round takes all servers in a new random order, and each server's workloads too,
so that a machine that slows down for a while slows all of them down. On a machine that others use, measure
inside a lock of your own choosing: `flock FILE python -m benchmarks`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.measure import (
    WORKLOADS,
    Settings,
    UnusableError,
    check_answer,
    measure_idle,
    measure_load,
    running,
)
from benchmarks.provision import provision
from benchmarks.report import goals, machine, markdown, medians
from benchmarks.servers import HERE, SERVERS, Server

IDLE = "idle"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when measured, 1 when rocket could not be, 3 when a goal is missed under --goals."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    everything = ",".join([*WORKLOADS, IDLE])
    parser.add_argument("--servers", default=",".join(SERVERS), help="comma-separated; default: %(default)s")
    parser.add_argument("--workloads", default=everything, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved runs, at least 3 to publish")
    for name, default in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    results = os.path.join(HERE, "results")
    parser.add_argument("--output", default=results, help="directory for latest.json and README.md")
    parser.add_argument("--goals", action="store_true", help="exit with 3 when a goal is missed")
    options = vars(parser.parse_args(arguments))
    servers, workloads = options.pop("servers").split(","), options.pop("workloads").split(",")
    rounds, output, strict = options.pop("rounds"), options.pop("output"), options.pop("goals")
    unknown = (set(servers) - set(SERVERS)) | (set(workloads) - set(WORKLOADS) - {IDLE})
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    settings = Settings(**options)
    versions = provision(servers)
    left_out = {name: "could not be installed" for name in servers if name not in versions}
    runs: list[dict[str, Any]] = []
    for number in range(rounds):
        names = [name for name in servers if name in versions]
        random.shuffle(names)
        for name in names:
            for part in parts(SERVERS[name], workloads):
                while part:  # each turn measures, or gives up on, at least one workload
                    try:
                        measure_part(SERVERS[name], part, settings, runs)
                    except (UnusableError, OSError) as error:
                        left_out[f"{name} {part.pop(0)}"] = " ".join(str(error).split())[:200]
        sys.stderr.write(f"round {number + 1} of {rounds} done\n")
    done = {f"{run['server']} {run['workload']}" for run in runs}
    table = medians(runs)
    ordered = {name: table[name] for name in [*WORKLOADS, IDLE] if name in table}
    document = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "settings": asdict(settings),
        "rounds": rounds,
        "versions": versions,
        "left_out": {what: why for what, why in left_out.items() if what not in done},
        "failed_once": {what: why for what, why in left_out.items() if what in done},
        "medians": ordered,
        "goals": goals(table),
        "runs": runs,
    }
    os.makedirs(output, exist_ok=True)
    text = markdown(document)
    for name, content in (("latest.json", json.dumps(document, indent=1)), ("README.md", text)):
        with open(os.path.join(output, name), "w", encoding="utf-8") as file:
            file.write(content.rstrip("\n") + "\n")
    sys.stdout.write(text)
    if "rocket" in servers and not any(run["server"] == "rocket" for run in runs):
        return 1
    return 3 if strict and not all(goal["met"] for goal in document["goals"]) else 0


def parts(server: Server, workloads: Sequence[str]) -> list[list[str]]:
    """The workloads a server takes part in, grouped by what needs a start of its own; order is random."""
    plain = [name for name in workloads if name != IDLE and not WORKLOADS[name].logs]
    random.shuffle(plain)
    found = [plain] if plain else []
    if server.logged:
        found += [[name] for name in workloads if name != IDLE and WORKLOADS[name].logs]
    if server.idle and IDLE in workloads:
        found.append([IDLE])
    return found


def measure_part(server: Server, part: list[str], settings: Settings, runs: list[dict[str, Any]]) -> None:
    """Start the server, measure these workloads one after the other, end it.

    Args:
        part: workloads to measure; each is removed when its values stand in `runs`.
        runs: where the values are added.

    Raises:
        UnusableError: it did not start or answers differently; OSError when its connections break.
    """
    logs = part[0] != IDLE and WORKLOADS[part[0]].logs
    with running(server, settings, logs=logs) as (root, port):
        while part:
            name = part[0]
            if name == IDLE:
                values = measure_idle(root, port, settings)
            else:
                if server.name != "floor":
                    check_answer(port, WORKLOADS[name])
                values = measure_load(root, port, WORKLOADS[name], settings)
            shown = values.get("cpu_us", values.get("pss_bytes", 0.0))
            sys.stderr.write(f"  {server.name:16} {name:8} {shown:10.2f}\n")
            runs.append({"server": server.name, "workload": name, "values": values})
            del part[0]


if __name__ == "__main__":
    sys.exit(main())
