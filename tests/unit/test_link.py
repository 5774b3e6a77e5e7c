"""The socket side of a connection: clients that read slowly, and ends that lose nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rocket_sup.link import DRAIN_FRESH_S, LINGER_QUIET_S, LINGER_TOTAL_S, after
from tests.unit.wirebench import PIECES, Bench


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A bench with default limits."""
    bench = Bench()
    yield bench
    bench.close()


@pytest.mark.parametrize(
    ("first", "later", "is_cut"), [(100_000, 100_000, True), (99_999, 99_000, True), (10_000, 0, False)]
)
def test_reading_a_little_extends_little(bench: Bench, first: int, later: int, is_cut: bool) -> None:
    """No progress, or less than the floor after the deadline, and the connection is cut."""
    connection, transport = bench.connect()
    connection.data_received(PIECES[0])
    transport.unsent = 100_000
    connection.pause_writing()
    start = connection.deadline
    for moment, unsent in ((start, first), (start + 25.0, later)):
        transport.unsent = unsent
        if not transport.is_closed:
            connection.on_deadline(moment)

    assert transport.is_closed == is_cut


def test_lingering_ends_by_its_deadline(bench: Bench) -> None:
    """Bytes extend it only up to a total."""
    connection, transport = bench.connect()
    connection.data_received(PIECES[11])
    assert transport.calls == ["write_eof"]
    for _ in range(1000):
        connection.data_received(b"x")

    assert connection.deadline <= connection._linger_until
    connection.on_deadline(connection.deadline)
    assert transport.is_closed


def test_nothing_is_written_to_a_transport_that_closes(bench: Bench) -> None:
    """The end of the client may be known to the transport before it is told to us."""
    connection, transport = bench.connect()
    connection.data_received(PIECES[8])
    transport.close()
    bench.turn()

    assert transport.written == b""


def test_bytes_written_while_the_client_does_not_read_count_as_unsent(bench: Bench) -> None:
    """What is added later must not look like progress, nor hide it."""
    connection, transport = bench.connect()
    connection.data_received(PIECES[8])
    transport.unsent = 50_000
    connection.pause_writing()
    bench.turn()  # the coroutine's answer is written on top
    added = len(transport.written)
    transport.unsent = 50_000 + added - 100  # more than before, and yet progress
    connection.on_deadline(connection.deadline)

    assert added > 100
    assert not transport.is_closed
    connection.on_deadline(connection.deadline)
    assert transport.is_closed


def test_an_idle_connection_is_closed_at_once(bench: Bench) -> None:
    """Nothing is owed that the client would have to read first."""
    connection, transport = bench.connect()
    assert connection.is_idle
    assert not connection.is_idle_enough(connection.idle_since)
    assert connection.is_idle_enough(connection.idle_since + 5.0)
    connection.data_received(PIECES[0])
    assert connection.is_idle_enough(connection.idle_since)
    connection.close_idle()

    assert transport.calls == ["close"]
    assert not connection.is_idle


def test_draining_ends_what_is_idle_and_hurries_what_is_fresh(bench: Bench) -> None:
    """What is busy is left to its answer."""
    (fresh, one), (idle, two), (busy, three) = (bench.connect() for _ in range(3))
    idle.data_received(PIECES[0])
    busy.data_received(PIECES[8])
    before = fresh.deadline
    for connection in (fresh, idle, busy):
        connection.drain()

    assert (one.calls, two.calls, three.calls) == ([], ["close"], [])
    assert fresh.deadline < before
    assert fresh.deadline - fresh.idle_since <= DRAIN_FRESH_S + 1.0
    bench.turn()


def test_a_client_that_ended_first_is_closed_without_lingering(bench: Bench) -> None:
    """It has read what it wants, or will from what was sent."""
    connection, transport = bench.connect()
    connection.data_received(PIECES[8])
    assert connection.eof_received()
    bench.turn()

    assert transport.written.startswith(b"HTTP/1.1 201 Created")
    assert transport.calls == ["close"]


def test_no_timeout_is_no_deadline() -> None:
    """0 switches one off."""
    assert after(5.0, 0) == float("inf")
    assert after(5.0, 2.5) == 7.5
    assert LINGER_QUIET_S < LINGER_TOTAL_S
