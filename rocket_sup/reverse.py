"""A reverse proxy as a handler: what a client asks is asked of another server, content streamed both ways.

`proxy("http://upstream", client)` makes the handler of a streaming route. What is about one connection stays
on it (RFC 9110 §7.6.1); who asked is said in Forwarded and X-Forwarded-*, and what the client itself says
there is replaced, not believed. An upstream that cannot be reached is answered with 502, one that takes too
long with 504; one that breaks off in the middle of its content cuts the client's connection, which tells it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from rocket_sup.client.asyncclient import AsyncClient
from rocket_sup.client.errors import ClientError, RequestTimeout
from rocket_sup.client.messages import Request as UpstreamRequest
from rocket_sup.client.messages import Response as UpstreamResponse
from rocket_sup.client.messages import Upload
from rocket_sup.client.settings import DEFAULT_LIMITS, DEFAULT_TIMEOUT, Limits, Timeout
from rocket_sup.client.urls import Url
from rocket_sup.client.wire import Wire
from rocket_sup.http.headers import Headers
from rocket_sup.request import Request
from rocket_sup.response import Response

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# About one connection, whatever Connection names beside them (RFC 9110 §7.6.1).
_HOP_BY_HOP: Final = frozenset(
    {"connection", "proxy-connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
    | {"proxy-authenticate", "proxy-authorization"}
)
_WHO_ASKED: Final = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"})
Handler = Callable[[Request], Awaitable[Response]]


def upstream_client(limits: Limits = DEFAULT_LIMITS) -> AsyncClient:
    """Make the connections of a proxy: answers as they are, redirects and codings included.

    Close it when the application ends: `app.on_shutdown(client.close)`.
    """
    wire = Wire(limits=limits, decompress=False)
    return AsyncClient(transport=wire, follow_redirects=False, decompress=False)


def proxy(
    upstream: str, client: AsyncClient, *, timeout: Timeout = DEFAULT_TIMEOUT, keeps_host: bool = False
) -> Handler:
    """Make the handler of a route that was registered with `stream=True`.

    Args:
        upstream: where to ask: scheme, host and port; a path is put before that of the request.
        client: what asks: `upstream_client`, whose pool several proxies may share.
        timeout: for each phase of a request to the upstream.
        keeps_host: send the client's Host, instead of that of the upstream.
    """
    base = Url(upstream)
    prefix = base.path.rstrip("/")

    async def handle(req: Request) -> Response:
        headers = _request_headers(req, keeps_host=keeps_host)
        request = UpstreamRequest(
            req.method,
            Url(f"{base.scheme}://{base.authority}{prefix}{req.target}"),
            headers=headers,
            body=_body(req),
            timeout=timeout,
            is_streamed=True,
        )
        try:
            return _answer(req, await client.send(request))
        except RequestTimeout as error:
            return _failed(504, error)
        except ClientError as error:
            return _failed(502, error)

    return handle


def _request_headers(req: Request, *, keeps_host: bool) -> Headers:
    """What the upstream is told: the client's fields without those of its connection, and who it is."""
    dropped = _dropped(req.headers) | _WHO_ASKED | {"content-length", "expect"}
    if not keeps_host:
        dropped |= {"host"}
    headers = Headers([(name, value) for name, value in req.headers.items() if name.lower() not in dropped])
    client = req.client[0] if isinstance(req.client, tuple) else ""
    address = f'"[{client}]"' if ":" in client else client or "unknown"
    headers.add("Forwarded", f'for={address};host="{_quoted(req.host)}";proto={req.scheme}')
    if client:
        headers.add("X-Forwarded-For", client)
    headers.add("X-Forwarded-Host", req.host)
    headers.add("X-Forwarded-Proto", req.scheme)
    return headers


def _body(req: Request) -> bytes | Upload:
    length = req.get_header("content-length")
    if length is None and req.get_header("transfer-encoding") is None:
        return b""
    return Upload(lambda: _pieces(req), length=None if length is None else int(length))


async def _pieces(req: Request) -> AsyncIterator[bytes]:
    async for piece in req.stream():
        yield piece


def _answer(req: Request, response: UpstreamResponse) -> Response:
    dropped = _dropped(response.headers) | {"content-length"}
    headers = [(name, value) for name, value in response.headers.items() if name.lower() not in dropped]
    if response.status in (204, 304):
        return Response(None, response.status, headers)
    length = response.headers.get("content-length")
    known = int(length) if length is not None and length.isdigit() else None
    return Response.stream(_Content(response), response.status, headers, length=known)


class _Content:
    """The content of an upstream's answer. No generator: closing one that never began would close nothing."""

    def __init__(self, response: UpstreamResponse) -> None:
        self._response = response
        self._pieces = response.aiter_bytes()

    def __aiter__(self) -> _Content:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        """The client has it all, or left."""
        await self._response.aclose()


def _dropped(headers: Headers) -> frozenset[str]:
    named = ",".join(headers.get_all("connection")).lower().split(",")
    return _HOP_BY_HOP | {name.strip() for name in named}


def _failed(status: int, error: ClientError) -> Response:
    words = "takes too long" if status == 504 else "cannot be reached"
    fields = {"Proxy-Status": f"rocket-sup; details={type(error).__name__}"}
    return Response.text(f"the server behind this one {words}\n", status, fields)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
