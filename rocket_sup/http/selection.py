"""What of a representation answers a GET or HEAD: all of it, parts, nothing new, or a refusal.

Conditions come first, then ranges. The result says which bytes are sent, in order, and leaves it to others
where they come from. Pure: it knows no files and no sockets.

Spec: RFC 9110 §13.2, §14.2, §15.3.7
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rocket_sup.http import ranges
from rocket_sup.http.headers import Headers
from rocket_sup.http.ranges import Span, UnsatisfiableError
from rocket_sup.http.validators import (
    Conditions,
    Outcome,
    Validators,
    evaluate,
    joined,
    range_applies,
    single,
)


@dataclass(frozen=True, slots=True)
class Representation:
    """What there is.

    Attributes:
        size: bytes.
        media_type: with its charset; "" for none.
        validators: of this representation, not of another coding of it.
    """

    size: int
    media_type: str
    validators: Validators


@dataclass(frozen=True, slots=True)
class Ask:
    """What of a request decides about parts of a representation.

    Attributes:
        range: the Range field; None for none, and for every method but GET (RFC 9110 §14.2).
    """

    conditions: Conditions
    range: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """What is sent.

    Attributes:
        status: 200, 206, 304, 412 or 416.
        media_type: of the content; "" for none.
        content_range: for the field; "" for none.
        parts: literal bytes, and spans of the representation, in order; none of a refusal.
        length: of all parts, in bytes.
    """

    status: int
    media_type: str = ""
    content_range: str = ""
    parts: tuple[bytes | Span, ...] = ()

    @property
    def length(self) -> int:
        """Bytes of all parts."""
        return sum(len(part) if isinstance(part, bytes) else part.count for part in self.parts)


def ask_of(method: str, headers: Headers) -> Ask:
    """Read the fields of a request."""
    conditions = Conditions(
        if_match=joined(headers.get_all("if-match")),
        if_none_match=joined(headers.get_all("if-none-match")),
        if_modified_since=single(headers.get_all("if-modified-since")),
        if_unmodified_since=single(headers.get_all("if-unmodified-since")),
        if_range=joined(headers.get_all("if-range")),
    )
    return Ask(conditions, single(headers.get_all("range")) if method == "GET" else None)


def select(ask: Ask, there: Representation, make_boundary: Callable[[], str]) -> Selection:
    """Decide what is sent.

    Args:
        make_boundary: gives a text that does not occur in the representation; called for several parts.

    Spec: RFC 9110 §13.2.2
    """
    outcome = evaluate(ask.conditions, there.validators, is_read=True)
    if outcome is Outcome.NOT_MODIFIED:
        return Selection(304)
    if outcome is Outcome.FAILED:
        return Selection(412)
    spans = None
    if ask.range is not None and range_applies(ask.conditions.if_range, there.validators):
        try:
            spans = ranges.select(ask.range, there.size)
        except UnsatisfiableError:
            return Selection(416, content_range=ranges.unsatisfied_range(there.size))
    if spans is None:
        return Selection(200, there.media_type, "", (Span(0, there.size),) if there.size else ())
    if len(spans) == 1:
        return Selection(206, there.media_type, ranges.content_range(spans[0], there.size), (spans[0],))
    boundary = make_boundary()
    announced, last = ranges.multipart(spans, size=there.size, media_type=there.media_type, boundary=boundary)
    parts = [piece for pair in announced for piece in pair]
    return Selection(206, ranges.multipart_type(boundary), "", (*parts, last))
