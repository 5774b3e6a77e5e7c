"""RFC 6455 §7: how a conversation ends, and what is left of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rocket_sup.websocket import WebSocket
from tests.conformance.server import Server
from tests.conformance.wsclient import Socket, Stage, handshake, sleep

Serve = Callable[..., Server]
CLOSE, TEXT = 8, 1


def count(server: Server) -> int:
    """WebSockets under way."""
    return int(server.call(lambda: len(server.wire.sessions)))


def test_7_1_5_the_clients_goodbye(serve: Serve) -> None:
    """Answered with its code; TCP is closed by the server; the iteration ends."""
    stage = Stage()
    server = serve(stage.router)
    socket = Socket(server.connect())
    assert 1 == count(server)

    assert (3333, "enough") == socket.send(CLOSE, b"\x0d\x05enough").read_close()
    server.wait_until(lambda: server.closed)
    assert ["returned"] == stage.fates
    assert (3333, "enough") == (stage.sockets[0].close_code, stage.sockets[0].close_reason)
    assert 0 == count(server)


def test_7_1_5_a_goodbye_without_a_code(serve: Serve) -> None:
    """The answer has none either."""
    assert (1005, "") == Socket(serve(Stage().router).connect()).send(CLOSE).read_close()


def test_7_1_2_the_handlers_goodbye(serve: Serve) -> None:
    """What was sent before comes before; the server waits for the client's."""

    async def greet(socket: WebSocket) -> None:
        await socket.send("hi")
        await socket.close(4000, "bye")

    stage = Stage(greet)
    server = serve(stage.router)
    socket = Socket(server.connect())

    assert (0x81, b"hi") == socket.read()
    assert (0x88, b"\x0f\xa0bye") == socket.read()
    assert [] == stage.fates
    socket.send(TEXT, b"crossing").send(CLOSE, b"\x0f\xa0").leave()
    server.wait_until(lambda: stage.fates)
    assert ["returned"] == stage.fates


def test_7_1_1_a_client_that_says_no_goodbye(serve: Serve) -> None:
    """The deadline passes, and TCP is closed."""

    async def leave(socket: WebSocket) -> None:
        await socket.accept()

    server = serve(Stage(leave, close_timeout=0.05).router)
    socket = Socket(server.connect())

    assert (1000, "") == socket.read_close()
    assert 0 == count(server)


def test_7_4_1_a_handler_that_fails(serve: Serve) -> None:
    """1011, without a word about why; the log has it."""

    async def fail(socket: WebSocket) -> None:
        await socket.receive()
        raise ValueError("a secret")

    server = serve(Stage(fail).router)
    socket = Socket(server.connect())
    code, reason = socket.send(TEXT).read_close()

    assert 1011 == code
    assert "secret" not in reason
    server.wait_until(lambda: server.closed)
    [event] = [event for event in server.events() if event["event"] == "handler_failed"]
    assert "a secret" in event["error"]


def test_7_1_5_a_client_that_vanishes(serve: Serve) -> None:
    """Its handler is told; nothing is logged, nothing is left."""
    stage = Stage()
    server = serve(stage.router)
    socket = Socket(server.connect())
    server.wait_until(lambda: stage.sockets)
    socket.client.close()
    server.wait_until(lambda: server.closed)
    server.wait_until(lambda: stage.fates)

    assert ["returned"] == stage.fates
    assert 1006 == stage.sockets[0].close_code
    assert 0 == count(server)
    assert [] == [event for event in server.events() if event["event"] == "handler_failed"]


def test_a_handler_that_waits_for_something_else_is_cancelled(serve: Serve) -> None:
    """After a moment in which it may end by itself; that is no failure."""
    stage = Stage(sleep, close_timeout=0.05)
    server = serve(stage.router)
    socket = Socket(server.connect())
    socket.client.close()
    server.wait_until(lambda: stage.fates)

    assert ["CancelledError"] == stage.fates
    assert [] == [event for event in server.events() if event["event"] == "handler_failed"]


def test_a_sender_that_waits_for_room_is_told(serve: Serve) -> None:
    """Its client has left without reading."""

    async def pour(socket: WebSocket) -> None:
        while True:
            await socket.send(bytes(100_000))

    stage = Stage(pour)
    server = serve(stage.router)
    socket = Socket(server.connect())
    socket.client.close()
    server.wait_until(lambda: stage.fates)

    assert ["WebSocketClosed"] == stage.fates


def test_7_4_2_a_drain(serve: Serve) -> None:
    """1012 to everyone, idle or not; the handlers end."""
    stage = Stage()
    server = serve(stage.router)
    sockets = [Socket(server.connect()) for _ in range(3)]
    assert (0x81, b"a") == sockets[0].send(TEXT, b"a").read()
    server.call(server.wire.drain)
    for socket in sockets:
        first, payload = socket.read()
        assert (0x88, b"\x03\xf4") == (first, payload[:2])
        socket.send(CLOSE, b"\x03\xf4").leave()
    server.wait_until(lambda: not server.wire.connection_count())

    assert ["returned"] * 3 == stage.fates


def test_a_silent_client_is_asked_and_given_up(serve: Serve) -> None:
    """A ping, and without an answer 1011."""
    socket = Socket(serve(Stage(ping_interval=0.02, ping_timeout=0.02).router).connect())

    assert (0x89, b"") == socket.read()
    assert 1011 == socket.read_close()[0]


def test_a_client_that_answers_pings_stays(serve: Serve) -> None:
    """However often it is asked."""
    socket = Socket(serve(Stage(ping_interval=0.02, ping_timeout=10.0).router).connect())
    for _ in range(4):
        assert (0x89, b"") == socket.read()
        socket.send(10)
    socket.send(TEXT, b"still there")
    while (read := socket.read()) == (0x89, b""):
        pass
    assert (0x81, b"still there") == read


def test_no_deadline_of_http_runs(serve: Serve) -> None:
    """A conversation may be silent for longer than a request may take, or a connection be idle."""
    timeouts = {"handler": 0.05, "idle": 0.05, "head": 0.05, "body": 0.05, "first_byte": 0.05}
    socket = Socket(serve(Stage(ping_interval=0).router, timeouts=timeouts).connect())
    socket.client.expect_silence(0.3)

    assert (0x81, b"a") == socket.send(TEXT, b"a").read()


def test_it_counts_as_one_request(serve: Serve) -> None:
    """When it is over, with its 101."""
    server = serve(Stage().router)
    socket = Socket(server.connect())
    socket.send(TEXT, b"a").read()
    socket.send(CLOSE).read_close()
    server.wait_until(lambda: server.closed)

    assert 1 == server.call(lambda: server.wire.statistics.requests)


def test_two_conversations_on_one_server_do_not_disturb_each_other(serve: Serve) -> None:
    """One whose handler is busy, one that is answered."""
    gate = asyncio.Event()

    async def wait(socket: WebSocket) -> None:
        message = await socket.receive()
        if message == "wait":
            await gate.wait()
        await socket.send(message)

    server = serve(Stage(wait).router)
    first, second = Socket(server.connect()), Socket(server.connect())
    first.send(TEXT, b"wait")
    assert (0x81, b"go") == second.send(TEXT, b"go").read()
    server.call(gate.set)
    assert (0x81, b"wait") == first.read()


def test_a_second_request_behind_a_conversation_is_none(serve: Serve) -> None:
    """Bytes behind the Close are dropped, whatever they look like."""
    client = serve(Stage().router).connect()
    client.send(handshake() + b"\x88\x80\x00\x00\x00\x00" + handshake())

    assert 101 == client._read_head().status
    assert b"\x88\x00" == client.read_rest()
