"""What is sent and what comes back: Request and Response, whole or in pieces.

Both know HTTP's meaning and neither its wire: the same objects come from HTTP/1.1, HTTP/2, a cache or a test.
Specified in RFC 9110.
"""

from __future__ import annotations

import re
from codecs import IncrementalDecoder, getincrementaldecoder, lookup
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import orjson

from rocket_sup.client.errors import BodyConsumed, BodyNotRead, DecodingError, StatusError
from rocket_sup.client.lines import LineSplitter
from rocket_sup.client.settings import DEFAULT_TIMEOUT, Timeout
from rocket_sup.client.urls import Url
from rocket_sup.http.headers import Headers, HeaderSource

# RFC 9110 §9.2.2
IDEMPOTENT_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
_CHARSET: Final = re.compile(r';\s*charset\s*=\s*"?([^\s;"]+)', re.IGNORECASE)
_SET_COOKIE: Final = re.compile(rb"\r\n[Ss](?i:et-cookie):")
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Upload:
    """Content that is sent in pieces.

    Attributes:
        open: gives the pieces from the beginning.
        length: bytes of all pieces, or None when nobody knows; then it is sent in chunks.
        is_replayable: whether `open` may be called again, for a redirect or another attempt.
    """

    open: Callable[[], AsyncIterator[bytes]]
    length: int | None = None
    is_replayable: bool = False


class Request:
    """One request, ready to be sent.

    Attributes:
        method: as it will stand in the request line; methods are case-sensitive.
        url: where to.
        headers: of the caller and the client; the connection adds what frames the message.
        body: the content, or an `Upload`.
        timeout: how long each phase may take.
        deadline: when the whole request is over, on the clock of the event loop; None is never. Set when the
            request is first sent, and kept over redirects and attempts.
        is_streamed: whether the caller wants the content in pieces.
        extensions: what one caller wants of one layer, by the layer's name for it; `ttl` is the cache's.
    """

    __slots__ = ("body", "deadline", "extensions", "headers", "is_streamed", "method", "timeout", "url")

    def __init__(
        self,
        method: str,
        url: Url | str,
        *,
        headers: Headers | HeaderSource | None = None,
        body: bytes | Upload = b"",
        timeout: Timeout = DEFAULT_TIMEOUT,
        is_streamed: bool = False,
        extensions: dict[str, Any] | None = None,  # Any: a layer knows what it put there
    ) -> None:
        self.method = method
        self.url = url if isinstance(url, Url) else Url(url)
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.body = body
        self.timeout = timeout
        self.deadline: float | None = None
        self.is_streamed = is_streamed
        self.extensions = extensions if extensions is not None else {}

    @property
    def content(self) -> bytes:
        """The body; BodyNotRead when it is sent in pieces."""
        if isinstance(self.body, Upload):
            raise BodyNotRead("the body of this request is sent in pieces", request=self)
        return self.body

    @property
    def is_replayable(self) -> bool:
        """Whether it can be sent again, as far as its body goes."""
        return not isinstance(self.body, Upload) or self.body.is_replayable

    @property
    def is_idempotent(self) -> bool:
        """Whether sending it twice means the same as once (RFC 9110 §9.2.2)."""
        return self.method in IDEMPOTENT_METHODS

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url}>"


class Elapsed(NamedTuple):
    """Where the time of one exchange went, in seconds; 0 for what did not happen."""

    pool: float = 0.0
    dns: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    first_byte: float = 0.0
    content: float = 0.0

    @property
    def total(self) -> float:
        """All phases together."""
        return sum(self)


class Response:
    """One answer.

    Attributes:
        status: the number.
        reason: what stood beside it; HTTP/2 sends none, then it is the usual phrase.
        http_version: "HTTP/1.0", "HTTP/1.1" or "HTTP/2".
        request: what was answered; after redirects, the last request.
        history: the redirects that led here, oldest first.
        from_cache: whether a cache answered without the content coming again.
        elapsed: where the time went.
        stream: the content in pieces while it was not read, else None.
        trailers: fields after the content, once it was read.
        extensions: what a layer has to say about it; `upgraded` is the connection after CONNECT or 101,
            `item` what the request of a bulk was made of.
    """

    __slots__ = (
        "_block",
        "_content",
        "_encoding",
        "_headers",
        "_is_begun",
        "_reason",
        "elapsed",
        "extensions",
        "from_cache",
        "history",
        "http_version",
        "request",
        "status",
        "stream",
        "trailers",
    )

    def __init__(
        self,
        status: int,
        headers: Headers | HeaderSource | None = None,
        content: bytes = b"",
        *,
        json: object = None,
        text: str | None = None,
        stream: AsyncIterator[bytes] | None = None,
        request: Request | None = None,
        http_version: str = "HTTP/1.1",
        reason: str = "",
        from_cache: bool = False,
    ) -> None:
        self.status = status
        self._block = b""
        self._headers: Headers | None = headers if isinstance(headers, Headers) else Headers(headers)
        self._content: bytes | None = content if stream is None else None
        self._reason = reason
        self._encoding = ""
        self._is_begun = False  # somebody iterates, or did
        self.stream = stream
        self.request = request
        self.http_version = http_version
        self.from_cache = from_cache
        self.history: tuple[Response, ...] = ()
        self.elapsed = NO_TIME
        self.trailers: Headers | None = None
        self.extensions: dict[str, Any] = {}  # Any: a layer knows what it put there
        if json is not None:
            self._content = orjson.dumps(json)
            self._headers.setdefault("Content-Type", "application/json")
        elif text is not None:
            self._content = text.encode()
            self._headers.setdefault("Content-Type", "text/plain; charset=utf-8")

    @classmethod
    def from_wire(cls, request: Request, *, status: int, block: bytes, reason: str, version: str) -> Response:
        """Make a response of a head as received; its fields are cut when somebody asks for one.

        Args:
            block: validated field lines, each preceded by CRLF.
        """
        made = cls.__new__(cls)
        made.status = status
        made._block = block
        made._headers = None
        made._content = None
        made._reason = reason
        made._encoding = ""
        made._is_begun = False
        made.stream = None
        made.request = request
        made.http_version = version
        made.from_cache = False
        made.history = ()
        made.elapsed = NO_TIME
        made.trailers = None
        made.extensions = {}
        return made

    @property
    def headers(self) -> Headers:
        """The fields, in order."""
        if self._headers is None:
            self._headers = Headers.from_block(self._block)
        return self._headers

    @headers.setter
    def headers(self, headers: Headers) -> None:
        self._headers = headers

    @property
    def has_cookies(self) -> bool:
        """Whether cookies are set; found without cutting fields that nobody else may want."""
        if self._headers is None:
            return _SET_COOKIE.search(self._block) is not None
        return "set-cookie" in self._headers

    @property
    def status_code(self) -> int:
        """The same as `status`, under the name other clients have for it."""
        return self.status

    @property
    def reason(self) -> str:
        """What stood beside the status, or the usual phrase."""
        return self._reason or _REASONS.get(self.status, "")

    @property
    def url(self) -> Url:
        """What answered: the URL of the last request."""
        if self.request is None:
            raise BodyNotRead("this response belongs to no request")
        return self.request.url

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def is_error(self) -> bool:
        """Whether the status is 4xx or 5xx."""
        return self.status >= 400

    @property
    def is_redirect(self) -> bool:
        """Whether the answer leads elsewhere and says where."""
        return self.status in REDIRECT_STATUSES and "location" in self.headers

    @property
    def content(self) -> bytes:
        """The whole content, decompressed; BodyNotRead while it was not read."""
        if self._content is None:
            if self.stream is None or self._is_begun:
                raise BodyConsumed("the content was read in pieces; it is not kept", request=self.request)
            raise BodyNotRead("the content was not read yet: await aread(), or read()", request=self.request)
        return self._content

    @content.setter
    def content(self, content: bytes) -> None:
        self._content = content
        self.stream = None

    @property
    def body(self) -> bytes:
        """The same as `content`."""
        return self.content

    @property
    def encoding(self) -> str:
        """What makes text of the content: the charset of Content-Type if Python knows it, else UTF-8."""
        if not self._encoding:
            found = _CHARSET.search(self.headers.get("content-type", ""))
            self._encoding = "utf-8" if found is None else _known_charset(found[1])
        return self._encoding

    @encoding.setter
    def encoding(self, name: str) -> None:
        self._encoding = lookup(name).name

    @property
    def text(self) -> str:
        """The content as text; what is not in the charset becomes U+FFFD."""
        return self.content.decode(self.encoding, "replace")

    def json(self) -> Any:  # Any: a JSON document has any type
        """The content as JSON.

        Raises:
            DecodingError: it is not JSON.
        """
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError as error:
            raise DecodingError(f"the content is not JSON: {error}", request=self.request) from None

    def raise_for_status(self) -> Response:
        """Return itself, or raise.

        Raises:
            StatusError: the status is 4xx or 5xx.
        """
        if self.status >= 400:
            asked = f" for {self.request.method} {self.request.url}" if self.request else ""
            raise StatusError(f"{self.status} {self.reason}{asked}", response=self)
        return self

    async def aread(self) -> bytes:
        """Read the whole content, if that was not done, and return it."""
        if self._content is None:
            content = b"".join([piece async for piece in self.aiter_bytes()])
            self._content = content
        return self._content

    async def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """Give the content in pieces, as they come or of a fixed size; the last may be smaller."""
        if self._content is not None:
            for piece in _cut(self._content, chunk_size):
                yield piece
            return
        stream = self.stream
        if stream is None or self._is_begun:
            raise BodyConsumed("the content was read in pieces before", request=self.request)
        self._is_begun = True
        pending = bytearray()
        try:
            async for piece in stream:
                if chunk_size is None:
                    if piece:
                        yield piece
                    continue
                pending += piece
                while len(pending) >= chunk_size:
                    yield bytes(pending[:chunk_size])
                    del pending[:chunk_size]
            if pending:
                yield bytes(pending)
        finally:
            self.stream = None
            await _close(stream)

    async def aiter_text(self) -> AsyncIterator[str]:
        """Give the content in pieces of text; no character is cut in two."""
        decoder = _text_decoder(self.encoding)
        async for piece in self.aiter_bytes():
            if text := decoder.decode(piece):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text

    async def aiter_lines(self) -> AsyncIterator[str]:
        """Give the content line by line, without line ends."""
        splitter = LineSplitter()
        async for text in self.aiter_text():
            for line in splitter.feed(text):
                yield line
        for line in splitter.end():
            yield line

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Give the content in pieces."""
        yield from _cut(self.content, chunk_size)

    def iter_lines(self) -> Iterator[str]:
        """Give the content line by line, without line ends."""
        splitter = LineSplitter()
        decoder = _text_decoder(self.encoding)
        for piece in self.iter_bytes():
            yield from splitter.feed(decoder.decode(piece))
        yield from splitter.feed(decoder.decode(b"", final=True))
        yield from splitter.end()

    def read(self) -> bytes:
        """Return the whole content."""
        return self.content

    async def aclose(self) -> None:
        """Read no more: unread content is given up, with its connection if need be."""
        stream, self.stream = self.stream, None
        if stream is not None:
            await _close(stream)

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason}>".replace(" >", ">")


NO_TIME: Final = Elapsed()


async def _close(stream: AsyncIterator[bytes]) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()


def _cut(content: bytes, size: int | None) -> Iterator[bytes]:
    if size is None:
        if content:
            yield content
        return
    for start in range(0, len(content), size):
        yield content[start : start + size]


def _known_charset(name: str) -> str:
    try:
        codec = lookup(name)
    except (LookupError, ValueError):
        return "utf-8"
    # The standard library also registers codecs that make no text, "base64" for one.
    return codec.name if codec._is_text_encoding else "utf-8"


def _text_decoder(encoding: str) -> IncrementalDecoder:
    return getincrementaldecoder(encoding)("replace")
