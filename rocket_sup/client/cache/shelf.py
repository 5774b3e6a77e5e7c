"""A store as a cache uses it: responses by request, and no harm from a store that fails.

It knows how keys, variants and catalogues belong together, and nothing of freshness. A store that raises is
left alone for a while: every request then goes to its server. What should have been deleted meanwhile is
remembered, so that nothing invalid is served when the store is back.

Spec: RFC 9111 §2, §4.1, §4.4
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from rocket_sup.client.cache.ask import Ask
from rocket_sup.client.cache.keys import (
    is_match,
    matching_variant,
    primary_key,
    variant_key,
    with_variant,
)
from rocket_sup.client.cache.policy import Policy
from rocket_sup.client.cache.store import Lease, LeasingStore, MemoryStore, Store, StoreError
from rocket_sup.client.cache.stored import Catalogue, Record, Stored, Variant
from rocket_sup.client.urls import Url

T = TypeVar("T")
_PAUSE_S: Final = 5.0  # a store that was down is asked again after this
_MAX_OWED: Final = 10_000  # deletions remembered for a store that is down
_MAX_VARIANTS: Final = 16  # of one URI; their entity tags stand in one request field
log = logging.getLogger("rocket_sup.client.cache")


@dataclass(frozen=True, slots=True)
class Found:
    """What is stored for a request.

    Attributes:
        key: the primary key.
        stored: the response that the request selects, None for none.
        catalogue: what else there is for the URI, where it varies.
    """

    key: str
    stored: Stored | None = None
    catalogue: Catalogue | None = None


class Shelf:
    """The store of one cache."""

    def __init__(
        self,
        store: Store,
        policy: Policy,
        *,
        namespace: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use a store, which whoever made it closes."""
        self._store = store
        # Set where looking needs no waiting.
        self.memory = store if isinstance(store, MemoryStore) else None
        self._prefix = primary_key("", method="GET", is_shared=policy.is_shared, namespace=namespace)
        self._leases = store if isinstance(store, LeasingStore) else None
        self._is_shared = policy.is_shared
        self._identity = () if policy.is_shared else policy.identity
        self._retention = policy.retention
        self._namespace = namespace
        self._clock = clock
        self._off_until = float("-inf")
        self._owed: dict[str, None] = {}
        self.failures = 0

    @property
    def is_instant(self) -> bool:
        """Whether `peek` finds what there is."""
        return self.memory is not None

    @property
    def has_leases(self) -> bool:
        """Whether other processes use the store, and one may fetch for all."""
        return self._leases is not None

    def key(self, url: Url, method: str = "GET") -> str:
        """The primary key of a URI."""
        if method != "HEAD":
            return f"{self._prefix}{url.scheme}://{url.authority}{url.target}"
        uri = f"{url.scheme}://{url.authority}{url.target}"
        return primary_key(uri, method=method, is_shared=self._is_shared, namespace=self._namespace)

    def peek(self, ask: Ask, url: Url) -> Found:
        """Do what `find` does, at once, where `is_instant`."""
        found = Found(self.key(url))
        for key in self._keys(ask, url):
            found = self._judged(key, self._glance(key), ask)
            if found.stored is None and found.catalogue is not None:
                variant = matching_variant(found.catalogue, ask.headers, identity=self._identity)
                record = None if variant is None else self._glance(variant.key)
                found = self._selected(found, record, ask)
            if found.stored is not None:
                return found
        return found

    async def find(self, ask: Ask, url: Url) -> Found:
        """Find what a request selects; for HEAD, a response to GET before one to HEAD (RFC 9111 §4)."""
        if self.memory is not None:
            return self.peek(ask, url)
        found = Found(self.key(url))
        for key in self._keys(ask, url):
            found = self._judged(key, await self._get(key), ask)
            if found.stored is None and found.catalogue is not None:
                variant = matching_variant(found.catalogue, ask.headers, identity=self._identity)
                record = None if variant is None else await self._get(variant.key)
                found = self._selected(found, record, ask)
            if found.stored is not None:
                return found
        return found

    async def read(self, key: str) -> Stored | None:
        """The response that a catalogue names."""
        record = await self._get(key)
        return record if isinstance(record, Stored) else None

    def matches(self, stored: Stored, ask: Ask) -> bool:
        """Say whether a request selects this response (RFC 9111 §4.1)."""
        return is_match(ask.headers, stored.selecting, identity=self._identity)

    @property
    def identity(self) -> tuple[str, ...]:
        """The fields that say who asks; see `Policy`."""
        return self._identity

    async def keep(self, url: Url, stored: Stored, *, ttl_s: float | None, now: float) -> bool:
        """Store a response in its place; say whether it is of any use."""
        key = self.key(url, stored.method)
        kept_s = self._retention.seconds(stored, now=now, ttl_s=ttl_s)
        if kept_s <= 0:
            return False
        existing = await self._get(key)
        if not stored.selecting and not isinstance(existing, Catalogue):
            return await self._set(key, stored, kept_s)
        catalogue = existing if isinstance(existing, Catalogue) else Catalogue(())
        place = variant_key(key, stored.selecting)
        added = Variant(place, stored.selecting, stored.etag, stored.date_s, now + kept_s)
        changed = with_variant(catalogue, added, now=now, at_most=_MAX_VARIANTS)
        if not await self._set(place, stored, kept_s):
            return False
        kept = {variant.key for variant in changed.variants}
        for variant in catalogue.variants:
            if variant.key not in kept:
                await self._delete(variant.key)
        longest_s = max(variant.expires_s for variant in changed.variants) - now
        if changed == catalogue:
            await self._guarded(self._store.touch(key, ttl_s=longest_s), None)
            return True
        return await self._set(key, changed, longest_s)

    async def discard(self, url: Url) -> None:
        """Forget all that is stored for a URI (RFC 9111 §4.4)."""
        await self._delete(self.key(url))
        await self._delete(self.key(url, "HEAD"))

    async def lease(self, key: str, *, ttl_s: float) -> Lease:
        """Take the lease of a key; where there is none to be had, nobody needs one."""
        if self._leases is None or self._is_off():
            return Lease(is_open=True)
        return await self._guarded(self._leases.lease(key, ttl_s=ttl_s), Lease(is_open=True))

    async def release(self, key: str, token: str, *, open_s: float) -> None:
        """Give a lease back."""
        if self._leases is not None and not self._is_off():
            await self._guarded(self._leases.release(key, token, open_s=open_s), None)

    def _keys(self, ask: Ask, url: Url) -> tuple[str, ...]:
        return (self.key(url), self.key(url, "HEAD")) if ask.method == "HEAD" else (self.key(url),)

    def _judged(self, key: str, record: Record | None, ask: Ask) -> Found:
        if isinstance(record, Catalogue):
            return Found(key, None, record)
        return Found(key, record if record is not None and self.matches(record, ask) else None)

    def _selected(self, found: Found, record: Record | None, ask: Ask) -> Found:
        # What is in a place may be another's by now, if two processes wrote at once.
        if isinstance(record, Stored) and self.matches(record, ask):
            return Found(found.key, record, found.catalogue)
        return found

    def _glance(self, key: str) -> Record | None:
        return None if self.memory is None else self.memory.peek(key)

    async def _get(self, key: str) -> Record | None:
        if self._is_off():
            return None
        if self._owed and key in self._owed:
            await self._delete(key)
            return None
        return await self._guarded(self._store.get(key), None)

    async def _set(self, key: str, record: Record, ttl_s: float) -> bool:
        if self._is_off():
            return False

        async def put() -> bool:
            await self._store.set(key, record, ttl_s=ttl_s)
            return True

        is_set = await self._guarded(put(), False)
        if is_set:
            self._owed.pop(key, None)
        return is_set

    async def _delete(self, key: str) -> None:
        async def remove() -> bool:
            await self._store.delete(key)
            return True

        if not self._is_off() and await self._guarded(remove(), False):
            self._owed.pop(key, None)
        elif len(self._owed) < _MAX_OWED:
            self._owed[key] = None

    def _is_off(self) -> bool:
        return self._clock() < self._off_until

    async def _guarded(self, work: Awaitable[T], otherwise: T) -> T:
        try:
            return await work
        except StoreError as error:
            self.failures += 1
            self._off_until = self._clock() + _PAUSE_S
            log.warning("the cache goes on without its store for %g s: %s", _PAUSE_S, error)
            return otherwise
