"""The page and the chart, as they are made from runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.chart import BAR, COLOURS, svg
from benchmarks.publish import RESULTS, published
from benchmarks.report import medians
from benchmarks.tables import markdown

ALL = {
    "user_share": 0.25,
    "idle_share": 0.0,
    "waited_share": 0.0,
    "requests_per_s": 150_000.0,
    "p50_us": 400.0,
    "p99_us": 900.0,
    "errors": 0.0,
    "answer_bytes": 118.0,
}
NAMESPACE = "{http://www.w3.org/2000/svg}"


def load(server: str, workload: str, connections: int, cpu_us: float, **values: float) -> dict[str, Any]:
    """One run under load."""
    values = {**ALL, "cpu_us": cpu_us, **values}
    return {"server": server, "workload": workload, "connections": connections, "turn": 1, "values": values}


RUNS = [
    load("floor", "health", 64, 5.0),
    load("rocket-epoll", "health", 64, 5.5),
    load("floor", "health", 16, 4.0, waited_share=0.25),
    load("rocket-epoll", "health", 16, 4.8, answer_bytes=140.0),
    load("uvicorn", "health", 64, 40.0),
    load("floor", "pipelined", 64, 0.5),
    {"server": "nginx", "workload": "idle", "connections": 0, "turn": 1, "values": {"private_bytes": 479.4}},
    {
        "server": "bjoern",
        "workload": "memory",
        "connections": 0,
        "turn": 1,
        "values": {"process_bytes": 8 * 2**20, "tree_bytes": 9.5 * 2**20},
    },
]
DOCUMENT = {
    "date": "2026-01-01T00:00:00+00:00",
    "machine": {"cpu": "a processor", "cores": 2, "kernel": "6.1", "python": "3.11.7"},
    "settings": {"server_core": 0, "load_core": 1, "seconds": 2.0, "turns": 3, "idle_connections": 2000},
    "rounds": 3,
    "versions": {"floor": "cc 12"},
    "left_out": {"rocket-io_uring": "does not listen: no such engine"},
    "failed_once": {},
    "runs": RUNS,
}


def row(page: str, section: str, server: str) -> list[str]:
    """The cells of one server in one section."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
    (line,) = [line for line in text.splitlines() if re.match(rf"\| \**{server}\** \|", line)]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_has_a_ratio_for_each_number_of_connections() -> None:
    """The workload's own first, then the others; "-" where a peer was not measured."""
    page = markdown(DOCUMENT)

    assert row(page, "health", "rocket-epoll")[1:5] == ["5.50 (5.50–5.50)", "1.10", "1.20", "25%"]
    assert row(page, "health", "uvicorn")[2:4] == ["8.00", "-"]


def test_rows_are_as_long_as_their_heads() -> None:
    """Every line of every table has as many cells as the first."""
    for table in re.findall(r"(?:^\|.*\n)+", markdown(DOCUMENT), re.MULTILINE):
        assert 1 == len({line.count("|") for line in table.splitlines()}), table


def test_pipelined_times_are_not_shown() -> None:
    """wrk makes nonsense of them."""
    assert row(markdown(DOCUMENT), "pipelined", "floor")[5:7] == ["-", "-"]


def test_memory_is_shown_where_it_was_measured() -> None:
    """A server may have one of the two."""
    page = markdown(DOCUMENT)

    assert row(page, "Memory", "nginx")[1:] == ["479", "-", "-"]
    assert row(page, "Memory", "bjoern")[1:] == ["-", "8.0", "9.5"]


def test_the_notes_say_what_to_distrust() -> None:
    """How quiet the machine was, who was left out and why, an answer that is longer than the floor's."""
    page = markdown(DOCUMENT)

    assert "floor from its core 0.0% of the time, in the worst cell 25.0%.\n" in page
    assert "- Left out: rocket-io_uring (does not listen: no such engine).\n" in page
    assert "- rocket-epoll health, 16 connections: the answer is 140 bytes, the floor's 118.\n" in page
    assert "rocket-epoll health, 64" not in page


def test_the_chart_draws_ratios_to_scale() -> None:
    """A bar's length is its ratio; one that is too long is cut, marked, and still says its number."""
    root = ElementTree.fromstring(svg(medians(RUNS)))
    bars = {
        bar.get("fill"): float(bar.get("width", 0))
        for bar in root.iter(f"{NAMESPACE}rect")
        if bar.get("width") != "12"
    }
    texts = {text.text for text in root.iter(f"{NAMESPACE}text")}

    assert abs(bars[COLOURS["native"]] / bars[COLOURS["floor"]] - 1.1) < 0.01
    assert bars[COLOURS["peer"]] == BAR
    assert "8.00" in texts


def test_a_chart_of_nothing_is_a_picture() -> None:
    """Without any floor there is nothing to draw bars of."""
    assert ElementTree.fromstring(svg({})).tag == f"{NAMESPACE}svg"


def test_what_is_published_is_made_from_the_published_runs() -> None:
    """Page and chart are not written by hand, nor left behind by newer runs."""
    document = json.loads(Path(RESULTS).read_text())

    for path, text in published(document).items():
        assert text == Path(path).read_text(), "run `python -m benchmarks.publish`"
