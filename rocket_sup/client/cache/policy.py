"""The machine of the cache: what becomes of a request, given what is stored, and given how a server failed.

No I/O and no clock: times are seconds since the epoch and handed in. Whether a response is stored stands in
`storing.py`, validation in `validation.py`, what makes invalid in `invalidation.py`. Each decision says by
which rule it was made.

Spec: RFC 9111 §4, §5.2; RFC 5861
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from rocket_sup.client.cache.ask import Ask
from rocket_sup.client.cache.keys import IDENTITY
from rocket_sup.client.cache.stored import DEFAULT_HEURISTIC, Heuristic, Stored
from rocket_sup.client.cache.storing import Retention
from rocket_sup.client.cache.validation import has_validator

FAILURES: Final = frozenset({500, 502, 503, 504})  # what counts as an error        RFC 5861 §4


class Use(enum.Enum):
    """What becomes of a request."""

    BYPASS = "bypass"  # the cache has no part in it
    SERVE = "serve"  # the stored response is the answer
    SERVE_AND_REVALIDATE = "serve and revalidate"  # it is, and is renewed meanwhile
    REVALIDATE = "revalidate"  # the server is asked whether it is current
    FORWARD = "forward"  # the server is asked
    REFUSE = "refuse"  # 504: nothing is stored, and the server must not be asked


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a request, and why.

    Attributes:
        use: see there.
        because: the rule, with its section.
        forwarded: the reason in the words of RFC 9211 §2.2, "" when the request is not forwarded.
    """

    use: Use
    because: str
    forwarded: str = ""


METHOD: Final = Decision(Use.BYPASS, "only GET and HEAD are answered from a store (RFC 9111 §4)", "method")
ORIGINS: Final = Decision(Use.BYPASS, "only the origin server can judge this (RFC 9111 §4.3.2)", "bypass")
MISS: Final = Decision(Use.FORWARD, "nothing is stored (RFC 9111 §4)", "uri-miss")
VARY_MISS: Final = Decision(Use.FORWARD, "what is stored is for other requests (RFC 9111 §4.1)", "vary-miss")
FRESH: Final = Decision(Use.SERVE, "fresh (RFC 9111 §4.2)")
TTL: Final = Decision(Use.SERVE, "within the lifetime that the caller named")
MAX_STALE: Final = Decision(Use.SERVE, "stale, and the request allows it (RFC 9111 §5.2.1.2)")
WHILE_REVALIDATE: Final = Decision(Use.SERVE_AND_REVALIDATE, "stale while revalidated (RFC 5861 §3)")
IF_ERROR: Final = Decision(Use.SERVE, "stale, and the server fails (RFC 5861 §4)")
FAILED: Final = Decision(Use.FORWARD, "the failure is the answer (RFC 9111 §4.3.3)")
ONLY_IF_CACHED: Final = Decision(Use.REFUSE, "only-if-cached, and nothing usable (RFC 9111 §5.2.1.7)")


@dataclass(frozen=True, slots=True)
class Policy:
    """How a cache behaves where the specification leaves a choice.

    Attributes:
        is_shared: used by more than one user (RFC 9111 §1); stores and serves less.
        heuristic: lifetime of a response that names none.
        stale_while_revalidate_s: allowed beyond the lifetime where a response does not name it, 0 for never.
        stale_if_error_s: the same when the server fails.
        validate_s: how long a response with a validator is kept after it went stale.
        identity: request fields, in lower case, that say who asks; a response is only ever served to who
            got it. A shared cache goes by the rules for Authorization instead (RFC 9111 §3.5).
    """

    is_shared: bool = False
    heuristic: Heuristic = DEFAULT_HEURISTIC
    stale_while_revalidate_s: float = 0.0
    stale_if_error_s: float = 0.0
    validate_s: float = 86400.0
    identity: tuple[str, ...] = IDENTITY

    @property
    def retention(self) -> Retention:
        """How long stores keep responses."""
        return Retention(max(self.stale_while_revalidate_s, self.stale_if_error_s), self.validate_s)

    def on_request(self, ask: Ask, stored: Stored | None, *, now: float) -> Decision:
        """Decide about a request.

        Args:
            stored: what is stored for it and selected by it (`matching_variant`); None for nothing.

        Spec: RFC 9111 §4
        """
        if not ask.is_read:
            return METHOD
        if ask.is_for_origin:
            return ORIGINS
        if stored is None or (stored.is_forced and ask.ttl_s is None):
            return ONLY_IF_CACHED if ask.directives.only_if_cached else MISS
        decision = self._reuse(ask, stored, now)
        if decision is not None:
            return decision
        if ask.directives.only_if_cached:
            return ONLY_IF_CACHED
        return self.renewal(ask, stored, now=now)

    def on_failure(self, ask: Ask, stored: Stored | None, *, now: float) -> Decision:
        """Decide what is the answer when the server gave none, or one of `FAILURES`.

        Spec: RFC 9111 §4.2.4, §4.3.3; RFC 5861 §4
        """
        if stored is None or ask.directives.no_cache or not ask.is_read or ask.is_for_origin:
            return FAILED
        if ask.ttl_s is None and (stored.is_forced or not self._may_be_stale(stored)):
            return FAILED
        window = max(
            self.stale_if_error_s,
            stored.directives.stale_if_error_s or 0,
            ask.directives.stale_if_error_s or 0,
        )
        return IF_ERROR if window > 0 and self._staleness_s(ask, stored, now) <= window else FAILED

    def _reuse(self, ask: Ask, stored: Stored, now: float) -> Decision | None:
        """Serve what is stored without asking, if one of the rules allows it."""
        wanted, said = ask.directives, stored.directives
        if wanted.no_cache or (said.no_cache and ask.ttl_s is None):
            return None
        staleness_s = self._staleness_s(ask, stored, now)
        if wanted.max_age_s is not None and stored.age_s(now) > wanted.max_age_s:
            return None
        if wanted.min_fresh_s is not None and -staleness_s < wanted.min_fresh_s:
            return None
        if staleness_s < 0:
            return FRESH if ask.ttl_s is None else TTL
        if ask.ttl_s is None and not self._may_be_stale(stored):
            return None
        if wanted.max_stale_s is not None and staleness_s <= wanted.max_stale_s:
            return MAX_STALE
        window = said.stale_while_revalidate_s
        if staleness_s < (self.stale_while_revalidate_s if window is None else window):
            return WHILE_REVALIDATE
        return None

    def renewal(self, ask: Ask, stored: Stored, *, now: float) -> Decision:
        """Ask the server, with the validators there are."""
        # The caller's own conditions go to the server as they are: its answer is the caller's.
        is_conditional = has_validator(stored) and not ask.is_conditional
        use = Use.REVALIDATE if is_conditional else Use.FORWARD
        if ask.directives.no_cache:
            return Decision(use, "the request says no-cache (RFC 9111 §5.2.1.4)", "request")
        if stored.directives.no_cache and ask.ttl_s is None:
            return Decision(use, "the response says no-cache (RFC 9111 §5.2.2.4)", "stale")
        if self._staleness_s(ask, stored, now) < 0:
            return Decision(use, "not fresh enough for the request (RFC 9111 §5.2.1)", "request")
        return Decision(use, "stale (RFC 9111 §4.2.4)", "stale")

    def _staleness_s(self, ask: Ask, stored: Stored, now: float) -> float:
        if ask.ttl_s is None:
            return stored.staleness_s(now)
        return max(0.0, now - stored.moments.received) - ask.ttl_s

    def _may_be_stale(self, stored: Stored) -> bool:
        """Say whether no directive forbids it (RFC 9111 §4.2.4)."""
        said = stored.directives
        if said.no_cache or said.must_revalidate:
            return False
        return not (self.is_shared and (said.proxy_revalidate or said.s_maxage_s is not None))
