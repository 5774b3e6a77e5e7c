"""A server in the place of an inner transport, a clock that a test moves, and a cache before both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from rocket_sup.client.cache.layer import CachingTransport
from rocket_sup.client.messages import Request, Response
from rocket_sup.http.headers import Headers
from tests.unit.client.cache.exchanges import NOW

URL = "http://a.test/x"
Answerer = Callable[[Request], Response | Awaitable[Response]]


class Clock:
    """Seconds since the epoch."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now

    def date(self, offset_s: float = 0.0) -> str:
        """As a field value."""
        return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(self.now + offset_s))


class Origin:
    """A transport that has no network.

    Attributes:
        requests: what was asked.
        answer: what is said to it.
    """

    def __init__(self, answer: Answerer) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.is_closed = False

    async def send(self, request: Request) -> Response:
        """Answer, after the loop had a turn, as any server."""
        self.requests.append(request)
        await asyncio.sleep(0)
        answer = self.answer(request)
        response = answer if isinstance(answer, Response) else await answer
        response.request = request
        return response

    async def close(self) -> None:
        """As told."""
        self.is_closed = True


class Pieces:
    """Content that comes when a test lets it.

    Attributes:
        taken: how many pieces were read.
        is_closed: nobody reads it any more.
    """

    def __init__(self, *pieces: bytes | Exception, gate: asyncio.Event | None = None) -> None:
        self.pieces = list(pieces)
        self.gate = gate
        self.taken = 0
        self.is_closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        if self.taken == len(self.pieces):
            raise StopAsyncIteration
        piece = self.pieces[self.taken]
        self.taken += 1
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def aclose(self) -> None:
        """As told."""
        self.is_closed = True


def answer(
    cache_control: str | None = "max-age=60",
    content: bytes = b"content",
    *,
    status: int = 200,
    stream: AsyncIterator[bytes] | None = None,
    **fields: str,
) -> Response:
    """A response; `last_modified=` stands for Last-Modified."""
    headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
    if cache_control is not None:
        headers.add("Cache-Control", cache_control)
    return Response(status, headers, content, stream=stream)


class Setting:
    """A cache, its server and its clock."""

    def __init__(self, answerer: Answerer, **options: Any) -> None:
        self.clock = Clock()
        self.origin = Origin(answerer)
        self.cache = CachingTransport(self.origin, wall=self.clock, **options)

    async def send(
        self,
        method: str = "GET",
        url: str = URL,
        *,
        ttl: float | None = None,
        stream: bool = False,
        **fields: str,
    ) -> Response:
        """Send a request through the cache."""
        headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
        request = Request(method, url, headers=headers, is_streamed=stream)
        if ttl is not None:
            request.extensions["ttl"] = ttl
        return await self.cache.send(request)

    @property
    def asked(self) -> int:
        """How often the server was asked."""
        return len(self.origin.requests)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a scenario."""
    asyncio.run(main)


async def until(condition: Callable[[], object]) -> None:
    """Turn the loop until something holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - any condition at all
            await asyncio.sleep(0)
