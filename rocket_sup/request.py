"""One request as a handler sees it.

Nothing is decoded before somebody asks: the field lines stay the bytes that were received, and a handler
that reads one header pays for one search. The content is whole: a request that was cut short never gets
here.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from encodings.aliases import aliases
from typing import Any, Final, Protocol, overload
from urllib.parse import unquote

import orjson

from rocket_sup.errors import LocalProtocolError, RemoteProtocolError
from rocket_sup.hooks import Client
from rocket_sup.http.forms import Form, parse_form, parse_media_type
from rocket_sup.http.forwarded import Origin
from rocket_sup.http.framing import RequestHead
from rocket_sup.http.headers import Headers
from rocket_sup.http.multidict import MultiDict
from rocket_sup.http.query import parse_query
from rocket_sup.pattern import split_path

_REMEMBERED_NAMES: Final = 256  # applications ask for few names; more are compiled each time
# Codecs of Python that are no charsets of text on the wire, or take quadratic time.
_NOT_CHARSETS: Final = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "utf-7", "undefined"}
)
_CODECS: Final = frozenset(aliases) | frozenset(aliases.values())
_ALIAS: Final = re.compile(r"[^a-z0-9]+")
_ASGI_PAIRS: Final = re.compile(rb"\r\n([^:]++):[\t ]*+([^\r]*+)")
_searches: dict[str, re.Pattern[bytes]] = {}


def cut_path(path: str) -> list[str]:
    """See `Request.path_segments`."""
    segments = split_path(path)
    if segments is None:
        raise RemoteProtocolError("the path is not percent-encoded UTF-8 (RFC 3986 §2.1)")
    return segments


def read_json(content: bytes) -> Any:  # a JSON document has any type
    """See `Request.json`."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise RemoteProtocolError(
            f"the content is not JSON: {error.msg} (RFC 8259)", offset=error.pos
        ) from None


def read_text(content_type: str, content: bytes) -> str:
    """See `Request.text`."""
    _, parameters = parse_media_type(content_type)
    charset = parameters.get("charset", "utf-8")
    try:
        if _ALIAS.sub("_", charset.lower()) not in _CODECS:
            raise LookupError  # not asked of Python: it remembers every name that it does not know
        if codecs.lookup(charset).name.replace("_", "-") in _NOT_CHARSETS:
            raise LookupError
        return content.decode(charset)
    except LookupError:
        raise RemoteProtocolError(
            "the charset of the content is unknown (RFC 9110 §8.3.2)", status=415
        ) from None
    except ValueError:  # also a charset name with a NUL
        raise RemoteProtocolError("the content is not in its charset (RFC 9110 §8.3.2)") from None


class Content(Protocol):
    """Gives content as it comes: `async for` on the event loop, `for` in a thread of a blocking route."""

    def __aiter__(self) -> Content: ...
    async def __anext__(self) -> bytes: ...
    def __iter__(self) -> Content: ...
    def __next__(self) -> bytes: ...


class Request:
    """A request.

    Attributes:
        client: the peer as its socket names it: (host, port), or the path of a Unix socket, mostly "".
        body: the whole content.
        path_params: what the route's `:name` segments matched, decoded.
        forwarded: what a trusted proxy said about where the request comes from, which then is `client`, too;
            None from anybody else.
    """

    # Defaults of the class: an instance sets two attributes when it is made, and others when they are asked
    # for.
    body: bytes = b""
    path_params: dict[str, str]  # made when asked for, if the route has none
    _headers: Headers | None = None
    _query: MultiDict[str] | None = None
    forwarded: Origin | None = None

    def __init__(self, head: RequestHead, client: Client) -> None:
        """Make a request from what the parser found.

        Args:
            head: valid, and possibly shared with other requests of the same bytes; it is only read here.
            client: see the attributes.
        """
        self.head = head
        self.client = client

    def __getattr__(self, name: str) -> dict[str, str]:
        if name != "path_params":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self.path_params = {}
        return self.path_params

    @property
    def method(self) -> str:
        """As sent; methods are case-sensitive."""
        return self.head.method

    @property
    def scheme(self) -> str:
        """Either "http" or "https", as the client sees it: a trusted proxy may have said so."""
        return "http" if self.forwarded is None else self.forwarded.scheme or "http"

    @property
    def target(self) -> str:
        """The request target as sent."""
        return self.head.target

    @property
    def path(self) -> str:
        """The target's path, still percent-encoded; "*" for `OPTIONS *`."""
        return self.head.path

    @property
    def query_string(self) -> str:
        """The target's query, without the question mark."""
        return self.head.query

    @property
    def http_version(self) -> str:
        """Either "1.1" or "1.0"."""
        return self.head.version

    @property
    def fields(self) -> bytes:
        """The field lines as received, each preceded by CRLF; `headers` and `get_header` read them."""
        return self.head.fields

    @property
    def headers(self) -> Headers:
        """All header fields, in order; decoded at the first use."""
        headers = self._headers
        if headers is None:
            headers = self._headers = Headers.from_block(self.fields)
        return headers

    @overload
    def get_header(self, name: str) -> str | None: ...
    @overload
    def get_header(self, name: str, default: str) -> str: ...
    def get_header(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a header field, without decoding the others."""
        if self._headers is not None:
            return self._headers.get(name, default)
        search = _searches.get(name)
        if search is None:
            search = re.compile(rb"(?i:\r\n%b):[\t ]*+([^\r]*+)" % re.escape(name).encode("utf-8"))
            if len(_searches) < _REMEMBERED_NAMES:
                _searches[name] = search
        match = search.search(self.fields)
        return match[1].decode("latin-1").rstrip("\t ") if match is not None else default

    def wsgi_environ(self, base: dict[str, Any], content: object) -> dict[str, Any]:
        """Make the environ of a WSGI application for this request; its path is still encoded.

        Args:
            base: what the field lines say, and every key: nothing grows here.
            content: `wsgi.input`.
        """
        environ = base.copy()
        environ["REQUEST_METHOD"] = self.method
        environ["REQUEST_URI"] = environ["RAW_URI"] = self.target
        environ["PATH_INFO"] = self.path
        environ["QUERY_STRING"] = self.query_string
        if self.http_version == "1.0":
            environ["SERVER_PROTOCOL"] = "HTTP/1.0"
        environ["wsgi.input"] = content
        client = self.client
        if isinstance(client, tuple):
            environ["REMOTE_ADDR"] = client[0]
            environ["REMOTE_PORT"] = str(client[1])
        else:
            environ["REMOTE_ADDR"] = client
            del environ["REMOTE_PORT"]
        return environ

    def asgi_headers(self) -> list[tuple[bytes, bytes]]:
        """List all header fields as ASGI has them: names in lower case, values as received."""
        return [(name.lower(), value.rstrip(b"\t ")) for name, value in _ASGI_PAIRS.findall(self.fields)]

    def asgi_scope(self, base: dict[str, Any], outer_path: str) -> dict[str, Any]:
        """Make the scope of an ASGI application for this request.

        Args:
            base: what all its scopes have in common.
            outer_path: stood before the path until a proxy in front of us removed it.
        """
        path, client = self.path, self.client
        scope = base.copy()
        scope["http_version"] = self.http_version
        scope["method"] = self.method
        scope["path"] = outer_path + (unquote(path) if "%" in path else path)
        scope["raw_path"] = (outer_path + path).encode("utf-8")
        scope["query_string"] = self.query_string.encode("ascii")
        scope["headers"] = self.asgi_headers()
        scope["client"] = client[:2] if isinstance(client, tuple) else None
        return scope

    @property
    def host(self) -> str:
        """The authority the request was sent to, `host[:port]`; "" when HTTP/1.0 gave none."""
        return self.get_header("host", "")

    @property
    def path_segments(self) -> list[str]:
        """The path cut at its slashes and decoded: `/a%20b/` has "a b" and "".

        Raises:
            RemoteProtocolError: an escape is malformed or not UTF-8; left alone, it becomes the client's 400.
        """
        return cut_path(self.path)

    @property
    def query_params(self) -> MultiDict[str]:
        """The parameters of the query string; the first value by `[]`, all by `get_all`."""
        query = self._query
        if query is None:
            query = self._query = parse_query(self.query_string)
        return query

    @overload
    def get_query_param(self, name: str) -> str | None: ...
    @overload
    def get_query_param(self, name: str, default: str) -> str: ...
    def get_query_param(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a query parameter."""
        return self.query_params.get(name, default)

    def json(self) -> Any:  # a JSON document has any type
        """Parse the content as JSON.

        Raises:
            RemoteProtocolError: it is not JSON; left alone, it becomes the client's 400.
        """
        return read_json(self.body)

    def text(self) -> str:
        """Decode the content by the charset of its Content-Type, or as UTF-8.

        Raises:
            RemoteProtocolError: it cannot be decoded; left alone, it becomes the client's 400 (415 for an
            unknown charset).
        """
        return read_text(self.get_header("content-type", ""), self.body)

    def form(self) -> Form:
        """Parse the content as a form: urlencoded, or multipart with files.

        Raises:
            RemoteProtocolError: it is no form; left alone, it becomes the client's 400 or 415.
        """
        return parse_form(self.get_header("content-type", ""), self.body)

    def stream(self) -> Content:
        """Read the content piece by piece, while it comes; of a route with `stream=True`.

        Raises:
            RemoteProtocolError: from the iteration: the content will never be whole (413, 400, 408); left
                alone, it becomes the answer.
            TransportError: from the iteration: the client is gone.
            LocalProtocolError: the route does not stream.
        """
        raise _whole()

    async def read(self) -> bytes:
        """Return the whole content, waiting for it where the route streams; then `body`, `json`, `text` and
        `form` have it. Raises as the iteration of `stream`.
        """
        return self.body

    @property
    def trailers(self) -> Headers:
        """The fields sent behind the content of a route with `stream=True`; empty before its end."""
        raise _whole()

    @property
    def is_disconnected(self) -> bool:
        """The client of a route with `stream=True` has closed its side; known when all it sent was read."""
        raise _whole()

    async def disconnected(self) -> None:
        """Wait until `is_disconnected`."""
        raise _whole()

    async def early_hints(self, links: Iterable[str]) -> None:
        """Tell the client of a route with `stream=True` what it will need (103, RFC 8297), before the answer;
        nothing over HTTP/1.0.

        Args:
            links: values of Link fields, like `</style.css>; rel=preload; as=style`.

        Raises:
            LocalProtocolError: the answer has begun, or a value cannot be sent.
        """
        raise _whole()

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target}>"


def _whole() -> LocalProtocolError:
    return LocalProtocolError("this route does not stream: register it with stream=True")
