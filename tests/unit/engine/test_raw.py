"""What connections below HTTP may take."""

from __future__ import annotations

import math

import pytest

from rocket_sup.engine.raw import Limits, check_seconds


def test_the_defaults_are_in_range() -> None:
    """Limits without arguments bound everything but the idle time."""
    limits = Limits()

    assert limits.idle_s == 0
    assert min(limits.connections, limits.unread, limits.unsent, limits.close_s) > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"connections": 0},
        {"unread": -1},
        {"unsent": 0},
        {"idle_s": -0.1},
        {"close_s": math.nan},
        {"idle_s": math.inf},
    ],
)
def test_what_is_out_of_range_is_named(wrong: dict[str, float]) -> None:
    """The text has the name, the value and what is allowed."""
    ((name, value),) = wrong.items()

    with pytest.raises(ValueError, match=f"{name} is {value}; it is "):
        Limits(**wrong)


@pytest.mark.parametrize("seconds", [0, 0.5, 31_536_000])
def test_durations(seconds: float) -> None:
    """Nothing to a year, bounds included."""
    check_seconds("x", seconds)
