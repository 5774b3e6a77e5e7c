"""The numbers of a bulk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.client.bulkreport import Durations, Report
from rocket_sup.client.errors import ReadError, ResourcesExhausted
from rocket_sup.client.messages import Response


@given(st.lists(st.floats(2e-6, 100), min_size=1), st.floats(1, 100))
def test_percentiles_are_right_to_within_a_tenth(values: list[float], percent: float) -> None:
    """Whatever was measured."""
    durations = Durations()
    for value in values:
        durations.add(value)
    exact = sorted(values)[max(0, -(-len(values) * percent // 100).__int__() - 1)]

    found = durations.percentile(percent)

    assert exact * 0.999 <= found <= exact * 1.101
    assert max(values) == durations.longest_s


def test_nothing_was_measured() -> None:
    """No division by nothing."""
    assert 0.0 == Durations().percentile(50)
    assert 0.0 == Report().rate
    assert "0 requests" in str(Report())


def test_what_is_counted() -> None:
    """Statuses, failures by cause, bytes; in one line while it runs, in a few afterwards."""
    report = Report()
    report.add(Response(200, content=b"abc"), 0.010)
    report.add(Response(404), 0.020)
    report.add(ReadError("gone"), 5.0)
    report.add(ResourcesExhausted("none left", cause_name="EMFILE"), 5.0)
    report.elapsed_s = 2.0
    report.slowed = 3

    assert (4, 2, 3, 2.0) == (report.done, report.failed, report.bytes, report.rate)
    assert {200: 1, 404: 1} == dict(report.statuses)
    assert {"ReadError": 1, "ResourcesExhausted (EMFILE)": 1} == dict(report.failures)
    assert "4 done  2 failed  2/s" in report.line()
    assert 0.020 == pytest.approx(report.durations.percentile(100), rel=0.1)
    for part in ("4 requests in 2.0 s", "p50", "404", "ReadError", "slowed down 3 times"):
        assert part in str(report)
