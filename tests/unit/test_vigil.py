"""Heartbeats and what their age means, step by step."""

from __future__ import annotations

import pytest

from rocket_sup.vigil import GRACE_S, Pulse, Verdict, Vigil

SUSPECT_S, HANG_S = 1.0, 30.0
STAGES = [
    (0.0, Pulse.FRESH),
    (SUSPECT_S - 0.001, Pulse.FRESH),
    (SUSPECT_S, Pulse.SUSPECT),
    (HANG_S - 0.001, Pulse.SUSPECT),
    (HANG_S, Pulse.DUMPED),
    (HANG_S + GRACE_S - 0.001, Pulse.DUMPED),
    (HANG_S + GRACE_S, Pulse.ASKED),
    (HANG_S + 2 * GRACE_S, Pulse.KILLED),
    (1e9, Pulse.KILLED),
]


@pytest.fixture
def vigil() -> Vigil:
    """A vigil with the default deadlines."""
    return Vigil(suspect_s=SUSPECT_S, hang_s=HANG_S)


@pytest.mark.parametrize(("age_s", "expected"), STAGES)
def test_every_age_has_its_stage(vigil: Vigil, age_s: float, expected: Pulse) -> None:
    """Looked at long enough, an age leads to its stage, at the exact limits too."""
    for _ in Pulse:
        vigil.check({"a": age_s})

    assert expected is vigil.pulse("a")
    assert [] == vigil.check({"a": age_s})


@pytest.mark.parametrize(("age_s", "stage"), STAGES)
def test_no_step_is_left_out_on_the_way_down(vigil: Vigil, age_s: float, stage: Pulse) -> None:
    """However late we look, a pulse gets worse by one stage a call: stacks are dumped before a kill."""
    verdicts = [verdict for _ in range(6) for verdict in vigil.check({"a": age_s})]

    assert [Verdict("a", Pulse(n), Pulse(n + 1), age_s) for n in range(stage)] == verdicts


@pytest.mark.parametrize("stage", [Pulse.SUSPECT, Pulse.DUMPED, Pulse.ASKED, Pulse.KILLED])
def test_whoever_recovers_is_spared_at_once(vigil: Vigil, stage: Pulse) -> None:
    """One fresh heartbeat takes everything back."""
    for _ in range(stage):
        vigil.check({"a": 1e9})

    assert [Verdict("a", stage, Pulse.FRESH, 0.1)] == vigil.check({"a": 0.1})
    assert Pulse.FRESH is vigil.pulse("a")


def test_each_has_a_pulse_of_its_own(vigil: Vigil) -> None:
    """Only those whose pulse changed are told of."""
    vigil.check({"a": 2.0, "b": 0.0})

    assert [Verdict("b", Pulse.FRESH, Pulse.SUSPECT, 1.5)] == vigil.check({"a": 3.0, "b": 1.5})
    assert Pulse.FRESH is vigil.pulse("never seen")


def test_who_is_left_out_is_forgotten(vigil: Vigil) -> None:
    """A process that is gone leaves no pulse for its successor of the same name, however it is told."""
    vigil.check({"a": 2.0, "b": 2.0})
    vigil.check({"b": 2.0})
    vigil.forget("b")
    vigil.forget("never seen")

    assert (Pulse.FRESH, Pulse.FRESH) == (vigil.pulse("a"), vigil.pulse("b"))


def test_without_a_hang_deadline_nobody_is_replaced() -> None:
    """`hang = 0` leaves it at taking new connections away."""
    vigil = Vigil(suspect_s=1.0, hang_s=0.0)
    for _ in range(5):
        vigil.check({"a": 1e9})

    assert Pulse.SUSPECT is vigil.pulse("a")


def test_deadlines_can_be_changed(vigil: Vigil) -> None:
    """A reload's deadlines count from the next look."""
    vigil.check({"a": 2.0})
    vigil.change_deadlines(suspect_s=3.0, hang_s=0.0)

    assert [Verdict("a", Pulse.SUSPECT, Pulse.FRESH, 2.0)] == vigil.check({"a": 2.0})
