"""What the ticker's table says of lateness."""

from __future__ import annotations

from benchmarks.ticker import HEAD, Lateness


def test_the_latest_tick_is_shown_and_those_over_the_promise_are_counted() -> None:
    """Ten milliseconds are within it."""
    late = Lateness([0.1] * 989 + [4.0] * 9 + [10.0, 25.0], 3.4)

    assert (late.at(0.5), late.at(0.99), late.at(0.999), late.at(1.0)) == (0.1, 4.0, 25.0, 25.0)
    assert late.over == 1
    assert late.row("x") == "| x | 1000 | 0.10 | 4.00 | 25.00 | 25.00 | 1 | 3 |"


def test_a_loop_that_was_never_free_has_a_row_too() -> None:
    """No tick at all is no promise kept, and no error either."""
    row = Lateness([], 12.0).row("x")

    assert row.startswith("| x | 0 | - |")
    assert row.count("|") == HEAD.count("|")
