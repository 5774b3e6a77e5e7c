"""What tests of the conduit share: somebody who takes an exchange over and notes what he is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rocket_sup.conduit import Conduit
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.request import Request
from rocket_sup.router import Route, Router
from tests.conformance.server import Server, get

Serve = Callable[..., Server]
Script = Callable[["Taker"], Any]


class Taker:
    """Notes everything that the conduit says; what it does is up to the test's script."""

    def __init__(self, request: Request, conduit: Conduit) -> None:
        self.request = request
        self.conduit = conduit
        self.told: list[object] = []
        self.content = b""
        self.changed = asyncio.Event()
        conduit.attach(self)

    def on_content(self, data: bytes) -> None:
        """Keep it."""
        assert type(data) is bytes
        assert data
        self.content += data
        self.changed.set()

    def on_content_end(self, trailers: bytes) -> None:
        """Note it."""
        self._note(("end", trailers))

    def on_content_error(self, error: RemoteProtocolError) -> None:
        """Note it."""
        self._note(("error", error.status))

    def on_room(self) -> None:
        """Note it."""
        self._note("room")

    def on_left(self) -> None:
        """Note it."""
        self._note("left")

    def on_gone(self, error: Exception | None) -> None:
        """Note it."""
        self._note(("gone", type(error).__name__ if error is not None else None))

    def _note(self, what: object) -> None:
        self.told.append(what)
        self.changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something that was told makes a condition true."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def whole(self) -> bytes:
        """Read all content."""
        self.conduit.resume_reading()
        await self.until(lambda: self.told)
        return self.content

    def answer(self, body: bytes, status: int = 200, *, keep_alive: bool = True) -> None:
        """Send a whole answer."""
        keep_alive = keep_alive and self.conduit.keep_alive
        close = b"" if keep_alive else b"Connection: close\r\n"
        self.conduit.begin()
        self.conduit.write(
            b"HTTP/1.1 %d X\r\n%bContent-Length: %d\r\n%b\r\n%b"
            % (status, self.conduit.date_line, len(body), close, body)
        )
        self.conduit.finish(status, len(body), keep_alive=keep_alive)


class Stage:
    """An application with one route that takes its conduit, and what happened there."""

    def __init__(self, script: Script, *, outlives_client: bool = False, max_body: int | None = None) -> None:
        self.takers: list[Taker] = []
        self.fates: list[str] = []

        async def handler(request: Request, conduit: Conduit) -> object:
            taker = Taker(request, conduit)
            self.takers.append(taker)
            try:
                return await script(taker)
            except asyncio.CancelledError:
                self.fates.append("cancelled")
                raise
            finally:
                self.fates.append("over")

        self.router = Router()
        self.router.get("/")(lambda request: "ok")
        for method in ("GET", "POST"):
            route = Route(
                method,
                "/lent",
                handler,  # type: ignore[arg-type]
                takes_conduit=True,
                outlives_client=outlives_client,
                max_body=max_body,
            )
            self.router.add_route(route)

    @property
    def told(self) -> list[object]:
        """What the last taker was told."""
        return self.takers[-1].told


async def echo(taker: Taker) -> object:
    """Answer with the content when it is whole."""
    content = await taker.whole()
    taker.answer(content)
    return None


LENT = get("/lent")
