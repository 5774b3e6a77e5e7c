"""How a supervisor ends, answers and waits: stories like those of tests/unit/test_policy.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rocket_sup.errors import SupervisionError
from rocket_sup.policy import (
    Answer,
    Cause,
    Finished,
    Kill,
    Policy,
    PolicyState,
    Reply,
    Report,
    ReportKind,
    Shutdown,
    Start,
)
from rocket_sup.spec import (
    BRUTAL_KILL,
    INFINITY,
    AutoShutdown,
    Backoff,
    ChildSpec,
    ExitReason,
    Restart,
    SupervisorFlags,
)
from tests.model.told import (
    CRASH,
    KILLED,
    LEFT,
    NORMAL,
    ONE_FOR_ALL,
    PLENTY,
    REST_FOR_ONE,
    Told,
    running,
    with_strategy,
)

# Ending


def test_stop_ends_children_in_reverse_one_at_a_time() -> None:
    """And then says so."""
    told = running("a", "b")

    assert [Shutdown("b")] == told.stop()
    assert [Shutdown("a")] == told.exit("b", LEFT)
    assert [Finished(LEFT, Cause.STOPPED)] == told.exit("a", LEFT)
    assert [] == told.errors()
    assert [] == told.stop()


def test_a_second_stop_changes_nothing() -> None:
    """The first is being carried out."""
    told = running("a")
    told.stop()

    assert [] == told.stop()


def test_a_supervisor_that_never_started_stops_at_once() -> None:
    """Nothing is running."""
    assert [Finished(LEFT, Cause.STOPPED)] == Told("a").stop()


def test_a_child_that_does_not_leave_in_time_is_killed_and_reported() -> None:
    """After the seconds of its own specification; a deadline that was used is none any more."""
    told = running(ChildSpec("a", shutdown=2.0))
    told.stop()

    assert told.policy.next_deadline() == 2.0
    assert [] == told.time(1.9)
    assert [Kill("a")] == told.time(2.0)
    assert told.policy.next_deadline() is None
    assert [Finished(LEFT, Cause.STOPPED)] == told.exit("a", KILLED)
    assert [("shutdown_error", "a", "killed(SIGKILL)")] == told.errors()


def test_infinity_waits() -> None:
    """There is no deadline."""
    told = running(ChildSpec("a", shutdown=INFINITY))
    told.stop()

    assert told.policy.next_deadline() is None
    assert [] == told.time(1e9)


def test_brutal_kill_asks_nothing() -> None:
    """And being killed is what was expected."""
    told = running(ChildSpec("a", shutdown=BRUTAL_KILL))

    assert [Kill("a")] == told.stop()
    assert [Finished(LEFT, Cause.STOPPED)] == told.exit("a", KILLED)
    assert [] == told.errors()


def test_a_child_that_ends_by_itself_before_its_turn_need_not_be_ended() -> None:
    """Its end is reported, for it was not the one expected."""
    told = running("a", "b")
    told.stop()

    assert [] == told.exit("a")
    assert [Finished(LEFT, Cause.STOPPED)] == told.exit("b", LEFT)
    assert [("shutdown_error", "a", "exit(1)")] == told.errors()


def test_stop_interrupts_boot() -> None:
    """The child that is starting is ended like the others; its ready message may have crossed."""
    told = Told("a", "b", "c")
    told.boot()
    told.ready("a")

    assert [Shutdown("b")] == told.stop()
    assert [] == told.ready("b")
    assert [Shutdown("a")] == told.exit("b", LEFT)


def test_stop_interrupts_a_group_restart() -> None:
    """Nothing more is started."""
    told = running("a", "b", flags=with_strategy(ONE_FOR_ALL))
    told.exit("a")

    assert [] == told.stop()  # the second is on its way out already
    assert [Finished(LEFT, Cause.STOPPED)] == told.exit("b", LEFT)


def test_a_child_killed_for_its_boot_deadline_is_not_killed_twice() -> None:
    """A stop finds it on its way out."""
    told = Told(ChildSpec("a", boot_deadline_s=1.0))
    told.boot()
    told.time(1.0)

    assert [] == told.stop()
    assert [Finished(LEFT, Cause.STOPPED)] == told.exit("a", KILLED)


def test_a_start_that_fails_while_the_supervisor_ends_is_not_tried_again() -> None:
    """It was restarting when the stop came, and its turn had not come."""
    told = running("a", "b")
    told.exit("a")
    told.stop()

    assert [] == told.exit("a")
    assert {"a": "stopped", "b": "stopping"} == told.states()


# Significant children


@pytest.mark.parametrize("reason", [NORMAL, LEFT, CRASH], ids=str)
def test_any_significant_child_ends_the_supervisor_by_ending_for_good(reason: ExitReason) -> None:
    """Not by falling and being restarted."""
    told = running(
        "a",
        ChildSpec("b", Restart.TRANSIENT, significant=True),
        flags=replace(PLENTY, auto_shutdown=AutoShutdown.ANY_SIGNIFICANT),
    )

    assert ([Shutdown("a")] if reason.is_clean else [Start("b")]) == told.exit("b", reason)
    if reason.is_clean:
        assert [Finished(reason, Cause.AUTO_SHUTDOWN, "b")] == told.exit("a", LEFT)


def test_all_significant_children_have_to_end() -> None:
    """The last of them ends the supervisor."""
    told = running(
        ChildSpec("a", Restart.TEMPORARY, significant=True),
        ChildSpec("b", Restart.TEMPORARY, significant=True),
        ChildSpec("c", Restart.TEMPORARY),
        flags=replace(PLENTY, auto_shutdown=AutoShutdown.ALL_SIGNIFICANT),
    )

    assert [] == told.exit("a")
    assert [Shutdown("c")] == told.exit("b")


def test_a_significant_child_that_was_told_to_leave_ends_nobody() -> None:
    """Only ending by itself does."""
    told = running(
        ChildSpec("a", Restart.TRANSIENT, significant=True),
        flags=replace(PLENTY, auto_shutdown=AutoShutdown.ANY_SIGNIFICANT),
    )
    told.terminate("a")
    told.exit("a", LEFT)

    assert PolicyState.RUNNING is told.policy.state


# Calls


def test_a_started_child_is_the_last_one() -> None:
    """The caller is told the pid when it is ready."""
    told = running("a")

    assert [Start("b")] == told.start_child(ChildSpec("b"))
    assert told.answer("start") is None
    assert [] == told.ready("b", pid=7)
    assert Reply("start", Answer.OK, 7) == told.replies["start"]
    assert [Shutdown("b")] == told.stop()


def test_a_child_that_fails_to_start_is_forgotten() -> None:
    """The caller is told why; nothing is counted, nothing tried again."""
    told = running(flags=SupervisorFlags(max_restarts=0))
    told.start_child(ChildSpec("a"))

    assert [] == told.exit("a")
    assert Reply("start", Answer.START_ERROR, None, CRASH) == told.replies["start"]
    assert {} == told.states()
    assert told.policy.statistics().restarts == 0


def test_a_known_child_is_not_started_again() -> None:
    """Whether it runs or not."""
    told = running("a", ChildSpec("b", Restart.TRANSIENT))
    told.exit("b", NORMAL)
    told.start_child(ChildSpec("a"), "running")
    told.start_child(ChildSpec("b"), "stopped")

    assert Reply("running", Answer.ALREADY_STARTED, 1) == told.replies["running"]
    assert Answer.ALREADY_PRESENT is told.answer("stopped")


def test_a_bad_specification_is_refused_to_the_caller() -> None:
    """By an error, at once."""
    told = running()

    with pytest.raises(SupervisionError, match="shutdown is -1"):
        told.start_child(ChildSpec("a", shutdown=-1.0))


def test_terminate_keeps_the_specification_and_counts_nothing() -> None:
    """Everybody who asked is answered when it is gone."""
    told = running("a", flags=SupervisorFlags(max_restarts=0))

    assert [Shutdown("a")] == told.terminate("a", 1)
    assert [] == told.terminate("a", 2)
    assert {} == told.replies
    assert [] == told.exit("a", LEFT)
    assert [Answer.OK, Answer.OK] == [told.answer(1), told.answer(2)]
    assert {"a": "stopped"} == told.states()


def test_terminate_forgets_a_temporary_child() -> None:
    """Its specification goes with its process."""
    told = running(ChildSpec("a", Restart.TEMPORARY))
    told.terminate("a")
    told.exit("a", LEFT)

    assert {} == told.states()


def test_terminate_cancels_an_attempt_that_is_owed() -> None:
    """There is no process to wait for."""
    told = running("a")
    told.exit("a")
    told.exit("a")

    assert [] == told.terminate("a")
    assert Answer.OK is told.answer("terminate")
    assert [] == told.time(9.0)


def test_terminate_ends_a_child_that_is_starting() -> None:
    """Who waits for its start is told that it failed; a child that never was ready is forgotten."""
    told = running()
    told.start_child(ChildSpec("a"))

    assert [Shutdown("a")] == told.terminate("a")
    assert [] == told.exit("a", LEFT)
    assert (Answer.START_ERROR, Answer.OK) == (told.answer("start"), told.answer("terminate"))
    assert {} == told.states()


def test_a_stopped_child_can_be_started_again() -> None:
    """Its specification was kept for that."""
    told = running("a")
    told.terminate("a")
    told.exit("a", LEFT)

    assert [Start("a")] == told.restart("a")
    assert [] == told.ready("a", pid=2)
    assert Reply("restart", Answer.OK, 2) == told.replies["restart"]


def test_a_requested_start_that_fails_leaves_the_child_stopped() -> None:
    """It is not tried again."""
    told = running("a")
    told.terminate("a")
    told.exit("a", LEFT)
    told.restart("a")

    assert [] == told.exit("a")
    assert Answer.START_ERROR is told.answer("restart")
    assert {"a": "stopped"} == told.states()


def stopped(told: Told) -> None:
    """The child is stopped."""
    told.terminate("a", "before")
    told.exit("a", LEFT)


def restarting(told: Told) -> None:
    """The child is owed an attempt."""
    told.exit("a")
    told.exit("a")


@pytest.mark.parametrize(
    ("prepare", "restart", "delete"),
    [
        (lambda told: None, Answer.RUNNING, Answer.RUNNING),
        (lambda told: told.terminate("a", "before"), Answer.RUNNING, Answer.RUNNING),
        (lambda told: told.exit("a"), Answer.RESTARTING, Answer.RESTARTING),
        (restarting, Answer.RESTARTING, Answer.RESTARTING),
        (stopped, None, Answer.OK),
    ],
    ids=["running", "stopping", "starting", "restarting", "stopped"],
)
def test_what_is_answered_about_a_child(
    prepare: Callable[[Told], object], restart: Answer | None, delete: Answer
) -> None:
    """Only one that is stopped can be started or forgotten."""
    told, other = running("a"), running("a")
    prepare(told)
    prepare(other)
    told.restart("a")
    other.delete("a")

    assert restart == told.answer("restart")
    assert delete == other.answer("delete")
    assert (other.policy.get_childspec("a") is None) == (delete is Answer.OK)


def test_nothing_is_known_about_strangers() -> None:
    """Every call says so."""
    told = running()
    told.terminate("x")
    told.restart("x")
    told.delete("x")

    assert {Answer.NOT_FOUND} == {reply.result for reply in told.replies.values()}
    assert told.policy.get_childspec("x") is None


def test_calls_wait_for_boot() -> None:
    """And are carried out in their order then."""
    told = Told("a")
    told.terminate("a")
    told.boot()
    told.start_child(ChildSpec("b"))

    assert [Shutdown("a"), Start("b")] == told.ready("a")


def test_calls_wait_for_a_group_restart() -> None:
    """One thing is done at a time."""
    told = running("a", flags=with_strategy(ONE_FOR_ALL))
    told.exit("a")
    told.start_child(ChildSpec("b"))
    told.terminate("b")

    assert told.policy.statistics().waiting == 2
    assert [Start("b")] == told.ready("a")
    assert [Shutdown("b")] == told.ready("b")


def test_a_call_about_a_child_that_has_fallen_unseen_finds_it_gone() -> None:
    """Its exit is seen to by the call, and is no incident any more."""
    told = running("a", "b", flags=with_strategy(REST_FOR_ONE))
    told.exit("b")
    told.terminate("a")
    told.exit("a")

    assert [] == told.ready("b")
    assert Answer.OK is told.answer("terminate")
    assert {"a": "stopped", "b": "running"} == told.states()
    assert told.policy.statistics().waiting == 0


def test_a_supervisor_that_is_ending_answers_so() -> None:
    """Also to those who were waiting."""
    told = running("a", flags=with_strategy(ONE_FOR_ALL))
    told.start_child(ChildSpec("b"), "under way")
    told.delete("a", "waiting")
    told.stop()
    told.restart("a", "late")

    assert {"under way", "waiting", "late"} == told.replies.keys()
    assert {Answer.STOPPING} == {reply.result for reply in told.replies.values()}


# Backoff


def test_a_delay_comes_before_the_restart_is_made_and_counted() -> None:
    """Meanwhile the child is restarting and the siblings run on."""
    told = running(ChildSpec("a", backoff=Backoff(initial_s=2.0)), "b", flags=with_strategy(ONE_FOR_ALL))

    assert [] == told.exit("a")
    assert told.policy.statistics().restarts == 0
    assert told.policy.next_deadline() == 2.0
    assert [] == told.time(1.9)
    assert [Shutdown("b")] == told.time(2.0)
    assert [("child_terminated", "a", "exit(1)"), ("backoff", "a", "exit(1)")] == told.errors()


def test_delays_grow_while_starts_fail() -> None:
    """And the report says how long."""
    policy = Policy(PLENTY, [ChildSpec("a", backoff=Backoff(initial_s=2.0))], random=lambda: 0.5)
    policy.boot(0.0)
    policy.on_started("a", 1, 0.0)
    policy.on_exit("a", CRASH, 0.0)
    policy.on_time(2.0)

    reports = [action for action in policy.on_exit("a", CRASH, 2.0) if isinstance(action, Report)]
    assert Report(ReportKind.BACKOFF, "a", CRASH, {"delay_s": 4.0}) == reports[-1]
    assert policy.next_deadline() == 6.0


def test_attempts_that_are_due_together_are_made_in_the_order_of_their_times() -> None:
    """The first that is too many names the offender."""
    told = running(
        ChildSpec("a", backoff=Backoff(initial_s=2.0)),
        ChildSpec("b", backoff=Backoff(initial_s=1.0)),
        flags=SupervisorFlags(max_restarts=1, max_seconds=60.0),
    )
    told.exit("a")
    told.exit("b")

    assert [Start("b"), Shutdown("b")] == told.time(5.0)
    assert ("shutdown", "a", "exit(1)") == told.errors()[-1]
