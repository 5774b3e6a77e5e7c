"""What the end of a child means, rule by rule as supervisor.erl has them."""

from __future__ import annotations

import pytest

from rocket_sup.child import Child, Purpose
from rocket_sup.lifecycle import ChildEvent
from rocket_sup.spec import (
    BRUTAL_KILL,
    AutoShutdown,
    ChildSpec,
    ExitKind,
    ExitReason,
    Restart,
    Shutdown,
    SupervisorFlags,
)
from rocket_sup.verdict import Intensity, ends_supervisor, is_expected, is_reported, is_restarted

NORMAL, SHUTDOWN = ExitReason(ExitKind.NORMAL), ExitReason(ExitKind.SHUTDOWN)
CRASH, KILLED = ExitReason(ExitKind.EXIT, code=1), ExitReason(ExitKind.KILLED, signal="SIGKILL")
OTHERS = [ExitReason(kind) for kind in ExitKind if kind not in (ExitKind.NORMAL, ExitKind.SHUTDOWN)]


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, *OTHERS], ids=str)
def test_who_comes_back(reason: ExitReason) -> None:
    """Permanent always, transient unless it ended cleanly, temporary never."""
    back = {restart for restart in Restart if is_restarted(ChildSpec("a", restart), reason)}

    assert {Restart.PERMANENT} | (set() if reason.is_clean else {Restart.TRANSIENT}) == back


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, *OTHERS], ids=str)
def test_what_is_reported(reason: ExitReason) -> None:
    """Every unclean end, and any end of a permanent child."""
    reported = {restart for restart in Restart if is_reported(ChildSpec("a", restart), reason)}

    assert ({Restart.PERMANENT} if reason.is_clean else set(Restart)) == reported


@pytest.mark.parametrize(
    ("shutdown", "restart", "expected"),
    [
        (5.0, Restart.PERMANENT, {SHUTDOWN}),
        (5.0, Restart.TRANSIENT, {SHUTDOWN, NORMAL}),
        (5.0, Restart.TEMPORARY, {SHUTDOWN, NORMAL}),
        (BRUTAL_KILL, Restart.PERMANENT, {KILLED}),
        (BRUTAL_KILL, Restart.TRANSIENT, {KILLED, SHUTDOWN, NORMAL}),
        (BRUTAL_KILL, Restart.TEMPORARY, {KILLED, SHUTDOWN, NORMAL}),
    ],
)
def test_how_a_child_that_was_told_to_go_should_go(
    shutdown: Shutdown, restart: Restart, expected: set[ExitReason]
) -> None:
    """A permanent child must not end by itself at that moment; another signal is not our kill."""
    segfault = ExitReason(ExitKind.KILLED, signal="SIGSEGV")
    spec = ChildSpec("a", restart, shutdown)

    found = {reason for reason in (NORMAL, SHUTDOWN, CRASH, KILLED, segfault) if is_expected(spec, reason)}
    assert expected == found


def child(child_id: str, *events: ChildEvent, significant: bool = True) -> Child:
    """A transient child to which these things happened."""
    made = Child(ChildSpec(child_id, Restart.TRANSIENT, significant=significant))
    for event in events:
        if event is ChildEvent.START:
            made.begin(Purpose.BOOT, 0.0)
        else:
            made.enter(event)
    return made


@pytest.mark.parametrize(
    ("auto_shutdown", "others", "ends"),
    [
        (AutoShutdown.NEVER, [], False),
        (AutoShutdown.ANY_SIGNIFICANT, [ChildEvent.START, ChildEvent.READY], True),
        (AutoShutdown.ALL_SIGNIFICANT, [ChildEvent.START, ChildEvent.READY], False),
        (AutoShutdown.ALL_SIGNIFICANT, [ChildEvent.START], False),
        (AutoShutdown.ALL_SIGNIFICANT, [ChildEvent.START, ChildEvent.FALL], False),
        (AutoShutdown.ALL_SIGNIFICANT, [ChildEvent.START, ChildEvent.ASK], True),
        (AutoShutdown.ALL_SIGNIFICANT, [ChildEvent.START, ChildEvent.KILL], True),
        (AutoShutdown.ALL_SIGNIFICANT, [], True),
    ],
)
def test_when_the_supervisor_ends_too(
    auto_shutdown: AutoShutdown, others: list[ChildEvent], ends: bool
) -> None:
    """With any significant child, or with the last; one that is owed an attempt is not gone."""
    ended = child("a")
    insignificant = child("c", ChildEvent.START, significant=False)
    flags = SupervisorFlags(auto_shutdown=auto_shutdown)

    assert ends is ends_supervisor(flags, ended, [ended, child("b", *others), insignificant])


def test_an_insignificant_child_ends_nobody_else() -> None:
    """Whatever the flag says."""
    ended = child("a", significant=False)

    assert not ends_supervisor(SupervisorFlags(auto_shutdown=AutoShutdown.ANY_SIGNIFICANT), ended, [ended])


def test_restarts_are_tolerated_up_to_the_number() -> None:
    """Three are, the fourth is one too many."""
    intensity = Intensity()

    assert [False, False, False, True] == [
        intensity.is_exceeded_at(1.0, SupervisorFlags(max_restarts=3)) for _ in range(4)
    ]
    assert (4, 4) == (intensity.total, intensity.recent)


def test_none_is_tolerated_when_the_number_is_zero() -> None:
    """The first is one too many."""
    assert Intensity().is_exceeded_at(0.0, SupervisorFlags(max_restarts=0))


@pytest.mark.parametrize(("second", "too_many"), [(15.0, True), (15.001, False)])
def test_a_restart_counts_for_the_whole_period(second: float, too_many: bool) -> None:
    """One exactly max_seconds old still counts, as in OTP; an older one does not."""
    flags = SupervisorFlags(max_restarts=1, max_seconds=5.0)
    intensity = Intensity()
    intensity.is_exceeded_at(10.0, flags)

    assert too_many is intensity.is_exceeded_at(second, flags)
