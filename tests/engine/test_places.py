"""Places under `max_connections`: the portable engine's and the native one's are the same, in one memory."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup import scoreboard as layout
from rocket_sup.engine.native import load
from rocket_sup.scoreboard import Scoreboard, Slot

MODULE, MISSING = load()
pytestmark = pytest.mark.skipif(MODULE is None, reason=MISSING)

SLOTS = 4
LIMIT = 5
BUSY_S = 0.5  # how long processes fight for places
STEPS = ("try_claim", "unclaim", "occupy", "vacate")


class Places(Protocol):
    """What both are."""

    def try_claim(self) -> bool: ...
    def unclaim(self) -> None: ...
    def occupy(self) -> None: ...
    def vacate(self) -> None: ...


def native(slot: Slot) -> Places:
    """The same slot, natively."""
    places: Any = MODULE
    made: Places = places.Places(slot.share())
    return made


class Boards:
    """Makes scoreboards whose slots are all taken, and closes their doorbells."""

    def __init__(self) -> None:
        self._made: list[Scoreboard] = []

    def make(self) -> Scoreboard:
        """A board with four acceptors."""
        board = Scoreboard(SLOTS, max_connections=LIMIT)
        for number in range(1, SLOTS + 1):
            assert board.allocate(number=number, generation=1) is not None
        self._made.append(board)
        return board

    def close(self) -> None:
        """Forget the last ones."""
        for bell in (bell for board in self._made for bell in board.doorbells):
            os.close(bell)
        self._made.clear()


@pytest.fixture(scope="module")
def boards() -> Boards:
    """A maker of boards."""
    return Boards()


@pytest.fixture
def board(boards: Boards) -> Iterator[Scoreboard]:
    """One of them."""
    yield boards.make()
    boards.close()


def step(slot: Slot, places: Places, name: str) -> object:
    """Take a step that makes sense: nothing is given back that was not had."""
    claims, connections = slot.read(layout.CLAIMS), slot.read(layout.CONNECTIONS)
    if (name == "vacate" and not connections) or (name in ("unclaim", "occupy") and claims == connections):
        return None
    return getattr(places, name)()


def cells(board: Scoreboard) -> list[list[int]]:
    """All cells of all slots but the time."""
    slots = [board.slot(index).read_many(0, layout.LATENCY) for index in range(SLOTS)]
    for each in slots:
        each[layout.HEARTBEAT] = each[layout.STARTED] = 0
    return slots


def rings(board: Scoreboard) -> list[int]:
    """How often each doorbell rang; they are silent afterwards."""
    return [os.eventfd_read(bell) for bell in board.doorbells if os.eventfd_write(bell, 1) is None]


@given(
    st.lists(st.tuples(st.integers(0, SLOTS - 1), st.sampled_from(STEPS), st.booleans()), max_size=60),
    st.sets(st.integers(0, SLOTS - 1)),
)
def test_every_step_leaves_the_same_behind(
    boards: Boards, steps: list[tuple[int, str, bool]], waiting: set[int]
) -> None:
    """In every cell, and at every door; whoever takes it, and in whatever order."""
    portable, mixed = boards.make(), boards.make()
    try:
        for board in (portable, mixed):
            for index in waiting:
                board.slot(index).write(layout.WAITING, 1)
        slots = [portable.slot(index) for index in range(SLOTS)]
        others = [mixed.slot(index) for index in range(SLOTS)]
        natives = [native(slot) for slot in others]
        for index, name, is_native in steps:
            expected = step(slots[index], slots[index], name)
            given = step(others[index], natives[index] if is_native else others[index], name)
            assert expected == given
            assert cells(portable) == cells(mixed)
        assert rings(portable) == rings(mixed)
    finally:
        boards.close()


def forked(run: Callable[[], object]) -> int:
    """Run a function in a child; the child's status is 1 when it raised."""
    pid = os.fork()
    if pid == 0:
        try:
            run()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def fight(board: Scoreboard, index: int, tokens: int) -> None:
    """Take and give back places for a while: the first process in Python, the second natively, then by turns.

    `tokens` is a semaphore in the kernel with a token for each place: whoever has a place must find one.
    """
    chance = random.Random(index)
    slot = board.slot(index)
    hands: list[Places] = [slot, native(slot)]
    if index < len(hands):
        hands = [hands[index]]
    until = time.monotonic() + BUSY_S
    held = served = 0
    while held or not served or time.monotonic() < until:
        places = chance.choice(hands)
        if chance.random() < 0.55 and not (served and time.monotonic() > until):
            if places.try_claim():
                os.eventfd_read(tokens)  # raises when there is none
                places.occupy()
                held += 1
                served += 1
        elif held:
            os.eventfd_write(tokens, 1)
            places.vacate()
            held -= 1


@pytest.mark.slow
def test_processes_that_fight_for_places_never_hold_too_many(board: Scoreboard) -> None:
    """However they count: the limit holds at every instant, and nobody goes without."""
    tokens = os.eventfd(LIMIT, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    pids = [forked(lambda index=index: fight(board, index, tokens)) for index in range(SLOTS)]
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    left = [os.eventfd_read(tokens) for _ in range(LIMIT)]
    os.close(tokens)

    assert [0] * SLOTS == statuses, "somebody was given a place that was not there"
    assert [1] * LIMIT == left
    assert 0 == board.claimed() == board.connections()
    assert 1 <= board.peak() <= LIMIT


def test_a_slot_that_is_not_there_is_refused(board: Scoreboard) -> None:
    """As is memory that cannot be written, or is not whole words."""
    shared = board.slot(0).share()

    class Broken:
        def __init__(self, **changes: object) -> None:
            for name in shared.__slots__:
                setattr(self, name, changes.get(name, getattr(shared, name)))

    places: Any = MODULE
    for broken in (
        Broken(own=SLOTS),
        Broken(memory=shared.memory.toreadonly()),
        Broken(memory=shared.memory[4:]),
        Broken(memory=shared.memory[::2]),
        Broken(slots=len(shared.memory)),
    ):
        with pytest.raises(ValueError, match=r"scoreboard|slot"):
            places.Places(broken)
