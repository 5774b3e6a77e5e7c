"""The WebSocket side of ASGI: the events of the specification over a `WebSocket`.

The application is told that somebody wants to connect, and accepts, closes (403), or answers as it likes
(the denial response). Then messages are events. That the client has left is an event, too, and an application
that goes on for a while is not cancelled for it; sending raises OSError.

Specified in the ASGI specification, HTTP and WebSocket message format 2.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from rocket_sup.adapters.asgi_exchange import ClientDisconnected, Event
from rocket_sup.adapters.asgi_fields import Fields, judge
from rocket_sup.errors import LocalProtocolError, WebSocketClosed
from rocket_sup.http.wsframes import is_close_code
from rocket_sup.response import Answer
from rocket_sup.websocket import WebSocket
from rocket_sup.wslink import SocketState

WEBSOCKET_SCOPE: Final[dict[str, Any]] = {
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "extensions": {"websocket.http.response": {}},
}

Application = Callable[..., Awaitable[None]]


async def converse(app: Application, scope: dict[str, Any], socket: WebSocket) -> Answer | None:
    """Run an application for one WebSocket.

    Args:
        scope: of the handshake, with `WEBSOCKET_SCOPE`.

    Returns: the application's answer to the handshake, if it has not accepted it.
    Raises:
        LocalProtocolError: it has returned without an answer.
    """
    scope["subprotocols"] = list(socket.offered.subprotocols)
    socket.forget_handler()  # nobody cancels it when the client has left: it is told
    exchange = SocketExchange(socket)
    try:
        await app(scope, exchange.receive, exchange.send)
    except ClientDisconnected:
        return None
    if socket.state is SocketState.OFFERED and exchange.answer is None:
        raise LocalProtocolError("the ASGI application returned without an answer to the handshake")
    return exchange.answer


class SocketExchange:
    """The two channels of one conversation.

    Attributes:
        answer: instead of an acceptance.
    """

    __slots__ = ("_answered", "_denial", "_is_connect_told", "_pieces", "_socket", "answer")

    def __init__(self, socket: WebSocket) -> None:
        self.answer: Answer | None = None
        self._socket = socket
        self._is_connect_told = False
        self._answered = asyncio.Event()
        self._denial: tuple[int, Fields] | None = None
        self._pieces: list[bytes] = []

    async def receive(self) -> Event:
        """Wait for the connection, for a message, or for the end."""
        if not self._is_connect_told:
            self._is_connect_told = True
            return {"type": "websocket.connect"}
        socket = self._socket
        if socket.state is SocketState.OFFERED:
            await _first(self._answered.wait(), socket.wait_closed())
        if self.answer is not None:
            return {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        try:
            message = await socket.receive()
        except WebSocketClosed as closed:
            return {"type": "websocket.disconnect", "code": closed.code, "reason": closed.reason}
        return {"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message}

    async def send(self, message: Event) -> None:
        """Take an event of the application.

        Raises:
            LocalProtocolError: it is not this event's turn, or it cannot be sent.
            ClientDisconnected: nobody is there.
        """
        kind = message["type"]
        try:
            if kind == "websocket.send":
                await self._send_message(message)
            elif self.answer is not None:
                raise LocalProtocolError(f"the ASGI application sent {kind!r} after its answer")
            elif kind == "websocket.accept":
                await self._accept(message)
            elif kind == "websocket.close":
                await self._close(message)
            elif kind == "websocket.http.response.start":
                self._begin_denial(message)
            elif kind == "websocket.http.response.body":
                self._end_denial(message)
            else:
                raise LocalProtocolError(f"the ASGI application sent {kind!r} to a WebSocket")
        except WebSocketClosed as closed:
            raise ClientDisconnected(str(closed)) from None

    async def _send_message(self, message: Event) -> None:
        content = message.get("text")
        if content is None:
            content = message.get("bytes")
        if self._socket.state is SocketState.OFFERED:
            raise LocalProtocolError("the ASGI application sent a message before it accepted the WebSocket")
        if not isinstance(content, (str, bytes, bytearray, memoryview)):
            raise LocalProtocolError(f"a message of type {type(content).__name__}; allowed: text, or bytes")
        await self._socket.send(content)

    async def _accept(self, message: Event) -> None:
        headers = [
            (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
            for name, value in message.get("headers") or ()
        ]
        await self._socket.accept(message.get("subprotocol"), headers)
        self._answered.set()

    async def _close(self, message: Event) -> None:
        """Refuse, or begin to say goodbye; the rest of it needs nobody to wait."""
        code = message.get("code", 1000)
        if self._socket.state is SocketState.OFFERED:
            await self._socket.close()
        elif not is_close_code(code):
            raise LocalProtocolError(f"close code {code}; allowed: 1000 to 1003, 1007 to 1014, 3000 to 4999")
        else:
            self._socket.begin_close(code, message.get("reason") or "")

    def _begin_denial(self, message: Event) -> None:
        if self._socket.state is not SocketState.OFFERED or self._denial is not None:
            raise LocalProtocolError("the ASGI application answered the handshake before")
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 999:
            raise LocalProtocolError(f"status {status!r}; allowed: 200 to 999")
        self._denial = (int(status), judge(message.get("headers", ())))

    def _end_denial(self, message: Event) -> None:
        if self._denial is None:
            raise LocalProtocolError("the ASGI application sent content of an answer that has no start")
        self._pieces.append(bytes(message.get("body", b"")))
        if message.get("more_body", False):
            return
        status, fields = self._denial
        self.answer = Answer(status, fields.lines, b"".join(self._pieces))
        self.answer.has_date = fields.has_date
        self.answer.closes = True
        self._answered.set()


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of several is done, and give the others up."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
