"""Which responses are stored, and for how long a store keeps them. Pure.

Spec: RFC 9111 §3, §3.5, §4.1, §5.2.2
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rocket_sup.client.cache.ask import Ask
from rocket_sup.client.cache.directives import ResponseDirectives, response_directives
from rocket_sup.client.cache.keys import ANY, varied
from rocket_sup.client.cache.stored import HEURISTICALLY_CACHEABLE, Stored
from rocket_sup.http.headers import Headers

# What a response with one of these means to a cache is known here; must-understand asks for it.
_UNDERSTOOD: Final = frozenset(
    {200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 406, 410, 414, 415, 421, 429}
    | {500, 501, 502, 503, 504}
)
# What a lifetime named by the caller applies to: answers about the resource, not about a bad moment.
_LASTING: Final = (HEURISTICALLY_CACHEABLE - {206}) | {302, 303, 307}


@dataclass(frozen=True, slots=True)
class Storing:
    """Whether a response is stored.

    Attributes:
        is_stored: it is, once it is there completely.
        because: the rule, with its section.
        is_forced: only because the caller named a lifetime.
    """

    is_stored: bool
    because: str
    is_forced: bool = False


_STORED: Final = Storing(True, "may be stored (RFC 9111 §3)")
_FORCED: Final = Storing(True, "the caller named a lifetime", is_forced=True)


def decide_storing(ask: Ask, status: int, headers: Headers, *, is_shared: bool) -> Storing:
    """Decide by a response's head whether it is stored when it is complete.

    A lifetime that the caller names (`Ask.ttl_s`) stands in for what the response does not say, or says
    against storing; it does not make another's response the caller's, or a part a whole.

    Spec: RFC 9111 §3
    """
    directives = response_directives(headers.get_all("cache-control"))
    refused = _never(ask, status, headers) or _unshareable(ask, directives, is_shared=is_shared)
    if refused:
        return Storing(False, refused)
    unwished = _unwished(status, directives) or _unnamed(status, headers, directives, is_shared=is_shared)
    if not unwished:
        return _STORED
    if ask.ttl_s is not None and status in _LASTING:
        return _FORCED
    return Storing(False, unwished)


def _never(ask: Ask, status: int, headers: Headers) -> str:
    """What no wish of the caller's overrules."""
    if not ask.is_read:
        return f"responses to {ask.method} are not stored (RFC 9111 §3)"
    if status < 200:
        return "not a final response (RFC 9111 §3)"
    if status in (206, 304) or "content-range" in headers or ask.is_for_origin:
        return "a part is not stored (RFC 9111 §3.3)"
    if ask.directives.no_store:
        return "the request says no-store (RFC 9111 §5.2.1.5)"
    if ANY in varied(headers.get_all("vary")):
        return "Vary: * matches no request (RFC 9111 §4.1)"
    return ""


def _unshareable(ask: Ask, directives: ResponseDirectives, *, is_shared: bool) -> str:
    if not is_shared:
        return ""
    if directives.private:
        return "private, and the cache is shared (RFC 9111 §5.2.2.7)"
    is_allowed = directives.public or directives.must_revalidate or directives.s_maxage_s is not None
    if "authorization" in ask.headers and not is_allowed:
        return "the request has Authorization, and the cache is shared (RFC 9111 §3.5)"
    return ""


def _unwished(status: int, directives: ResponseDirectives) -> str:
    if directives.must_understand:
        # Where the status is understood, no-store beside it is for those that do not know this directive.
        return "" if status in _UNDERSTOOD else f"status {status} is not understood (RFC 9111 §5.2.2.3)"
    return "the response says no-store (RFC 9111 §5.2.2.5)" if directives.no_store else ""


def _unnamed(status: int, headers: Headers, directives: ResponseDirectives, *, is_shared: bool) -> str:
    is_named = (
        directives.public
        or (directives.private and not is_shared)
        or directives.max_age_s is not None
        or (is_shared and directives.s_maxage_s is not None)
        or "expires" in headers
        or status in HEURISTICALLY_CACHEABLE
    )
    return "" if is_named else f"nothing says that a {status} may be stored (RFC 9111 §3)"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a store keeps what may still be of use.

    Attributes:
        stale_s: the longest time a response is used after its lifetime for one of the reasons of RFC 5861,
            by the configuration of the cache.
        validate_s: and how long one is kept that has a validator, as a 304 would make it fresh again.
    """

    stale_s: float = 0.0
    validate_s: float = 86400.0

    def seconds(self, stored: Stored, *, now: float, ttl_s: float | None) -> float:
        """How long to keep a response from now on; 0 when it is of no use."""
        said = stored.directives
        window = max(self.stale_s, said.stale_while_revalidate_s or 0, said.stale_if_error_s or 0)
        by_itself = 0.0 if stored.is_forced else -stored.staleness_s(now)
        if stored.etag or stored.last_modified:
            window = max(window, self.validate_s)
        return max(0.0, max(by_itself, ttl_s or 0.0) + window)
