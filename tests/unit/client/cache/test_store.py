"""The store in memory: what every store does, bounds, and time."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rocket_sup.client.cache.store import LeasingStore, MemoryStore
from tests.unit.client.cache.exchanges import stored
from tests.unit.client.cache.stores import check_store

SMALL = stored()


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_is_a_store() -> None:
    """The checks of all stores."""
    asyncio.run(check_store(MemoryStore()))
    assert not isinstance(MemoryStore(), LeasingStore)


def test_records_go_when_their_time_is_over() -> None:
    """To the second, and `touch` gives them another."""
    clock = Clock()
    store = MemoryStore(clock=clock)

    async def scenario() -> None:
        await store.set("a", SMALL, ttl_s=60)
        await store.set("b", SMALL, ttl_s=60)
        clock.now = 59.9
        assert await store.get("a") is not None
        await store.touch("a", ttl_s=60)
        clock.now = 60
        assert store.peek("b") is None
        assert store.peek("a") is not None
        await store.touch("b", ttl_s=60)
        assert store.peek("b") is None
        assert store.statistics().entries == 1

    asyncio.run(scenario())


def test_the_least_recently_used_go_first() -> None:
    """When there are too many."""
    store = MemoryStore(max_entries=2)

    async def scenario() -> None:
        await store.set("a", SMALL, ttl_s=60)
        await store.set("b", SMALL, ttl_s=60)
        await store.get("a")
        await store.set("c", SMALL, ttl_s=60)

    asyncio.run(scenario())

    assert [True, False, True] == [store.peek(key) is not None for key in "abc"]
    assert store.statistics().evicted == 1


def test_bytes_are_bounded_with_what_is_around_the_content() -> None:
    """Many small records count for what they really take."""
    store = MemoryStore(max_bytes=20 * (SMALL.cost + 300))

    async def scenario() -> None:
        for number in range(1000):
            await store.set(str(number), SMALL, ttl_s=60)
        await store.set("x", stored(x="y" * 10**6), ttl_s=60)

    asyncio.run(scenario())

    statistics = store.statistics()
    assert 15 <= statistics.entries <= 25
    assert statistics.size <= 20 * (SMALL.cost + 300)
    assert store.peek("x") is None
    assert store.peek("999") is not None


def test_what_is_forgotten_is_not_counted() -> None:
    """By whatever way it went."""
    clock = Clock()
    store = MemoryStore(clock=clock)

    async def scenario() -> None:
        for key in "abcd":
            await store.set(key, SMALL, ttl_s=1)
        await store.delete("a")
        await store.set("b", SMALL, ttl_s=0)
        clock.now = 2
        assert store.peek("c") is None
        assert store.statistics().entries == 1
        await store.close()

    asyncio.run(scenario())

    assert (0, 0) == (store.statistics().entries, store.statistics().size)


@pytest.mark.parametrize("limits", [{"max_bytes": 0}, {"max_entries": 0}])
def test_a_store_without_room_is_refused(limits: dict[str, int]) -> None:
    """It would be no store."""
    with pytest.raises(ValueError, match="at least 1"):
        MemoryStore(**limits)


def test_many_threads_may_use_it() -> None:
    """The books stay right."""
    store = MemoryStore(max_entries=10)

    def work(name: str) -> None:
        async def scenario() -> None:
            for number in range(200):
                await store.set(f"{name}{number % 20}", SMALL, ttl_s=60)
                store.peek(f"{name}{number % 7}")
                await store.delete(f"{name}{number % 5}")

        asyncio.run(scenario())

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    statistics = store.statistics()
    assert statistics.entries <= 10
    assert (statistics.size == 0) == (statistics.entries == 0)
    assert sum(entry[1] for entry in store._entries.values()) == statistics.size
