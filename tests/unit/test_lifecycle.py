"""The two transition tables: every cell, the refused ones included, and the page that shows them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from rocket_sup.errors import SupervisionError
from rocket_sup.lifecycle import (
    CHILD_TRANSITIONS,
    HAS_PROCESS,
    IN_TRANSIT,
    POLICY_TRANSITIONS,
    ChildEvent,
    ChildState,
    PolicyEvent,
    PolicyState,
    diagram,
    next_state,
)

PAGE = Path(__file__).parents[2] / "docs" / "supervision.md"

# What each event may do, told by event instead of by state, so that a slip in the table shows.
CHILD_RULES: dict[ChildEvent, dict[str, str]] = {
    ChildEvent.START: {"stopped": "starting", "restarting": "starting"},
    ChildEvent.READY: {
        "starting": "running",
        "overdue": "overdue",
        "stopping": "stopping",
        "killing": "killing",
    },
    ChildEvent.IGNORE: {"starting": "stopped"},
    ChildEvent.OVERSTAY: {"starting": "overdue"},
    ChildEvent.FALL: dict.fromkeys(("starting", "overdue", "running", "fallen"), "restarting"),
    ChildEvent.END: dict.fromkeys(
        ("starting", "overdue", "running", "fallen", "stopping", "killing"), "stopped"
    ),
    ChildEvent.DEFER: {"running": "fallen"},
    ChildEvent.ASK: {"starting": "stopping", "running": "stopping"},
    ChildEvent.KILL: dict.fromkeys(("starting", "overdue", "running", "stopping"), "killing"),
    ChildEvent.CANCEL: {"restarting": "stopped"},
}
POLICY_RULES: dict[PolicyEvent, dict[str, str]] = {
    PolicyEvent.BOOT: {"created": "booting"},
    PolicyEvent.PLAN: {"running": "busy"},
    PolicyEvent.SETTLE: {"booting": "running", "busy": "running", "stopping": "finished"},
    PolicyEvent.STOP: dict.fromkeys(("created", "booting", "running", "busy"), "stopping"),
}


def cells(
    states: Iterable[Enum], events: Iterable[Enum], table: Mapping[Any, Any], rules: Mapping[Any, Any]
) -> list[Any]:
    """Every pair of state and event, with its table and what is expected of it."""
    return [
        pytest.param(table, state, event, rules[event].get(state.value), id=f"{state.value}-{event.value}")
        for state, event in itertools.product(states, events)
    ]


@pytest.mark.parametrize(
    ("table", "state", "event", "expected"),
    cells(ChildState, ChildEvent, CHILD_TRANSITIONS, CHILD_RULES)
    + cells(PolicyState, PolicyEvent, POLICY_TRANSITIONS, POLICY_RULES),
)
def test_every_cell(table: Mapping[Any, Any], state: Enum, event: Enum, expected: str | None) -> None:
    """A cell leads where it should, or is refused by an error that names who, state and event."""
    if expected is None:
        with pytest.raises(SupervisionError, match=f"child 'a' is {state.value} and cannot {event.value}"):
            next_state(table, state, event, "child 'a'")
    else:
        assert expected == next_state(table, state, event, "child 'a'").value


def test_every_state_can_be_reached_and_left() -> None:
    """No state is an island; only a finished supervisor stays as it is."""
    for table, states, last in (
        (CHILD_TRANSITIONS, set(ChildState), set()),
        (POLICY_TRANSITIONS, set(PolicyState), {PolicyState.FINISHED}),
    ):
        moves = [(state, target) for (state, _), target in table.items() if state is not target]

        assert states - last == {state for state, _ in moves}
        assert states - {PolicyState.CREATED} == {target for _, target in moves}


def test_a_plan_waits_for_a_process_that_is_neither_up_nor_gone() -> None:
    """A child that runs or has no process holds nothing up."""
    assert {
        ChildState.STARTING,
        ChildState.OVERDUE,
        ChildState.STOPPING,
        ChildState.KILLING,
    } == IN_TRANSIT
    assert IN_TRANSIT | {ChildState.RUNNING} == HAS_PROCESS


def test_a_diagram_shows_the_first_state_and_every_transition() -> None:
    """One line per cell, in the order of the table."""
    lines = diagram(POLICY_TRANSITIONS, PolicyState.CREATED).splitlines()

    assert ["stateDiagram-v2", "    [*] --> created", "    created --> booting: boot"] == lines[:3]
    assert 2 + len(POLICY_TRANSITIONS) == len(lines)


@pytest.mark.parametrize(
    "drawing",
    [diagram(CHILD_TRANSITIONS, ChildState.STOPPED), diagram(POLICY_TRANSITIONS, PolicyState.CREATED)],
    ids=["child", "supervisor"],
)
def test_the_page_shows_the_table(drawing: str) -> None:
    """docs/supervision.md has the diagram as the table draws it; paste it anew when this fails."""
    assert f"```mermaid\n{drawing}```" in PAGE.read_text(), "the diagram is:\n" + drawing


@pytest.mark.parametrize("state", [*ChildState, *PolicyState], ids=str)
def test_the_page_explains_every_state(state: Enum) -> None:
    """Each state has a row of its own."""
    assert f"| `{state.value}` |" in PAGE.read_text()
