"""One request that a cache sends on: what was found for it, why it goes, who follows it."""

from __future__ import annotations

from dataclasses import dataclass

from rocket_sup.client.cache.ask import Ask
from rocket_sup.client.cache.flight import Flight
from rocket_sup.client.cache.policy import Decision
from rocket_sup.client.cache.shelf import Found
from rocket_sup.client.messages import Request


@dataclass(slots=True, eq=False)
class Errand:
    """One request on its way.

    Attributes:
        request, ask: what the caller sent, and what that asks of a cache.
        found: what is stored for it.
        decision: why it goes to the server.
        flight: what others follow; None when nobody may.
        flight_key: what they have in common.
        token: of the lease that was taken for it, "" for none.
        asked: when it was sent, in seconds since the epoch.
        is_outdated: something was changed meanwhile: what comes must not be stored.
    """

    request: Request
    ask: Ask
    found: Found
    decision: Decision
    flight: Flight | None = None
    flight_key: str = ""
    token: str = ""
    asked: float = 0.0
    is_outdated: bool = False


@dataclass(slots=True)
class CacheStatistics:
    """What became of requests, since the beginning.

    Attributes:
        hits: answered from the store; `stale_hits` of them although stale.
        validated: answered from the store after the server said that it was current.
        collapsed: answered by what another request had fetched.
        misses: answered by the server.
        store_failures: what the store could not do.
    """

    hits: int = 0
    stale_hits: int = 0
    validated: int = 0
    collapsed: int = 0
    misses: int = 0
    store_failures: int = 0
