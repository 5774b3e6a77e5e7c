"""What tests of lending share: a borrower who keeps every piece of news."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rocket_sup.conduit import Conduit
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.request import Request
from rocket_sup.router import Route, Router


class Borrower:
    """Remembers what it is told, and lets somebody wait for it."""

    def __init__(self, conduit: Conduit) -> None:
        self.conduit = conduit
        self.content = b""
        self.pieces = 0
        self.news: list[str] = []
        self.trailers = b""
        self.error: Exception | None = None
        self._bell = asyncio.Event()
        conduit.attach(self)

    def _hear(self, what: str) -> None:
        self.news.append(what)
        self._bell.set()

    def on_content(self, data: bytes) -> None:
        self.content += data
        self.pieces += 1
        self._bell.set()

    def on_content_end(self, trailers: bytes) -> None:
        self.trailers = trailers
        self._hear("end")

    def on_content_error(self, error: RemoteProtocolError) -> None:
        self.error = error
        self._hear("error")

    def on_room(self) -> None:
        self._hear("room")

    def on_left(self) -> None:
        self._hear("left")

    def on_gone(self, error: Exception | None) -> None:
        self.error = error
        self._hear("gone")

    async def hear(self, what: str) -> None:
        """Wait until this was told."""
        await self.until(lambda: what in self.news)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that was told makes a condition true."""
        while not condition():
            self._bell.clear()
            await self._bell.wait()

    def answer(self, content: bytes, *, status: int = 200) -> None:
        """Write a whole answer."""
        conduit = self.conduit
        keep_alive = conduit.keep_alive
        conduit.begin()
        conduit.write(b"HTTP/1.1 %d Fine\r\nContent-Length: %d\r\n" % (status, len(content)))
        conduit.write(b"\r\n" if keep_alive else b"Connection: close\r\n\r\n")
        conduit.write(content)
        conduit.finish(status, len(content), keep_alive=keep_alive)


def lend(
    handler: Callable[..., Any], *, outlives_client: bool = False, max_body: int | None = None
) -> Router:
    """Make a router whose every request is lent to a handler."""
    router = Router()
    router.sole_route = Route(
        "*", "", handler, takes_conduit=True, outlives_client=outlives_client, max_body=max_body
    )
    return router


def post(content: bytes, *fields: str, length: int | None = None) -> bytes:
    """Write a POST."""
    lines = [
        "POST / HTTP/1.1",
        "Host: a",
        f"Content-Length: {len(content) if length is None else length}",
        *fields,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + content


def chunked(content: bytes) -> bytes:
    """Write a POST whose content is in chunks."""
    return b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + content


async def echo(request: Request, conduit: Conduit) -> None:
    """Answer with the content, when all of it has come."""
    borrower = Borrower(conduit)
    conduit.resume_reading()
    await borrower.until(lambda: bool(borrower.news))
    borrower.answer(borrower.content)
