"""A store as a cache uses it: variants, and no harm from a store that fails."""

from __future__ import annotations

import asyncio
import logging

import pytest

from rocket_sup.client.cache.policy import Policy
from rocket_sup.client.cache.shelf import Shelf
from rocket_sup.client.cache.store import MemoryStore, Store, StoreError
from rocket_sup.client.cache.stored import Catalogue, Record, Stored
from rocket_sup.client.urls import Url
from tests.unit.client.cache.exchanges import NOW, ask, stored

URL = Url("http://a.test/x")


class Failing(MemoryStore):
    """A store that can be down, and is asked step by step as one far away.

    Attributes:
        is_down: every command fails.
        commands: how many were given.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False
        self.commands = 0

    def check(self) -> None:
        """Count, and fail if it is down."""
        self.commands += 1
        if self.is_down:
            raise StoreError("down")

    async def get(self, key: str) -> Record | None:
        self.check()
        return await super().get(key)

    async def set(self, key: str, record: Record, *, ttl_s: float) -> None:
        self.check()
        await super().set(key, record, ttl_s=ttl_s)

    async def delete(self, key: str) -> None:
        self.check()
        await super().delete(key)

    async def touch(self, key: str, *, ttl_s: float) -> None:
        self.check()
        await super().touch(key, ttl_s=ttl_s)


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def far(store: MemoryStore, clock: Clock | None = None) -> Shelf:
    """A shelf that does not know that its store is in memory."""
    shelf = Shelf(store, Policy(), clock=clock or Clock())
    shelf.memory = None
    return shelf


def variant(**selecting: str) -> Stored:
    """A response that was selected by these fields."""
    return stored("max-age=60", selecting=tuple(sorted(selecting.items())), x="".join(selecting.values()))


async def keep(shelf: Shelf, response: Stored) -> bool:
    """Store it now."""
    return await shelf.keep(URL, response, ttl_s=None, now=NOW)


@pytest.mark.parametrize("is_far", [True, False])
def test_responses_are_found_by_what_selects_them(is_far: bool) -> None:
    """One at its place, variants by a catalogue, in memory and elsewhere."""

    async def scenario() -> None:
        store = MemoryStore()
        shelf = far(store) if is_far else Shelf(store, Policy())
        assert shelf.is_instant != is_far
        assert (await shelf.find(ask(), URL)).stored is None
        plain = stored("max-age=60")
        assert await keep(shelf, plain)
        assert (await shelf.find(ask(), URL)).stored == plain
        assert (await shelf.find(ask("HEAD"), URL)).stored == plain
        one, two = variant(lang="1"), variant(lang="2")
        assert await keep(shelf, one)
        assert await keep(shelf, two)
        found = await shelf.find(ask(lang="2"), URL)
        assert found.stored == two
        assert found.catalogue is not None
        assert await shelf.read(found.catalogue.variants[0].key) == one
        assert (await shelf.find(ask(lang="3"), URL)).stored is None
        assert await keep(shelf, plain)
        assert (await shelf.find(ask(lang="1"), URL)).stored == one
        assert (await shelf.find(ask(lang="3"), URL)).stored == plain
        await shelf.discard(URL)
        assert (await shelf.find(ask(lang="1"), URL)).stored is None

    asyncio.run(scenario())


def test_variants_are_bounded_and_what_goes_is_forgotten() -> None:
    """The oldest go, with what they stand for."""

    async def scenario() -> None:
        store = MemoryStore()
        shelf = Shelf(store, Policy())
        for number in range(20):
            assert await keep(shelf, variant(lang=str(number)))
        catalogue = await store.get(shelf.key(URL))
        assert isinstance(catalogue, Catalogue)
        assert len(catalogue.variants) == 16
        assert store.statistics().entries == 17
        again = catalogue.variants[-1]
        assert await shelf.keep(URL, variant(lang="19"), ttl_s=None, now=NOW)
        assert (await shelf.find(ask(lang="19"), URL)).stored is not None
        assert again.key in [each.key for each in catalogue.variants]

    asyncio.run(scenario())


def test_a_place_that_is_anothers_by_now_is_a_miss() -> None:
    """Two processes may write at once."""

    async def scenario() -> None:
        store = MemoryStore()
        shelf = Shelf(store, Policy())
        await keep(shelf, variant(lang="1"))
        catalogue = await store.get(shelf.key(URL))
        assert isinstance(catalogue, Catalogue)
        await store.set(catalogue.variants[0].key, variant(lang="2"), ttl_s=60)
        assert (await shelf.find(ask(lang="1"), URL)).stored is None
        await store.set(catalogue.variants[0].key, catalogue, ttl_s=60)
        assert (await shelf.find(ask(lang="1"), URL)).stored is None
        assert await shelf.read(catalogue.variants[0].key) is None

    asyncio.run(scenario())


def test_what_is_of_no_use_is_not_kept() -> None:
    """Stale and without a validator."""

    async def scenario() -> None:
        store = MemoryStore()
        assert not await keep(Shelf(store, Policy()), stored("max-age=0"))
        assert store.statistics().entries == 0

    asyncio.run(scenario())


def test_identity_is_for_private_caches() -> None:
    """Shared ones go by the rules for Authorization."""
    store: Store = MemoryStore()

    assert ("authorization",) == Shelf(store, Policy()).identity
    assert () == Shelf(store, Policy(is_shared=True)).identity
    assert Shelf(store, Policy()).key(URL) != Shelf(store, Policy(is_shared=True)).key(URL)


def test_a_store_that_fails_is_left_alone_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is found meanwhile, and it is said once."""

    async def scenario() -> None:
        store, clock = Failing(), Clock()
        shelf = far(store, clock)
        await keep(shelf, stored("max-age=60"))
        store.is_down = True
        with caplog.at_level(logging.WARNING):
            for _ in range(5):
                assert (await shelf.find(ask(), URL)).stored is None
                assert not await keep(shelf, stored("max-age=60"))
        assert (shelf.failures, len(caplog.records)) == (1, 1)
        store.is_down = False
        clock.now += 4.9
        assert (await shelf.find(ask(), URL)).stored is None
        clock.now += 0.2
        assert (await shelf.find(ask(), URL)).stored is not None

    asyncio.run(scenario())


@pytest.mark.parametrize("is_off", [True, False])
def test_what_should_have_been_deleted_is_not_served_later(is_off: bool) -> None:
    """A store that was down meanwhile still has it."""

    async def scenario() -> None:
        store, clock = Failing(), Clock()
        shelf = far(store, clock)
        await keep(shelf, stored("max-age=60"))
        store.is_down = True
        if is_off:
            await shelf.find(ask(), URL)
        await shelf.discard(URL)
        store.is_down = False
        clock.now += 10
        assert (await shelf.find(ask(), URL)).stored is None
        assert store.peek(shelf.key(URL)) is None
        await keep(shelf, stored("max-age=60"))
        assert (await shelf.find(ask(), URL)).stored is not None

    asyncio.run(scenario())


def test_leases_are_open_where_there_are_none() -> None:
    """Nobody waits for anybody."""

    async def scenario() -> None:
        shelf = Shelf(MemoryStore(), Policy())
        assert not shelf.has_leases
        assert (await shelf.lease("k", ttl_s=1)).is_open
        await shelf.release("k", "t", open_s=0)

    asyncio.run(scenario())
