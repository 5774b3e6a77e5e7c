"""From the runs to what is compared: medians, ratios to the floor, the machine, the JSON document."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.workloads import WORKLOADS

# Medians by (workload, connections, server); connections are 0 where memory is measured.
Cells = dict[tuple[str, int, str], dict[str, float]]


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
    values: dict[tuple[str, int, str], list[Mapping[str, float]]] = {}
    for run in runs:
        values.setdefault((run["workload"], run["connections"], run["server"]), []).append(run["values"])
    cells: Cells = {}
    for key, found in values.items():
        metric = WORKLOADS[key[0]].metric
        cells[key] = {name: statistics.median(value[name] for value in found) for name in found[0]}
        cells[key] |= {
            "runs": len(found),
            "least": min(value[metric] for value in found),
            "most": max(value[metric] for value in found),
        }
    return cells


def ratio(cells: Cells, workload: str, connections: int, server: str, against: str = "floor") -> float | None:
    """What one costs over what another costs; None when either was not measured."""
    metric = WORKLOADS[workload].metric
    mine = cells.get((workload, connections, server), {}).get(metric)
    theirs = cells.get((workload, connections, against), {}).get(metric)
    return mine / theirs if mine is not None and theirs else None


def as_json(document: Mapping[str, Any]) -> str:
    """The document with one run on each line."""
    parts = [f'"{name}": {json.dumps(value)}' for name, value in document.items() if name != "runs"]
    runs = ",\n  ".join(map(json.dumps, document["runs"]))
    parts.append(f'"runs": [\n  {runs}\n ]')
    return "{\n " + ",\n ".join(parts) + "\n}\n"
