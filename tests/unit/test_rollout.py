"""Rollouts: one number at a time, one rollout at a time."""

from __future__ import annotations

from collections import deque

from rocket_sup.rollout import Rollout, Rollouts


def rollout(*numbers: int, cause: str = "reload", token: object = None) -> Rollout:
    """A rollout of these numbers."""
    return Rollout(deque(numbers), cause=cause, token=token)


def test_numbers_come_one_after_the_other() -> None:
    """The next number is given only when the one before is replaced; then the rollout can be taken."""
    rollouts = Rollouts()
    rollouts.add(rollout(1, 2, token=7))

    assert rollouts.next_number() == 1
    assert rollouts.next_number() is None
    assert rollouts.take_finished() is None
    rollouts.replaced()
    assert rollouts.take_finished() is None
    assert rollouts.next_number() == 2
    rollouts.replaced()
    done = rollouts.take_finished()
    assert done is not None
    assert (7, [1, 2]) == (done.token, done.replaced)
    assert rollouts.next_number() is None
    assert rollouts.take_finished() is None


def test_rollouts_wait_for_each_other() -> None:
    """A second rollout begins when the first was taken, and not before."""
    rollouts = Rollouts()
    rollouts.add(rollout(1, token=1))
    rollouts.add(rollout(2, token=2))
    rollouts.next_number()
    rollouts.replaced()

    assert rollouts.next_number() is None
    assert rollouts.take_finished() is not None
    assert rollouts.next_number() == 2


def test_a_failure_calls_off_the_rest() -> None:
    """Numbers that had not their turn are dropped, those done are told, the next rollout may begin."""
    rollouts = Rollouts()
    rollouts.add(rollout(1, 2, 3, token=1))
    rollouts.add(rollout(4, cause="restart", token=2))
    rollouts.next_number()
    rollouts.replaced()
    rollouts.next_number()
    failed = rollouts.fail()

    assert (1, [1], deque([3])) == (failed.token, failed.replaced, failed.numbers)
    assert rollouts.number is None
    assert rollouts.next_number() == 4


def test_nobody_is_recycled_twice() -> None:
    """An acceptor that asks again while it waits, or while its successor starts, is not replaced twice."""
    rollouts = Rollouts()
    rollouts.add(rollout(1, cause="max_requests"))
    rollouts.next_number()
    rollouts.add(rollout(1, cause="max_requests"))
    rollouts.add(rollout(2, cause="max_memory"))
    rollouts.add(rollout(2, cause="max_requests"))
    rollouts.replaced()
    rollouts.take_finished()

    assert rollouts.next_number() == 2
    rollouts.replaced()
    assert rollouts.take_finished() is not None
    assert rollouts.next_number() is None


def test_an_order_is_never_dropped() -> None:
    """Whoever asked gets an answer: a rollout with a token runs though its numbers are waiting already."""
    rollouts = Rollouts()
    rollouts.add(rollout(1, cause="max_requests"))
    rollouts.add(rollout(1, cause="restart", token=5))
    rollouts.next_number()
    rollouts.replaced()
    rollouts.take_finished()

    assert rollouts.next_number() == 1


def test_an_empty_order_is_done_at_once() -> None:
    """A reload while there is nobody to replace does not wait for ever."""
    rollouts = Rollouts()
    rollouts.add(rollout(token=5))
    rollouts.next_number()
    done = rollouts.take_finished()

    assert done is not None
    assert (5, []) == (done.token, done.replaced)
