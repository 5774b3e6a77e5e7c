"""`rocket_sup.websocket`: what a handler calls."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rocket_sup.config_websocket import WebSocketConfig
from rocket_sup.errors import LocalProtocolError, WebSocketClosed
from rocket_sup.http.wsframes import BINARY, CLOSE, TEXT, pack_close
from rocket_sup.http.wshandshake import Handshake, read_handshake
from rocket_sup.websocket import WebSocket
from rocket_sup.wslink import SocketState
from tests.engine.frames import frame, unpack
from tests.unit.borrowed import ACCEPT, FakeConduit, as_conduit, play, upgrade

CONFIG = WebSocketConfig(ping_interval=0)


def open_socket(
    conduit: FakeConduit, *lines: str, subprotocols: tuple[str, ...] = (), **options: Any
) -> WebSocket:
    """A WebSocket before its answer."""
    request = upgrade(*lines)
    offered = read_handshake(request.headers)
    assert isinstance(offered, Handshake)
    config = dataclasses.replace(CONFIG, **options)
    return WebSocket(request, as_conduit(conduit), offered, config=config, subprotocols=subprotocols)


def scene(act: Callable[[FakeConduit, WebSocket], Awaitable[None]], *lines: str, **options: Any) -> None:
    """Play a scene with a WebSocket."""

    async def run(conduit: FakeConduit) -> None:
        await act(conduit, open_socket(conduit, *lines, **options))

    play(run)


def test_the_first_receive_accepts() -> None:
    """The answer is complete, what follows is no HTTP, and then the client is read."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        conduit.later.append(frame(TEXT, b"hello"))

        assert "hello" == await socket.receive()
        assert SocketState.OPEN is socket.state
        assert (conduit.is_begun, conduit.is_upgraded, conduit.is_reading) == (True, True, True)
        head = conduit.take()
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\nDate: now\r\n")
        assert head.endswith(b"\r\n\r\n")
        assert {b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Accept: " + ACCEPT} <= set(
            head.split(b"\r\n")
        )
        assert b"Extensions" not in head
        assert 1 == len(conduit.sessions)

    scene(act)


def test_accept_with_a_subprotocol_and_fields() -> None:
    """What the application chooses; by default the best of the route's that was offered."""

    async def chosen(conduit: FakeConduit, socket: WebSocket) -> None:
        await socket.accept("b", {"Set-Cookie": "a=1"})

        head = conduit.take()
        assert b"\r\nSec-WebSocket-Protocol: b\r\n" in head
        assert b"\r\nSet-Cookie: a=1\r\n" in head
        assert "b" == socket.subprotocol
        with pytest.raises(LocalProtocolError):
            await socket.accept()

    async def by_default(conduit: FakeConduit, socket: WebSocket) -> None:
        await socket.accept()
        assert "c" == socket.subprotocol

    scene(chosen, "Sec-WebSocket-Protocol: a, b")
    scene(by_default, "Sec-WebSocket-Protocol: b, c", subprotocols=("d", "c", "b"))


@pytest.mark.parametrize(
    ("subprotocol", "fields"),
    [
        ("x", None),
        (None, {"Sec-WebSocket-Accept": "mine"}),
        (None, {"Upgrade": "h2c"}),
        (None, {"a": "b\r\nc: d"}),
    ],
)
def test_an_answer_that_must_not_be_sent(subprotocol: str | None, fields: dict[str, str] | None) -> None:
    """Nothing was begun: the application's error becomes a 500."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        with pytest.raises(LocalProtocolError):
            await socket.accept(subprotocol, fields)
        assert not conduit.is_begun

    scene(act)


def test_compression_is_agreed_unless_switched_off() -> None:
    """The answer says what was chosen."""

    async def agreed(conduit: FakeConduit, socket: WebSocket) -> None:
        await socket.accept()
        assert (
            b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=12\r\n" in conduit.take()
        )
        await socket.send("many words " * 100)
        await asyncio.sleep(0)
        assert 0xC1 == conduit.take()[0]

    async def switched_off(conduit: FakeConduit, socket: WebSocket) -> None:
        await socket.accept()
        assert b"Extensions" not in conduit.take()

    scene(agreed, "Sec-WebSocket-Extensions: permessage-deflate")
    scene(switched_off, "Sec-WebSocket-Extensions: permessage-deflate", compression=False)


def test_what_was_asked_is_at_hand() -> None:
    """Fields, query, client and parameters of the path."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        assert "1" == socket.headers["X-One"]
        assert ("127.0.0.1", 1) == socket.client
        assert {} == socket.path_params
        assert [] == list(socket.query_params)

    scene(act, "X-One: 1")


def test_messages_are_sent_as_what_they_are() -> None:
    """Text is text, bytes of every kind are binary, JSON is text."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await socket.accept()
        conduit.take()
        for message, expected in [
            ("text", (0x81, b"text")),
            (b"bytes", (0x82, b"bytes")),
            (bytearray(b"array"), (0x82, b"array")),
            (memoryview(b"view"), (0x82, b"view")),
        ]:
            await socket.send(message)
            await asyncio.sleep(0)
            assert expected == unpack(conduit.take())
        await socket.send_json({"a": [1]})
        await asyncio.sleep(0)
        assert (0x81, b'{"a":[1]}') == unpack(conduit.take())

    scene(act)


def test_messages_are_received_as_what_they_have_to_be() -> None:
    """Another kind says goodbye, with the code for it."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        conduit.later.append(frame(TEXT, b"t") + frame(BINARY, b"b") + frame(TEXT, b"[1]"))
        assert "t" == await socket.receive_text()
        assert b"b" == await socket.receive_bytes()
        assert [1] == await socket.receive_json()

    scene(act)
    for name, message, code in [
        ("receive_text", frame(BINARY), 1003),
        ("receive_bytes", frame(TEXT), 1003),
        ("receive_json", frame(TEXT, b"{"), 1007),
    ]:

        async def wrong(
            conduit: FakeConduit,
            socket: WebSocket,
            name: str = name,
            message: bytes = message,
            code: int = code,
        ) -> None:
            await socket.accept()
            conduit.take()
            conduit.later.append(message)
            conduit.resume_reading()
            with pytest.raises(WebSocketClosed) as caught:
                await getattr(socket, name)()
            assert code == caught.value.code
            first, payload = unpack(conduit.take())
            assert (0x88, code) == (first, int.from_bytes(payload[:2], "big"))

        scene(wrong)


def test_the_iteration_ends_with_the_conversation() -> None:
    """Whatever the code is; it is at hand."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        conduit.later.append(frame(TEXT, b"a") + frame(TEXT, b"b") + frame(CLOSE, pack_close(1011, "oh")))

        assert ["a", "b"] == [message async for message in socket]
        assert (1011, "oh") == (socket.close_code, socket.close_reason)
        with pytest.raises(WebSocketClosed):
            await socket.receive()
        with pytest.raises(WebSocketClosed):
            await socket.send("late")

    scene(act)


def test_messages_one_by_one() -> None:
    """`anext` is the iteration's step; the first accepts."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        conduit.later.append(frame(TEXT, b"a") + frame(TEXT, b"b") + frame(CLOSE))
        assert "a" == await anext(socket)
        assert "b" == await anext(socket)
        assert ["end"] == [await anext(socket, "end")]

    async def left(conduit: FakeConduit, socket: WebSocket) -> None:
        conduit.receiver.on_left()
        assert [] == [message async for message in socket]

    scene(act)
    scene(left)


def test_a_goodbye_of_ours() -> None:
    """It waits for the client's, and the connection is closed by us (RFC 6455 §7.1.1)."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await socket.accept()
        conduit.take()
        closing = asyncio.create_task(socket.close(3001, "enough"))
        await asyncio.sleep(0)
        assert (0x88, pack_close(3001, "enough")) == unpack(conduit.take())
        assert SocketState.CLOSING is socket.state
        assert conduit.finished is None

        await conduit.receive(frame(TEXT, b"too late") + frame(CLOSE, pack_close(3001, "")))
        await closing

        assert (101, False) == (conduit.finished or ())[::2]
        assert b"" == conduit.take()
        await socket.close()
        assert 3001 == socket.close_code

    scene(act)


def test_codes_that_must_not_be_sent() -> None:
    """They are for the local side, or nobody's (RFC 6455 §7.4)."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await socket.accept()
        for code in (1005, 1006, 1015, 999, 5000):
            with pytest.raises(LocalProtocolError):
                await socket.close(code)

    scene(act)


def test_a_close_before_the_answer_refuses() -> None:
    """Nothing was begun, and nothing can be any more."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await socket.close(1008)

        assert socket.is_refused
        assert not conduit.is_begun
        for attempt in (socket.accept, socket.receive, lambda: socket.send("a")):
            with pytest.raises(WebSocketClosed):
                await attempt()

    scene(act)
