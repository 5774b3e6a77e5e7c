"""Which parts of a representation a client wants, and how several parts are sent as one content.

`select` reads a Range field against the length there is. A field that is malformed, of another unit or
excessive is as good as none: the whole is sent, which is always a right answer. Parts that overlap, or lie
closer together than the lines between them are long, become one, so that no request makes more bytes than the
whole and its few boundaries. Pure: it knows no files and no sockets.

Spec: RFC 9110 §14
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# More are taken for an attack, or for a client that had better take all; nobody who reads asks for so many.
MAX_RANGES: Final = 32
# About what stands between two parts; smaller gaps are cheaper sent than announced (RFC 9110 §15.3.7.2).
_PART_OVERHEAD: Final = 100
_HUGE: Final = 10**18  # larger than any file; stands for positions with more digits

# range-spec = ( first-pos "-" [ last-pos ] ) / ( "-" suffix-length )                   RFC 9110 §14.1.1
_SPEC: Final = re.compile(r"(\d*+)-(\d*+)", re.A)


@dataclass(frozen=True, slots=True)
class Span:
    """A part: `count` bytes from `offset` on, at least one."""

    offset: int
    count: int

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.offset + self.count


class UnsatisfiableError(ValueError):
    """None of the parts exists: 416."""


def select(field: str, size: int) -> list[Span] | None:
    """Find the parts that a Range field asks for.

    Args:
        field: the value.
        size: bytes of the whole representation.

    Returns: the parts, in the order they were asked for unless some became one; None to send the whole.

    Raises:
        UnsatisfiableError: the field is well-formed, and nothing of what it asks for exists.

    Spec: RFC 9110 §14.2
    """
    unit, equals, specs = field.partition("=")
    if not equals or unit.strip("\t ").lower() != "bytes" or size == 0:
        return None
    if specs.count(",") >= MAX_RANGES:
        return None
    asked = [spec.strip("\t ") for spec in specs.split(",")]
    asked = [spec for spec in asked if spec]  # a list may have empty elements (RFC 9110 §5.6.1.2)
    if not asked:
        return None
    spans: list[Span] = []
    for spec in asked:
        found = _SPEC.fullmatch(spec)
        if found is None or spec == "-":
            return None
        if not found[1]:
            count = min(_number(found[2]), size)
            if count:
                spans.append(Span(size - count, count))
            continue
        first = _number(found[1])
        last = min(_number(found[2]), size - 1) if found[2] else size - 1
        if found[2] and _number(found[2]) < first:
            return None
        if first < size:
            spans.append(Span(first, last - first + 1))
    if not spans:
        raise UnsatisfiableError
    return coalesced(spans)


def coalesced(spans: Sequence[Span]) -> list[Span]:
    """Make one of those that overlap or nearly touch; if there are any, the result is sorted."""
    ordered = sorted(spans, key=lambda span: span.offset)
    merged = ordered[:1]
    for span in ordered[1:]:
        before = merged[-1]
        if span.offset <= before.end + _PART_OVERHEAD:
            merged[-1] = Span(before.offset, max(before.end, span.end) - before.offset)
        else:
            merged.append(span)
    return list(spans) if len(merged) == len(spans) else merged


def content_range(span: Span, size: int) -> str:
    """Name a part, as the value of Content-Range (RFC 9110 §14.4)."""
    return f"bytes {span.offset}-{span.end - 1}/{size}"


def unsatisfied_range(size: int) -> str:
    """Say how much there is, as the Content-Range of a 416 (RFC 9110 §14.4)."""
    return f"bytes */{size}"


def multipart_type(boundary: str) -> str:
    """Name the media type of several parts (RFC 9110 §14.6)."""
    return f"multipart/byteranges; boundary={boundary}"


def multipart(
    spans: Sequence[Span], *, size: int, media_type: str, boundary: str
) -> tuple[list[tuple[bytes, Span]], bytes]:
    """Write what stands around the parts.

    Args:
        spans: the parts.
        size: bytes of the whole.
        media_type: of the whole; "" for none.
        boundary: occurs nowhere in the content.

    Returns: each part with the lines before it, and the last line.

    Spec: RFC 9110 §14.6, RFC 2046 §5.1.1
    """
    typed = f"Content-Type: {media_type}\r\n" if media_type else ""
    heads = [
        f"{line_end}--{boundary}\r\n{typed}Content-Range: {content_range(span, size)}\r\n\r\n".encode(
            "latin-1"
        )
        for span, line_end in zip(spans, ["", *["\r\n"] * len(spans)], strict=False)
    ]
    return list(zip(heads, spans, strict=True)), f"\r\n--{boundary}--\r\n".encode("latin-1")


def _number(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= 18 else _HUGE
