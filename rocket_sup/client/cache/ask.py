"""A request, as far as a cache has to read it: one pass over its fields. Pure.

Spec: RFC 9111 §5.2.1; RFC 9110 §13, §14
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rocket_sup.client.cache.directives import NOTHING_ASKED, RequestDirectives, request_directives
from rocket_sup.http.headers import Headers
from rocket_sup.http.validators import Conditions, joined, single

# Only the origin server can answer these: it alone knows the current state, or has the part.
# RFC 9111 §4.3.2, RFC 9110 §13.1.1, §13.1.4, §14.2
_FOR_THE_ORIGIN: Final = frozenset({"range", "if-range", "if-match", "if-unmodified-since"})
_CONDITIONS: Final = frozenset({"if-none-match", "if-modified-since"})
# A request without any of these asks for nothing special.
DECISIVE: Final = _FOR_THE_ORIGIN | _CONDITIONS | {"cache-control", "pragma"}
_READ: Final = frozenset({"GET", "HEAD"})
_NO_FIELDS: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request asks of a cache.

    Attributes:
        method: as sent; methods are compared with their letter case.
        headers: of the request.
        ttl_s: how long since a response was received the caller takes it, whatever the response says; None to
            go by the response.
        directives: what Cache-Control, or else Pragma, says.
        is_read: GET or HEAD.
        is_for_origin: has a field that only the origin server can judge.
        is_conditional: the caller has a copy itself, and asks whether it is still current.
    """

    method: str
    headers: Headers
    ttl_s: float | None
    directives: RequestDirectives
    is_read: bool
    is_for_origin: bool
    is_conditional: bool

    def conditions(self) -> Conditions:
        """The caller's own conditions that a cache may judge (RFC 9111 §4.3.2)."""
        return Conditions(
            if_none_match=joined(self.headers.get_all("if-none-match")),
            if_modified_since=single(self.headers.get_all("if-modified-since")),
        )


def read_ask(method: str, headers: Headers, *, ttl_s: float | None = None) -> Ask:
    """Read a request.

    Args:
        ttl_s: counts for GET and HEAD only; what another method does is never answered from a store.
    """
    decisive = {name for name in map(str.lower, headers) if name in DECISIVE} or _NO_FIELDS
    is_read = method in _READ
    if not decisive:
        return Ask(method, headers, ttl_s if is_read else None, NOTHING_ASKED, is_read, False, False)
    return Ask(
        method=method,
        headers=headers,
        ttl_s=ttl_s if is_read else None,
        directives=request_directives(headers.get_all("cache-control"), pragma=headers.get_all("pragma")),
        is_read=is_read,
        is_for_origin=not _FOR_THE_ORIGIN.isdisjoint(decisive),
        is_conditional=not _CONDITIONS.isdisjoint(decisive),
    )
