"""The constant-rate driver tells the truth: each kind of failure is named, and stalls are not left out."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from loadtests.constant_rate import Driver, Plan
from loadtests.results import Outcome, Record, Result, Window, percentile, summarise

Answerer = Callable[[socket.socket, int], None]

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Served-By: 7\r\n\r\nok"


def reset(sock: socket.socket) -> None:
    """Close with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@contextlib.contextmanager
def serving(answerer: Answerer) -> Iterator[int]:
    """A server of one thread: accepts, calls `answerer(sock, number of the connection)`."""
    listening = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        number = 0
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            number += 1
            with contextlib.suppress(OSError), sock:
                answerer(sock, number)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def drive(port: int, **changes: float) -> Result:
    """Ten requests in 0.1 s unless told otherwise."""
    settings = {"rate": 100.0, "seconds": 0.1, "timeout_s": 0.15} | changes
    return Driver(Plan(port=port, **settings)).run()  # type: ignore[arg-type]


def answer(sock: socket.socket, _: int) -> None:
    sock.recv(65536)
    sock.sendall(ANSWER)


def reset_before(sock: socket.socket, _: int) -> None:
    sock.recv(65536)
    reset(sock)


def close_before(sock: socket.socket, _: int) -> None:
    sock.recv(65536)


def reset_inside(sock: socket.socket, _: int) -> None:
    sock.recv(65536)
    sock.sendall(ANSWER[:-1])
    time.sleep(0.005)  # let the client read before the reset throws its buffer away
    reset(sock)


def truncate(sock: socket.socket, _: int) -> None:
    sock.recv(65536)
    sock.sendall(ANSWER[:-1])


def be_unavailable(sock: socket.socket, _: int) -> None:
    sock.recv(65536)
    sock.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


def babble(sock: socket.socket, _: int) -> None:
    sock.recv(65536)
    sock.sendall(b"220 mail ready\r\n\r\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answerer", "expected"),
    [
        (answer, Outcome.OK),
        (reset_before, Outcome.RESET_BEFORE_BYTE),
        (close_before, Outcome.CLOSED_BEFORE_BYTE),
        (reset_inside, Outcome.RESET_MID_ANSWER),
        (truncate, Outcome.TRUNCATED),
        (be_unavailable, Outcome.BAD_STATUS),
        (babble, Outcome.BAD_ANSWER),
    ],
)
def test_each_fate_has_its_name(answerer: Answerer, expected: Outcome) -> None:
    """What a socket can do to a request is recorded under its own name."""
    with serving(answerer) as port:
        result = drive(port)

    assert result.outcomes() == {expected: 10}


@pytest.mark.slow
def test_silence_is_a_timeout() -> None:
    """A server that reads and never answers costs each request its timeout."""
    open_sockets: list[socket.socket] = []
    with serving(lambda sock, _: open_sockets.append(sock.dup())) as port:
        result = drive(port)
    for sock in open_sockets:
        sock.close()

    assert result.outcomes() == {Outcome.TIMEOUT: 10}


@pytest.mark.slow
def test_closed_port_is_refused() -> None:
    """No listener: refused, for new and kept connections alike."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    result = drive(port, kept=2, kept_rate=50.0)

    assert result.outcomes() == {Outcome.REFUSED: 20}


@pytest.mark.slow
def test_stall_counts_from_the_intended_start() -> None:
    """A stall of the first connection delays those behind it, and their latency says so."""

    def stall(sock: socket.socket, number: int) -> None:
        if number == 1:
            time.sleep(0.1)
        answer(sock, number)

    with serving(stall) as port:
        result = drive(port, timeout_s=1.0)
    by_start = sorted(result.records, key=lambda record: record.intended)

    assert result.outcomes() == {Outcome.OK: 10}
    assert by_start[0].latency_s >= 0.1
    assert by_start[5].latency_s >= 0.04


@pytest.mark.slow
def test_kept_connection_is_reused_and_reopened() -> None:
    """A kept connection carries many requests; one that the server ended in between is opened again."""

    def two_answers(sock: socket.socket, number: int) -> None:
        answer(sock, number)
        answer(sock, number)

    with serving(two_answers) as port:
        result = drive(port, rate=0.0, kept=1, kept_rate=50.0, seconds=0.2)

    assert result.outcomes() == {Outcome.OK: 10}
    assert [record.reused for record in result.records] == [False, True] * 5
    assert {record.served_by for record in result.records} == {7}
    assert result.reconnects == 4  # the last end comes after the last request: nothing was opened again


def test_percentiles_are_measured_values() -> None:
    """Nearest rank: always one of the values, the largest for 1.0."""
    ordered = [float(number) for number in range(1, 101)]

    assert [percentile(ordered, part) for part in (0.01, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]
    assert summarise([]).p99_ms is None


def test_windows_leave_out_what_they_touch() -> None:
    """A request is inside a window if it was in flight at any moment of it."""

    def record(start: float, end: float) -> Record:
        return Record(start, start, end, Outcome.OK, False, False, 1, 0, 200)

    result = Result({}, 0.0, 5.0, [record(0.0, 0.5), record(0.5, 1.5), record(2.0, 2.25), record(3.0, 3.125)])
    outside = result.latencies(outside=[Window(1.0, 2.0)])

    assert (outside.count, outside.max_ms) == (3, 500.0)
    assert Result.from_document(result.to_document()) == result
