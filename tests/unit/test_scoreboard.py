"""The shared mapping: its layout, the exact limit under real processes, and what a killed process leaves."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from rocket_sup import scoreboard as layout
from rocket_sup.scoreboard import Reaper, Scoreboard, Slot, SlotState

LIMIT = 5
BUSY_S = 1.0  # how long processes fight for places


@pytest.fixture
def make() -> Iterator[Callable[..., Scoreboard]]:
    """Make scoreboards, whose doorbells are closed after the test."""
    boards: list[Scoreboard] = []

    def make(slots: int = 4, *, max_connections: int = LIMIT) -> Scoreboard:
        boards.append(Scoreboard(slots, max_connections=max_connections))
        return boards[-1]

    yield make
    for board in boards:
        for bell in board.doorbells:
            os.close(bell)


@pytest.fixture
def board(make: Callable[..., Scoreboard]) -> Scoreboard:
    """A scoreboard of four slots and five places."""
    return make()


def opened(board: Scoreboard, *, number: int = 1) -> Slot:
    """Allocate a slot that must be there."""
    slot = board.allocate(number=number, generation=1)
    assert slot is not None
    return slot


def has_rung(board: Scoreboard, slot: Slot) -> bool:
    """Say whether a doorbell was rung, and silence it."""
    try:
        os.eventfd_read(board.doorbells[slot.index])
    except BlockingIOError:
        return False
    return True


# --- the layout ---


def test_every_cell_of_a_slot_is_its_own(board: Scoreboard) -> None:
    """No two names of the layout share a word, and all lie inside the slot."""
    single = [
        layout.PID, layout.GENERATION, layout.STATE, layout.NUMBER, layout.HEARTBEAT, layout.CLAIMS,
        layout.CONNECTIONS, layout.WAITING, layout.STARTED, layout.REQUESTS, layout.BYTES_RECEIVED,
        layout.BYTES_SENT, layout.IN_FLIGHT, layout.LONGEST_IDLE, layout.RSS_BYTES, layout.PEAK,
        layout.LAG_NS, layout.WEBSOCKETS, *range(layout.THREADS, layout.THREADS + 3),
    ]  # fmt: skip
    several = [
        *range(layout.STATUSES, layout.STATUSES + 6),
        *range(layout.LATENCY, layout.LATENCY + layout.LATENCY_BUCKETS),
        *range(layout._BOX, layout._BOX + layout.BOX_BYTES // 8),
    ]
    words = single + several

    assert len(set(words)) == len(words)
    assert max(words) < layout._SLOT_WORDS


def test_slots_do_not_touch_each_other(board: Scoreboard) -> None:
    """Filling every word of one slot leaves its neighbours and the header as they were."""
    slots = [opened(board, number=number) for number in (1, 2, 3)]
    before = [slot.read_many(0, layout._SLOT_WORDS) for slot in slots]
    header = board._words[: layout._HEADER_WORDS].tolist()
    slots[1].write_many(0, [2**64 - 1] * layout._SLOT_WORDS)

    assert before[0] == slots[0].read_many(0, layout._SLOT_WORDS)
    assert before[2] == slots[2].read_many(0, layout._SLOT_WORDS)
    assert header == board._words[: layout._HEADER_WORDS].tolist()


def test_a_child_writes_what_its_parent_reads(board: Scoreboard) -> None:
    """The mapping is shared with processes forked later."""
    slot = opened(board)
    pid = forked(lambda: slot.write(layout.REQUESTS, 42))
    os.waitpid(pid, 0)

    assert 42 == slot.read(layout.REQUESTS)


def test_the_header_says_what_it_is(board: Scoreboard) -> None:
    """The first word spells ROCKET, the second is the version of the layout."""
    assert b"ROCKET\0\0" == bytes(board._bytes[:8])
    assert layout.LAYOUT_VERSION == board._words[1]


def test_the_heartbeat_of_the_listener(board: Scoreboard) -> None:
    """It is 0 before the first turn, then a moment of the monotonic clock, and 0 once forgotten."""
    before = time.monotonic_ns()

    assert 0 == board.listener_heartbeat_ns
    board.beat_listener(pid=7)
    assert before <= board.listener_heartbeat_ns <= time.monotonic_ns()
    board.forget_listener()
    assert 0 == board.listener_heartbeat_ns


# --- slots ---


def test_a_slot_beyond_the_board_is_refused(board: Scoreboard) -> None:
    """There is no slot below 0 or from the capacity on."""
    for index in (-1, 4):
        with pytest.raises(IndexError, match=f"slot {index} of 4"):
            board.slot(index)


def test_allocation_takes_the_lowest_free_slot(board: Scoreboard) -> None:
    """Slots are given in order, a freed one again first, and none when all are taken."""
    slots = [opened(board, number=number) for number in (1, 2, 3, 4)]

    assert [0, 1, 2, 3] == [slot.index for slot in slots]
    assert board.allocate(number=5, generation=1) is None
    slots[1].clear()
    assert 1 == opened(board, number=5).index


def test_an_opened_slot_begins_clean(board: Scoreboard) -> None:
    """Whatever the former owner left is gone; number, generation and times are those of the new one."""
    slot = opened(board)
    slot.write_many(5, [9] * (layout._SLOT_WORDS - 5))
    slot.clear()
    slot = board.allocate(number=3, generation=2)  # type: ignore[assignment]  # there is room

    assert (SlotState.BOOTING, 3, 2, 0) == (
        slot.state, slot.read_number(), slot.read(layout.GENERATION), slot.pid,
    )  # fmt: skip
    assert 0 <= slot.heartbeat_age_s(time.monotonic_ns()) < 5
    assert b"" == slot.in_flight_request()
    assert 0 == slot.read(layout.CLAIMS) == slot.read(layout.REQUESTS)


def test_used_slots_are_those_of_somebody(board: Scoreboard) -> None:
    """Free slots are not listed, and an owner is found by its pid."""
    first, second, third = (opened(board, number=number) for number in (1, 2, 3))
    third.write(layout.PID, 77)
    second.clear()

    assert [first.index, third.index] == [slot.index for slot in board.used_slots()]
    found = board.find(77)
    assert found is not None
    assert third.index == found.index
    assert board.find(78) is None


def test_the_age_of_a_heartbeat_is_never_negative(board: Scoreboard) -> None:
    """A heartbeat that is younger than the reader's clock has the age 0."""
    slot = opened(board)
    slot.beat(5_000_000_000)

    assert 2.5 == slot.heartbeat_age_s(7_500_000_000)
    assert 0 == slot.heartbeat_age_s(4_000_000_000)


@pytest.mark.parametrize("size", [0, 1, layout.BOX_BYTES, layout.BOX_BYTES + 1])
def test_the_black_box_keeps_the_beginning(board: Scoreboard, size: int) -> None:
    """A request in flight is kept up to BOX_BYTES, whatever stood there before."""
    slot = opened(board)
    slot.record_in_flight(b"z" * layout.BOX_BYTES)
    request = bytes(1 + index % 255 for index in range(size))
    slot.record_in_flight(request)

    assert request[: layout.BOX_BYTES] == slot.in_flight_request()


def test_the_black_box_survives_its_owner(board: Scoreboard) -> None:
    """After SIGKILL the request that was about to be handled can still be read."""
    slot = opened(board)

    def die() -> None:
        slot.record_in_flight(b"GET /poison HTTP/1.1")
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(forked(die), 0)

    assert b"GET /poison HTTP/1.1" == slot.in_flight_request()


# --- places ---


def test_there_are_exactly_as_many_places_as_the_limit(board: Scoreboard) -> None:
    """Claims of all slots together stop at max_connections; one given back can be had again."""
    left, right = opened(board, number=1), opened(board, number=2)
    granted = [slot.try_claim() for slot in (left, right, left, right, left, right, left)]

    assert [True] * LIMIT + [False] * 2 == granted
    assert LIMIT == board.claimed()
    right.unclaim()
    assert left.try_claim()
    assert not right.try_claim()


def test_a_lowered_limit_refuses_newcomers(board: Scoreboard) -> None:
    """Nobody is thrown out, nobody comes in until enough have left; a raised limit lets in at once."""
    slot = opened(board)
    for _ in range(4):
        assert slot.try_claim()
        slot.occupy()
    board.max_connections = 3

    assert not slot.try_claim()
    slot.vacate()
    assert not slot.try_claim()
    slot.vacate()
    assert slot.try_claim()
    board.max_connections = 4
    assert slot.try_claim()


def test_connections_and_peak(board: Scoreboard) -> None:
    """Connections in use are summed over slots; the peak is the highest sum an owner has seen."""
    left, right = opened(board, number=1), opened(board, number=2)
    for slot in (left, right, left):
        slot.try_claim()
        slot.occupy()
    left.vacate()

    assert 2 == board.connections() == board.claimed()
    assert 3 == board.peak()


def test_vacating_wakes_those_who_wait(board: Scoreboard) -> None:
    """Whoever waits for a place hears of it, except the one who gave it back and those who do not wait."""
    left, right, idle = (opened(board, number=number) for number in (1, 2, 3))
    for slot in (left, right):
        slot.write(layout.WAITING, 1)
    left.try_claim()
    left.occupy()
    left.vacate()

    assert [left.index, right.index] == board.waiting()
    assert [False, True, False] == [has_rung(board, slot) for slot in (left, right, idle)]


def test_a_doorbell_that_rings_already_blocks_nobody(board: Scoreboard) -> None:
    """Ringing when the counter of the doorbell is full is no error."""
    slot = opened(board)
    os.eventfd_write(board.doorbells[slot.index], 2**64 - 2)
    board.ring(slot.index)

    assert has_rung(board, slot)


# --- retirement ---


def test_retiring_keeps_totals_and_clears(board: Scoreboard) -> None:
    """What a dead acceptor served still counts; its connections and claims do not."""
    slot, other = opened(board, number=1), opened(board, number=2)
    for each, factor in ((slot, 1), (other, 100)):
        each.write(layout.REQUESTS, 3 * factor)
        each.write(layout.BYTES_RECEIVED, 5 * factor)
        each.write(layout.BYTES_SENT, 7 * factor)
        each.write_many(layout.STATUSES, [n * factor for n in (1, 0, 2, 0, 0, 4)])
    slot.try_claim()
    slot.occupy()
    before = board.totals()
    board.retire(slot, reaper=Reaper.LISTENER)

    assert before == board.totals()
    assert (303, 505, 707, (101, 0, 202, 0, 0, 404)) == (
        before.requests, before.bytes_received, before.bytes_sent, before.statuses,
    )  # fmt: skip
    assert 0 == board.connections() == board.claimed()
    assert SlotState.FREE is slot.state
    assert [0] * layout._SLOT_WORDS == slot.read_many(0, layout._SLOT_WORDS)


def test_two_reapers_add_to_cells_of_their_own(board: Scoreboard) -> None:
    """Supervisor and Listener retire at the same time without writing one cell."""
    for reaper in (Reaper.SUPERVISOR, Reaper.LISTENER, Reaper.LISTENER):
        slot = opened(board)
        slot.write(layout.REQUESTS, 10)
        board.retire(slot, reaper=reaper)
    rows = [board._words[layout._RETIRED + reaper * layout._RETIRED_ROW] for reaper in Reaper]

    assert [10, 20] == rows
    assert 30 == board.totals().requests


def test_retiring_wakes_those_who_wait(board: Scoreboard) -> None:
    """The places of a dead process are news to those who wait for one."""
    dead, waiting = opened(board, number=1), opened(board, number=2)
    waiting.write(layout.WAITING, 1)
    board.retire(dead, reaper=Reaper.LISTENER)

    assert has_rung(board, waiting)


# --- real processes ---


def forked(run: Callable[[], object]) -> int:
    """Run a function in a child and leave; the child's status is 1 when it raised."""
    pid = os.fork()
    if pid == 0:
        try:
            run()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def fight(slot: Slot, tokens: int, seed: int) -> None:
    """Take and give back places for a while, under the eyes of a witness.

    The witness is a semaphore in the kernel with a token for each place: whoever was given a place must find
    a token there. It counts atomically, which no sum over slots does.
    """
    chance = random.Random(seed)
    until = time.monotonic() + BUSY_S
    held = 0
    while time.monotonic() < until:
        if chance.random() < 0.55:
            if slot.try_claim():
                os.eventfd_read(tokens)  # raises when there is none
                if chance.random() < 0.2:
                    os.eventfd_write(tokens, 1)
                    slot.unclaim()
                else:
                    slot.occupy()
                    held += 1
                    slot.write(layout.REQUESTS, slot.read(layout.REQUESTS) + 1)
        elif held:
            os.eventfd_write(tokens, 1)
            slot.vacate()
            held -= 1
    for _ in range(held):
        os.eventfd_write(tokens, 1)
        slot.vacate()


def frozen_sum(board: Scoreboard, pids: list[int]) -> int:
    """Stop all fighters, so that the sum is that of one instant, and let them go on."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    total = board.connections()
    assert all(slot.read(layout.CONNECTIONS) <= slot.read(layout.CLAIMS) for slot in board.used_slots())
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    return total


@pytest.mark.slow
def test_processes_that_fight_for_places_never_hold_too_many(board: Scoreboard) -> None:
    """Four processes claim, use and give back as fast as they can: the limit holds at every instant."""
    tokens = os.eventfd(LIMIT, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    slots = [opened(board, number=number) for number in (1, 2, 3, 4)]
    pids = [forked(lambda slot=slot: fight(slot, tokens, slot.index)) for slot in slots]
    sums = []
    until = time.monotonic() + BUSY_S * 0.8
    while time.monotonic() < until:
        sums.append(frozen_sum(board, pids))
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    left = [os.eventfd_read(tokens) for _ in range(LIMIT)]
    os.close(tokens)

    assert [0] * 4 == statuses, "somebody was given a place that was not there"
    assert max(sums) <= LIMIT
    assert [1] * LIMIT == left
    assert 0 == board.claimed() == board.connections()
    assert board.peak() == LIMIT
    assert all(slot.read(layout.REQUESTS) > 0 for slot in slots), "somebody never got a place"


@pytest.mark.slow
def test_processes_killed_at_any_line_take_no_place_with_them(board: Scoreboard) -> None:
    """SIGKILL between any two instructions: once the dead are retired, exactly the limit can be had again."""
    chance = random.Random(1)
    slots = [opened(board, number=number) for number in (1, 2, 3)]
    survivor = opened(board, number=4)
    for _ in range(15):
        tokens = os.eventfd(LIMIT, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        pids = [forked(lambda slot=slot, t=tokens: fight(slot, t, slot.index)) for slot in slots]
        until = time.monotonic() + chance.uniform(0.005, 0.03)
        while time.monotonic() < until:
            survivor.try_claim() and survivor.unclaim()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(tokens)
        for number, slot in enumerate(slots, 1):
            assert slot.read(layout.CONNECTIONS) <= slot.read(layout.CLAIMS)
            board.retire(slot, reaper=Reaper.LISTENER)
            slot.open(number=number, generation=1)
        granted = [survivor.try_claim() for _ in range(LIMIT + 1)]
        for _ in range(LIMIT):
            survivor.unclaim()

        assert [True] * LIMIT + [False] == granted
