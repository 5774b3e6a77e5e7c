"""Requests as a test writes them: a call with names becomes bytes."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from rocket_sup.http.headers import Headers, HeaderSource

Content = bytes | str | Iterable[bytes] | AsyncIterable[bytes]
Parameters = Mapping[str, Any] | Iterable[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A request to be sent.

    Attributes:
        head: with its final blank line.
        content: all of it, or in pieces, which are sent as chunks.
    """

    method: str
    head: bytes
    content: bytes | Iterable[bytes] | AsyncIterable[bytes]


def compose(
    method: str,
    target: str,
    *,
    base: HeaderSource | Headers | None = None,
    headers: HeaderSource | None = None,
    content: Content | None = None,
    json: Any = None,  # whatever orjson can write
    form: Parameters | None = None,
    params: Parameters | None = None,
) -> Sent:
    """Write a request.

    Args:
        target: path, with or without a query; sent as it is.
        base: fields that every request has, unless `headers` has the same.
        headers: fields of this request.
        content: text is sent as UTF-8; an iterable as chunks.
        json: content instead, as JSON.
        form: content instead, as a form.
        params: added to the target's query.
    """
    if params is not None:
        target += ("&" if "?" in target else "?") + urlencode(_pairs(params), doseq=True)
    fields = Headers(headers)
    if json is not None:
        content = orjson.dumps(json)
        fields.setdefault("Content-Type", "application/json")
    elif form is not None:
        content = urlencode(_pairs(form), doseq=True)
        fields.setdefault("Content-Type", "application/x-www-form-urlencoded")
    if isinstance(content, str):
        content = content.encode()
    for name, value in Headers(base).items():
        fields.setdefault(name, value)
    fields.setdefault("Host", "testserver")
    if isinstance(content, bytes):
        fields.setdefault("Content-Length", str(len(content)))
    elif content is not None and "content-length" not in fields:
        fields.setdefault("Transfer-Encoding", "chunked")
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    head = f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
    return Sent(method, head, b"" if content is None else content)


def _pairs(parameters: Parameters) -> list[tuple[str | bytes, Any]]:
    return list(parameters.items() if isinstance(parameters, Mapping) else parameters)
