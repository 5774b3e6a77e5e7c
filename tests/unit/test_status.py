"""The document that describes a running tree, made from the scoreboard and what the Listener adds."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rocket_sup import scoreboard as board
from rocket_sup import status
from rocket_sup.policy import Policy
from rocket_sup.scoreboard import Reaper, Scoreboard, Slot, SlotState
from rocket_sup.spec import ChildSpec, ChildType, Restart, SupervisorFlags


@pytest.fixture
def scoreboard() -> Iterator[Scoreboard]:
    """A scoreboard of four slots."""
    scoreboard = Scoreboard(4, max_connections=100)
    yield scoreboard
    for bell in scoreboard.doorbells:
        os.close(bell)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands until its only element is changed."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def serving(scoreboard: Scoreboard, number: int, *, pid: int) -> Slot:
    """A slot whose owner serves."""
    slot = scoreboard.allocate(number=number, generation=2)
    assert slot is not None
    slot.write(board.PID, pid)
    slot.state = SlotState.READY
    return slot


def entry(slot: int | None, number: int = 1, **fields: Any) -> dict[str, Any]:
    """What the Listener says of an acceptor."""
    known = {"id": f"acceptor-{number}", "number": number, "slot": slot, "restarts": 0, "is_suspect": False}
    return known | fields


def test_an_acceptor_is_described_from_its_slot(scoreboard: Scoreboard) -> None:
    """Numbers are those of the scoreboard; name, suspicion and restarts are the Listener's."""
    slot = serving(scoreboard, 3, pid=77)
    for word, value in {
        board.CONNECTIONS: 4, board.WEBSOCKETS: 1, board.IN_FLIGHT: 2, board.REQUESTS: 9,
        board.THREADS: 40, board.THREADS + 1: 3, board.THREADS + 2: 6,
        board.BYTES_RECEIVED: 10, board.BYTES_SENT: 20, board.RSS_BYTES: 30, board.LAG_NS: 5_000_000,
    }.items():  # fmt: skip
        slot.write(word, value)
    state = {"acceptors": [entry(slot.index, 3, id="acceptor-3.2", restarts=5)]}
    (row,) = status.acceptors(scoreboard, state, status.Rates(scoreboard))

    assert ("acceptor-3.2", 3, 3, 77, "ready", 2, 5) == tuple(
        row[key] for key in ("id", "number", "socket", "pid", "state", "generation", "restarts")
    )
    assert (4, 1, 2, 9, 10, 20, 30, 0.005) == tuple(
        row[key]
        for key in (
            "connections",
            "websockets",
            "in_flight",
            "requests",
            "bytes_in",
            "bytes_out",
            "rss_bytes",
            "lag_s",
        )
    )
    assert {"size": 40, "busy": 3, "queued": 6} == row["threads"]
    assert 0 <= row["heartbeat_age_s"] < 5
    assert 0 <= row["uptime_s"] < 5


@pytest.mark.parametrize(
    ("state", "is_suspect", "shown"),
    [
        (SlotState.BOOTING, False, "booting"),
        (SlotState.READY, False, "ready"),
        (SlotState.READY, True, "suspect"),
        (SlotState.DRAINING, True, "draining"),
    ],
)
def test_the_state_of_an_acceptor(
    scoreboard: Scoreboard, state: SlotState, is_suspect: bool, shown: str
) -> None:
    """The owner's own account, and suspicion only of those that are ready."""
    slot = serving(scoreboard, 1, pid=77)
    slot.state = state
    listener = {"acceptors": [entry(slot.index, is_suspect=is_suspect)]}

    assert shown == status.acceptors(scoreboard, listener, status.Rates(scoreboard))[0]["state"]


def test_a_process_that_is_being_forked_has_no_pid(scoreboard: Scoreboard) -> None:
    """The 0 of its slot would be everybody's, to a signal."""
    serving(scoreboard, 1, pid=0)

    assert status.acceptors(scoreboard, {}, status.Rates(scoreboard))[0]["pid"] is None


def test_all_acceptors_are_shown_in_order(scoreboard: Scoreboard) -> None:
    """Those of a dead Listener, those without a process, and those of the living one, by number."""
    slot = serving(scoreboard, 3, pid=77)
    serving(scoreboard, 2, pid=78)
    state = {"acceptors": [entry(slot.index, 3), entry(None, 1, restarts=4)]}
    rows = status.acceptors(scoreboard, state, status.Rates(scoreboard))

    assert ["acceptor-1", "acceptor-2.orphan", "acceptor-3"] == [row["id"] for row in rows]
    assert {
        "id": "acceptor-1", "number": 1, "pid": None, "state": "restarting", "restarts": 4,
    } == rows[0]  # fmt: skip


def test_engines_are_told_once_for_all_that_say_the_same(scoreboard: Scoreboard) -> None:
    """The most used first; who has not said anything yet is not counted, and has none in its row."""
    portable = {"name": "python", "loop": "uvloop", "reason": "asked for", "is_fallback": False}
    native = {"name": "epoll", "loop": "asyncio", "reason": "built", "is_fallback": False}
    said = [portable, native, native, None]
    slots = [serving(scoreboard, number, pid=70 + number) for number in range(1, 5)]
    entries = [
        entry(slot.index, slot.read_number(), engine=engine) for slot, engine in zip(slots, said, strict=True)
    ]
    rows = status.acceptors(scoreboard, {"acceptors": entries}, status.Rates(scoreboard))

    assert [{**native, "acceptors": 2}, {**portable, "acceptors": 1}] == status.engines(
        {"acceptors": entries}
    )
    assert [("python", "uvloop"), ("epoll", "asyncio"), ("epoll", "asyncio"), (None, None)] == [
        (row["engine"], row["loop"]) for row in rows
    ]
    assert [] == status.engines({})


def test_before_the_listener_has_said_anything(scoreboard: Scoreboard) -> None:
    """An empty state of the Listener leaves what the scoreboard knows."""
    assert [] == status.acceptors(scoreboard, {}, status.Rates(scoreboard))


def test_connections_and_their_limit(scoreboard: Scoreboard) -> None:
    """Now, the limit, the highest, and how many acceptors wait for a place."""
    slot = serving(scoreboard, 1, pid=77)
    for _ in range(3):
        slot.try_claim()
        slot.occupy()
    slot.vacate()
    slot.write(board.WAITING, 1)

    assert {"now": 2, "max": 100, "peak": 3, "waiting": 1} == status.connections(scoreboard)


def test_totals_have_names(scoreboard: Scoreboard) -> None:
    """Totals count those who left, and status classes are named."""
    slot = serving(scoreboard, 1, pid=77)
    slot.write_many(board.REQUESTS, [6, 7, 8])
    slot.write_many(board.STATUSES, [1, 2, 3, 4, 5, 6])
    scoreboard.retire(slot, reaper=Reaper.LISTENER)

    assert {
        "requests": 6,
        "bytes_in": 7,
        "bytes_out": 8,
        "statuses": {"other": 1, "1xx": 2, "2xx": 3, "3xx": 4, "4xx": 5, "5xx": 6},
    } == status.totals(scoreboard)


def test_children_of_the_supervisor() -> None:
    """Each child with its state, in start order."""
    policy = Policy(
        SupervisorFlags(),
        [ChildSpec("listener", type=ChildType.SUPERVISOR), ChildSpec("queue", restart=Restart.TRANSIENT)],
    )
    policy.boot(0.0)
    policy.on_started("listener", 7, 0.0)

    assert [
        {"id": "listener", "pid": 7, "state": "running", "restart": "permanent", "type": "supervisor",
         "restarts": 0},
        {"id": "queue", "pid": None, "state": "starting", "restart": "transient", "type": "worker",
         "restarts": 0},
    ] == status.children(policy.which_children())  # fmt: skip


def test_rates_are_over_the_time_between_two_samples(scoreboard: Scoreboard, clock: list[float]) -> None:
    """Requests since the last sample, by its age; a sample that comes too early is not taken."""
    slot = serving(scoreboard, 1, pid=77)
    rates = status.Rates(scoreboard)
    clock[0] += 1.0
    rates.sample()

    assert 0.0 == rates.of(slot)
    slot.write(board.REQUESTS, 300)
    clock[0] += 0.25
    rates.sample()
    assert 0.0 == rates.of(slot)
    clock[0] += 1.25
    rates.sample()
    assert 200.0 == rates.of(slot)


def test_a_slot_that_changed_hands_has_no_rate_yet(scoreboard: Scoreboard, clock: list[float]) -> None:
    """The counters of a new owner are not compared with those of the former."""
    slot = serving(scoreboard, 1, pid=77)
    slot.write(board.REQUESTS, 300)
    rates = status.Rates(scoreboard)
    clock[0] += 1.0
    rates.sample()
    slot.write(board.PID, 78)
    slot.write(board.REQUESTS, 5)
    clock[0] += 1.0
    rates.sample()

    assert 0.0 == rates.of(slot)
