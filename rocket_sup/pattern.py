"""One route pattern: its grammar, its rank among others, and what it takes from a path.

A pattern is cut at `/` into segments, and each segment is a literal, `:name` (one segment, not empty), `*`
(the same without a name) or `**` (any number of segments, also none; at most one per pattern, so that what it
takes is never ambiguous). A path is cut the same way, and only then percent-decoded, so that `%2F` never
makes a segment. Literals are compared after decoding: `/caf%C3%A9` asks for the route `/café`. A segment that
does not decode to UTF-8 is text to nobody, and its path matches no pattern.
Pure: it knows no methods, no handlers and no requests.

Spec: RFC 3986 §2.1, §3.3
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from rocket_sup.errors import RocketError

_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


class RouteError(RocketError):
    """A route cannot be registered as it is written."""


class Kind(enum.IntEnum):
    """What a segment of a pattern stands for; the order is the precedence of a pattern's last segment."""

    LITERAL = 0
    NAME = 1
    ONE = 2
    ANY = 3


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed pattern. Positions after `**` are negative: they count from the end of the path.

    Attributes:
        text: as the application wrote it.
        shape: the segments without their names; two patterns are equal exactly when their shapes are.
        leading: the literals before the first other segment, decoded.
        length: how many segments a path needs; at least as many when `rest` is given.
        literals: (position, decoded text) of the literals after the leading ones.
        captures: (position, key in `path_params`) of `:name` and `*`.
        rest: (position of `**`, how many segments follow it, key in `path_params`), or None.
        last: what the last segment is.
    """

    text: str
    shape: tuple[tuple[Kind, str], ...]
    leading: tuple[str, ...]
    length: int
    literals: tuple[tuple[int, str], ...]
    captures: tuple[tuple[int, str], ...]
    rest: tuple[int, int, str] | None
    last: Kind

    @property
    def is_literal(self) -> bool:
        """Whether it names one path only."""
        return len(self.leading) == len(self.shape)

    def takes(self, length: int) -> bool:
        """Whether paths of so many segments can match."""
        return length == self.length or (self.rest is not None and length > self.length)

    def match(self, segments: Sequence[str]) -> dict[str, str] | None:
        """Compare a path whose first segments are known to equal `leading`, of a length the pattern takes.

        Args:
            segments: of the path, already decoded.

        Returns: the parameters, or None when the path does not match.
        """
        for position, text in self.literals:
            if segments[position] != text:
                return None
        params: dict[str, str] = {}
        for position, key in self.captures:
            value = segments[position]
            if not value:
                return None
            params[key] = value
        if self.rest is not None:
            start, following, key = self.rest
            params[key] = join_segments(segments[start : len(segments) - following])
        return params


def split_path(path: str) -> list[str] | None:
    """Cut a raw request path into segments, then percent-decode each one.

    Args:
        path: the path as sent, without the query.

    Returns: the segments (`/` has one, empty; `/a/` has two), or None when the path does not start with `/`,
        or holds an escape that is malformed or does not decode to UTF-8 (overlong forms and surrogates
        included).

    Spec: RFC 3986 §2.1, §3.3
    """
    if not path.startswith("/"):
        return None
    segments = path.split("/")
    del segments[0]
    if "%" in path:
        if _BAD_ESCAPE.search(path) is not None:
            return None
        try:
            return [
                unquote_to_bytes(segment).decode("utf-8") if "%" in segment else segment
                for segment in segments
            ]
        except UnicodeDecodeError:
            return None
    return segments


def join_segments(segments: Sequence[str]) -> str:
    """Join decoded segments to the value of `**`, in which `/` separates segments and nothing else: one
    inside a segment stays `%2F`.
    """
    joined = "/".join(segments)
    if joined.count("/") < len(segments):
        return joined
    return "/".join([segment.replace("/", "%2F") for segment in segments])


def parse_pattern(text: str) -> Pattern:
    """Read a pattern.

    Args:
        text: `/` or segments that each follow a `/`, for example `/users/:id/files/**`. A trailing `/` is
            part of it.

    Raises:
        RouteError: the pattern is not well formed; the message names the segment and what is allowed.
    """
    if not text.startswith("/"):
        raise RouteError(f"pattern {text!r}: must start with '/'")
    for mark in "?#":
        if mark in text:
            raise RouteError(
                f"pattern {text!r}: {mark!r} is never part of a path; write it as '%{ord(mark):02X}'"
            )
    parts = text[1:].split("/")
    shape = tuple(
        _parse_segment(text, part, is_last=index == len(parts) - 1) for index, part in enumerate(parts)
    )
    kinds = [kind for kind, _ in shape]
    if kinds.count(Kind.ANY) > 1:
        raise RouteError(f"pattern {text!r}: '**' may stand once, or what each takes would be ambiguous")

    leading = next((index for index, kind in enumerate(kinds) if kind is not Kind.LITERAL), len(kinds))
    any_at = kinds.index(Kind.ANY) if Kind.ANY in kinds else len(kinds)
    literals: list[tuple[int, str]] = []
    captures: list[tuple[int, str]] = []
    seen: set[str] = set()
    for index in range(leading, len(shape)):
        kind, literal = shape[index]
        position = index if index < any_at else index - len(shape)
        if kind is Kind.LITERAL:
            literals.append((position, literal))
        elif kind is not Kind.ANY:
            captures.append((position, _key(text, parts[index], seen)))
    rest = (any_at, len(shape) - any_at - 1, "**") if any_at < len(shape) else None
    return Pattern(
        text=text,
        shape=shape,
        leading=tuple(literal for _, literal in shape[:leading]),
        length=len(shape) - (rest is not None),
        literals=tuple(literals),
        captures=tuple(captures),
        rest=rest,
        last=kinds[-1],
    )


def _parse_segment(text: str, part: str, *, is_last: bool) -> tuple[Kind, str]:
    if part == "**":
        return Kind.ANY, ""
    if part == "*":
        return Kind.ONE, ""
    if "*" in part:
        raise RouteError(
            f"pattern {text!r}: {part!r}: '*' and '**' stand for whole segments; write a literal one as '%2A'"
        )
    if part.startswith(":"):
        if not part[1:].isidentifier():
            raise RouteError(
                f"pattern {text!r}: {part!r}: a name must follow ':' (':id'); write a literal one as '%3A'"
            )
        return Kind.NAME, ""
    if not part and not is_last:
        raise RouteError(f"pattern {text!r}: '//' has an empty segment")
    decoded = split_path("/" + part)
    if decoded is None:
        raise RouteError(
            f"pattern {text!r}: {part!r}: '%' must start an escape of UTF-8; write a literal one as '%25'"
        )
    return Kind.LITERAL, decoded[0]


def _key(text: str, part: str, seen: set[str]) -> str:
    """Name a captured segment: its own name, or `*`, `*2`, `*3` in the order of the pattern."""
    if part == "*":
        stars = sum(1 for key in seen if key.startswith("*")) + 1
        key = "*" if stars == 1 else f"*{stars}"
    else:
        key = part[1:]
        if key in seen:
            raise RouteError(f"pattern {text!r}: the name ':{key}' stands twice")
    seen.add(key)
    return key
