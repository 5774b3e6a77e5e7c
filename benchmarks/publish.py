"""Write what is published: every run, the page and the chart.

`python -m benchmarks.publish` makes page and chart again from the runs, without measuring.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from benchmarks.chart import svg
from benchmarks.report import as_json, medians
from benchmarks.servers import HERE, ROOT
from benchmarks.tables import markdown

RESULTS = os.path.join(HERE, "results", "latest.json")
PAGE = os.path.join(ROOT, "docs", "benchmarks.md")
CHART = os.path.join(ROOT, "docs", "benchmarks.svg")


def write(path: str, text: str) -> None:
    """Write a file, and its directory where it is missing."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def published(document: Mapping[str, Any]) -> dict[str, str]:
    """Path to content of all that is made from the runs."""
    return {PAGE: markdown(document), CHART: svg(medians(document["runs"]))}


def publish(document: Mapping[str, Any]) -> None:
    """Write all of it."""
    write(RESULTS, as_json(document))
    for path, text in published(document).items():
        write(path, text)


if __name__ == "__main__":
    with open(RESULTS, encoding="utf-8") as results:
        publish(json.load(results))
