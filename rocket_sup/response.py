"""What a handler answers with, and how any value it returns becomes an answer.

`str` is text, `bytes` are bytes, `dict`, `list` and dataclasses are JSON, an `int` is a status, `None` is
204, an iterator gives the content piece by piece; a tuple adds a status and headers to one of these; a
`Response` says everything. `answer_from` turns all of them into one shape that the connection writes. What
cannot go onto the wire is refused here, before a byte was written: fields with control characters, statuses
that are not final, and framing fields, which belong to the connection alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

import orjson

from rocket_sup.errors import LocalProtocolError
from rocket_sup.filebody import file_answer
from rocket_sup.http.disposition import content_disposition
from rocket_sup.http.grammar import SENDABLE_NAME, SENDABLE_VALUE
from rocket_sup.http.headers import Headers, HeaderSource
from rocket_sup.http.selection import Ask, ask_of
from rocket_sup.http.semantics import BINARY, HTML, JSON, TEXT, Encoder, has_content
from rocket_sup.http.validators import Conditions
from rocket_sup.sources import FileSource, Pieces, Stream, TrailerSource, source_of

if TYPE_CHECKING:
    from rocket_sup.request import Request

_BLANK: Final = re.compile("[\x00-\x20\x7f]")
R = TypeVar("R")

_URI_CHARACTERS: Final = "%:/?#[]@!$&'()*+,;=~"  # RFC 3986 §2.2; the rest is encoded as UTF-8


class Response:
    """An answer with its status and header fields.

    Attributes:
        body: `str`, `bytes`, None for no content, an iterator, or anything orjson can write.
        status: 200 to 999.
        headers: ordered, repeatable, case-insensitive.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(
        self, body: object = None, status: int = 200, headers: HeaderSource | Headers | None = None
    ) -> None:
        """Make an answer; without a Content-Type of your own, the type of `body` decides."""
        self.body = body
        self.status = status
        self.headers = Headers(headers)

    @classmethod
    def text(cls, text: str, status: int = 200, headers: HeaderSource | None = None) -> Response:
        """Answer with plain text."""
        return cls(text, status, headers)

    @classmethod
    def html(cls, markup: str, status: int = 200, headers: HeaderSource | None = None) -> Response:
        """Answer with an HTML document."""
        response = cls(markup, status, headers)
        response.headers.setdefault("Content-Type", HTML.decode("ascii"))
        return response

    @classmethod
    def json(cls, document: object, status: int = 200, headers: HeaderSource | None = None) -> Response:
        """Answer with a JSON document, also when it is a bare string, number or null."""
        response = cls(orjson.dumps(document), status, headers)
        response.headers.setdefault("Content-Type", JSON.decode("ascii"))
        return response

    @classmethod
    def stream(
        cls,
        source: Pieces,
        status: int = 200,
        headers: HeaderSource | None = None,
        *,
        length: int | None = None,
        trailers: TrailerSource | None = None,
    ) -> Response:
        """Answer with content that is made while it is sent.

        Args:
            source: gives bytes or text; an asynchronous or an ordinary iterable. On the event loop an
                ordinary one must not block. It is closed at the end, however that comes.
            status: see the attributes.
            headers: the media type is `application/octet-stream` unless they say another.
            length: bytes of the whole content, if they are known; else its end is marked by the framing.
            trailers: fields to be sent behind the content, or a function, also a coroutine function, that is
                asked for them when it is complete. Without a known length and over HTTP/1.1 only.

        Raises:
            LocalProtocolError: trailers and a length do not go together, or the length is negative.
        """
        if length is not None and (trailers is not None or length < 0):
            raise LocalProtocolError(
                f"length={length}: must not be negative, and excludes trailers (RFC 9110 §6.5)"
            )
        return cls(Stream(source, length=length, trailers=trailers), status, headers)

    @classmethod
    def file(
        cls,
        path: str | os.PathLike[str],
        request: Request | None = None,
        *,
        download: str | None = None,
        media_type: str | None = None,
        headers: HeaderSource | None = None,
    ) -> Response:
        """Answer with a file: from memory when it is small, else sent by the kernel.

        Args:
            path: on disk. It is trusted: what a client may name is confined by `Router.static`.
            request: the GET or HEAD to answer. With it, what the client has is not sent again (304), and a
                part is sent if it asks for one (206); it may also be 412 or 416.
            download: the client is to keep it under this name, in any script.
            media_type: by the end of the path when None.
            headers: further fields of an answer with content or of a 304.

        Raises:
            OSError: there is no such file, it may not be read, or it is no regular file.
        """
        ask = Ask(Conditions()) if request is None else ask_of(request.method, request.headers)
        answer = file_answer(path, ask, media_type=media_type)
        response = cls(answer.body, answer.status, answer.fields)
        if answer.status < 400:
            for name, value in Headers(headers).items():
                response.headers[name] = value
            if download is not None and answer.status != 304:
                response.headers["Content-Disposition"] = content_disposition(download)
        return response

    @classmethod
    def redirect(cls, location: str, status: int = 303, headers: HeaderSource | None = None) -> Response:
        """Send the client elsewhere.

        Args:
            location: URI reference. One that begins with `//`, which browsers take for another host, is
                refused.
            status: 301, 302, 303, 307 or 308.

        Raises:
            LocalProtocolError: the location or the status cannot be a redirect.
        """
        if status not in (301, 302, 303, 307, 308):
            raise LocalProtocolError(f"status {status} is not a redirect; allowed: 301, 302, 303, 307, 308")
        if location[:2].replace("\\", "/") == "//":
            raise LocalProtocolError("a redirect must not begin with //: that names another host")
        if _BLANK.search(location) is not None:  # browsers drop them, and may then see a // that is none here
            raise LocalProtocolError("a redirect must not contain blanks or controls (RFC 3986 §2)")
        response = cls(None, status, headers)
        response.headers["Location"] = quote(location, safe=_URI_CHARACTERS)
        return response

    @classmethod
    def empty(cls, status: int = 204, headers: HeaderSource | None = None) -> Response:
        """Answer without content."""
        return cls(None, status, headers)

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.headers!r}>"


class Answer:
    """A response as the connection needs it.

    Attributes:
        status: final status.
        fields: field lines, each with its CRLF; without Date, unless `has_date`, and without framing fields.
        body: content.
        length: of the content a GET would have; a handler of HEAD may announce what it does not make. Of a
            source also -1: nobody knows.
        closes: the application wants the connection closed.
        has_date: `fields` has a Date.
        source: what gives the content in pieces, instead of `body`; None for an answer that is whole.
            Whoever drops it unsent closes it.
    """

    __slots__ = ("body", "closes", "fields", "has_date", "length", "source", "status")

    def __init__(self, status: int, fields: bytes = b"", body: bytes = b"") -> None:
        self.status = status
        self.fields = fields
        self.body = body
        self.length = len(body)
        self.closes = False
        self.has_date = False
        self.source: object | None = None  # see `sources.source_of`


# The results that need no look at their value: media type and encoder by exact type.
ENCODERS: Final[Mapping[type, tuple[bytes, Encoder]]] = {
    str: (TEXT, str.encode),  # type: ignore[dict-item]  # called with str only; a wrapper would cost a call per answer
    bytes: (BINARY, bytes),  # type: ignore[dict-item]
    dict: (JSON, orjson.dumps),
    list: (JSON, orjson.dumps),
}


def answer_from(result: object) -> Answer:
    """Turn what a handler returned into an answer.

    Raises:
        LocalProtocolError: the value cannot become an answer; the application's fault.
        TypeError, ValueError: the content cannot be encoded.
    """
    if isinstance(result, Response):
        return _answer(result.status, result.body, result.headers)
    if isinstance(result, tuple):
        if not 2 <= len(result) <= 3:
            raise LocalProtocolError(
                f"a tuple of {len(result)}; allowed: (status, body), (status, body, headers)"
            )
        headers = Headers(result[2]) if len(result) == 3 else None
        return _answer(result[0], result[1], headers)
    if isinstance(result, int) and not isinstance(result, bool):
        return _answer(result, None, None)
    if result is None:
        return Answer(204)
    if isinstance(result, Answer):
        return result
    return _answer(200, result, None)


def call_blocking(handler: Callable[[R], object], request: R) -> object:
    """Call a handler in a thread; an iterator that it returns will be run in a thread as well.

    Raises:
        Exception: whatever the handler raises, or whatever is wrong with its stream.
    """
    result = handler(request)
    body = result
    if isinstance(result, Response):
        body = result.body
    elif isinstance(result, tuple) and len(result) > 1:
        body = result[1]
    if type(body) in ENCODERS or body is None or not isinstance(source_of(body), Stream):
        return result
    answer = answer_from(result)
    if isinstance(answer.source, Stream):
        answer.source.is_blocking = not answer.source.is_async
    return answer


def _answer(status: object, body: object, headers: Headers | None) -> Answer:
    if not isinstance(status, int) or not 200 <= status <= 999:
        raise LocalProtocolError(f"status {status!r}; allowed: 200 to 999")
    known = ENCODERS.get(type(body))
    if known is not None:
        media_type, encode = known
        content = encode(body)
    elif body is not None and (source := source_of(body)) is not None:
        return _streamed(status, source, headers)
    else:
        media_type, content = _encode(body)
    if not has_content(status):
        media_type = content = b""
    if not headers:
        return Answer(status, b"Content-Type: %b\r\n" % media_type if media_type else b"", content)
    return _with_headers(Answer(status, b"", content), media_type, headers)


def _streamed(status: int, source: Stream | FileSource, headers: Headers | None) -> Answer:
    answer = Answer(status)
    answer.source = source
    answer.length = source.length
    media_type = BINARY if has_content(status) else b""
    _with_headers(answer, media_type, headers or Headers())
    if isinstance(source, FileSource):
        answer.length = source.length
    return answer


def _encode(body: object) -> tuple[bytes, bytes]:
    """Encode what the table of exact types does not know."""
    if body is None:
        return b"", b""
    if isinstance(body, str):
        return TEXT, body.encode("utf-8")
    if isinstance(body, (bytes, bytearray, memoryview)):
        return BINARY, bytes(body)
    return JSON, orjson.dumps(body)


def _with_headers(answer: Answer, media_type: bytes, headers: Headers) -> Answer:
    lines = []
    for name, value in headers.items():
        line = field_line(name, value)
        kind = name.lower()
        if kind == "connection":
            answer.closes = "close" in [option.strip() for option in value.lower().split(",")]
            continue
        if kind == "content-length":
            if not answer.body and value.isascii() and value.isdecimal() and len(value) <= 18:
                answer.length = int(value)
            continue
        if kind == "upgrade" and answer.status == 426:  # has to say it (RFC 9110 §15.5.22), and as an option
            lines.append(b"Connection: Upgrade\r\n")
        elif kind in ("transfer-encoding", "keep-alive", "upgrade"):
            raise LocalProtocolError(
                f"field {name!r} belongs to the connection, not to the application (RFC 9110 §7.6.1)"
            )
        if kind == "content-type":
            media_type = b""
        elif kind == "date":
            answer.has_date = True
        lines.append(line)
    if media_type:
        lines.append(b"Content-Type: %b\r\n" % media_type)
    answer.fields = b"".join(lines)
    return answer


def field_line(name: Any, value: Any) -> bytes:  # whatever the application put in; judged here
    """Write one field line, if it is one (RFC 9110 §5.5): nobody splits an answer through a value."""
    if not isinstance(name, str) or SENDABLE_NAME.fullmatch(name) is None:
        raise LocalProtocolError(f"field name {name!r} is not a token (RFC 9110 §5.1)")
    if not isinstance(value, str) or SENDABLE_VALUE.fullmatch(value) is None:
        raise LocalProtocolError(
            f"the value of {name!r} is {value!r}; CR, LF, NUL and other controls are refused (RFC 9110 §5.5)"
        )
    return f"{name}: {value}\r\n".encode("latin-1")
