"""Who is compared: answers read by hand, and who takes part in what."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from benchmarks.answers import Reader, UnusableError, request
from benchmarks.peers import SERVERS
from benchmarks.workloads import WORKLOADS

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A server's end and ours."""
    theirs, ours = socket.socketpair()
    with theirs, ours:
        ours.settimeout(5)
        yield theirs, ours


Ends = tuple[socket.socket, socket.socket]


def test_the_length_of_an_answer(ends: Ends) -> None:
    """Head and content; what comes after belongs to the next."""
    ends[0].sendall(OK + b"HTTP/1.1 ")

    assert Reader(ends[1], WORKLOADS["health"]).expect() == len(OK)


def test_a_pipeline_is_answered_in_full(ends: Ends) -> None:
    """As many answers as requests, however they are cut; one less is none."""
    depth = WORKLOADS["pipelined"].depth
    ends[0].sendall(OK * depth)

    assert Reader(ends[1], WORKLOADS["pipelined"]).expect() == len(OK)

    ends[0].sendall(OK * (depth - 1))
    ends[0].shutdown(socket.SHUT_WR)
    with pytest.raises(UnusableError, match="ended early"):
        Reader(ends[1], WORKLOADS["pipelined"]).expect()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (OK.replace(b"200", b"404"), "unexpected answer"),
        (OK.replace(b"content-length", b"x"), "unexpected answer"),
        (OK.replace(b"ok", b"no"), "unexpected content"),
        (OK[:-1], "ended early"),
        (b"", "ended early"),
    ],
)
def test_whoever_answers_otherwise_is_not_compared(ends: Ends, answer: bytes, reason: str) -> None:
    """Wrong status, no length, wrong content, too little."""
    ends[0].sendall(answer)
    ends[0].shutdown(socket.SHUT_WR)

    with pytest.raises(UnusableError, match=reason):
        Reader(ends[1], WORKLOADS["health"]).expect()


def test_whoever_closes_says_so_and_does_so(ends: Ends) -> None:
    """wrk connects again only when it was told; silence after the answer is not an end."""
    ends[0].sendall(OK)
    with pytest.raises(UnusableError, match="does not say"):
        Reader(ends[1], WORKLOADS["short"]).expect()

    ends[0].sendall(CLOSING + b"x")
    with pytest.raises(UnusableError, match="does not end"):
        Reader(ends[1], WORKLOADS["short"]).expect()

    ends[0].sendall(CLOSING)
    ends[0].shutdown(socket.SHUT_WR)
    assert Reader(ends[1], WORKLOADS["short"]).expect() == len(CLOSING)


def test_silence_is_an_answer_too(ends: Ends) -> None:
    """A server that never answers is left out, not waited for."""
    ends[1].settimeout(0.01)

    with pytest.raises(UnusableError, match="silence"):
        Reader(ends[1], WORKLOADS["health"]).expect()


def test_a_browser_sends_nine_fields() -> None:
    """Host among them, and nothing after the blank line."""
    head = request(WORKLOADS["browser"])

    assert head.startswith(b"GET /api/users/42 HTTP/1.1\r\n")
    assert head.count(b": ") == 9
    assert head.endswith(b"\r\n\r\n")
    assert request(WORKLOADS["post"]).endswith(b"\r\n\r\n" + b"x" * 1024)


def test_peers_are_measured_once_and_rocket_with_each_number() -> None:
    """Unless the command line names the numbers; latency is always of one connection."""
    health, latency = WORKLOADS["health"], WORKLOADS["latency"]

    assert SERVERS["uvicorn"].counts(health, None) == (64,)
    assert SERVERS["rocket-epoll"].counts(health, None) == (64, 16, 256)
    assert SERVERS["uvicorn"].counts(health, (1, 16)) == (1, 16)
    assert SERVERS["floor"].counts(latency, (16,)) == (1,)


def test_exceptions_name_workloads_that_exist() -> None:
    """A misspelt one would let a server into what it cannot do."""
    assert set() == {name for server in SERVERS.values() for name in server.without} - set(WORKLOADS)
