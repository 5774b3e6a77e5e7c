"""A cache around any transport: RFC 9111 as a machine, and stores in memory, SQLite and Redis.

Names are resolved on first use, so that who keeps responses in memory loads neither SQLite nor Redis.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rocket_sup.client.cache.layer import CachingTransport as CachingTransport
    from rocket_sup.client.cache.policy import Policy as Policy
    from rocket_sup.client.cache.redis import RedisStore as RedisStore
    from rocket_sup.client.cache.sqlite import SqliteStore as SqliteStore
    from rocket_sup.client.cache.store import MemoryStore as MemoryStore
    from rocket_sup.client.cache.store import Store as Store
    from rocket_sup.client.cache.stored import Heuristic as Heuristic

_HOMES = {
    "CachingTransport": "layer",
    "Heuristic": "stored",
    "MemoryStore": "store",
    "Policy": "policy",
    "RedisStore": "redis",
    "SqliteStore": "sqlite",
    "Store": "store",
}
__all__ = ["CachingTransport", "Heuristic", "MemoryStore", "Policy", "RedisStore", "SqliteStore", "Store"]


# PEP 562. Any: the type depends on the name; what stands under TYPE_CHECKING tells it to type checkers.
def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
