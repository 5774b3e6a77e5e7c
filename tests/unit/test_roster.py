"""The Listener's book: who holds a number, who is healthy, who empties whose queue."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from rocket_sup.roster import Member, Roster
from rocket_sup.scoreboard import Scoreboard, SlotState


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    """A scoreboard for the members' slots."""
    board = Scoreboard(8, max_connections=1)
    yield board
    for bell in board.doorbells:
        os.close(bell)


@pytest.fixture
def roster(board: Scoreboard) -> Roster:
    """Three ready members."""
    roster = Roster()
    for number in (1, 2, 3):
        enlist(roster, board, f"acceptor-{number}", number)
    return roster


def enlist(roster: Roster, board: Scoreboard, child_id: str, number: int) -> Member:
    """Add a member that is ready."""
    slot = board.allocate(number=number, generation=1)
    assert slot is not None
    slot.state = SlotState.READY
    roster.members[child_id] = Member(child_id, number, 1, slot=slot)
    return roster.members[child_id]


@pytest.mark.parametrize(
    ("state", "is_suspect", "is_leaving", "is_ready", "is_healthy"),
    [
        (SlotState.READY, False, False, True, True),
        (SlotState.READY, True, False, True, False),
        (SlotState.READY, False, True, False, False),
        (SlotState.BOOTING, False, False, False, False),
        (SlotState.DRAINING, False, False, False, False),
        (None, False, False, False, False),
    ],
)
def test_who_may_get_newcomers(
    roster: Roster,
    state: SlotState | None,
    is_suspect: bool,
    is_leaving: bool,
    is_ready: bool,
    is_healthy: bool,
) -> None:
    """Healthy is who said ready, was not asked to leave and has a fresh pulse."""
    member = roster.members["acceptor-1"]
    assert member.slot is not None
    if state is None:
        member.slot = None
    else:
        member.slot.state = state
    member.is_suspect, member.is_leaving = is_suspect, is_leaving

    assert (is_ready, is_healthy) == (member.is_ready, member.is_healthy)
    assert ({1, 2, 3} if is_healthy else {2, 3}) == roster.healthy_numbers()


def test_a_dead_member_begins_its_next_life_clean(roster: Roster) -> None:
    """No slot, no suspicion and no adopted queue of the dead process remain; whether it was leaving does."""
    member = roster.members["acceptor-1"]
    member.is_suspect, member.is_leaving = True, True
    member.adopted.add(2)
    member.died()

    assert (None, False, True, set()) == (member.slot, member.is_suspect, member.is_leaving, member.adopted)


def test_a_number_may_have_two_holders(roster: Roster, board: Scoreboard) -> None:
    """During a replacement the newest that is not leaving is the current one."""
    old = roster.members["acceptor-2"]
    new = enlist(roster, board, "acceptor-2.2", 2)

    assert [old, new] == roster.of_number(2)
    assert new is roster.current(2)
    new.is_leaving = True
    assert old is roster.current(2)
    old.is_leaving = True
    assert roster.current(2) is None


def test_somebody_serves_slowly(roster: Roster) -> None:
    """A suspect still counts as serving; one that leaves does not."""
    for member in roster.members.values():
        member.is_suspect = True

    assert set() == roster.healthy_numbers()
    assert roster.is_anyone_ready()
    for member in roster.members.values():
        member.is_leaving = True
    assert not roster.is_anyone_ready()


def test_the_adopter_of_a_queue(roster: Roster) -> None:
    """The member that empties a queue is found by the queue's number."""
    roster.members["acceptor-3"].adopted.add(1)

    assert roster.members["acceptor-3"] is roster.adopter_of(1)
    assert roster.adopter_of(2) is None


def test_queues_are_spread_over_the_healthy(roster: Roster) -> None:
    """The one with the fewest adopted queues is chosen, never of a number to avoid or an unhealthy one."""
    roster.members["acceptor-2"].adopted.add(9)

    assert roster.members["acceptor-3"] is roster.choose_adopter(avoid=(1,))
    roster.members["acceptor-3"].is_suspect = True
    assert roster.members["acceptor-2"] is roster.choose_adopter(avoid=(1,))
    assert roster.choose_adopter(avoid=(1, 2)) is None
