"""Asking the server on behalf of a cache: validate what is stored, store what comes, forget what is invalid.

What comes is stored while the caller reads it. A response that was asked for before something was changed,
and comes after it, is not stored.

Spec: RFC 9111 §3, §4.3, §4.4; RFC 5861 §4
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

from rocket_sup.client.cache.answers import conditional, from_stored, mark_forwarded
from rocket_sup.client.cache.errand import CacheStatistics, Errand
from rocket_sup.client.cache.flight import ABANDONED, UNSHARED, Landing
from rocket_sup.client.cache.invalidation import invalidated
from rocket_sup.client.cache.keys import selecting_values, varied
from rocket_sup.client.cache.policy import FAILURES, Policy, Use
from rocket_sup.client.cache.shelf import Found, Shelf
from rocket_sup.client.cache.stored import Moments, Pairs, Stored, storable_fields, stored_response
from rocket_sup.client.cache.storing import decide_storing
from rocket_sup.client.cache.tee import Tee, TeeStream
from rocket_sup.client.cache.validation import (
    conditions_for,
    conditions_for_any,
    freshened,
    is_confirmed,
    is_same_by_head,
    named_by,
)
from rocket_sup.client.errors import ExchangeError
from rocket_sup.client.messages import Request, Response
from rocket_sup.client.transport import Transport

UNSHARED_S: Final = 10.0  # after a response that could not be shared, nobody waits for the next for this long


class Fetching:
    """The way to the servers."""

    def __init__(
        self,
        inner: Transport,
        shelf: Shelf,
        policy: Policy,
        *,
        counts: CacheStatistics,
        max_entry: int,
        name: str,
        wall: Callable[[], float],
    ) -> None:
        """Ask through `inner` and store on `shelf`; the rest as for `CachingTransport`."""
        self._inner = inner
        self._shelf = shelf
        self._policy = policy
        self._counts = counts
        self._max_entry = max_entry
        self._name = name
        self._wall = wall
        self._under_way: dict[str, set[Errand]] = {}  # by primary key: what may be stored when it comes

    async def pass_through(self, request: Request) -> Response:
        """Send what is not answered from a store, and forget what it makes invalid (RFC 9111 §4.4)."""
        response = await self._inner.send(request)
        for url in invalidated(request.method, request.url, response.status, response.headers):
            for key in (self._shelf.key(url), self._shelf.key(url, "HEAD")) if self._under_way else ():
                for errand in self._under_way.pop(key, ()):
                    errand.is_outdated = True
                    if errand.flight is not None:
                        errand.flight.land(ABANDONED)
            await self._shelf.discard(url)
        return response

    async def exchange(self, errand: Errand) -> Response:
        """Ask the server, and answer with what it says, or with what is stored if that is current.

        Whoever follows the errand's flight is told how it ended; of an error, the caller has to tell.
        """
        key = self._shelf.key(errand.request.url, errand.request.method)
        self._under_way.setdefault(key, set()).add(errand)
        is_read = False
        try:
            response = await self._asked(errand)
            if isinstance(response, Stored):
                return await self._by_failure(errand, response)
            stored = errand.found.stored
            if stored is not None and response.status == 304 and not errand.ask.is_conditional:
                return await self._confirmed(errand, stored, response)
            is_read = await self._stores(errand, response, key)
            return response
        finally:
            if not is_read:
                self._arrive(errand, key)

    async def settle(self, errand: Errand, landing: Landing) -> None:
        """Tell who follows how it ended, here and in other processes."""
        if errand.flight is not None:
            errand.flight.land(landing)
        if errand.token:
            token, errand.token = errand.token, ""
            open_s = UNSHARED_S if landing is UNSHARED else 0.0
            await self._shelf.release(errand.flight_key, token, open_s=open_s)

    def _arrive(self, errand: Errand, key: str) -> None:
        others = self._under_way.get(key)
        if others is not None:
            others.discard(errand)
            if not others:
                del self._under_way[key]

    async def _asked(self, errand: Errand) -> Response | Stored:
        """Ask with the conditions there are; again without if the answer fits none of what is stored.

        Returns: the response; or the stale one that is served instead.
        """
        conditions = self._conditions(errand)
        errand.asked = self._wall()
        try:
            response = await self._inner.send(conditional(errand.request, conditions))
            if response.status == 304 and conditions and not await self._is_known(errand, response):
                await response.aclose()
                errand.asked = self._wall()
                response = await self._inner.send(errand.request)
        except ExchangeError:
            stale = self._stale_for(errand)
            if stale is None:
                raise
            return stale
        if response.status in FAILURES and (stale := self._stale_for(errand)) is not None:
            await response.aclose()
            return stale
        response.request = errand.request
        return response

    def _conditions(self, errand: Errand) -> Pairs:
        """What makes the request conditional on what is stored (RFC 9111 §4.3.1)."""
        stored, catalogue = errand.found.stored, errand.found.catalogue
        if errand.decision.use is Use.REVALIDATE and stored is not None:
            return conditions_for(stored)
        if stored is None and catalogue is not None and not errand.ask.is_conditional:
            return conditions_for_any(catalogue)
        return ()

    async def _is_known(self, errand: Errand, response: Response) -> bool:
        """Find the stored response that a 304 is about (RFC 9111 §4.3.4)."""
        stored, catalogue = errand.found.stored, errand.found.catalogue
        if stored is not None:
            return is_confirmed(stored, response.headers)
        key = None if catalogue is None else named_by(response.headers, catalogue)
        stored = None if key is None else await self._shelf.read(key)
        errand.found = Found(errand.found.key, stored, catalogue)
        return stored is not None

    def _stale_for(self, errand: Errand) -> Stored | None:
        """What may be served when the server fails (RFC 5861 §4)."""
        stale = errand.found.stored
        may_be = self._policy.on_failure(errand.ask, stale, now=self._wall()).use is Use.SERVE
        return stale if may_be else None

    async def _by_failure(self, errand: Errand, stored: Stored) -> Response:
        """Serve what is stale, as the server fails (RFC 5861 §4)."""
        await self.settle(errand, Landing(is_failure=True))
        self._counts.hits += 1
        self._counts.stale_hits += 1
        return from_stored(stored, errand.request, errand.ask, now=self._wall(), name=self._name)

    async def _confirmed(self, errand: Errand, stored: Stored, response: Response) -> Response:
        """Answer with the stored response that a 304 made fresh (RFC 9111 §4.3.3)."""
        await response.aclose()
        now = self._wall()
        fresh = self._freshened(errand, stored, response, now)
        await self._put(errand, fresh, now)
        await self.settle(errand, self._landing(errand, fresh, now))
        self._counts.validated += 1
        status = f"fwd={errand.decision.forwarded}; fwd-status=304"
        return from_stored(fresh, errand.request, errand.ask, now=now, name=self._name, status=status)

    def _freshened(self, errand: Errand, stored: Stored, response: Response, now: float) -> Stored:
        names = varied(response.headers.get_all("vary")) or {name for name, _ in stored.selecting}
        return freshened(
            stored,
            response.headers.items(),
            Moments(errand.asked, now),
            heuristic=self._policy.heuristic,
            selecting=selecting_values(errand.ask.headers, names, identity=self._shelf.identity),
        )

    async def _stores(self, errand: Errand, response: Response, key: str) -> bool:
        """Store a response if it may be; say whether that goes on while the caller reads it."""
        self._counts.misses += 1
        ask, now = errand.ask, self._wall()
        await self._learn(errand, response, now)
        storing = decide_storing(ask, response.status, response.headers, is_shared=self._policy.is_shared)
        stream = response.stream
        if not storing.is_stored or (stream is None and len(response.content) > self._max_entry):
            mark_forwarded(response, errand.decision, name=self._name)
            await self.settle(errand, UNSHARED)
            return False
        fields = storable_fields(response.headers.items())
        names = varied(response.headers.get_all("vary"))
        selecting = selecting_values(ask.headers, names, identity=self._shelf.identity)
        moments = Moments(errand.asked, now)
        status = response.status

        # Without the response, which would keep itself alive by its stream when its caller drops it.
        def made(content: bytes) -> Stored:
            return stored_response(
                status,
                fields,
                content,
                method=ask.method,
                moments=moments,
                selecting=selecting,
                is_shared=self._policy.is_shared,
                is_forced=storing.is_forced,
                heuristic=self._policy.heuristic,
            )

        if stream is None:
            stored = made(response.content)
            is_kept = await self._put(errand, stored, now)
            mark_forwarded(response, errand.decision, name=self._name, is_stored=is_kept)
            await self.settle(errand, self._landing(errand, stored, now))
            return False
        mark_forwarded(response, errand.decision, name=self._name)
        response.stream = self._divided(errand, stream, made, key)
        return True

    def _divided(
        self, errand: Errand, stream: AsyncIterator[bytes], made: Callable[[bytes], Stored], key: str
    ) -> TeeStream:
        """Have the content of a response stored while the caller reads it."""

        async def on_whole(content: bytes) -> None:
            stored, now = made(content), self._wall()
            try:
                await self._put(errand, stored, now)
            finally:
                self._arrive(errand, key)
                await self.settle(errand, self._landing(errand, stored, now))

        async def on_lost(error: Exception | None, is_left: bool) -> None:
            self._arrive(errand, key)
            await self.settle(errand, ABANDONED if is_left else Landing(error=error) if error else UNSHARED)

        tee = Tee(stream, max_bytes=self._max_entry, on_whole=on_whole, on_lost=on_lost)
        if errand.flight is not None:
            errand.flight.carry(tee)
        return TeeStream(tee)

    async def _learn(self, errand: Errand, response: Response, now: float) -> None:
        """See what a response that is not stored in its place says about what is there."""
        stored, status = errand.found.stored, response.status
        if stored is None or errand.is_outdated:
            return
        headers = response.headers
        if status == 304:
            # Of the caller's own asking; it is about what is stored only if it says so (RFC 9111 §4.3.4).
            if ("etag" in headers or "last-modified" in headers) and is_confirmed(stored, headers):
                await self._put(errand, self._freshened(errand, stored, response, now), now)
        elif errand.ask.method == "HEAD" and stored.method == "GET":
            if status == 200 and is_same_by_head(stored, headers):
                await self._put(errand, self._freshened(errand, stored, response, now), now)
            elif status == 200:
                await self._shelf.discard(errand.request.url)  # RFC 9111 §4.3.5
        elif status < 400 and not errand.ask.is_for_origin:
            storing = decide_storing(errand.ask, status, headers, is_shared=self._policy.is_shared)
            if not storing.is_stored and not errand.ask.directives.no_store:
                # There is a newer response that must not be stored: the older one is not current.
                await self._shelf.discard(errand.request.url)

    async def _put(self, errand: Errand, stored: Stored, now: float) -> bool:
        if errand.is_outdated:
            return False
        return await self._shelf.keep(errand.request.url, stored, ttl_s=errand.ask.ttl_s, now=now)

    def _landing(self, errand: Errand, stored: Stored, now: float) -> Landing:
        """What others can have of it: nothing, if it has to be validated by each of them."""
        is_fresh = self._policy.on_request(errand.ask, stored, now=now).use is Use.SERVE
        return Landing(stored) if is_fresh and not errand.is_outdated else UNSHARED
