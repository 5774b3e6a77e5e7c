"""The supervision machine, told short stories; each test reads as: this happened, so that is done.

Here: boot, exits, restarts and their intensity. How it ends and what it answers: tests/model/test_calls.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rocket_sup.errors import SupervisionError
from rocket_sup.policy import (
    Action,
    Cause,
    ChildState,
    Finished,
    Kill,
    Policy,
    PolicyState,
    Report,
    ReportKind,
    Shutdown,
    Start,
)
from rocket_sup.spec import (
    AutoShutdown,
    ChildSpec,
    ExitKind,
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

# Boot


def test_children_start_in_order_each_when_the_one_before_is_ready() -> None:
    """Left to right, one at a time."""
    told = Told("a", "b")

    assert [Start("a")] == told.boot()
    assert [Start("b")] == told.ready("a")
    assert PolicyState.BOOTING is told.policy.state
    assert [] == told.ready("b")
    assert PolicyState.RUNNING is told.policy.state


def test_a_supervisor_without_children_is_up_at_once() -> None:
    """Nothing to wait for."""
    told = Told()

    assert [] == told.boot()
    assert PolicyState.RUNNING is told.policy.state


def test_bad_specifications_are_refused_before_anything_starts() -> None:
    """As `check_childspecs` says."""
    with pytest.raises(SupervisionError, match="used twice"):
        Told("a", "a")


def test_a_supervisor_boots_once() -> None:
    """A second boot is the shell's mistake."""
    told = running("a")

    with pytest.raises(SupervisionError, match="the supervisor is running and cannot boot"):
        told.boot()


def test_a_failed_start_at_boot_ends_it_all_in_reverse_and_is_not_tried_again() -> None:
    """The offender is named."""
    told = Told("a", "b", "c", "d")
    told.boot()
    told.ready("a")
    told.ready("b")

    assert [Shutdown("b")] == told.exit("c")
    assert [Shutdown("a")] == told.exit("b", LEFT)
    assert [Finished(CRASH, Cause.START_ERROR, "c")] == told.exit("a", LEFT)
    assert [("start_error", "c", "exit(1)")] == told.errors()


def test_ignore_keeps_the_specification_unless_temporary() -> None:
    """Boot goes on with the next."""
    told = Told("a", ChildSpec("b", Restart.TEMPORARY), "c")
    told.boot()

    assert [Start("b")] == told.ignore("a")
    assert [Start("c")] == told.ignore("b")
    assert {"a": "stopped", "c": "starting"} == told.states()


def test_an_exit_during_boot_waits_until_boot_is_over() -> None:
    """It is an incident like any other then."""
    told = Told("a", "b")
    told.boot()
    told.ready("a")

    assert [] == told.exit("a")
    assert {"a": "fallen", "b": "starting"} == told.states()
    assert [Start("a")] == told.ready("b")


def test_a_boot_deadline_that_passes_is_a_failed_start() -> None:
    """Killed, and named for what it was, not for our kill; what the child said meanwhile is kept."""
    told = Told(ChildSpec("a", boot_deadline_s=3.0))
    told.boot()

    assert told.policy.next_deadline() == 3.0
    assert [] == told.time(2.9)
    assert [Kill("a")] == told.time(3.0)
    assert told.policy.next_deadline() is None
    assert [] == told.ready("a")  # too late
    assert [
        Finished(
            ExitReason(ExitKind.BOOT_TIMEOUT, signal="SIGKILL", detail="not ready within 3.0 seconds"),
            Cause.START_ERROR,
            "a",
        )
    ] == told.exit("a", KILLED)


def test_a_boot_deadline_counts_no_longer_once_the_child_is_ready() -> None:
    """It is no deadline of the run."""
    told = running(ChildSpec("a", boot_deadline_s=3.0))

    assert told.policy.next_deadline() is None
    assert [] == told.time(100.0)


# Exits


@pytest.mark.parametrize(
    ("restart", "reason", "actions", "reports", "children"),
    [
        (Restart.PERMANENT, NORMAL, [Start("a")], ["child_terminated"], {"a": "starting"}),
        (Restart.PERMANENT, CRASH, [Start("a")], ["child_terminated"], {"a": "starting"}),
        (Restart.TRANSIENT, NORMAL, [], [], {"a": "stopped"}),
        (Restart.TRANSIENT, LEFT, [], [], {"a": "stopped"}),
        (Restart.TRANSIENT, CRASH, [Start("a")], ["child_terminated"], {"a": "starting"}),
        (Restart.TEMPORARY, NORMAL, [], [], {}),
        (Restart.TEMPORARY, CRASH, [], ["child_terminated"], {}),
    ],
)
def test_what_follows_an_exit(
    restart: Restart, reason: ExitReason, actions: list[Action], reports: list[str], children: dict[str, str]
) -> None:
    """By restart type and reason."""
    told = running(ChildSpec("a", restart))

    assert actions == told.exit("a", reason)
    assert reports == [kind for kind, _, _ in told.errors()]
    assert children == told.states()


def test_one_for_one_restarts_hold_nobody_up() -> None:
    """Two children that fall are started side by side."""
    told = running("a", "b")

    assert [Start("a")] == told.exit("a")
    assert [Start("b")] == told.exit("b")


def test_one_for_all_ends_the_others_in_reverse_and_starts_all_in_order() -> None:
    """Each step waits for the one before."""
    told = running("a", "b", "c", flags=with_strategy(ONE_FOR_ALL))

    assert [Shutdown("c")] == told.exit("b")
    assert [Shutdown("a")] == told.exit("c", LEFT)
    assert [Start("a")] == told.exit("a", LEFT)
    assert [Start("b")] == told.ready("a")
    assert [Start("c")] == told.ready("b")
    assert [] == told.ready("c")
    assert PolicyState.RUNNING is told.policy.state


def test_rest_for_one_leaves_those_alone_that_started_before() -> None:
    """The child and those after it."""
    told = running("a", "b", "c", flags=with_strategy(REST_FOR_ONE))

    assert [Shutdown("c")] == told.exit("b")
    assert [Start("b")] == told.exit("c", LEFT)
    assert [Start("c")] == told.ready("b")


def test_a_temporary_sibling_is_dropped_by_a_group_restart() -> None:
    """It is ended with the others, and forgotten."""
    told = running("a", ChildSpec("b", Restart.TEMPORARY), "c", flags=with_strategy(ONE_FOR_ALL))
    told.exit("a")
    told.exit("c", LEFT)

    assert [Start("a")] == told.exit("b", LEFT)
    assert [Start("c")] == told.ready("a")
    assert {"a": "running", "c": "starting"} == told.states()


def test_a_stopped_sibling_is_started_with_the_group() -> None:
    """As in OTP."""
    told = running("a", ChildSpec("b", Restart.TRANSIENT), flags=with_strategy(ONE_FOR_ALL))
    told.exit("b", NORMAL)

    assert [Start("a")] == told.exit("a")
    assert [Start("b")] == told.ready("a")


def test_a_sibling_that_falls_while_the_group_is_ended_is_no_incident_of_its_own() -> None:
    """When its turn comes it is dead already, which is reported as an end that was not expected."""
    told = running("a", "b", "c", flags=with_strategy(ONE_FOR_ALL, max_restarts=1))
    told.exit("b")
    told.exit("a")

    assert [Start("a")] == told.exit("c", LEFT)
    assert [("child_terminated", "b", "exit(1)"), ("shutdown_error", "a", "exit(1)")] == told.errors()
    assert told.policy.statistics().restarts == 1


def test_a_child_that_falls_while_the_group_starts_is_a_new_incident_afterwards() -> None:
    """It waits for the group to be up."""
    told = running("a", "b", flags=with_strategy(ONE_FOR_ALL))
    told.exit("b")
    told.exit("a", LEFT)
    told.ready("a")

    assert [] == told.exit("a")
    assert [Shutdown("b")] == told.ready("b")
    assert told.policy.statistics().restarts == 2


# Failed restarts


def test_a_failed_restart_is_tried_again_by_the_clock() -> None:
    """Due at once, but not in the same breath: whatever else has arrived goes first."""
    told = running("a")
    told.exit("a")

    assert [] == told.exit("a")
    assert {"a": "restarting"} == told.states()
    assert told.policy.next_deadline() == 0.0
    assert [Start("a")] == told.time(0.0)
    assert [("child_terminated", "a", "exit(1)"), ("start_error", "a", "exit(1)")] == told.errors()


def test_a_stop_gets_in_before_the_next_attempt() -> None:
    """The attempt is not made."""
    told = running("a")
    told.exit("a")
    told.exit("a")

    assert [Finished(LEFT, Cause.STOPPED)] == told.stop()
    assert told.policy.next_deadline() is None


def test_a_failed_group_restart_starts_again_with_all_of_them() -> None:
    """Those that had started are ended first; those that had not are started as well."""
    told = running("a", "b", "c", flags=with_strategy(ONE_FOR_ALL))
    told.exit("c")
    told.exit("b", LEFT)
    told.exit("a", LEFT)
    told.ready("a")

    assert [] == told.exit("b")
    assert {"a": "running", "b": "restarting", "c": "stopped"} == told.states()
    assert [Shutdown("a")] == told.time(0.0)
    assert [Start("a")] == told.exit("a", LEFT)
    assert [Start("b")] == told.ready("a")
    assert [Start("c")] == told.ready("b")


def test_an_attempt_waits_while_another_plan_is_carried_out() -> None:
    """And it is no deadline meanwhile, or the shell would turn in circles."""
    told = running("a", "b", "c", flags=with_strategy(REST_FOR_ONE))
    told.exit("c")
    told.exit("c")  # owed an attempt
    told.terminate("a")

    assert told.policy.next_deadline() == 5.0  # of the child that was asked to leave
    assert [] == told.time(0.0)
    assert [] == told.exit("a", LEFT)
    assert told.policy.next_deadline() == 0.0
    assert [Start("c")] == told.time(0.0)


# Intensity


def test_one_restart_too_many_ends_the_supervisor() -> None:
    """Two are tolerated, the third is not; the others are ended in reverse."""
    told = running("a", "b", "c", flags=SupervisorFlags(max_restarts=2))
    for _ in range(2):
        told.exit("b")
        told.ready("b")

    assert [Shutdown("c")] == told.exit("b")
    assert {"a": "running", "b": "stopped", "c": "stopping"} == told.states()
    assert [Shutdown("a")] == told.exit("c", LEFT)
    assert [Finished(CRASH, Cause.REACHED_MAX_RESTART_INTENSITY, "b")] == told.exit("a", LEFT)
    assert ("shutdown", "b", "exit(1)") == told.errors()[-1]


def test_attempts_that_fail_count_each() -> None:
    """A child that cannot start any more ends the supervisor soon."""
    told = running("a", flags=SupervisorFlags(max_restarts=2))
    told.exit("a")
    told.exit("a")
    told.time(0.0)
    told.exit("a")

    assert [Finished(CRASH, Cause.REACHED_MAX_RESTART_INTENSITY, "a")] == told.time(0.0)


def test_one_incident_counts_once_whatever_the_strategy() -> None:
    """Three children are restarted, one restart is counted."""
    told = running("a", "b", "c", flags=with_strategy(ONE_FOR_ALL, max_restarts=1))
    told.exit("a")
    told.exit("c", LEFT)
    told.exit("b", LEFT)
    for child_id in "abc":
        told.ready(child_id)

    assert PolicyState.RUNNING is told.policy.state
    assert (1, 1) == (told.policy.statistics().restarts, told.policy.statistics().recent_restarts)


@pytest.mark.parametrize(
    ("at", "state"), [(5.0, PolicyState.FINISHED), (5.001, PolicyState.RUNNING)], ids=str
)
def test_old_restarts_are_forgotten(at: float, state: PolicyState) -> None:
    """Those older than the window; one exactly that old is not."""
    told = running("a", flags=SupervisorFlags(max_restarts=1, max_seconds=5.0))
    told.exit("a")
    told.ready("a")
    told.now = at
    told.exit("a")

    assert state is told.policy.state


def test_other_flags_are_used_at_the_next_restart() -> None:
    """More are tolerated from then on; flags that do not suit the children are refused."""
    told = running(
        ChildSpec("a", Restart.TRANSIENT, significant=True),
        flags=SupervisorFlags(max_restarts=0, auto_shutdown=AutoShutdown.ANY_SIGNIFICANT),
    )
    told.policy.change_flags(replace(told.policy.flags, max_restarts=1))

    assert [Start("a")] == told.exit("a")
    with pytest.raises(SupervisionError, match="auto_shutdown is never"):
        told.policy.change_flags(SupervisorFlags())


# What the shell may get wrong


@pytest.mark.parametrize(
    "mistake",
    [
        lambda told: told.ready("x"),
        lambda told: told.exit("x"),
        lambda told: told.ignore("x"),
        lambda told: told.ready("a"),
        lambda told: told.ignore("a"),
    ],
)
def test_an_event_that_cannot_be_is_refused(mistake: Callable[[Told], object]) -> None:
    """A stranger, or a child that is running already; nothing is changed."""
    told = running("a")

    with pytest.raises(SupervisionError):
        mistake(told)
    assert {"a": "running"} == told.states()


def test_an_exit_that_is_told_twice_is_refused() -> None:
    """Whether the supervisor has looked at the first or not."""
    told = running("a", "b", flags=with_strategy(REST_FOR_ONE))
    told.exit("b")
    told.exit("a")

    with pytest.raises(SupervisionError, match="child 'a' is fallen and cannot defer"):
        told.exit("a")


# What can be seen


def test_what_is_known_about_children() -> None:
    """In start order, with pid and time once they are ready."""
    told = Told("a", "b")
    told.boot()
    told.now = 3.0
    told.ready("a", pid=11)
    a, b = told.policy.which_children()
    count = told.policy.count_children()

    assert (ChildState.RUNNING, 11, 3.0) == (a.state, a.pid, a.started_at)
    assert (ChildState.STARTING, None, None) == (b.state, b.pid, b.started_at)
    assert (2, 2, 0, 2) == (count.specs, count.active, count.supervisors, count.workers)
    assert ChildSpec("a") == told.policy.get_childspec("a")


def test_a_ready_child_has_made_progress() -> None:
    """The report carries the pid."""
    policy = Policy(PLENTY, [ChildSpec("a")])
    policy.boot(0.0)

    assert [Report(ReportKind.PROGRESS, "a", None, {"pid": 5})] == policy.on_started("a", 5, 0.0)


def test_ignore_after_our_request_to_leave_is_an_end_like_any_other() -> None:
    """A permanent child should have ended with `shutdown`."""
    told = Told("a")
    told.boot()
    told.stop()

    assert [Finished(LEFT, Cause.STOPPED)] == told.ignore("a")
    assert [("shutdown_error", "a", "normal")] == told.errors()
