"""A stage for ASGI applications: a request, and a conduit that keeps what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from rocket_sup.adapters.asgi import asgi_router
from rocket_sup.conduit import Conduit, Receiver
from rocket_sup.config import LimitsConfig
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.http.framing import parse_head
from rocket_sup.request import Request
from rocket_sup.response import Answer

PEER = ("192.0.2.7", 4711)
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}


def request(line: str = "GET / HTTP/1.1", *fields: str, client: Any = PEER) -> Request:
    """A request of its head."""
    head = "\r\n".join([line, "Host: a.example", *fields, "", ""])
    parsed = parse_head(head.encode("latin-1"), 0, LimitsConfig())
    assert parsed is not None
    return Request(parsed, client)


class FakeConduit:
    """Keeps what was written; content is what a test gives it, all at the first `resume_reading`."""

    def __init__(self, *content: bytes, error: RemoteProtocolError | None = None) -> None:
        self.date_line = b"Date: now\r\n"
        self.keep_alive = True
        self.unsent = 0
        self.has_room = True
        self.is_begun = False
        self.written = b""
        self.files: list[tuple[int, int]] = []
        self.finished: tuple[int, int, bool] | None = None
        self.reading: list[bool] = []
        self.receiver: Receiver | None = None
        self._content = list(content)
        self._error = error

    def attach(self, receiver: Receiver) -> None:
        """See `Conduit`."""
        assert self.receiver is None
        self.receiver = receiver

    def resume_reading(self) -> None:
        """Deliver until it is paused."""
        assert self.receiver is not None
        self.reading.append(True)
        while self.reading[-1] and self._content:
            self.receiver.on_content(self._content.pop(0))
        if self.reading[-1] and not self._content:
            if self._error is not None:
                self.receiver.on_content_error(self._error)
            else:
                self.receiver.on_content_end(b"")

    def pause_reading(self) -> None:
        """See `Conduit`."""
        self.reading.append(False)

    def begin(self) -> None:
        """See `Conduit`."""
        assert not self.is_begun
        self.is_begun = True

    def write(self, data: bytes) -> bool:
        """See `Conduit`."""
        assert self.finished is None
        self.written += data
        return self.has_room

    def send_file(self, fd: int, offset: int, count: int) -> bool:
        """See `Conduit`; the file is only noted."""
        self.files.append((offset, count))
        self.written += b"<file>"
        return self.has_room

    def finish(self, status: int, content_bytes: int, *, keep_alive: bool = True) -> None:
        """See `Conduit`."""
        assert self.is_begun
        assert self.finished is None
        self.finished = (status, content_bytes, keep_alive)


def serve(
    app: Callable[..., Awaitable[None]],
    conduit: FakeConduit | None = None,
    sent: Request | None = None,
    *,
    around: Callable[[FakeConduit], Awaitable[None]] | None = None,
    **options: Any,
) -> Answer | None:
    """Run an application for one request, with something beside it if wanted."""
    route = asgi_router(app, **options).sole_route
    assert route is not None
    handler = cast("Callable[[Request, Conduit], Any]", route.handler)
    conduit = conduit or FakeConduit()

    async def run() -> Answer | None:
        task = asyncio.ensure_future(handler(sent or request(), cast("Conduit", conduit)))
        if around is not None:
            await around(conduit)
        return cast("Answer | None", await task)

    return asyncio.run(run())


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until a condition holds."""
    while not condition():  # noqa: ASYNC110 - any condition: there is no event to wait for
        await asyncio.sleep(0)
