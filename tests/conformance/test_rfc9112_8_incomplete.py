"""RFC 9112 §8: a message that was cut short is no message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from rocket_sup.request import Request
from rocket_sup.router import Router
from tests.conformance.server import Server, chunked, get, post

CUT_SHORT = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r",
    b"GET",
    post("/take", b"abcdef")[:-1],
    post("/take", b"abcdef")[:-6],
    chunked("/take", b"3\r\nabc\r\n0\r\n\r"),
    chunked("/take", b"3\r\nabc\r\n0\r\n"),
    chunked("/take", b"3\r\nabc\r\n"),
    chunked("/take", b"3\r\nab"),
    chunked("/take", b"3"),
    chunked("/take", b""),
]


@pytest.mark.parametrize("farewell", ["half-close", "close"])
@pytest.mark.parametrize("sent", CUT_SHORT)
def test_8_a_request_cut_short_never_reaches_a_handler(
    serve: Callable[..., Server], sent: bytes, farewell: str
) -> None:
    """Whatever the client meant, it did not say it whole; if it can still read, it gets 400."""
    app = Router()
    taken: list[bytes] = []

    @app.post("/take")
    @app.get("/")
    def take(req: Request) -> str:
        taken.append(req.body)
        return "taken"

    server = serve(app)
    client = server.connect()
    client.send(sent)
    server.wait_until(lambda: server.wire.statistics.bytes_received == len(sent))
    if farewell == "close":
        client.close()
    else:
        answer = client.end().read()
        assert (answer.status, answer.get("connection")) == (400, "close")
        client.expect_end()
    server.wait_until(lambda: not server.wire.connection_count())

    assert taken == []


def test_8_what_came_whole_before_is_answered(server: Server) -> None:
    """Answers owed are sent before the refusal."""
    client = server.connect()
    client.send(get() + get("/later") + post("/echo", b"abc")[:-1]).end()

    assert [client.read().status for _ in range(3)] == [200, 200, 400]
    client.expect_end()


def test_8_a_client_that_half_closes_after_its_request_is_answered(server: Server) -> None:
    """`printf ... | nc` does so; also while a handler runs."""
    for target in ("/", "/later", "/thread"):
        client = server.connect()
        answer = client.send(get(target)).end().read()

        assert answer.status == 200
        client.expect_end()


def test_8_all_requests_before_a_half_close_are_answered_and_then_it_is_closed(server: Server) -> None:
    """Also those that had to wait behind a handler; nothing more can come."""
    client = server.connect()
    client.send(get("/later") + get() * 3).end()

    assert [client.read().status for _ in range(4)] == [200] * 4
    client.expect_end()


def test_8_blank_lines_after_the_last_request_are_no_request(serve: Callable[..., Server]) -> None:
    """Whether they are looked at before the client's end or after it (RFC 9112 §2.2)."""
    app = Router()
    gates: list[asyncio.Event] = []

    @app.get("/")
    async def wait(req: Request) -> str:
        gates.append(asyncio.Event())
        await gates[-1].wait()
        return "waited"

    server = serve(app)
    client = server.connect().send(get() + b"\r\n").end()
    server.wait_until(lambda: gates)
    server.call(lambda: None)  # a turn in which the end is seen
    server.call(lambda: gates[0].set())

    assert client.read().body == b"waited"
    client.expect_end()
