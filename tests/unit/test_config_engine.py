"""The tuning of engines: defaults that hold together."""

from __future__ import annotations

from rocket_sup.config import LimitsConfig
from rocket_sup.config_engine import IoUringConfig
from rocket_sup.options import MIB


def test_buffers_are_a_small_part_of_an_acceptor() -> None:
    """All of them together; and a usual request's line with its headers fits in one."""
    defaults = IoUringConfig()

    assert defaults.buffers * defaults.buffer_size <= 2 * MIB
    assert LimitsConfig().request_line <= defaults.buffer_size


def test_the_ring_takes_a_whole_batch() -> None:
    """Each completion may ask for a submission; were there less room, a batch would cost system calls."""
    defaults = IoUringConfig()

    assert defaults.batch <= defaults.entries
