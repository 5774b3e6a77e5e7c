"""Where records are kept: what every store promises, and the one in memory.

A store forgets whenever it likes; a cache that finds nothing asks the server. It never gives a record after
its time, and what it cannot do it says with `StoreError`, which a cache takes as finding nothing.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from rocket_sup.client.cache.stored import Record
from rocket_sup.client.errors import ClientError

_PLACE: Final = 250  # bytes of a key and of its place in the table, without the key's text


class StoreError(ClientError):
    """A store could not do what it was asked; the cache goes on without it."""


class Store(Protocol):
    """Keeps records by key, for a time."""

    async def get(self, key: str) -> Record | None:
        """Give what is kept; None for nothing, or nothing that can be read."""
        ...

    async def set(self, key: str, record: Record, *, ttl_s: float) -> None:
        """Keep a record for `ttl_s` seconds in the place of any other."""
        ...

    async def delete(self, key: str) -> None:
        """Forget what is kept."""
        ...

    async def touch(self, key: str, *, ttl_s: float) -> None:
        """Keep what is kept for `ttl_s` seconds from now; nothing happens where there is nothing."""
        ...

    async def close(self) -> None:
        """Let go of connections and files."""
        ...


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to ask a server for what many want.

    Attributes:
        token: what gives it back; "" when somebody else has it.
        is_open: nobody needs it: what comes cannot be shared.
    """

    token: str = ""
    is_open: bool = False


@runtime_checkable
class LeasingStore(Protocol):
    """A store that several processes use, and that lets one of them fetch for all."""

    async def lease(self, key: str, *, ttl_s: float) -> Lease:
        """Try to take the lease of a key; it ends by itself after `ttl_s`."""
        ...

    async def release(self, key: str, token: str, *, open_s: float = 0.0) -> None:
        """Give a lease back, if it is still had; with `open_s`, nobody needs it for that long."""
        ...


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """What a store has.

    Attributes:
        entries, size: records, and the bytes that they take with what is around them.
        evicted: records that made room for others, since the beginning.
    """

    entries: int
    size: int
    evicted: int


class MemoryStore:
    """Records in this process, the least recently used ones forgotten first; for all threads."""

    def __init__(
        self,
        *,
        max_bytes: int = 64 * 1024 * 1024,
        max_entries: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make an empty store.

        Args:
            max_bytes: of all records with what is around them.
            max_entries: records at most.
            clock: seconds that never go back.
        """
        if max_bytes < 1 or max_entries < 1:
            raise ValueError("max_bytes and max_entries must be at least 1")
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._clock = clock
        # Record, cost, and when its time is over; the most recently used last. Held under the lock.
        self._entries: OrderedDict[str, tuple[Record, int, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._size = 0
        self._evicted = 0

    def peek(self, key: str) -> Record | None:
        """Do what `get` does, without a coroutine."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry[2] <= self._clock():
                self._forget(key)
                return None
            self._entries.move_to_end(key)
            return entry[0]

    async def get(self, key: str) -> Record | None:
        """See `Store.get`."""
        return self.peek(key)

    async def set(self, key: str, record: Record, *, ttl_s: float) -> None:
        """See `Store.set`; what is larger than the whole store is not kept."""
        cost = record.cost + _PLACE + len(key)
        with self._lock:
            self._forget(key)
            if ttl_s <= 0 or cost > self._max_bytes:
                return
            self._entries[key] = (record, cost, self._clock() + ttl_s)
            self._size += cost
            while self._size > self._max_bytes or len(self._entries) > self._max_entries:
                self._forget(next(iter(self._entries)))
                self._evicted += 1

    async def delete(self, key: str) -> None:
        """See `Store.delete`."""
        with self._lock:
            self._forget(key)

    async def touch(self, key: str, *, ttl_s: float) -> None:
        """See `Store.touch`."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and entry[2] > self._clock():
                self._entries[key] = (entry[0], entry[1], self._clock() + ttl_s)

    async def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._size = 0

    def statistics(self) -> StoreStatistics:
        """What it has now."""
        with self._lock:
            return StoreStatistics(len(self._entries), self._size, self._evicted)

    def _forget(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= entry[1]
