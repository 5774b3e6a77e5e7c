"""The store in Redis, against a server of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from rocket_sup.client.cache import redis as module
from rocket_sup.client.cache.redis import RedisStore
from rocket_sup.client.cache.store import LeasingStore, Store, StoreError
from tests.unit.client.cache.exchanges import stored
from tests.unit.client.cache.stores import check_leases, check_store, redis_server


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A server."""
    with redis_server(tmp_path) as url:
        yield url


def test_it_is_a_store_with_leases(url: str) -> None:
    """The checks of all stores."""

    async def scenario() -> None:
        store = RedisStore(url)
        plain: Store = store
        await check_store(plain)
        assert isinstance(store, LeasingStore)
        await check_leases(store)
        await store.close()

    asyncio.run(scenario())


def test_the_server_forgets_by_itself(url: str) -> None:
    """Every key has a time, and `touch` gives another."""

    async def scenario() -> None:
        store = RedisStore(url, prefix="p:")
        await store.set("a", stored(), ttl_s=60)
        await store.touch("a", ttl_s=600)
        lease = await store.lease("a", ttl_s=30)
        keys = sorted(await store._redis.keys("*"))
        times = [await store._redis.pttl(key) for key in keys]
        assert [True, True] == [key.startswith(b"p:") for key in keys]
        assert [True, True] == [0 < ms <= limit for ms, limit in zip(times, (600_000, 30_000), strict=True)]
        assert times[0] > 60_000
        await store.release("a", lease.token)
        await store.close()

    asyncio.run(scenario())


def test_garbage_in_the_server_is_a_miss(url: str) -> None:
    """Also of another type."""

    async def scenario() -> None:
        store = RedisStore(url)
        await store._redis.set(store._name("a"), b"garbage")
        await store._redis.lpush(store._name("b"), b"x")
        assert await store.get("a") is None
        with pytest.raises(StoreError):
            await store.get("b")
        with pytest.raises(StoreError):
            await store.set("c", stored(x="\ud800"), ttl_s=60)
        await store.close()

    asyncio.run(scenario())


def test_no_server_is_said(tmp_path: Path) -> None:
    """The cache goes on without it."""
    pytest.importorskip("redis", reason="the extra redis is not installed")

    async def scenario() -> None:
        store = RedisStore(f"unix://{tmp_path}/nobody")
        with pytest.raises(StoreError, match="redis"):
            await store.get("a")
        await store.close()

    asyncio.run(scenario())


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(module, "import_module", missing)

    with pytest.raises(StoreError, match=r"rocket-sup\[redis\]"):
        RedisStore()
