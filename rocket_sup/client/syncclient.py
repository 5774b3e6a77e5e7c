"""The client for threads: the same surface as `AsyncClient`, without `await`.

Every call runs on one event loop in one background thread of the process, which all synchronous clients
share; any number of threads may use one client. The pool, cookies and caches are then those of that client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from types import TracebackType
from typing import Final, TypeVar, Unpack

from rocket_sup.client.asyncclient import AsyncClient, Options, Settings
from rocket_sup.client.bulk import Bulk, BulkOptions, Feed, Item, Outcome
from rocket_sup.client.cookies import CookieJar
from rocket_sup.client.errors import BodyConsumed
from rocket_sup.client.lines import LineSplitter
from rocket_sup.client.loopthread import run
from rocket_sup.client.messages import Request, Response
from rocket_sup.client.urls import Url
from rocket_sup.http.headers import Headers

T = TypeVar("T")
_BATCH: Final = 256  # requests that go to the loop at once: one change of threads for all of them


class StreamedResponse(Response):
    """A response whose content is read piece by piece, by a thread."""

    __slots__ = ("_inner", "_pieces")

    def __init__(self, inner: Response) -> None:
        """Wrap a response of the shared loop."""
        super().__init__(
            inner.status,
            inner.headers,
            request=inner.request,
            http_version=inner.http_version,
            reason=inner.reason,
            from_cache=inner.from_cache,
            stream=inner.stream or inner.aiter_bytes(),
        )
        self.history = inner.history
        self.extensions = inner.extensions
        self._inner = inner
        self._pieces: AsyncIterator[bytes] | None = None

    def read(self) -> bytes:
        """Read the whole content, if that was not done, and return it."""
        if self._content is None:
            if self._pieces is not None:
                raise BodyConsumed("the content was read in pieces before", request=self.request)
            self.content = run(self._inner.aread())
            self._note_end()
        return self.content

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Give the content in pieces, as they come or of a fixed size; the last may be smaller."""
        if self._content is not None:
            yield from super().iter_bytes(chunk_size)
            return
        if self._pieces is not None:
            raise BodyConsumed("the content was read in pieces before", request=self.request)
        pieces = self._pieces = self._inner.aiter_bytes(chunk_size)
        while (piece := run(_next(pieces))) is not None:
            yield piece
        self._note_end()

    def iter_lines(self) -> Iterator[str]:
        """Give the content line by line, without line ends."""
        splitter = LineSplitter()
        if self._pieces is not None:
            raise BodyConsumed("the content was read in pieces before", request=self.request)
        texts = self._inner.aiter_text()
        self._pieces = self._inner.aiter_bytes()  # it cannot be read in another way from here on
        while (text := run(_next(texts))) is not None:
            yield from splitter.feed(text)
        yield from splitter.end()
        self._note_end()

    def close(self) -> None:
        """Read no more."""
        run(self._inner.aclose())

    def _note_end(self) -> None:
        self.trailers = self._inner.trailers
        self.elapsed = self._inner.elapsed


class Outcomes:
    """The outcomes of a bulk, for a thread.

    Attributes:
        report: numbers, while it runs and afterwards.
    """

    def __init__(self, client: AsyncClient, requests: Iterable[Item], options: BulkOptions) -> None:
        self._feed = Feed()
        self._requests = requests
        self._window = 2 * options.get("concurrency", 100)
        self._bulk = run(_make_bulk(client, self._feed, options))
        self.report = self._bulk.report

    def __iter__(self) -> Iterator[Outcome]:
        items = iter(self._requests)
        under_way = 0
        is_ended = False
        try:
            while True:
                batch = list(islice(items, min(_BATCH, self._window - under_way))) if not is_ended else []
                is_full = under_way + len(batch) >= self._window
                is_ended = is_ended or (not is_full and len(batch) < _BATCH)
                under_way += len(batch)
                outcomes = run(self._swap(batch, is_ended, waits=is_full or is_ended))
                under_way -= len(outcomes)
                yield from outcomes
                if is_ended and not outcomes:
                    return
        finally:
            run(self._bulk.close())

    async def _swap(self, batch: list[Item], is_last: bool, *, waits: bool) -> list[Outcome]:
        self._feed.put(batch, is_last=is_last)
        return await self._bulk.take(waits=waits)


class Client:
    """An HTTP client; `with` closes it, with its connections."""

    def __init__(self, **settings: Unpack[Settings]) -> None:
        """Describe a client, as `Settings` tells; nothing is opened before the first request."""
        self._client = AsyncClient(**settings)

    @property
    def headers(self) -> Headers:
        """Fields of every request, unless it has its own."""
        return self._client.headers

    @property
    def cookies(self) -> CookieJar:
        """What servers set, and what was given."""
        return self._client.cookies

    @property
    def open_connections(self) -> int:
        """Connections that are open, or being made."""
        return self._client.open_connections

    def request(self, method: str, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a request and return its answer, whole.

        Raises:
            ClientError: there is no answer.
        """
        return self.send(self._client.build_request(method, url, **options))

    @contextmanager
    def stream(self, method: str, url: str | Url, **options: Unpack[Options]) -> Iterator[StreamedResponse]:
        """Send a request and give its answer as soon as its head is there; leaving the block ends it."""
        request = self.build_request(method, url, **options)
        request.is_streamed = True
        response = StreamedResponse(run(self._client.send(request)))
        try:
            yield response
        finally:
            response.close()

    def build_request(self, method: str, url: str | Url, **options: Unpack[Options]) -> Request:
        """Make a request as this client would send it."""
        return self._client.build_request(method, url, **options)

    def send(self, request: Request) -> Response:
        """Send a request that was built before, and return its answer, whole."""
        found = self._client.at_once(request)  # without a way to the loop's thread and back
        return run(self._client.send(request)) if found is None else found

    def map(self, requests: Iterable[Item], **options: Unpack[BulkOptions]) -> Outcomes:
        """Send many requests; an iterator of responses and errors, as they finish.

        The iterator of requests runs in the thread that takes the outcomes. `AsyncClient.map` says the rest.
        """
        return Outcomes(self._client, requests, options)

    def get(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a GET."""
        return self.request("GET", url, **options)

    def head(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a HEAD."""
        return self.request("HEAD", url, **options)

    def options(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send an OPTIONS."""
        return self.request("OPTIONS", url, **options)

    def post(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a POST."""
        return self.request("POST", url, **options)

    def put(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a PUT."""
        return self.request("PUT", url, **options)

    def patch(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a PATCH."""
        return self.request("PATCH", url, **options)

    def delete(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a DELETE."""
        return self.request("DELETE", url, **options)

    def trace(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a TRACE."""
        return self.request("TRACE", url, **options)

    def connect(self, url: str | Url, **options: Unpack[Options]) -> Response:
        """Send a CONNECT; the connection after 2xx belongs to the shared loop."""
        return self.request("CONNECT", url, **options)

    def close(self) -> None:
        """End all connections; requests under way fail."""
        run(self._client.close())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _make_bulk(client: AsyncClient, feed: Feed, options: BulkOptions) -> Bulk:
    return client.map(feed, **options)


async def _next(pieces: AsyncIterator[T]) -> T | None:
    return await anext(pieces, None)
