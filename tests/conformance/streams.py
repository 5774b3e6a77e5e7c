"""What tests of streams share: a producer that tells what became of it, and answers read piece by piece."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from rocket_sup.request import Request
from rocket_sup.router import Router
from tests.conformance.server import Answer, Client, Server

Serve = Callable[..., Server]

MIB = 1 << 20
PLENTY = 200 * MIB  # more than any buffer on the way holds
FLAT = 48 * MIB  # that memory may grow by meanwhile, whatever the allocators think


def read_chunked(client: Client) -> tuple[Answer, list[tuple[str, str]]]:
    """Read an answer in chunks; return it with its trailers."""
    answer = client._read_head()
    assert answer.get("transfer-encoding") == "chunked"
    assert answer.get("content-length") is None
    while True:
        size = int(read_line(client), 16)
        if size == 0:
            break
        answer.body += client._take(size)
        assert client._take(2) == b"\r\n"
    trailers = []
    while line := read_line(client):
        name, _, value = line.partition(b": ")
        trailers.append((name.decode(), value.decode()))
    return answer, trailers


def read_line(client: Client) -> bytes:
    """Read up to CRLF."""
    line = b""
    while not line.endswith(b"\r\n"):
        line += client._take(1)
    return line[:-2]


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def vanish(client: Client) -> None:
    """Leave with a reset."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


class Producer:
    """An asynchronous generator's life, noted."""

    def __init__(self, count: int = 1 << 60, size: int = 65536) -> None:
        self.made = 0
        self.ends: list[str] = []
        self._count = count
        self._size = size

    async def pieces(self) -> AsyncIterator[bytes]:
        """Make pieces as fast as they are taken."""
        try:
            while self.made < self._count:
                self.made += 1
                yield bytes([self.made % 256]) * self._size
            self.ends.append("complete")
        except asyncio.CancelledError:
            self.ends.append("cancelled")
            raise
        except GeneratorExit:
            self.ends.append("closed")
            raise

    async def resting(self) -> AsyncIterator[bytes]:
        """The same, giving way before each piece."""
        async for piece in self.pieces():
            await asyncio.sleep(0)
            yield piece[: self._size // 4]
            await asyncio.sleep(0)
            yield piece[self._size // 4 :]

    async def waiting(self) -> AsyncIterator[bytes]:
        """Make one piece, then wait for something that never comes."""
        try:
            yield b"first"
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.ends.append("cancelled")
            raise
        finally:
            self.ends.append("over")

    def plain(self) -> Iterator[bytes]:
        """The same as `pieces`, without a loop."""
        try:
            while self.made < self._count:
                self.made += 1
                yield bytes([self.made % 256]) * self._size
            self.ends.append("complete")
        except GeneratorExit:
            self.ends.append("closed")
            raise


def one(handler: Callable[[Request], Any], *, path: str = "/", method: str = "GET", **options: Any) -> Router:
    """An application with one route, and a plain one beside it."""
    app = Router()
    app.route(path, methods=[method], **options)(handler)
    app.get("/plain")(lambda req: "plain")
    return app


def upload(handler: Callable[[Request], Any], **options: Any) -> Router:
    """An application that takes uploads."""
    return one(handler, path="/", method="POST", **{"stream": True, **options})
