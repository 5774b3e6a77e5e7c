"""The connection as a machine: any way of cutting the bytes gives the same answers, in permitted steps.

The wire itself is tested in tests/conformance.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rocket_sup.connection import OWED_BYTES, READ_AHEAD
from tests.unit.wirebench import PIECES, Bench, Transport, Watched


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A bench with default limits."""
    bench = Bench()
    yield bench
    bench.close()


sessions = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map(b"".join)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(sessions, st.lists(st.integers(0, 600), max_size=8), st.booleans(), st.booleans())
@example(b"".join(PIECES[:11]), list(range(600)), True, True)
@example(b"".join(PIECES[:11]), list(range(600)), True, False)
def test_any_way_of_cutting_the_bytes_gives_the_same_answers(
    bench: Bench, session: bytes, cuts: list[int], ends: bool, turns: bool
) -> None:
    """Plain, suspended and failing handlers, content in both framings, refusals, the client's end."""
    positions = [0, *sorted({min(cut, len(session)) for cut in cuts} | {len(session)})]
    pieces = [session[a:b] for a, b in pairwise(positions) if a < b]
    whole = bench.answers([session], ends=ends, turns=False)

    assert bench.answers(pieces, ends=ends, turns=turns) == whole


@pytest.mark.parametrize("cut", range(1, 60))
def test_the_second_time_is_as_the_first(bench: Bench, cut: int) -> None:
    """What is remembered of a request gives the same answer as reading it."""
    for piece in PIECES[:11]:
        first = bench.answers(
            [piece[:cut], piece[cut:]] if cut < len(piece) else [piece], ends=False, turns=False
        )
        for _ in range(3):
            assert bench.answers([piece], ends=False, turns=False) == first


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES[:11]), min_size=1, max_size=8), st.integers(1, 3))
def test_the_size_of_a_batch_changes_nothing(session: list[bytes], pipeline: int) -> None:
    """Answers leave in smaller or larger batches, and are the same."""
    small, large = Bench(pipeline=pipeline), Bench()
    try:
        data = b"".join(session)

        assert small.answers([data], ends=True, turns=False) == large.answers([data], ends=True, turns=False)
    finally:
        small.close()
        large.close()


def blocked(bench: Bench, data: bytes) -> tuple[Watched, Transport]:
    """A connection whose client has asked and does not read."""
    connection, transport = bench.connect()
    connection.data_received(data)
    transport.unsent = len(transport.written)
    connection.pause_writing()
    return connection, transport


def test_a_client_that_does_not_read_is_not_read(bench: Bench) -> None:
    """What still arrives is held, and served when it has read."""
    connection, transport = blocked(bench, PIECES[0])
    before = transport.written
    assert transport.calls == ["pause_reading"]
    connection.data_received(PIECES[0])
    bench.turn()

    assert transport.written == before
    transport.unsent = 0
    connection.resume_writing()
    bench.turn()
    assert transport.written == before * 2
    assert transport.calls == []


def test_what_a_client_still_sends_does_not_shorten_its_time_to_read(bench: Bench) -> None:
    """The last answer is unread: it has as long as for any other answer."""
    connection, _ = blocked(bench, PIECES[0] + b"nonsense\r\n\r\n")
    deadline = connection.deadline
    connection.data_received(b"more nonsense")

    assert deadline == connection.deadline


@pytest.mark.parametrize("held", [0, READ_AHEAD])
def test_a_client_that_has_read_is_read_while_its_handler_waits(bench: Bench, held: int) -> None:
    """Unless enough of it is held."""
    connection, transport = blocked(bench, PIECES[8])
    connection.data_received(b"x" * held)
    transport.unsent = 0
    connection.resume_writing()

    assert transport.calls == (["pause_reading"] if held else [])
    connection.abort()
    bench.turn()


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"", b""),
        (PIECES[0], b""),
        (b"\r\n", b""),
        (b"GET", b"408"),
        (PIECES[4][:-1], b"408"),
        (PIECES[8], b"503"),
    ],
)
def test_what_a_deadline_does_in_each_phase(bench: Bench, data: bytes, answer: bytes) -> None:
    """Silence is closed, a head or content begun is 408, a handler 503."""
    connection, transport = bench.connect()
    if data:
        connection.data_received(data)
    transport.written = b""
    connection.on_deadline(connection.deadline)

    assert (answer in transport.written) if answer else transport.written == b""
    assert transport.calls == (["write_eof"] if answer else ["close"])
    bench.turn()


def test_the_sessions_take_most_of_the_steps(bench: Bench) -> None:
    """The table of phases would prove little if the sessions above stayed in a corner of it."""
    test_any_way_of_cutting_the_bytes_gives_the_same_answers(bench)

    assert len(Watched.steps) >= 12


def test_what_is_held_is_bounded_within_reason() -> None:
    """A single read of uvloop brings 256 KiB; what is held beyond that is bounded by these."""
    assert READ_AHEAD <= 262_144
    assert OWED_BYTES <= 262_144


def test_a_batch_is_written_when_it_is_large(bench: Bench) -> None:
    """Answers of 40 KB leave two by two, however many requests came together."""
    connection, transport = bench.connect()
    request = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n" + b"x" * 40_000
    connection.data_received(request * 6)

    assert transport.written.count(b"HTTP/1.1 200 OK") == 2
    bench.turn()
    assert transport.written.count(b"HTTP/1.1 200 OK") == 6
