"""Stores by their address: `memory:`, `sqlite:PATH`, and the URL of a Redis.

What is not used is not loaded: the package resolves the names of its stores.
"""

from __future__ import annotations

import rocket_sup.client.cache as stores
from rocket_sup.client.cache.store import MemoryStore, Store

_REDIS = ("redis://", "rediss://", "unix://")


def store_at(address: str) -> Store:
    """Make the store of an address.

    Raises:
        ValueError: it is none.
        StoreError: what it needs is not installed.
    """
    if address == "memory:":
        return MemoryStore()
    if address.startswith("sqlite:") and len(address) > len("sqlite:"):
        return stores.SqliteStore(address.removeprefix("sqlite:"))
    if address.startswith(_REDIS):
        return stores.RedisStore(address)
    raise ValueError(f"{address!r} is no store: memory:, sqlite:PATH, redis://, rediss:// or unix://")
