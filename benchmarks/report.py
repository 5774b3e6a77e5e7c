"""From the runs to what is compared: medians, ratios to the floor, the machine, the JSON document."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.workloads import WORKLOADS


class Cell(dict[str, float]):
    """The medians of one server in one workload.

    Attributes:
        turns: what is compared, by the turn in which it was measured.
    """

    def __init__(self, values: Mapping[str, float], turns: Mapping[int, float]) -> None:
        super().__init__(values)
        self.turns = turns


# By (workload, connections, server); connections are 0 where memory is measured.
Cells = dict[tuple[str, int, str], Cell]


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }


def medians(runs: Sequence[Mapping[str, Any]]) -> Cells:
    """The median of each metric, how many runs it is of, and the smallest and largest of what is compared."""
    by_key: dict[tuple[str, int, str], list[Mapping[str, Any]]] = {}
    for run in runs:
        by_key.setdefault((run["workload"], run["connections"], run["server"]), []).append(run)
    cells: Cells = {}
    for key, group in by_key.items():
        found = [run["values"] for run in group]
        metric = WORKLOADS[key[0]].metric
        turns = {run["turn"]: run["values"][metric] for run in group}
        middle = {name: statistics.median(value[name] for value in found) for name in found[0]}
        least, most = min(turns.values()), max(turns.values())
        cells[key] = Cell({**middle, "runs": len(found), "least": least, "most": most}, turns)
    return cells


def ratio(cells: Cells, workload: str, connections: int, server: str, against: str = "floor") -> float | None:
    """What one costs over what another costs in the same turn: the median over the turns that both were in;
    None when there are none. A machine that is slower for a while is slower for both.
    """
    mine = cells.get((workload, connections, server))
    theirs = cells.get((workload, connections, against))
    if mine is None or theirs is None:
        return None
    both = [
        value / theirs.turns[turn] for turn, value in mine.turns.items() if theirs.turns.get(turn, 0.0) > 0.0
    ]
    return statistics.median(both) if both else None


def as_json(document: Mapping[str, Any]) -> str:
    """The document with one run on each line."""
    parts = [f'"{name}": {json.dumps(value)}' for name, value in document.items() if name != "runs"]
    runs = ",\n  ".join(map(json.dumps, document["runs"]))
    parts.append(f'"runs": [\n  {runs}\n ]')
    return "{\n " + ",\n ".join(parts) + "\n}\n"
