"""The client for asyncio: from what a caller writes to requests, and what is kept between them.

What a request goes through, from the caller to the network: cookies, authentication and redirects are here,
as they make requests of responses; everything else is a transport around another one (`transport.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from time import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, Unpack

from rocket_sup.client.auth import Auth, Basic, auth_of
from rocket_sup.client.bulk import Bulk, BulkOptions, Item, Items
from rocket_sup.client.content import Content, Data, Files, encode_content
from rocket_sup.client.cookies import CookieJar
from rocket_sup.client.decoding import ACCEPT_ENCODING
from rocket_sup.client.errors import ClientClosed, TooManyRedirects
from rocket_sup.client.governing import CircuitBreaker, RateLimit
from rocket_sup.client.messages import REDIRECT_STATUSES, Request, Response
from rocket_sup.client.redirects import next_request
from rocket_sup.client.retries import Retry, RetryTransport
from rocket_sup.client.settings import DEFAULT_LIMITS, DEFAULT_TIMEOUT, Limits, Timeout
from rocket_sup.client.tls import Tls
from rocket_sup.client.transport import Transport
from rocket_sup.client.urls import Params, Url
from rocket_sup.client.wire import Wire
from rocket_sup.http.headers import Headers, HeaderSource

if TYPE_CHECKING:
    from rocket_sup.client.cache.layer import CachingTransport
    from rocket_sup.client.cache.store import Store

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
        auth: instead of the client's; None sends none.
        cookies: sent with this request alone, beside those of the jar.
        follow_redirects: instead of the client's.
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
    auth: Auth | tuple[str, str] | None
    cookies: Mapping[str, str]
    follow_redirects: bool


Hook = Callable[[Any], Any]  # a plain or async function of a request or response


class Settings(TypedDict, total=False):
    """How a client is made; all of it has defaults.

    Attributes:
        base_url: what relative URLs are relative to.
        headers: of every request, unless it has its own.
        cookies: sent to every host; those that servers set are kept beside them.
        auth: who we are: a pair is Basic.
        timeout: of every request: a `Timeout`, seconds for each phase, or None for no limit.
        limits: what the client may take.
        follow_redirects: whether to go where answers lead; True when not given.
        http2: offer HTTP/2 to servers of https URLs; "prior" speaks nothing else. Needs the extra `http2`.
        proxy: go through this one: http://[user:password@]host:port, or socks5://...
        rate: requests a second to each host, or that and how many may come at once after a rest.
        breaker: failures in a row after which requests to a host fail at once, for ten seconds.
        retry: how often to try again; never when None or not given, but for connections that had ended.
        tls: whom to trust and who we are.
        unix_socket: connect to this socket file, whatever the URL says.
        decompress: ask for compressed content, and give it decompressed; True when not given.
        hooks: functions to call with each request before it is sent ("request") and each response as it
            comes ("response"), redirects included; plain or async.
        transport: what sends, instead of connections of the client's own.
        cache: where answers are kept that may be used again (RFC 9111): a store, or the address of one,
            "memory:", "sqlite:PATH", "redis://...". Without one, answers are kept in memory for requests that
            name a `ttl`, and for no others.
    """

    base_url: str
    headers: HeaderSource | Headers
    cookies: Mapping[str, str]
    auth: Auth | tuple[str, str] | None
    timeout: Timeout | float | None
    limits: Limits
    follow_redirects: bool
    http2: bool | Literal["prior"]
    proxy: str | None
    rate: float | tuple[float, int] | None
    breaker: int | None
    retry: Retry | None
    tls: Tls
    unix_socket: str | None
    decompress: bool
    hooks: Mapping[str, Sequence[Hook]]
    transport: Transport
    cache: Store | str | None


class AsyncClient:
    """An HTTP client; `async with` closes it, with its connections."""

    def __init__(self, **settings: Unpack[Settings]) -> None:
        """Describe a client, as `Settings` tells; nothing is opened before the first request."""
        base_url = settings.get("base_url", "")
        self._base_url = Url(base_url) if base_url else None
        self._timeout = Timeout.of(settings["timeout"]) if "timeout" in settings else DEFAULT_TIMEOUT
        self._bulk_timeout = self._timeout.without_pool()
        self._limits = settings.get("limits", DEFAULT_LIMITS)
        self._auth = auth_of(settings.get("auth"))
        self._follows = settings.get("follow_redirects", True)
        self._hooks = {name: tuple(hooks) for name, hooks in settings.get("hooks", {}).items()}
        self._transport = _transport_of(settings)
        self._has_cache = settings.get("cache") is not None
        # What a cache in memory answers without waiting, of a transport that has one.
        self._hit: Callable[[Request], Response | None] | None = getattr(self._transport, "hit", None)
        self.cookies = CookieJar(settings.get("cookies"), clock=time)
        self.headers = Headers({"Accept": "*/*", "User-Agent": USER_AGENT})
        if settings.get("decompress", True):
            self.headers["Accept-Encoding"] = ACCEPT_ENCODING
        if "headers" in settings:
            _update(self.headers, settings["headers"])
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
        if "auth" in options:
            extensions["auth"] = auth_of(options["auth"])
        if "follow_redirects" in options:
            extensions["follow_redirects"] = options["follow_redirects"]
        if "cookies" in options:
            extensions["cookies"] = "; ".join(f"{name}={value}" for name, value in options["cookies"].items())
        return Request(method, address, headers=headers, body=body, timeout=timeout, extensions=extensions)

    async def send(self, request: Request) -> Response:
        """Send a request that was built before.

        Returns: its answer; whole, unless the request wants it streamed.
        Raises:
            ClientError: there is none.
        """
        if (found := self.at_once(request)) is not None:
            return found
        if self._is_closed:
            raise ClientClosed("the client is closed", request=request)
        total = request.timeout.total
        if total is not None and request.deadline is None:
            request.deadline = asyncio.get_running_loop().time() + total
        if not self._has_cache and "ttl" in request.extensions:
            self._has_cache = True
            self._transport = _cached(self._transport, None)
            self._hit = self._transport.hit
        history: tuple[Response, ...] = ()
        while True:
            response = await self._send_one(request)
            response.history = history
            if not self._is_to_be_followed(request, response):
                break
            if len(history) >= self._limits.max_redirects:
                await response.aclose()
                raise TooManyRedirects(f"more than {self._limits.max_redirects} redirects", request=request)
            await response.aclose()
            history = (*history, response)
            request = next_request(request, response)
        if response.stream is not None and not request.is_streamed:
            await response.aread()
        return response

    def at_once(self, request: Request) -> Response | None:
        """Answer from a cache in memory; None if there is nothing, or more to do than to answer.

        Any thread may call it.
        """
        if self._hit is None or self._is_closed or self._hooks or self._auth is not None:
            return None
        if "auth" in request.extensions or request.url.userinfo is not None:
            return None
        if self.cookies or "cookies" in request.extensions:
            return None  # they may select another answer
        found = self._hit(request)
        return None if found is None or found.status in REDIRECT_STATUSES else found

    async def _send_one(self, request: Request) -> Response:
        """Send a request and give its answer, without going where that leads."""
        auth = request.extensions.get("auth", self._auth) if request.extensions else self._auth
        if auth is None and request.url.userinfo is not None and "authorization" not in request.headers:
            auth = Basic(*request.url.userinfo)
        has_tried = False
        while True:
            if auth is not None:
                auth.apply(request)
            if self.cookies or "cookies" in request.extensions:
                self._put_cookies(request)
            if self._hooks:
                await self._tell("request", request)
            response = await self._transport.send(request)
            # What a cache has is from before: the jar may have newer ones by now, or be another's.
            if response.has_cookies and not response.from_cache:
                for line in response.headers.get_all("set-cookie"):
                    self.cookies.store(request.url, line)
            if self._hooks:
                await self._tell("response", response)
            if auth is None or response.status != 401 or has_tried or not request.is_replayable:
                return response
            if not auth.on_challenge(request, response):
                return response
            await response.aclose()
            has_tried = True

    def _put_cookies(self, request: Request) -> None:
        """Put in what the jar has and what the request has of its own, unless its fields say it all."""
        if "cookie" in request.headers and "jar" not in request.extensions:
            return
        found = [self.cookies.header_for(request.url), request.extensions.get("cookies", "")]
        if any(found):
            request.headers["Cookie"] = "; ".join(filter(None, found))
            request.extensions["jar"] = True

    def _is_to_be_followed(self, request: Request, response: Response) -> bool:
        if response.status not in REDIRECT_STATUSES or not response.is_redirect:
            return False
        return bool(request.extensions.get("follow_redirects", self._follows))

    async def _tell(self, moment: str, message: Request | Response) -> None:
        for hook in self._hooks.get(moment, ()):
            said = hook(message)
            if said is not None:
                await said

    def map(self, requests: Items, **options: Unpack[BulkOptions]) -> Bulk:
        """Send many requests; an async iterator of responses and errors, as they finish.

        Args:
            requests: URLs, which are asked for with GET, or requests; any iterator or async iterator.
            options: as `Bulk` has them: concurrency, per_host, ordered, progress.

        Returns: outcomes: a `Response`, whose `extensions["item"]` is what it answers, or a `ClientError`,
            whose `item` is that. `report` has the numbers.
        """
        return Bulk(self._prepare, self.send, requests, **options)

    def _prepare(self, item: Item) -> Request:
        """Make a request of an item; how long it may wait for a connection is the bulk's affair."""
        if isinstance(item, Request):
            return item
        request = self.build_request("GET", item)
        request.timeout = self._bulk_timeout
        return request

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
        if self._base_url is None or "://" in url.partition("?")[0]:
            return _read_url(url)
        base = str(self._base_url)
        return _read_url(base if not url else f"{base.rstrip('/')}/{url.lstrip('/')}")


# Most programs ask for few addresses again and again. What is kept is never changed: `Url.join` and
# `Url.with_params` make new ones.
@lru_cache(maxsize=1024)
def _read_url(text: str) -> Url:
    return Url(text)


def _transport_of(settings: Settings) -> Transport:
    """What sends: the caller's transport, or connections of our own; tried again and cached if asked for."""
    transport: Transport | None = settings.get("transport")
    if transport is None:
        transport = Wire(
            limits=settings.get("limits", DEFAULT_LIMITS),
            tls=settings.get("tls"),
            unix_socket=settings.get("unix_socket"),
            decompress=settings.get("decompress", True),
            http2=settings.get("http2", False),
            proxy=settings.get("proxy"),
        )
    breaker, rate = settings.get("breaker"), settings.get("rate")
    if breaker is not None:
        transport = CircuitBreaker(transport, failures=breaker)
    if rate is not None:
        per_second, burst = rate if isinstance(rate, tuple) else (rate, 1)
        transport = RateLimit(transport, per_second, burst=burst)
    retry = settings.get("retry")
    if retry is not None:
        transport = RetryTransport(transport, retry)
    cache = settings.get("cache")
    return transport if cache is None else _cached(transport, cache)


def _cached(transport: Transport, store: Store | str | None) -> CachingTransport:
    """Put a cache before a transport that has none; without a store, for requests that name a `ttl`."""
    # Here, as its modules take half as long again to load as all others of a client.
    from rocket_sup.client.cache.layer import CachingTransport

    if isinstance(transport, CachingTransport):
        return transport
    return CachingTransport(transport, store, only_named=store is None)


def _update(headers: Headers, source: HeaderSource | Headers) -> None:
    """Put fields in; each name replaces what was there, and keeps the lines that come with it."""
    added = Headers(source)
    for name in {name.lower() for name in added}:
        if name in headers:
            del headers[name]
    for name, value in added.items():
        headers.add(name, value)
