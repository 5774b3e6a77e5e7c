"""RFC 9112 §9: persistence, pipelining, closing."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import pytest

from rocket_sup.request import Request
from rocket_sup.router import Router
from tests.conformance.server import Client, Server, chunked, get, post, request

PERSISTENCE = [
    ("1.1", [], None, True),
    ("1.1", ["Connection: close"], "close", False),
    ("1.1", ["Connection: Close"], "close", False),
    ("1.1", ["Connection: keep-alive"], None, True),
    ("1.1", ["Connection: keep-alive, close"], "close", False),
    ("1.1", ["Connection: close, keep-alive"], "close", False),
    ("1.1", ["Connection: x", "Connection: y ,\tclose "], "close", False),
    ("1.1", ["Connection: closed"], None, True),
    ("1.1", ["Connection: keep-alive", "X: close"], None, True),
    ("1.1", ["Connection:"], None, True),
    ("1.0", [], "close", False),
    ("1.0", ["Connection: keep-alive"], "keep-alive", True),
    ("1.0", ["Connection: x, Keep-Alive"], "keep-alive", True),
    ("1.0", ["Connection: keep-alive", "Connection: close"], "close", False),
    ("1.0", ["Connection: close"], "close", False),
    ("1.0", ["Keep-Alive: 5"], "close", False),
]


@pytest.mark.parametrize(("version", "fields", "said", "persists"), PERSISTENCE)
@pytest.mark.parametrize("target", ["/", "/later", "/thread", "/nowhere"])
def test_9_3_persistence(
    client: Client, version: str, fields: list[str], said: str | None, persists: bool, target: str
) -> None:
    """`Connection` is a list over all its lines; ours says what we do."""
    answer = client.send(request(f"GET {target} HTTP/{version}", *fields)).read()

    assert (answer.version, answer.get("connection")) == ("HTTP/1.1", said)
    if persists:
        assert client.send(get()).read().body == b"ok"
    else:
        client.expect_end()


def test_9_3_a_second_answer_over_1_0_needs_no_chunks(client: Client) -> None:
    """Every answer says its length, so that 1.0 clients can go on."""
    for _ in range(3):
        answer = client.send(
            request("POST /echo HTTP/1.0", "Content-Length: 3", "Connection: keep-alive") + b"abc"
        )

        assert answer.read().body == b"abc"


def test_9_3_an_application_may_close(client: Client) -> None:
    """By saying so in its answer."""
    answer = client.send(get("/results/closes") + get()).read()

    assert answer.get("connection") == "close"
    client.expect_end()


@pytest.mark.parametrize("target", ["/", "/async", "/later", "/thread", "/fail", "/nowhere"])
def test_9_3_2_pipelined_answers_come_in_order(client: Client, target: str) -> None:
    """Whether a handler is plain, a coroutine or in a thread."""
    client.send(b"".join(get(target) + post("/echo", b"%d" % n) for n in range(50)))

    for n in range(50):
        client.read()
        assert client.read().body == b"%d" % n


def test_9_3_2_more_pipelined_requests_than_one_batch(serve: Callable[..., Server]) -> None:
    """`limits.pipeline` answers leave at once; the rest is served after the loop has turned."""
    server = serve(limits={"pipeline": 3})
    client = server.connect()
    client.send(b"".join(get(f"/items/{n}") for n in range(1000)))

    for n in range(1000):
        assert client.read().body == b'{"id":"%d"}' % n


def _segments(client: Client) -> int:
    """Segments with data that the client's kernel received: tcpi_data_segs_in of struct tcp_info."""
    state = client.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    (segments,) = struct.unpack_from("I", state, 152)
    return int(segments)


def test_9_3_2_one_write_for_a_batch_of_answers(serve: Callable[..., Server]) -> None:
    """What arrived together is answered together."""
    server = serve()
    client = server.connect()
    client.send(get())
    client.read()
    before = _segments(client)
    client.send(get() * 10)
    for _ in range(10):
        client.read()

    assert _segments(client) - before == 1


@pytest.mark.parametrize(
    "fault",
    [b"GET / HTTP/1.1\r\n\r\n", b"BROKEN\r\n\r\n", request("POST /echo HTTP/1.1", "Content-Length: x")],
)
def test_9_3_2_after_an_error_nothing_is_served_but_what_was_owed_is_sent(
    server: Server, fault: bytes
) -> None:
    """Those before the fault are answered, those after it are not."""
    client = server.connect()
    client.send(get("/later") + get() + fault + get() + get())

    assert [client.read().status for _ in range(3)] == [200, 200, 400]
    client.expect_end()
    assert server.call(lambda: server.wire.statistics.requests) == 3


def test_9_3_2_after_a_close_nothing_is_served(client: Client) -> None:
    """The request that said `close` is the last."""
    client.send(get() + get("/", "Connection: close") + get() * 10)

    assert [client.read().status for _ in range(2)] == [200, 200]
    client.expect_end()


def test_9_3_2_requests_after_content_in_every_framing(client: Client) -> None:
    """Each message ends where its framing says."""
    client.send((post("/echo", b"abc") + chunked("/echo", b"2\r\nde\r\n0\r\n\r\n") + get()) * 20)

    for _ in range(20):
        assert [client.read().body for _ in range(3)] == [b"abc", b"de", b"ok"]


def test_9_6_the_last_answer_survives_what_the_client_still_sends(server: Server) -> None:
    """Closing with unread bytes would reset the connection and destroy the answer."""
    client = server.connect()
    client.send(get("/", "Connection: close") + b"x" * 3_000_000)

    assert client.read().body == b"ok"
    client.expect_end()


def test_9_6_a_client_that_never_closes_is_left(serve: Callable[..., Server]) -> None:
    """After the half-close it is waited for only briefly."""
    server = serve()
    client = server.connect()
    client.send(get("/", "Connection: close"))
    client.read()
    client.expect_end()
    server.wait_until(lambda: not server.wire.connection_count())


def test_a_unix_socket_serves_as_well(serve: Callable[..., Server]) -> None:
    """Its clients have no address."""
    app = Router()

    @app.get("/")
    def who(req: Request) -> object:
        return repr(req.client)

    client = serve(app, unix=True).connect()

    assert client.send(get()).read().body == b"''"
