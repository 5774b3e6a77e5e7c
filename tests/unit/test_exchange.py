"""From a request to its answer: each kind of handler, and each way in which it may fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.wirebench import FIELDS, PIECES, Bench


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A bench with default limits."""
    bench = Bench()
    yield bench
    bench.close()


def answer(bench: Bench, line: bytes) -> bytes:
    """Ask on a new connection."""
    return bench.answers([line + b" HTTP/1.1" + FIELDS + b"\r\n"], ends=False, turns=False)


def test_a_plain_handler_answers_before_data_received_returns(bench: Bench) -> None:
    """No turn of the loop is needed, and nothing is left to run."""
    connection, transport = bench.connect()
    connection.data_received(PIECES[0])

    assert transport.written.endswith(b"\r\n\r\nok")
    assert bench.service.statistics.in_flight == 0


def test_a_coroutine_answers_when_it_is_done(bench: Bench) -> None:
    """Until then the request is in flight."""
    connection, transport = bench.connect()
    connection.data_received(PIECES[8])
    assert (transport.written, bench.service.statistics.in_flight) == (b"", 1)
    bench.turn()

    assert transport.written.startswith(b"HTTP/1.1 201 Created")
    assert bench.service.statistics.in_flight == 0


def test_answers_owed_leave_before_a_handler_is_waited_for(bench: Bench) -> None:
    """A slow handler does not hold them up."""
    connection, transport = bench.connect()
    connection.data_received(PIECES[0] + PIECES[8] + PIECES[0])
    assert transport.written.count(b"HTTP/1.1 ") == 1
    bench.turn()

    assert transport.written.count(b"HTTP/1.1 ") == 3


@pytest.mark.parametrize(
    ("line", "start"),
    [
        (b"GET /fail", b"HTTP/1.1 500 "),
        (b"GET /nowhere", b"HTTP/1.1 404 "),
        (b"PUT /", b"HTTP/1.1 405 "),
        (b"FLY /", b"HTTP/1.1 501 "),
        (b"GET /hidden", b"HTTP/1.1 200 "),
        (b"GET /unsendable", b"HTTP/1.1 500 "),
        (b"GET /surrogate", b"HTTP/1.1 500 "),
        (b"GET /signature", b"HTTP/1.1 500 "),
    ],
)
def test_every_request_is_answered(bench: Bench, line: bytes, start: bytes) -> None:
    """Whatever is wrong with the handler or its result; a coroutine hidden in a plain one is awaited."""
    for _ in range(2):
        assert answer(bench, line).startswith(start)


def test_what_a_connection_said_about_itself_is_true(bench: Bench) -> None:
    """While draining, the last answer says close, and no other."""
    bench = Bench()
    try:
        bench.service.is_draining = True
        connection, transport = bench.connect()
        connection.data_received(PIECES[0] * 3)

        assert transport.written.count(b"Connection: close") == 1
        assert transport.written.rindex(b"HTTP/1.1") < transport.written.index(b"Connection: close")
        assert transport.calls == ["write_eof"]
    finally:
        bench.close()


def test_the_request_in_flight_is_recorded_before_its_handler_runs(bench: Bench) -> None:
    """For the post-mortem, by method and target, also when it is known already."""
    recorded: list[bytes] = []
    bench = Bench()
    try:
        bench.service.record_in_flight = recorded.append
        for _ in range(2):
            bench.answers([PIECES[0]], ends=False, turns=False)
        bench.answers([PIECES[4]], ends=False, turns=False)

        assert recorded == [b"GET /", b"GET /", b"POST /echo"]
    finally:
        bench.close()
