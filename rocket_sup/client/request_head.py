"""Write the head of an HTTP/1.1 request: checked, so that nothing a caller puts into it can end it early.

The caller says what is meant, and what frames the message (Host, Content-Length, Transfer-Encoding) is put
here. Specified in RFC 9112 §3, §5, §6.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from rocket_sup.client.errors import InvalidRequest
from rocket_sup.client.messages import Request, Upload

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# Methods that mean something with empty content, so that its length is said (RFC 9110 §8.6).
_HAS_CONTENT: Final = frozenset({"POST", "PUT", "PATCH"})


def request_head(
    request: Request, *, is_absolute: bool = False, extra: tuple[tuple[str, str], ...] = ()
) -> tuple[bytes, bool]:
    """Write the head of a request.

    Args:
        is_absolute: whether the target is the whole URL, as a proxy wants it.
        extra: fields of the connection, not of the request: what the proxy is to know.

    Returns: the head, and whether it says that the connection ends with this exchange.

    Raises:
        InvalidRequest: it must not be sent like this.
    """
    block, host, length, is_chunked, is_last = _fields((*extra, *request.headers.items()))
    method, url, body = request.method, request.url, request.body
    if is_absolute:
        target = f"{url.scheme}://{url.authority}{url.target}"
    else:
        target = url.authority_form if method == "CONNECT" else url.target
    if not _is_token(method):
        raise InvalidRequest(f"{method!r} is no method (RFC 9110 §9.1)", request=request)
    start = f"{method} {target} HTTP/1.1\r\nHost: {host or url.authority}\r\n{block}"
    if isinstance(body, Upload):
        framing = _upload_framing(request, body, length, is_chunked)
    elif body or method in _HAS_CONTENT:
        if length is not None and length != str(len(body)):
            raise InvalidRequest(
                f"Content-Length is {length}, the body has {len(body)} bytes", request=request
            )
        if is_chunked:
            raise InvalidRequest("a body of bytes is not sent in chunks", request=request)
        framing = f"Content-Length: {len(body)}\r\n"
    elif length not in (None, "0") or is_chunked:
        raise InvalidRequest("fields announce a body, and there is none", request=request)
    else:
        framing = "" if length is None else "Content-Length: 0\r\n"
    return f"{start}{framing}\r\n".encode("latin-1"), is_last


def _upload_framing(request: Request, body: Upload, length: str | None, is_chunked: bool) -> str:
    known = body.length if body.length is not None or length is None else int(length)
    if length is not None and (is_chunked or int(length) != known):
        raise InvalidRequest(
            "Content-Length is not that of the body, or stands beside chunks", request=request
        )
    return "Transfer-Encoding: chunked\r\n" if known is None else f"Content-Length: {known}\r\n"


# Most requests of a client have the same fields; checking and joining them is half of what a head costs.
@lru_cache(maxsize=256)
def _fields(pairs: tuple[tuple[str, str], ...]) -> tuple[str, str | None, str | None, bool, bool]:
    """Check fields and join those that do not frame.

    Returns: them, Host, Content-Length, whether chunks and whether the end of the connection were announced.
    """
    lines: list[str] = []
    host = length = None
    is_chunked = is_last = False
    for name, value in pairs:
        if not _is_token(name):
            raise InvalidRequest(f"{name!r} is no name of a field (RFC 9110 §5.1)")
        if not isinstance(value, str) or _VALUE.fullmatch(value) is None:
            raise InvalidRequest(f"{name}: {value!r} is no value of a field (RFC 9110 §5.5)")
        lower = name.lower()
        if lower == "host":
            if host is not None:
                raise InvalidRequest("more than one Host (RFC 9112 §3.2)")
            host = value
        elif lower == "content-length":
            if length is not None or not (value.isascii() and value.isdigit()) or len(value) > 18:
                raise InvalidRequest(f"Content-Length is {value!r}, or given twice (RFC 9110 §8.6)")
            length = value
        elif lower == "transfer-encoding":
            if value.strip().lower() != "chunked":
                raise InvalidRequest(f"Transfer-Encoding is {value!r}, only chunked can be sent")
            is_chunked = True
        else:
            lines.append(f"{name}: {value}\r\n")
            is_last |= lower == "connection" and "close" in value.lower()
    return "".join(lines), host, length, is_chunked, is_last


@lru_cache(maxsize=256)
def _is_token(text: str) -> bool:
    return isinstance(text, str) and _TOKEN.fullmatch(text) is not None
