"""Child specifications, flags and exit reasons: defaults, how they print, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from rocket_sup.errors import SupervisionError
from rocket_sup.spec import (
    BRUTAL_KILL,
    INFINITY,
    AutoShutdown,
    Backoff,
    ChildSpec,
    ExitKind,
    ExitReason,
    Restart,
    Strategy,
    SupervisorFlags,
    check_childspecs,
)

GOOD = ChildSpec("a")
FLAGS = SupervisorFlags()


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (ExitReason(ExitKind.NORMAL), "normal"),
        (ExitReason(ExitKind.SHUTDOWN), "shutdown"),
        (ExitReason(ExitKind.EXIT, code=3), "exit(3)"),
        (ExitReason(ExitKind.KILLED, signal="SIGSEGV"), "killed(SIGSEGV)"),
        (ExitReason(ExitKind.OOM), "oom"),
        (ExitReason(ExitKind.BOOT_FAILED, detail="Traceback"), "boot_failed"),
        (ExitReason(ExitKind.BOOT_TIMEOUT), "boot_timeout"),
        (ExitReason(ExitKind.HUNG), "hung"),
    ],
)
def test_an_exit_reason_prints_as_otp_would_write_it(reason: ExitReason, text: str) -> None:
    """Logs and statuses show the kind, with code or signal in parentheses."""
    assert text == str(reason)


def test_only_normal_and_shutdown_are_clean() -> None:
    """A transient child comes back after anything else."""
    clean = {kind for kind in ExitKind if ExitReason(kind).is_clean}

    assert {ExitKind.NORMAL, ExitKind.SHUTDOWN} == clean


def test_defaults_are_those_of_otp_and_elixir() -> None:
    """A permanent worker with five seconds to leave in; three restarts in five seconds; one for one."""
    assert (Restart.PERMANENT, 5.0, False, None, None) == (
        GOOD.restart,
        GOOD.shutdown,
        GOOD.significant,
        GOOD.boot_deadline_s,
        GOOD.backoff,
    )
    assert SupervisorFlags(Strategy.ONE_FOR_ONE, 3, 5.0, AutoShutdown.NEVER) == FLAGS


@pytest.mark.parametrize("shutdown", [0.0, 5.0, INFINITY, BRUTAL_KILL])
def test_every_kind_of_shutdown_is_allowed(shutdown: float) -> None:
    """Seconds from 0, infinity and brutal_kill."""
    check_childspecs(FLAGS, [replace(GOOD, shutdown=shutdown)])


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (replace(FLAGS, max_restarts=-1), "max_restarts is -1"),
        (replace(FLAGS, max_seconds=0.0), "max_seconds is 0.0"),
        (replace(FLAGS, max_seconds=math.nan), "max_seconds is nan"),
    ],
)
def test_bad_flags_are_refused(flags: SupervisorFlags, found: str) -> None:
    """The text says what was found."""
    with pytest.raises(SupervisionError, match=found):
        check_childspecs(flags, [])


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (replace(GOOD, id=""), "the id is empty"),
        (replace(GOOD, shutdown=-1.0), "shutdown is -1.0"),
        (replace(GOOD, shutdown=math.nan), "shutdown is nan"),
        (replace(GOOD, significant=True), "significant, but permanent"),
        (
            replace(GOOD, significant=True, restart=Restart.TRANSIENT),
            "significant, but auto_shutdown is never",
        ),
        (replace(GOOD, boot_deadline_s=0.0), "boot_deadline_s is 0.0"),
        (replace(GOOD, backoff=Backoff(initial_s=0.0)), "backoff from 0.0"),
        (replace(GOOD, backoff=Backoff(initial_s=2.0, max_s=1.0)), "backoff from 2.0 to 1.0"),
        (replace(GOOD, backoff=Backoff(max_s=math.inf)), "backoff max_s is inf"),
        (replace(GOOD, backoff=Backoff(factor=0.5)), "backoff factor is 0.5"),
        (replace(GOOD, backoff=Backoff(jitter=1.5)), "backoff jitter is 1.5"),
        (replace(GOOD, backoff=Backoff(reset_after_s=-1.0)), "backoff reset_after_s is -1.0"),
    ],
)
def test_a_bad_specification_is_refused(spec: ChildSpec, found: str) -> None:
    """The text names the child and what was found."""
    with pytest.raises(SupervisionError, match=f"child '{spec.id}': {found}"):
        check_childspecs(FLAGS, [spec])


def test_significant_is_allowed_where_it_means_something() -> None:
    """A transient child of a supervisor with auto_shutdown may be significant."""
    flags = replace(FLAGS, auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)

    check_childspecs(flags, [replace(GOOD, significant=True, restart=Restart.TRANSIENT)])


def test_all_problems_are_named_at_once() -> None:
    """Flags, duplicates and every specification: one line each."""
    with pytest.raises(SupervisionError) as caught:
        check_childspecs(
            replace(FLAGS, max_restarts=-1), [GOOD, replace(GOOD, shutdown=-1.0), replace(GOOD, id="")]
        )

    lines = str(caught.value).splitlines()
    assert 4 == len(lines)
    assert "child 'a': the id is used twice" in lines


@pytest.mark.parametrize(("chance", "delay_s"), [(0.0, 8.0), (0.5, 10.0), (1.0, 12.0)])
def test_jitter_spreads_a_delay_evenly_around_itself(chance: float, delay_s: float) -> None:
    """A jitter of 0.2 gives four fifths to six fifths."""
    assert delay_s == pytest.approx(Backoff(jitter=0.2).spread(10.0, chance))


def test_no_delay_is_longer_than_the_longest() -> None:
    """Jitter does not push a delay over max_s."""
    assert Backoff(max_s=60.0).spread(60.0, 1.0) == 60.0
