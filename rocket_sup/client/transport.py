"""The seam: whatever takes a request and gives a response.

A client ends in a transport that has connections. Caches, retries and whatever else stands between are
transports around another one; tests put one in its place that has no network at all.

A response is either whole (`response.stream is None`, `response.content` is there) or carries its content as
an async iterator of bytes in `response.stream`, which whoever takes the response reads to its end or closes
(`aclose`). A transport must give a whole response to a request with `is_streamed` False unless it costs it
more than its caller; callers take either and use `await response.aread()`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from rocket_sup.client.messages import Request, Response


class Transport(Protocol):
    """Sends one request."""

    async def send(self, request: Request) -> Response:
        """Send a request and return its response.

        Raises:
            ClientError: there is none.
        """
        ...

    async def close(self) -> None:
        """Let go of all connections; nothing is sent after this."""
        ...


Answerer = Callable[[Request], "Response | Awaitable[Response]"]
