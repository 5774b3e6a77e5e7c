"""The store in a file: what every store does, bounds, time, other processes, and damage."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from rocket_sup.client.cache.sqlite import SqliteStore
from rocket_sup.client.cache.store import Store, StoreError
from tests.unit.client.cache.exchanges import NOW, stored
from tests.unit.client.cache.stores import check_store

SMALL = stored()
# From 3.12 on, Python warns of forking a process with threads; what that does to a store is tested here.
forking = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def test_it_is_a_store(tmp_path: Path) -> None:
    """The checks of all stores."""

    async def scenario() -> None:
        store: Store = SqliteStore(tmp_path / "cache.db")
        await check_store(store)
        await store.close()
        await store.close()

    asyncio.run(scenario())


def modes_in(folder: Path) -> dict[str, int]:
    """The permissions of every file."""
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


def test_the_files_are_for_their_user_alone(tmp_path: Path) -> None:
    """Also those that SQLite puts beside them."""

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "cache.db")
        await store.set("a", SMALL, ttl_s=60)
        assert {"cache.db": 0o600, "cache.db-wal": 0o600, "cache.db-shm": 0o600} == modes_in(tmp_path)
        await store.close()

    asyncio.run(scenario())


def test_records_survive_the_process(tmp_path: Path) -> None:
    """Another store of the same file has them, also at the same time."""

    async def scenario() -> None:
        one, two = SqliteStore(tmp_path / "cache.db"), SqliteStore(tmp_path / "cache.db")
        await one.set("a", SMALL, ttl_s=60)
        assert SMALL == await two.get("a")
        await one.close()
        await two.delete("a")
        await two.set("b", SMALL, ttl_s=60)
        assert await one.get("a") is None
        assert SMALL == await one.get("b")
        await one.close()
        await two.close()

    asyncio.run(scenario())


def test_records_go_when_their_time_is_over(tmp_path: Path) -> None:
    """To the second, and `touch` gives them another."""
    clock = Clock()

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "cache.db", wall=clock)
        await store.set("a", SMALL, ttl_s=60)
        await store.set("b", SMALL, ttl_s=60)
        clock.now += 59.9
        await store.touch("a", ttl_s=60)
        clock.now += 0.1
        assert await store.get("b") is None
        assert SMALL == await store.get("a")
        await store.touch("b", ttl_s=60)
        assert await store.get("b") is None
        await store.close()

    asyncio.run(scenario())


def test_entries_are_bounded(tmp_path: Path) -> None:
    """Expired ones go first, then those used least recently."""
    clock = Clock()

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "cache.db", wall=clock, max_entries=3)
        await store.set("short", SMALL, ttl_s=1)
        for key in "abc":
            clock.now += 100
            await store.set(key, SMALL, ttl_s=1000)
        assert (3, 0) == ((await store.statistics()).entries, (await store.statistics()).evicted)
        clock.now += 100
        assert SMALL == await store.get("a")
        await store.set("d", SMALL, ttl_s=1000)
        assert [True, False, True, True] == [await store.get(key) is not None for key in "abcd"]
        assert (3, 1) == ((await store.statistics()).entries, (await store.statistics()).evicted)
        await store.close()

    asyncio.run(scenario())


def test_expired_records_do_not_stay(tmp_path: Path) -> None:
    """Also where there is room for them."""
    clock = Clock()

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "cache.db", wall=clock)
        for key in "abc":
            await store.set(key, SMALL, ttl_s=1)
        clock.now += 61
        await store.set("d", SMALL, ttl_s=1)
        assert (1, 0) == ((await store.statistics()).entries, (await store.statistics()).evicted)
        await store.close()

    asyncio.run(scenario())


def test_bytes_are_bounded(tmp_path: Path) -> None:
    """What is larger than the whole store is not kept."""

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "cache.db", max_bytes=10_000)
        for number in range(100):
            await store.set(str(number), SMALL, ttl_s=60)
        await store.set("large", stored(x="y" * 10_000), ttl_s=60)
        statistics = await store.statistics()
        assert statistics.size <= 10_000
        assert 10 <= statistics.entries < 100
        assert await store.get("large") is None
        assert SMALL == await store.get("99")
        await store.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("content", [b"no database", b"x" * 10_000])
def test_a_file_that_is_no_database_is_made_anew(tmp_path: Path, content: bytes) -> None:
    """It is only a cache."""
    path = tmp_path / "cache.db"
    path.write_bytes(content)

    async def scenario() -> None:
        store = SqliteStore(path)
        await store.set("a", SMALL, ttl_s=60)
        assert SMALL == await store.get("a")
        await store.close()

    asyncio.run(scenario())


def test_tables_of_another_version_are_made_anew(tmp_path: Path) -> None:
    """Records of before are misses."""
    path = tmp_path / "cache.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE records (other); PRAGMA user_version = 99")

    async def scenario() -> None:
        store = SqliteStore(path)
        assert await store.get("a") is None
        await store.set("a", SMALL, ttl_s=60)
        assert SMALL == await store.get("a")
        await store.close()

    asyncio.run(scenario())


def test_a_value_that_cannot_be_read_is_a_miss(tmp_path: Path) -> None:
    """Whoever wrote it."""
    path = tmp_path / "cache.db"

    async def scenario() -> None:
        store = SqliteStore(path)
        await store.set("a", SMALL, ttl_s=60)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE records SET value = 'garbage'")
        with pytest.raises(StoreError):
            await store.set("b", stored(x="\ud800"), ttl_s=60)
        assert await store.get("a") is None
        await store.close()

    asyncio.run(scenario())


def test_a_file_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    """The cache goes on without it."""

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "missing" / "cache.db")
        with pytest.raises(StoreError, match="missing"):
            await store.get("a")
        (tmp_path / "missing").mkdir()
        assert await store.get("a") is None
        await store.close()

    asyncio.run(scenario())


def write_many(path: Path, name: str) -> None:
    """What each process does."""

    async def scenario() -> None:
        store = SqliteStore(path, max_entries=1000)
        for number in range(50):
            await store.set(f"{name}{number}", SMALL, ttl_s=60)
        await store.close()

    asyncio.run(scenario())


@forking
@pytest.mark.slow
def test_several_processes_write_at_once(tmp_path: Path) -> None:
    """None loses what another wrote, and the books agree."""
    path = tmp_path / "cache.db"
    in_another_process(*[lambda name=name: write_many(path, name) for name in "abc"])

    async def scenario() -> None:
        store = SqliteStore(path)
        assert (await store.statistics()).entries == 150
        assert all([await store.get(f"{name}{number}") for name in "abc" for number in range(50)])
        await store.close()

    asyncio.run(scenario())


@forking
def test_a_forked_process_opens_the_file_itself(tmp_path: Path) -> None:
    """The parent's connection and thread are not its own."""
    store = SqliteStore(tmp_path / "cache.db")

    async def parent() -> None:
        await store.set("a", SMALL, ttl_s=60)

    async def child() -> None:
        assert SMALL == await store.get("a")
        await store.set("b", SMALL, ttl_s=60)
        await store.close()

    async def parent_again() -> None:
        assert SMALL == await store.get("b")
        await store.close()

    asyncio.run(parent())
    in_another_process(lambda: asyncio.run(child()))
    asyncio.run(parent_again())


def in_another_process(*work: Callable[[], None]) -> None:
    """Do it all in forked processes at once, and see that each went well."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=each) for each in work]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [0] * len(work) == [process.exitcode for process in processes]
    for process in processes:
        process.close()
