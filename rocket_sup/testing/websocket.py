"""A WebSocket as a test uses it: the client's side of RFC 6455, as much of it as tests need.

Messages are sent in one frame each, masked; received ones may come in fragments. Pings are answered.
Compression is not offered: what is tested is the application.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from typing import Final

from rocket_sup.errors import WebSocketClosed
from rocket_sup.http.headers import Headers, HeaderSource
from rocket_sup.testing.answers import AnswerParser
from rocket_sup.testing.requests import compose

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_NO_CODE: Final = 1005


async def handshake(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    target: str,
    subprotocols: tuple[str, ...],
    headers: HeaderSource | None,
    base: HeaderSource | None,
) -> WebSocketSession:
    """Ask for a WebSocket on a new connection.

    Raises:
        AssertionError: it was refused; the text has the answer.
    """
    key = base64.b64encode(secrets.token_bytes(16))
    fields = Headers(headers)
    for name, value in (
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", key.decode()),
    ):
        fields.setdefault(name, value)
    if subprotocols:
        fields.setdefault("Sec-WebSocket-Protocol", ", ".join(subprotocols))
    writer.write(compose("GET", target, base=base, headers=fields.items()).head)
    parser = AnswerParser("GET")
    while not parser.is_complete:
        parser.feed(await reader.read(65536))
    answer = parser.answer
    assert answer is not None  # noqa: S101 - a complete answer has a head
    if answer.status != 101:
        answer.content = parser.take()
        raise AssertionError(f"the handshake was refused: {answer!r}")
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()
    if answer.headers.get("sec-websocket-accept") != accept:
        raise AssertionError("the server has not understood the handshake (RFC 6455 §4.2.2)")
    return WebSocketSession(reader, writer, parser.rest, answer.headers.get("sec-websocket-protocol"))


class WebSocketSession:
    """An open WebSocket.

    Attributes:
        subprotocol: what the server has chosen; None for none.
        closed: how the server has closed; None while it is open.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        received: bytes,
        subprotocol: str | None,
    ) -> None:
        self.subprotocol = subprotocol
        self.closed: WebSocketClosed | None = None
        self._reader = reader
        self._writer = writer
        self._received = received
        self._has_closed = False

    async def send(self, message: str | bytes) -> None:
        """Send a message: text, or bytes."""
        is_text = isinstance(message, str)
        payload = message.encode() if isinstance(message, str) else message
        await self._send(_TEXT if is_text else _BINARY, payload)

    async def receive(self) -> str | bytes:
        """Wait for a message.

        Raises:
            WebSocketClosed: the server has closed.
        """
        kind, parts = 0, []
        while True:
            first, payload = await self._frame()
            opcode = first & 0x0F
            if opcode == _PING:
                await self._send(_PONG, payload)
            elif opcode == _CLOSE:
                raise await self._on_close(payload)
            elif opcode != _PONG:
                kind = kind or opcode
                parts.append(payload)
                if first & 0x80:
                    content = b"".join(parts)
                    return content.decode() if kind == _TEXT else content

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait for the server to do the same; messages on their way are dropped."""
        if not self._has_closed:
            self._has_closed = True
            await self._send(_CLOSE, code.to_bytes(2, "big") + reason.encode())
        while self.closed is None:
            try:
                await self.receive()
            except WebSocketClosed:
                return

    async def _on_close(self, payload: bytes) -> WebSocketClosed:
        code = int.from_bytes(payload[:2], "big") if payload else _NO_CODE
        self.closed = WebSocketClosed(code, payload[2:].decode())
        if not self._has_closed:
            self._has_closed = True
            await self._send(_CLOSE, payload[:2])
        return self.closed

    async def _frame(self) -> tuple[int, bytes]:
        first, size = await self._take(2)
        if size & 0x80:
            raise AssertionError("the server has masked a frame (RFC 6455 §5.1)")
        if size >= 126:
            size = int.from_bytes(await self._take(2 if size == 126 else 8), "big")
        return first, await self._take(size)

    async def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            try:
                piece = await self._reader.read(65536)
            except ConnectionResetError:
                piece = b""
            if not piece:
                self.closed = self.closed or WebSocketClosed(1006, "the connection ended without a Close")
                raise self.closed
            self._received += piece
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    async def _send(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            length = bytes([0x80 | size])
        elif size < 65536:
            length = b"\xfe" + size.to_bytes(2, "big")
        else:
            length = b"\xff" + size.to_bytes(8, "big")
        key = secrets.token_bytes(4)
        # As one number: a byte at a time takes a second for some megabytes.
        mask = int.from_bytes((key * (size // 4 + 1))[:size], "big")
        masked = (int.from_bytes(payload, "big") ^ mask).to_bytes(size, "big")
        self._writer.write(bytes([0x80 | opcode]) + length + key + masked)
        await self._writer.drain()
