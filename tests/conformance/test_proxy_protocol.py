"""The PROXY protocol, versions 1 and 2: whose a connection is, said before its first byte."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

import pytest

from rocket_sup.hooks import Client as Peer
from rocket_sup.hooks import SetupDecision
from rocket_sup.request import Request
from rocket_sup.router import Router
from tests.conformance.server import Client, Server, get

Serve = Callable[..., Server]
LINE = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n"
V6 = ipaddress.ip_address("2001:db8::1").packed
BLOCK = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24" + V6 * 2 + (4711).to_bytes(2, "big") + b"\x00\x50"
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"
ANNOUNCED = "('192.0.2.1', 4711)"
OPTIONS = {"protocol": True, "trusted": ("127.0.0.1", "unix")}


def make_router() -> Router:
    """A route that tells who asks."""
    app = Router()

    @app.get("/")
    def client(request: Request) -> str:
        return repr(request.client)

    return app


def connect(serve: Serve, **options: object) -> Client:
    """A connection to a server whose trusted peers announce."""
    return serve(make_router(), proxy=OPTIONS | options).connect()


@pytest.mark.parametrize(
    ("preamble", "client"), [(LINE, ANNOUNCED), (BLOCK, "('2001:db8::1', 4711)"), (LOCAL, "127.0.0.1")]
)
def test_the_client_is_the_one_that_was_announced(serve: Serve, preamble: bytes, client: str) -> None:
    """For all requests of the connection; the proxy speaks for itself with LOCAL."""
    connection = connect(serve)
    connection.send(preamble + get() + get())

    assert client in connection.read().body.decode()
    assert client in connection.read().body.decode()
    assert client in connection.send(get()).read().body.decode()


@pytest.mark.parametrize("preamble", [LINE, BLOCK])
def test_a_preamble_may_come_byte_by_byte(serve: Serve, preamble: bytes) -> None:
    """And the request with its end, or long after."""
    connection = connect(serve)
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in preamble:
        connection.send(bytes([byte]))

    assert "4711" in connection.send(get()).read().body.decode()


def test_over_a_unix_socket(serve: Serve) -> None:
    """Trusted as `unix`."""
    connection = serve(make_router(), unix=True, proxy=OPTIONS).connect()

    assert connection.send(LINE + get()).read().body.decode() == ANNOUNCED


def test_whoever_is_not_trusted_is_an_ordinary_client(serve: Serve) -> None:
    """Served without a preamble; with one it is no request."""
    server = serve(make_router(), proxy=OPTIONS | {"trusted": ("192.0.2.9",)})

    assert b"127.0.0.1" in server.connect().send(get()).read().body
    assert server.connect().send(LINE + get()).read().status == 400


def test_nobody_announces_when_it_is_off(serve: Serve) -> None:
    """The default."""
    assert serve(make_router()).connect().send(LINE + get()).read().status == 400


@pytest.mark.parametrize("sent", [get(), b"PROXY TCP4 1.2.3.4\r\n", b"\r\n\r\n\0\r\nQUIT\n\x31" + b"\0" * 9])
def test_a_trusted_peer_has_to_announce(serve: Serve, sent: bytes) -> None:
    """Else its connection ends, the log says why, and the next is served."""
    server = serve(make_router(), proxy=OPTIONS)
    connection = server.connect()
    connection.send(sent)
    assert ended(connection) == b""

    assert "proxy_protocol_broken" in [event["event"] for event in server.events()]
    assert server.connect().send(LINE + get()).read().body.decode() == ANNOUNCED


def test_a_preamble_has_a_deadline(serve: Serve) -> None:
    """That of a first byte, however it drips."""
    server = serve(make_router(), proxy=OPTIONS, timeouts={"first_byte": 0.1})
    connection = server.connect()
    connection.send(LINE[:-1])

    assert ended(connection) == b""
    server.wait_until(lambda: not server.wire.connection_count())


def test_a_peer_that_leaves_before_is_counted_out(serve: Serve) -> None:
    """Having said nothing, or half."""
    server = serve(make_router(), proxy=OPTIONS, timeouts={"first_byte": 0.1})
    for half in (b"", LINE[:7]):
        connection = server.connect()
        connection.send(half)
        connection.close()
    server.wait_until(lambda: server.closed == 2)

    assert server.call(server.wire.connection_count) == 0


def test_a_drain_does_not_wait_for_a_preamble(serve: Serve) -> None:
    """Nobody knows yet for whom it is."""
    server = serve(make_router(), proxy=OPTIONS)
    connection = server.connect()
    server.wait_until(server.wire.connection_count)
    server.call(server.wire.drain)
    server.wait_until(lambda: not server.wire.connection_count())

    assert ended(connection) == b""


def test_setup_hooks_see_the_client(serve: Serve) -> None:
    """They decide about him, not about the proxy."""
    app = make_router()
    asked: list[Peer] = []

    @app.on_connection_setup
    def setup(client: Peer) -> SetupDecision:
        asked.append(client)
        return SetupDecision.DROP if client[0] == "192.0.2.1" else SetupDecision.PROCEED

    server = serve(app, proxy=OPTIONS)
    dropped = server.connect().send(LINE + get())

    assert ended(dropped) == b""
    assert server.connect().send(BLOCK + get()).read().status == 200
    assert asked == [("192.0.2.1", 4711), ("2001:db8::1", 4711)]


def ended(connection: Client) -> bytes:
    """What came before the end of a connection, which may be cut."""
    try:
        return connection.read_rest()
    except ConnectionResetError:
        return b""
