"""The events of a WebSocket under ASGI, over a socket that keeps what it is told."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from rocket_sup.adapters.asgi_exchange import ClientDisconnected
from rocket_sup.adapters.asgi_websocket import WEBSOCKET_SCOPE, converse
from rocket_sup.errors import LocalProtocolError, WebSocketClosed
from rocket_sup.http.wshandshake import Handshake
from rocket_sup.response import Answer
from rocket_sup.websocket import WebSocket
from rocket_sup.wslink import SocketState

ACCEPT = {"type": "websocket.accept"}
DENIAL = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"a", b"b")]}
DENIAL_BODY = {"type": "websocket.http.response.body", "body": b"no"}


class FakeSocket:
    """Keeps what was sent; what is received is what a test gives it, and then the end."""

    def __init__(self, *messages: str | bytes) -> None:
        self.offered = Handshake("key", ("one", "two"), ())
        self.state = SocketState.OFFERED
        self.messages = list(messages)
        self.sent: list[Any] = []
        self.accepted: Any = None
        self.goodbye: Any = None
        self.is_handler_forgotten = False
        self.left = asyncio.Event()

    def forget_handler(self) -> None:
        """See `WebSocket`."""
        self.is_handler_forgotten = True

    async def accept(self, subprotocol: str | None, headers: Any) -> None:
        """See `WebSocket`."""
        if self.state is not SocketState.OFFERED:
            raise LocalProtocolError("accepted before")
        self.state = SocketState.OPEN
        self.accepted = (subprotocol, headers)

    async def receive(self) -> str | bytes:
        """See `WebSocket`."""
        if not self.messages:
            raise WebSocketClosed(1001, "going")
        return self.messages.pop(0)

    async def send(self, message: Any) -> None:
        """See `WebSocket`."""
        if self.state is not SocketState.OPEN:
            raise WebSocketClosed(1006)
        self.sent.append(message)

    async def close(self) -> None:
        """See `WebSocket`."""
        self.state = SocketState.CLOSED

    def begin_close(self, code: int, reason: str) -> None:
        """See `WebSocket`."""
        self.state = SocketState.CLOSING
        self.goodbye = (code, reason)

    async def wait_closed(self) -> None:
        """See `WebSocket`."""
        await self.left.wait()


def run(app: Any, socket: FakeSocket) -> tuple[Answer | None, dict[str, Any]]:
    """Run an application for a socket."""
    scope: dict[str, Any] = {"type": "websocket", **WEBSOCKET_SCOPE}
    return asyncio.run(converse(app, scope, cast(WebSocket, socket))), scope


def sender(*messages: dict[str, Any]) -> Any:
    """An application that only sends."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


def test_messages_are_events() -> None:
    """In both directions; the end is one, as often as it is asked for."""
    socket = FakeSocket("text", b"bytes")
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(await receive())
        await send({**ACCEPT, "subprotocol": "two", "headers": [(b"x", b"\xe9")]})
        await send({"type": "websocket.send", "text": ""})
        await send({"type": "websocket.send", "text": None, "bytes": b"b"})
        seen.extend([await receive() for _ in range(4)])

    answer, scope = run(app, socket)

    assert answer is None
    assert (scope["subprotocols"], scope["extensions"]) == (["one", "two"], {"websocket.http.response": {}})
    assert socket.accepted == ("two", [("x", "\xe9")])
    assert socket.sent == ["", b"b"]
    assert seen == [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "text"},
        {"type": "websocket.receive", "bytes": b"bytes"},
        *[{"type": "websocket.disconnect", "code": 1001, "reason": "going"}] * 2,
    ]
    assert socket.is_handler_forgotten


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"type": "websocket.send", "text": "early"}],
        [{"type": "no"}],
        [ACCEPT, ACCEPT],
        [ACCEPT, {"type": "websocket.send"}],
        [ACCEPT, {"type": "websocket.send", "text": 3}],
        [ACCEPT, {"type": "websocket.close", "code": 1005}],
        [ACCEPT, DENIAL],
        [DENIAL, DENIAL],
        [DENIAL_BODY],
        [{**DENIAL, "status": 101}],
        [{**DENIAL, "headers": [("a", "b")]}],
        [DENIAL],
        [DENIAL, DENIAL_BODY, ACCEPT],
    ],
)
def test_misuse_is_refused(messages: list[dict[str, Any]]) -> None:
    """It says what it was."""
    with pytest.raises(LocalProtocolError):
        run(sender(*messages), FakeSocket())


def test_a_goodbye_is_not_waited_for() -> None:
    """Whoever runs the conversation does that."""
    socket = FakeSocket()

    run(sender(ACCEPT, {"type": "websocket.close", "code": 3000, "reason": None}), socket)

    assert socket.goodbye == (3000, "")


def test_a_refusal_is_no_answer() -> None:
    """Whoever runs the conversation says 403."""
    socket = FakeSocket()

    answer, _ = run(sender({"type": "websocket.close"}), socket)

    assert answer is None
    assert socket.state is SocketState.CLOSED


def test_a_denial_is_an_answer() -> None:
    """In as many pieces as the application likes."""
    answer, _ = run(sender(DENIAL, {**DENIAL_BODY, "more_body": True}, DENIAL_BODY), FakeSocket())

    assert answer is not None
    assert (answer.status, answer.fields, answer.body, answer.closes) == (401, b"a: b\r\n", b"nono", True)


def test_sending_to_nobody() -> None:
    """It is an OSError, which is no failure when nobody catches it."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        socket.state = SocketState.CLOSED
        for _ in range(2):
            try:
                await send({"type": "websocket.send", "text": "x"})
            except ClientDisconnected as error:
                seen.append(error)
        await send({"type": "websocket.send", "text": "x"})

    socket = FakeSocket()

    run(app, socket)
    assert len(seen) == 2


def test_receiving_before_the_answer_waits_for_it() -> None:
    """Another task may give it; or the client leaves."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert not waiting.done()
        await send(DENIAL)
        await send(DENIAL_BODY)
        seen.append(await waiting)

    run(app, FakeSocket())
    assert seen == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]

    async def left(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        socket.left.set()
        socket.state = SocketState.OFFERED
        seen.append(await receive())
        socket.state = SocketState.CLOSED

    socket = FakeSocket()
    run(left, socket)
    assert seen[1]["code"] == 1001
