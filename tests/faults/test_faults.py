"""A handful of each fault against a real tree; `python -m tests.faults` runs the whole storm."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults import booting, limit, orphaned, restarts, soak, storm, talks
from tests.faults import tree as trees
from tests.faults.verdict import Row, table

Say = Callable[[str], None]

SCENARIOS: dict[str, Callable[[Say], list[Row]]] = {
    "storm": lambda say: storm.run(storm.SHORT, say),
    "booting": booting.run,
    "supervisor killed": orphaned.run,
    "limit, wait": lambda say: limit.run("wait", say, clients=300),
    "limit, reject": lambda say: limit.run("reject", say, clients=300),
    "restarts": restarts.run,
    "talks": lambda say: talks.run(talks.SHORT, say),
    "soak": lambda say: soak.run(soak.SHORT, say),
}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str) -> None:
    """Every demand of the scenario holds."""
    rows = SCENARIOS[name](print)

    assert all(row.passed for row in rows), "\n" + table(rows)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["storm", "supervisor killed", "limit, wait"])
def test_scenario_with_an_asgi_application(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same demands hold."""
    monkeypatch.setattr(trees, "STEADY", "steady_asgi")
    rows = SCENARIOS[name](print)

    assert all(row.passed for row in rows), "\n" + table(rows)
