"""What is remembered about one child: transitions, deadlines, pid, and the delays before restarts."""

from __future__ import annotations

import math

import pytest

from rocket_sup.child import Child, Purpose
from rocket_sup.errors import SupervisionError
from rocket_sup.lifecycle import ChildEvent, ChildState
from rocket_sup.spec import Backoff, ChildSpec


def middle() -> float:
    """A chance that leaves a delay as it is."""
    return 0.5


def test_a_new_child_is_stopped() -> None:
    """It has no process, no deadline and no history."""
    status = Child(ChildSpec("a")).status()

    assert (ChildState.STOPPED, None, None, 0) == (
        status.state,
        status.pid,
        status.started_at,
        status.restarts,
    )


def test_beginning_sets_the_boot_deadline() -> None:
    """It counts from the start; without one in the specification there is none."""
    patient, hurried = Child(ChildSpec("a")), Child(ChildSpec("b", boot_deadline_s=3.0))
    patient.begin(Purpose.BOOT, 10.0)
    hurried.begin(Purpose.BOOT, 10.0)

    assert math.inf == patient.deadline
    assert hurried.deadline == 13.0


def test_a_new_state_ends_the_deadline_of_the_old_one() -> None:
    """A child that is being killed has none: nothing more can be done than to wait."""
    child = Child(ChildSpec("a", boot_deadline_s=3.0))
    child.begin(Purpose.BOOT, 0.0)
    child.enter(ChildEvent.OVERSTAY)

    assert math.inf == child.deadline


def test_an_event_that_changes_nothing_keeps_the_deadline() -> None:
    """A ready message that crossed with our request does not give the child more time, or for ever."""
    child = Child(ChildSpec("a"))
    child.begin(Purpose.BOOT, 0.0)
    child.enter(ChildEvent.ASK)
    child.deadline = 5.0
    child.enter(ChildEvent.READY)

    assert child.deadline == 5.0


def test_a_refused_event_changes_nothing() -> None:
    """The error names the child."""
    child = Child(ChildSpec("a"))

    with pytest.raises(SupervisionError, match="child 'a' is stopped and cannot ready"):
        child.enter(ChildEvent.READY)
    assert ChildState.STOPPED is child.state


def test_a_pid_is_shown_as_long_as_there_is_a_process() -> None:
    """It is known from ready on, and it is never shown after the exit: it may be somebody else's by then."""
    child = Child(ChildSpec("a"))
    child.begin(Purpose.BOOT, 0.0)
    child.enter(ChildEvent.READY)
    child.pid, child.started_at = 42, 1.0
    running = child.status()
    child.enter(ChildEvent.FALL)
    fallen = child.status()

    assert (42, 1.0) == (running.pid, running.started_at)
    assert (None, None) == (fallen.pid, fallen.started_at)


def test_only_restarts_are_counted_as_such() -> None:
    """Boot and calls are not."""
    child = Child(ChildSpec("a"))
    for purpose in Purpose:
        child.begin(purpose, 0.0)
        child.enter(ChildEvent.END)

    assert child.restarts == 1


def test_without_backoff_there_is_no_delay() -> None:
    """As in OTP."""
    assert Child(ChildSpec("a")).next_delay(middle, failed_start=True) == 0.0


def test_delays_grow_to_the_longest_and_stay_there() -> None:
    """Each is the one before times the factor."""
    child = Child(ChildSpec("a", backoff=Backoff(initial_s=1.0, max_s=5.0, factor=2.0)))

    assert [1.0, 2.0, 4.0, 5.0, 5.0] == [child.next_delay(middle, failed_start=True) for _ in range(5)]


def test_delays_never_overflow() -> None:
    """A child that has failed for years still has a delay."""
    child = Child(ChildSpec("a", backoff=Backoff(initial_s=1.0, max_s=60.0, factor=1e300)))

    assert {1.0, 60.0} == {child.next_delay(middle, failed_start=True) for _ in range(2000)}


def test_a_long_life_is_forgiven() -> None:
    """A child that ran for reset_after_s starts again from the first delay; a shorter one does not."""
    child = Child(ChildSpec("a", backoff=Backoff(initial_s=1.0, reset_after_s=60.0)))
    delays = [child.next_delay(middle, failed_start=False)]
    child.ran_s = 59.0
    delays.append(child.next_delay(middle, failed_start=False))
    child.ran_s = 60.0
    delays.append(child.next_delay(middle, failed_start=False))

    assert [1.0, 2.0, 1.0] == delays


def test_failed_starts_only_spares_a_child_that_had_been_ready() -> None:
    """Its first restart comes at once; failed starts wait."""
    child = Child(ChildSpec("a", backoff=Backoff(initial_s=1.0, failed_starts_only=True)))

    assert child.next_delay(middle, failed_start=False) == 0.0
    assert child.next_delay(middle, failed_start=True) == 1.0
    assert child.next_delay(middle, failed_start=False) == 0.0
    assert child.next_delay(middle, failed_start=True) == 2.0


def test_jitter_does_not_add_up() -> None:
    """The next delay grows from the one before it without its jitter."""
    child = Child(ChildSpec("a", backoff=Backoff(initial_s=1.0, jitter=0.5)))

    assert [1.5, 3.0] == [child.next_delay(lambda: 1.0, failed_start=True) for _ in range(2)]
