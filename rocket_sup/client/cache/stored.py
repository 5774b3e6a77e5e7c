"""A stored response, and what it was stored for: frozen data, with what every use of it needs computed once.

A response that depends on request fields is stored under a key of its own, and a `Catalogue` in its place
says which there are. What a store keeps is one or the other, a `Record`. Pure.

Spec: RFC 9111 §2, §3.1, §4.1
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from rocket_sup.client.cache.directives import FOREVER_S, ResponseDirectives, delta_seconds
from rocket_sup.client.cache.directives import response_directives as _directives
from rocket_sup.http.headers import Headers
from rocket_sup.http.validators import parse_date

Pairs = tuple[tuple[str, str], ...]
Selecting = tuple[tuple[str, str | None], ...]

# Belong to one connection or one proxy, not to the response.                            RFC 9111 §3.1
_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "te", "transfer-encoding", "upgrade", "proxy-connection"}
    | {"proxy-authenticate", "proxy-authentication-info", "proxy-authorization"}
)
_OVERHEAD: Final = 600  # bytes of the objects of a record and of its place, seen with tracemalloc
_PAIR_OVERHEAD: Final = 170  # of one pair of strings in it


@dataclass(frozen=True, slots=True)
class Moments:
    """When an exchange took place, in seconds since the epoch.

    Attributes:
        asked: when the request was sent that led to the response, or last validated it.
        received: when the head of that response came.
    """

    asked: float
    received: float


@dataclass(frozen=True, slots=True)
class Stored:
    """One response, whole.

    Attributes:
        status, fields, content: of the response, without what belongs to a connection.
        method: GET or HEAD, whose responses are kept apart.
        moments: see there.
        selecting: the request's value of every field that Vary names, normalised, None where it had none.
        is_shared: what follows is judged as a shared cache has to.
        is_forced: stored only because the caller named a lifetime; of no use to a request that names none.
        directives, lifetime_s, initial_age_s, etag, last_modified, date_s: computed from the others.
        block: the fields without Age, which is written anew each time, as they stand on the wire.
        fresh_s: how long after it was received it serves any request that asks for nothing special.
    """

    status: int
    fields: Pairs
    content: bytes
    method: str
    moments: Moments
    selecting: Selecting
    is_shared: bool
    is_forced: bool
    directives: ResponseDirectives
    lifetime_s: float
    initial_age_s: float
    etag: str
    last_modified: str
    date_s: float
    block: bytes
    fresh_s: float

    def age_s(self, now: float) -> float:
        """How old the response is (RFC 9111 §4.2.3)."""
        return self.initial_age_s + max(0.0, now - self.moments.received)

    def staleness_s(self, now: float) -> float:
        """How long it has been stale; negative, how long it will be fresh (RFC 9111 §4.2)."""
        return self.age_s(now) - self.lifetime_s

    @property
    def is_plain(self) -> bool:
        """Whether it may serve any request while it is fresh."""
        return not (self.is_forced or self.directives.no_cache or self.selecting)

    @property
    def cost(self) -> int:
        """Bytes of memory that keeping it takes."""
        text = sum(len(name) + len(value) for name, value in self.fields)
        return _OVERHEAD + len(self.content) + len(self.block) + text + len(self.fields) * _PAIR_OVERHEAD


@dataclass(frozen=True, slots=True)
class Variant:
    """One entry of a catalogue.

    Attributes:
        key: where the response is stored.
        selecting: see `Stored`.
        etag: of the response, "" for none.
        date_s: of the response; the most recent of several that fit is used.
        expires_s: seconds since the epoch, when the store may have forgotten it.
    """

    key: str
    selecting: Selecting
    etag: str
    date_s: float
    expires_s: float


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Which responses are stored for one URI that answers differently to different requests."""

    variants: tuple[Variant, ...]

    @property
    def cost(self) -> int:
        """Bytes of memory that keeping it takes."""
        return _OVERHEAD + sum(_OVERHEAD + len(each.key) + len(each.etag) for each in self.variants)


Record = Stored | Catalogue


@dataclass(frozen=True, slots=True)
class Heuristic:
    """How long a response is fresh that does not say so itself (RFC 9111 §4.2.2).

    Attributes:
        fraction: of the time since it was last modified; a tenth is what the specification names.
        at_most_s: a day, so that an error in Last-Modified heals by itself.
    """

    fraction: float = 0.1
    at_most_s: float = 86400.0


DEFAULT_HEURISTIC: Final = Heuristic()
# RFC 9110 §15.1
HEURISTICALLY_CACHEABLE: Final = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})


def storable_fields(fields: Iterable[tuple[str, str]]) -> Pairs:
    """Leave out what belongs to the connection, and what Connection says does (RFC 9111 §3.1)."""
    pairs = tuple(fields)
    dropped = _HOP_BY_HOP
    for name, value in pairs:
        if name.lower() == "connection":
            dropped = dropped | {option.strip().lower() for option in value.split(",")}
    return tuple(pair for pair in pairs if pair[0].lower() not in dropped)


def stored_response(
    status: int,
    fields: Pairs,
    content: bytes,
    *,
    method: str,
    moments: Moments,
    selecting: Selecting = (),
    is_shared: bool = False,
    is_forced: bool = False,
    heuristic: Heuristic = DEFAULT_HEURISTIC,
) -> Stored:
    """Make a stored response, and compute what its use needs (RFC 9111 §4.2).

    Args:
        fields: as `storable_fields` left them.
    """
    headers = Headers(fields)
    directives = _directives(headers.get_all("cache-control"))
    date_s = parse_date((headers.get("date") or "").strip())
    lifetime_s = _lifetime_s(status, headers, directives, date_s, moments, is_shared, heuristic)
    initial_age_s = _initial_age_s(headers, date_s, moments)
    made = Stored(
        status=status,
        fields=fields,
        content=content,
        method=method,
        moments=moments,
        selecting=selecting,
        is_shared=is_shared,
        is_forced=is_forced,
        directives=directives,
        lifetime_s=lifetime_s,
        initial_age_s=initial_age_s,
        etag=headers.get("etag", ""),
        last_modified=headers.get("last-modified", ""),
        date_s=moments.received if date_s is None else date_s,
        block=b"".join(_line(*pair) for pair in fields if pair[0].lower() != "age"),
        fresh_s=lifetime_s - initial_age_s,
    )
    return made if made.is_plain else replace(made, fresh_s=0.0)


def _line(name: str, value: str) -> bytes:
    # Field values are bytes that nobody knows more about (RFC 9110 §5.5): what is none came from no wire.
    return f"\r\n{name}: {value}".encode("latin-1", "replace")


def _lifetime_s(
    status: int,
    headers: Headers,
    directives: ResponseDirectives,
    date_s: int | None,
    moments: Moments,
    is_shared: bool,
    heuristic: Heuristic,
) -> float:
    """The first of s-maxage, max-age, Expires and a guess that applies (RFC 9111 §4.2.1)."""
    if is_shared and directives.s_maxage_s is not None:
        return directives.s_maxage_s
    if directives.max_age_s is not None:
        return directives.max_age_s
    base = moments.received if date_s is None else date_s
    expires = headers.get_all("expires")
    if expires:
        # A date that is none, and several that differ, are in the past (RFC 9111 §4.2.1, §5.3).
        moment = parse_date(expires[0].strip()) if len(set(expires)) == 1 else None
        return 0.0 if moment is None else min(max(0.0, moment - base), FOREVER_S)
    if status not in HEURISTICALLY_CACHEABLE and not directives.public:
        return 0.0
    modified = parse_date((headers.get("last-modified") or "").strip())
    if modified is None:
        return 0.0
    return min(max(0.0, base - modified) * heuristic.fraction, heuristic.at_most_s)


def _initial_age_s(headers: Headers, date_s: int | None, moments: Moments) -> float:
    """How old the response was when it came (RFC 9111 §4.2.3)."""
    apparent = 0.0 if date_s is None else max(0.0, moments.received - date_s)
    # Of a list, the first counts; what is no number does not (RFC 9111 §5.1).
    said = delta_seconds(headers.get("age", "").partition(",")[0].strip()) or 0
    return max(apparent, said + max(0.0, moments.received - moments.asked))
