"""The table of phases: every cell of it."""

from __future__ import annotations

import pytest

from rocket_sup.phases import CLOSED, CONTENT, FRESH, HANDLER, HEAD, IDLE, LENT, LINGER, PHASES, Phase


@pytest.mark.parametrize("phase", list(Phase))
def test_the_table_knows_every_phase(phase: Phase) -> None:
    """Every phase may end; from the end nothing follows."""
    assert PHASES[phase] <= set(Phase)
    assert (CLOSED in PHASES[phase]) == (phase is not CLOSED)


def test_nothing_is_served_after_the_last_answer() -> None:
    """Lingering only ends."""
    assert PHASES[LINGER] == {CLOSED}


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not FRESH])
def test_a_connection_is_new_only_once(phase: Phase) -> None:
    """No phase leads back to the first."""
    assert FRESH not in PHASES[phase]


def test_what_waits_goes_back_to_waiting_for_requests() -> None:
    """Content and handlers end in the same state of the parser."""
    for phase in (CONTENT, HANDLER, LENT, HEAD):
        assert IDLE in PHASES[phase]


def test_the_short_names_are_the_phases() -> None:
    """They exist for their speed alone."""
    assert [FRESH, IDLE, HEAD, CONTENT, HANDLER, LENT, LINGER, CLOSED] == list(Phase)
