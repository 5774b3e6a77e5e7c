"""Records in a file, for several processes at once and across restarts: the standard library's SQLite.

One thread has the connection, so that the event loop never waits for the disk. The file is in WAL mode:
readers do not wait for writers, and a crash loses the last records at most. It is a cache: a file of another
version, or one that is no database, is made anew. Which records were used least recently is known to a
minute, so that reading does not write each time.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from rocket_sup.client.cache.serial import decode, encode
from rocket_sup.client.cache.store import StoreError, StoreStatistics
from rocket_sup.client.cache.stored import Record

T = TypeVar("T")
_VERSION: Final = 1  # of the tables, kept in the file's user_version
_LOCKED_PAUSE_S: Final = 0.01
_BUSY_MS: Final = 2000  # another process writes for milliseconds; more means that it hangs
_USED_GRAIN_S: Final = 60.0
_SWEEP_S: Final = 60.0  # records whose time is over take room for as long as this, while any are written
_PLACE: Final = 100  # bytes of a row beside its value
# Opened by a process that this one was forked from: not to be used, nor closed, as its locks are the other's.
_LEFT_ALONE: Final[list[sqlite3.Connection]] = []
_TABLES: Final = """
    DROP TABLE IF EXISTS records;
    DROP TABLE IF EXISTS totals;
    CREATE TABLE records (key TEXT PRIMARY KEY, value BLOB, cost INTEGER, expires REAL, used REAL);
    CREATE INDEX records_expires ON records (expires);
    CREATE INDEX records_used ON records (used);
    CREATE TABLE totals (entries INTEGER, size INTEGER, evicted INTEGER);
    INSERT INTO totals VALUES (0, 0, 0);
    CREATE TRIGGER added AFTER INSERT ON records BEGIN
        UPDATE totals SET entries = entries + 1, size = size + NEW.cost;
    END;
    CREATE TRIGGER removed AFTER DELETE ON records BEGIN
        UPDATE totals SET entries = entries - 1, size = size - OLD.cost;
    END;
"""


class SqliteStore:
    """Records in one SQLite file."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = 1024 * 1024 * 1024,
        max_entries: int = 1_000_000,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Name the file; it is opened on first use, and again in a process that was forked.

        Args:
            max_bytes: of all records; the file is somewhat larger.
            max_entries: records at most.
            wall: seconds since the epoch, as all processes have to agree on it.
        """
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._wall = wall
        self._executor: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None  # used by the executor's thread alone
        self._pid = 0
        self._swept = 0.0  # when expired records were deleted last

    async def get(self, key: str) -> Record | None:
        """See `Store.get`."""
        raw = await self._run(lambda connection: self._get(connection, key))
        return None if raw is None else decode(raw)

    async def set(self, key: str, record: Record, *, ttl_s: float) -> None:
        """See `Store.set`."""
        try:
            raw = encode(record)
        except ValueError as error:
            raise StoreError(f"not storable: {error}") from None
        await self._run(lambda connection: self._set(connection, key, raw, ttl_s))

    async def delete(self, key: str) -> None:
        """See `Store.delete`."""
        await self._run(lambda connection: connection.execute("DELETE FROM records WHERE key = ?", (key,)))

    async def touch(self, key: str, *, ttl_s: float) -> None:
        """See `Store.touch`."""
        now = self._wall()
        await self._run(
            lambda connection: connection.execute(
                "UPDATE records SET expires = ? WHERE key = ? AND expires > ?", (now + ttl_s, key, now)
            )
        )

    async def close(self) -> None:
        """Close the file and end the thread."""
        executor, self._executor = self._executor, None
        if executor is not None and self._pid == os.getpid():
            await asyncio.get_running_loop().run_in_executor(executor, self._disconnect)
            executor.shutdown(wait=True)

    async def statistics(self) -> StoreStatistics:
        """What the file has now, of all processes."""
        row = await self._run(
            lambda connection: connection.execute("SELECT entries, size, evicted FROM totals").fetchone()
        )
        return StoreStatistics(*row)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._executor is None or self._pid != os.getpid():
            if self._connection is not None:
                _LEFT_ALONE.append(self._connection)
            self._pid = os.getpid()
            self._connection = None
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="rocket-sup-cache")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._perform, work)

    def _perform(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._connect()
            return work(self._connection)
        except sqlite3.Error as error:
            self._disconnect()
            raise StoreError(f"{self._path}: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        try:
            return self._open_soon()
        except sqlite3.OperationalError:
            raise  # locked, or not to be opened: the file itself may be good
        except sqlite3.DatabaseError:
            # No database at all. Whoever has it open goes on with what has no name any more.
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            return self._open()

    def _open_soon(self) -> sqlite3.Connection:
        """Open it, also while other processes do: who finds another one switching to WAL is told at once that
        it is locked, whatever the timeout.
        """
        deadline = time.monotonic() + _BUSY_MS / 1000
        while True:
            try:
                return self._open()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(_LOCKED_PAUSE_S)

    def _open(self) -> sqlite3.Connection:
        # What one user was told is not for others of this host; SQLite's further files follow this one.
        # A file that is there is not touched: closing it would end the locks that this process has on it.
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            pass  # its owner said who may read it
        except OSError as error:
            raise sqlite3.OperationalError(str(error)) from error
        connection = sqlite3.connect(self._path, timeout=_BUSY_MS / 1000, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")  # one process makes the tables
            if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                for statement in _statements(_TABLES):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _get(self, connection: sqlite3.Connection, key: str) -> bytes | None:
        now = self._wall()
        row = connection.execute(
            "SELECT value, used FROM records WHERE key = ? AND expires > ?", (key, now)
        ).fetchone()
        if row is None:
            return None
        if now - row[1] > _USED_GRAIN_S:
            connection.execute("UPDATE records SET used = ? WHERE key = ?", (now, key))
        return row[0] if isinstance(row[0], bytes) else None

    def _set(self, connection: sqlite3.Connection, key: str, raw: bytes, ttl_s: float) -> None:
        now = self._wall()
        cost = len(raw) + len(key) + _PLACE
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute("DELETE FROM records WHERE key = ?", (key,))
            if ttl_s > 0 and cost <= self._max_bytes:
                connection.execute(
                    "INSERT INTO records VALUES (?, ?, ?, ?, ?)", (key, raw, cost, now + ttl_s, now)
                )
                self._make_room(connection, now)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _make_room(self, connection: sqlite3.Connection, now: float) -> None:
        is_over = self._is_over(connection)
        if is_over or abs(now - self._swept) >= _SWEEP_S:
            connection.execute("DELETE FROM records WHERE expires <= ?", (now,))
            self._swept = now
        if not is_over:
            return
        while self._is_over(connection):
            # An eighth at once: the next ones find room without looking.
            before = connection.total_changes
            connection.execute(
                "DELETE FROM records WHERE key IN (SELECT key FROM records ORDER BY used, rowid"
                " LIMIT (SELECT max(1, min(64, entries / 8)) FROM totals))"
            )
            # Each row is changed once itself and once in the totals.
            evicted = (connection.total_changes - before) // 2
            connection.execute("UPDATE totals SET evicted = evicted + ?", (evicted,))

    def _is_over(self, connection: sqlite3.Connection) -> bool:
        entries, size = connection.execute("SELECT entries, size FROM totals").fetchone()
        return bool(entries > self._max_entries or size > self._max_bytes)


def _statements(script: str) -> list[str]:
    """Cut a script: `executescript` would end the transaction."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found
