"""A client of WebSockets that sends whatever a test says and sees every byte."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rocket_sup.router import Router
from rocket_sup.websocket import WebSocket
from tests.conformance.server import Answer, Client, request
from tests.engine.frames import frame

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

Conversation = Callable[[WebSocket], Awaitable[object]]


def handshake(target: str = "/ws", *fields: str) -> bytes:
    """Write a valid handshake, with more fields."""
    return request(
        f"GET {target} HTTP/1.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        *fields,
    )


class Socket:
    """A connection after its handshake."""

    def __init__(self, client: Client, *fields: str, target: str = "/ws") -> None:
        self.client = client
        client.send(handshake(target, *fields))
        self.answer: Answer = client._read_head()
        assert 101 == self.answer.status, self.answer

    def send(self, opcode: int, payload: bytes = b"") -> Socket:
        """Send a frame."""
        self.client.send(frame(opcode, payload))
        return self

    def read(self) -> tuple[int, bytes]:
        """Read a frame: its first byte, and the payload; written in the shortest way and without a mask."""
        first, size = self.client._take(2)
        assert size < 0x80, "a server masks nothing (RFC 6455 §5.1)"
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(self.client._take(width), "big")
            assert size >= (126 if width == 2 else 0x10000)
        return first, self.client._take(size)

    def read_close(self) -> tuple[int, str]:
        """Read a Close, behind which the server closes its side, and close ours."""
        first, payload = self.read()
        assert 0x88 == first, (first, payload)
        self.leave()
        return int.from_bytes(payload[:2], "big") if payload else 1005, payload[2:].decode()

    def leave(self) -> None:
        """Wait until the server has closed its side, and close ours: for a moment it waits for that."""
        self.client.expect_end()
        self.client.close()


class Stage:
    """An application with one WebSocket, and what became of its handlers.

    Attributes:
        router: to be served.
        fates: how handlers ended: "returned", or the name of the exception.
        sockets: all that there were.
    """

    def __init__(self, conversation: Conversation | None = None, **options: object) -> None:
        self.router = Router()
        self.fates: list[str] = []
        self.sockets: list[WebSocket] = []

        async def converse(socket: WebSocket) -> object:
            self.sockets.append(socket)
            try:
                result = await (conversation or echo)(socket)
            except BaseException as error:
                self.fates.append(type(error).__name__)
                raise
            self.fates.append("returned")
            return result

        self.router.websocket("/ws", **options)(converse)  # type: ignore[arg-type]


async def echo(socket: WebSocket) -> None:
    """Send back whatever comes."""
    async for message in socket:
        await socket.send(message)


async def sleep(socket: WebSocket) -> None:
    """Accept, and take nothing."""
    await socket.accept()
    await asyncio.get_running_loop().create_future()
