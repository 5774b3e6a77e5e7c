"""Transports without a network: answers that a test chooses, and ASGI applications called in the process.

Neither replaces anything by patching: a client is made with one (`AsyncClient(transport=MockTransport(...))`)
and does all the rest as ever: cookies, redirects, retries, caches.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from rocket_sup.client.errors import ReadError
from rocket_sup.client.messages import Request, Response, Upload

Answerer = Callable[[Request], Response | Awaitable[Response]]


class MockTransport:
    """Answers with what a function returns, plain or async; an error that it raises is the outcome.

    Attributes:
        requests: everything that was sent, in order.
    """

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self.requests: list[Request] = []

    async def send(self, request: Request) -> Response:
        """Answer a request."""
        self.requests.append(request)
        if isinstance(request.body, Upload):
            request.body = await _collected(request.body)
        answer = self._answerer(request)
        response = await answer if inspect.isawaitable(answer) else answer
        response.request = request
        if request.method == "HEAD" and response.stream is None:
            response.content = b""
        return response

    async def close(self) -> None:
        """There is nothing to let go of."""


class AsgiTransport:
    """Calls an ASGI application for each request; no socket, no server."""

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        *,
        client: tuple[str, int] = ("127.0.0.1", 123),
        root_path: str = "",
    ) -> None:
        """Args: app: ASGI 3; client: who it is told that asks; root_path: where it is mounted."""
        self._app = app
        self._client = client
        self._root_path = root_path

    async def send(self, request: Request) -> Response:
        """Call the application and return what it sent.

        Raises:
            ReadError: it ended without a whole answer. What the application itself raises is raised.
        """
        body = await _collected(request.body) if isinstance(request.body, Upload) else request.body
        call = _Call(body)
        await self._app(self._scope(request), call.receive, call.send)
        if call.status is None or not call.is_complete:
            raise ReadError("the application ended without a whole answer", request=request)
        content = b"" if request.method == "HEAD" else b"".join(call.pieces)
        return Response(call.status, call.fields, content, request=request)

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _scope(self, request: Request) -> dict[str, Any]:  # Any: ASGI's dictionaries hold everything
        url = request.url
        headers = [(b"host", url.authority.encode("ascii"))] if "host" not in request.headers else []
        for name, value in request.headers.items():
            headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": url.scheme,
            "path": unquote(url.path),
            "raw_path": url.path.encode("ascii"),
            "query_string": url.query.encode("ascii"),
            "root_path": self._root_path,
            "headers": headers,
            "client": self._client,
            "server": (url.host, url.port),
        }


class _Call:
    """One call of an application: what it is given, and what it gave."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._ended = asyncio.Event()
        self.status: int | None = None
        self.fields: list[tuple[str, str]] = []
        self.pieces: list[bytes] = []
        self.is_complete = False

    async def receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._ended.wait()  # the client leaves when it has its answer
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            fields = message.get("headers", ())
            self.fields = [(bytes(n).decode("latin-1"), bytes(v).decode("latin-1")) for n, v in fields]
        elif message["type"] == "http.response.body":
            self.pieces.append(bytes(message.get("body", b"")))
            if not message.get("more_body", False):
                self.is_complete = True
                self._ended.set()


async def _collected(upload: Upload) -> bytes:
    return b"".join([piece async for piece in upload.open()])
