"""The client for asyncio: from what a caller writes to requests, and what is kept between them.

What a request goes through, from the caller to the network: cookies, authentication and redirects are here,
as they make requests of responses; everything else is a transport around another one (`transport.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, TypedDict, Unpack

from rocket_sup.client.content import Content, Data, Files, encode_content
from rocket_sup.client.decoding import ACCEPT_ENCODING
from rocket_sup.client.errors import ClientClosed
from rocket_sup.client.messages import Request, Response
from rocket_sup.client.settings import DEFAULT_LIMITS, Limits, Timeout
from rocket_sup.client.tls import Tls
from rocket_sup.client.transport import Transport
from rocket_sup.client.urls import Params, Url
from rocket_sup.client.wire import Wire
from rocket_sup.http.headers import Headers, HeaderSource

USER_AGENT: Final = "rocket-sup"


class Options(TypedDict, total=False):
    """What one request may have besides its method and URL.

    Attributes:
        params: added to the query.
        headers: added to the client's, or instead of the client's of the same name.
        content: the body: bytes, text, or pieces of bytes as they come.
        data: the body as a form.
        files: the body as a multipart form with files.
        json: the body as JSON.
        timeout: instead of the client's.
        extensions: for one layer, by its name for it.
        ttl: seconds for which a cache keeps the answer, whatever the server says.
    """

    params: Params
    headers: HeaderSource | Headers
    content: Content
    data: Data
    files: Files
    json: object
    timeout: Timeout | float | None
    extensions: Mapping[str, object]
    ttl: float


class AsyncClient:
    """An HTTP client; `async with` closes it, with its connections."""

    def __init__(
        self,
        *,
        base_url: str = "",
        headers: HeaderSource | Headers | None = None,
        timeout: Timeout | float | None = Timeout(),  # noqa: B008 - frozen
        limits: Limits = DEFAULT_LIMITS,
        tls: Tls | None = None,
        unix_socket: str | None = None,
        decompress: bool = True,
        transport: Transport | None = None,
    ) -> None:
        """Describe a client; nothing is opened before the first request.

        Args:
            base_url: what relative URLs are relative to.
            headers: of every request, unless it has its own.
            timeout: of every request: a `Timeout`, seconds for each phase, or None for no limit.
            limits: what the client may take.
            tls: whom to trust and who we are.
            unix_socket: connect to this socket file, whatever the URL says.
            decompress: ask for compressed content, and give it decompressed.
            transport: what sends, instead of connections of the client's own.
        """
        self._base_url = Url(base_url) if base_url else None
        self._timeout = Timeout.of(timeout)
        self._limits = limits
        self._transport: Transport = transport or Wire(
            limits=limits, tls=tls, unix_socket=unix_socket, decompress=decompress
        )
        defaults = {"Accept": "*/*", "User-Agent": USER_AGENT}
        if decompress:
            defaults["Accept-Encoding"] = ACCEPT_ENCODING
        self.headers = Headers(defaults)
        if headers is not None:
            _update(self.headers, headers)
        self._is_closed = False

    async def request(self, method: str, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a request and return its answer, whole.

        Args:
            method: any; the usual ones have methods of their own.
            url: absolute, or relative to `base_url`.
            options: as `Options` tells.

        Raises:
            ClientError: there is no answer.
        """
        return await self.send(self.build_request(method, url, **options))

    @asynccontextmanager
    async def stream(
        self, method: str, url: str | Url, **options: Unpack[Options]
    ) -> AsyncIterator[Response]:
        """Send a request and give its answer as soon as its head is there; leaving the block ends it."""
        request = self.build_request(method, url, **options)
        request.is_streamed = True
        response = await self.send(request)
        try:
            yield response
        finally:
            await response.aclose()

    def build_request(self, method: str, url: str | Url, **options: Unpack[Options]) -> Request:
        """Make a request as this client would send it.

        Raises:
            UrlError, InvalidRequest: it cannot be sent.
        """
        address = self._address(url)
        params = options.get("params")
        if params is not None:
            address = address.with_params(params)
        headers = Headers(self.headers)
        body: Any = b""
        if "content" in options or "data" in options or "files" in options or "json" in options:
            body, kind = encode_content(
                content=options.get("content"),
                data=options.get("data"),
                files=options.get("files"),
                json=options.get("json"),
                has_json="json" in options,
            )
            if kind:
                headers["Content-Type"] = kind
        if "headers" in options:
            _update(headers, options["headers"])
        timeout = self._timeout
        if "timeout" in options:
            timeout = Timeout.of(options["timeout"])
        extensions = dict(options["extensions"]) if "extensions" in options else {}
        if "ttl" in options:
            extensions["ttl"] = options["ttl"]
        return Request(method, address, headers=headers, body=body, timeout=timeout, extensions=extensions)

    async def send(self, request: Request) -> Response:
        """Send a request that was built before.

        Returns: its answer; whole, unless the request wants it streamed.
        Raises:
            ClientError: there is none.
        """
        if self._is_closed:
            raise ClientClosed("the client is closed", request=request)
        total = request.timeout.total
        if total is not None and request.deadline is None:
            request.deadline = asyncio.get_running_loop().time() + total
        response = await self._transport.send(request)
        if response.stream is not None and not request.is_streamed:
            await response.aread()
        return response

    async def get(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a GET."""
        return await self.send(self.build_request("GET", url, **options))

    async def head(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a HEAD."""
        return await self.send(self.build_request("HEAD", url, **options))

    async def options(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send an OPTIONS."""
        return await self.send(self.build_request("OPTIONS", url, **options))

    async def post(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a POST."""
        return await self.send(self.build_request("POST", url, **options))

    async def put(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a PUT."""
        return await self.send(self.build_request("PUT", url, **options))

    async def patch(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a PATCH."""
        return await self.send(self.build_request("PATCH", url, **options))

    async def delete(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a DELETE."""
        return await self.send(self.build_request("DELETE", url, **options))

    async def trace(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a TRACE."""
        return await self.send(self.build_request("TRACE", url, **options))

    async def connect(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a CONNECT; after 2xx the connection is in `response.extensions["upgraded"]`."""
        return await self.send(self.build_request("CONNECT", url, **options))

    @property
    def open_connections(self) -> int:
        """Connections that are open, or being made; 0 for a transport that tells nothing."""
        return int(getattr(self._transport, "open_connections", 0))

    async def close(self) -> None:
        """End all connections; requests under way fail."""
        if not self._is_closed:
            self._is_closed = True
            await self._transport.close()

    async def aclose(self) -> None:
        """The same as `close`, under the name other clients have for it."""
        await self.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _address(self, url: str | Url) -> Url:
        if isinstance(url, Url):
            return url
        if self._base_url is None or url.startswith(("http://", "https://")):
            return Url(url)
        base = str(self._base_url)
        return Url(base if not url else f"{base.rstrip('/')}/{url.lstrip('/')}")


def _update(headers: Headers, source: HeaderSource | Headers) -> None:
    """Put fields in; each name replaces what was there, and keeps the lines that come with it."""
    added = Headers(source)
    for name in {name.lower() for name in added}:
        if name in headers:
            del headers[name]
    for name, value in added.items():
        headers.add(name, value)
