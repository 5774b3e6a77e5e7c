"""From runs to medians, ratios and goals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.goals import goals
from benchmarks.report import as_json, medians, ratio


def run(server: str, workload: str, connections: int, turn: int = 1, **values: float) -> dict[str, Any]:
    """One run as the driver keeps it."""
    names = {"server": server, "workload": workload, "connections": connections}
    return {**names, "turn": turn, "values": values}


RUNS = [
    *(run("floor", "health", 64, turn, cpu_us=value) for turn, value in enumerate((4.0, 5.0, 9.0), 1)),
    *(run("rocket-epoll", "health", 64, turn, cpu_us=value) for turn, value in enumerate((4.4, 5.2, 9.1), 1)),
    run("floor", "health", 16, cpu_us=5.0),
    run("rocket-epoll", "health", 16, cpu_us=5.5),
    run("uvicorn", "health", 64, cpu_us=26.0),
    run("nginx", "health", 64, cpu_us=5.0),
    run("floor", "latency", 1, cpu_us=20.0, p50_us=40.0),
    run("rocket-epoll", "latency", 1, cpu_us=30.0, p50_us=42.0),
    run("rocket-epoll", "idle", 0, private_bytes=512.0),
]


def test_medians_stand_beside_the_smallest_and_largest() -> None:
    """Each metric's median over the rounds; what is compared, with its range and count."""
    cell = medians(RUNS)["health", 64, "floor"]

    assert cell == {"cpu_us": 5.0, "least": 4.0, "most": 9.0, "runs": 3}


def test_ratios_are_of_what_the_workload_compares() -> None:
    """CPU per request, but for latency the time to the answer."""
    cells = medians(RUNS)

    assert ratio(cells, "health", 64, "rocket-epoll") == pytest.approx(1.04)
    assert ratio(cells, "latency", 1, "rocket-epoll") == pytest.approx(1.05)


def test_a_slow_turn_is_slow_for_both() -> None:
    """A ratio is of two measurements that stand beside each other, not of two medians."""
    runs = [
        *(run("floor", "health", 64, turn, cpu_us=value) for turn, value in ((1, 4.0), (2, 8.0), (3, 8.0))),
        *(run("uvicorn", "health", 64, turn, cpu_us=value) for turn, value in ((1, 8.0), (2, 16.0))),
    ]

    assert ratio(medians(runs), "health", 64, "uvicorn") == 2.0


def test_a_ratio_needs_both() -> None:
    """What was not measured, or costs nothing, is compared with nothing."""
    cells = medians([*RUNS, run("floor", "post", 64, cpu_us=0.0), run("uvicorn", "post", 64, cpu_us=1.0)])

    assert ratio(cells, "health", 256, "rocket-epoll") is None
    assert ratio(cells, "health", 16, "uvicorn") is None
    assert ratio(cells, "async", 64, "uvicorn") is None
    assert ratio(cells, "post", 64, "uvicorn") is None


def test_a_goal_holds_for_every_number_of_connections() -> None:
    """1.04 with 64 connections is within 1.05, 1.10 with 16 is not."""
    kept = {(goal.server, goal.what): goal for goal in goals(medians(RUNS))}
    health = kept["rocket-epoll", "health over the floor"]

    assert health.reached == {16: pytest.approx(1.10), 64: pytest.approx(1.04)}
    assert not health.is_met
    assert kept["rocket-epoll", "latency over the floor"].is_met
    assert kept["rocket-epoll", "bytes for an idle connection"].is_met


def test_the_cheapest_peer_is_the_rival() -> None:
    """nginx calls no handler and does not count; equal is not below."""
    runs = [*RUNS, run("bjoern", "health", 64, cpu_us=4.4)]
    (goal,) = [goal for goal in goals(medians(runs)) if "bjoern" in goal.what]

    assert goal.reached == {64: pytest.approx(1.0)}
    assert not goal.is_met


def test_goals_without_measurements_are_left_out() -> None:
    """Nothing is said of an engine that was not there."""
    assert [] == [goal for goal in goals(medians(RUNS)) if goal.server == "rocket-io_uring"]
    assert [] == goals({})


def test_the_document_is_json_with_a_line_for_each_run() -> None:
    """A change of one run is a change of one line."""
    document = {"rounds": 3, "versions": {"floor": "cc"}, "runs": RUNS}
    text = as_json(document)

    assert json.loads(text) == document
    assert len(text.splitlines()) == len(RUNS) + 6


def test_a_document_without_runs_is_json() -> None:
    """When nothing could be measured, too."""
    assert json.loads(as_json({"rounds": 1, "runs": []})) == {"rounds": 1, "runs": []}
