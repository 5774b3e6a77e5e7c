"""Timeouts and limits."""

from __future__ import annotations

import pytest

from rocket_sup.client.settings import DEFAULT_TIMEOUT, Limits, Timeout


def test_what_a_caller_may_write() -> None:
    """One number is for every phase, None is for ever; a Timeout is itself."""
    each = Timeout.of(3)

    assert (3, 3, 3, 3, None) == (each.connect, each.read, each.write, each.pool, each.total)
    assert Timeout(connect=None, read=None, write=None, pool=None) == Timeout.of(None)
    assert DEFAULT_TIMEOUT is Timeout.of(DEFAULT_TIMEOUT)


def test_nothing_below_zero() -> None:
    """A timeout of nothing and a pool of nothing are mistakes."""
    with pytest.raises(ValueError, match="timeout read is 0"):
        Timeout(read=0)
    with pytest.raises(ValueError, match="max_per_origin is 0"):
        Limits(max_per_origin=0)
