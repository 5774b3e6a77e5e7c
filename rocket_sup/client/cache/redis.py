"""Records in Redis or Valkey, for many processes on many hosts, which fetch once for all.

Each record is one value with a time of its own, so that the server forgets by itself; how much it keeps is
for its `maxmemory` and `maxmemory-policy` to say. Keys are digests: nothing of a URL shows in the server. A
lease is a key that is set if it is not there; it goes with its token, or by itself.

Needs the library `redis`: `pip install rocket-sup[redis]`.
"""

from __future__ import annotations

import hashlib
import secrets
from importlib import import_module
from typing import Any, Final

from rocket_sup.client.cache.serial import decode, encode
from rocket_sup.client.cache.store import Lease, StoreError
from rocket_sup.client.cache.stored import Record

_OPEN: Final = b"open"  # in the place of a token: nobody needs the lease
# A lease that ended and was taken by another must not be given back with an old token.
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if tonumber(ARGV[3]) > 0 then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
else redis.call('DEL', KEYS[1]) end
return 1
"""


class RedisStore:
    """Records in one Redis or Valkey."""

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        *,
        prefix: str = "rocket-sup:cache:",
        timeout_s: float = 1.0,
        max_connections: int = 32,
    ) -> None:
        """Name the server; connections are made on first use.

        Args:
            url: `redis://`, `rediss://` or `unix://`, with user, password and database.
            prefix: of every key.
            timeout_s: for one command; a cache that is slower than the server is of no use.
            max_connections: at once; further commands wait.

        Raises:
            StoreError: the library is not installed.
        """
        try:
            library = import_module("redis.asyncio")
        except ImportError:
            raise StoreError("RedisStore needs the library redis: pip install rocket-sup[redis]") from None
        self._prefix = prefix
        pool = library.BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
        )
        # Any: the library has types of its own, which are not there without it.
        self._redis: Any = library.Redis(connection_pool=pool)
        self._error: type[Exception] = import_module("redis.exceptions").RedisError

    async def get(self, key: str) -> Record | None:
        """See `Store.get`."""
        raw = await self._command("GET", self._name(key))
        return decode(raw) if isinstance(raw, bytes) else None

    async def set(self, key: str, record: Record, *, ttl_s: float) -> None:
        """See `Store.set`."""
        try:
            raw = encode(record)
        except ValueError as error:
            raise StoreError(f"not storable: {error}") from None
        if ttl_s > 0:
            await self._command("SET", self._name(key), raw, "PX", _milliseconds(ttl_s))
        else:
            await self.delete(key)

    async def delete(self, key: str) -> None:
        """See `Store.delete`."""
        await self._command("DEL", self._name(key))

    async def touch(self, key: str, *, ttl_s: float) -> None:
        """See `Store.touch`."""
        await self._command("PEXPIRE", self._name(key), _milliseconds(ttl_s))

    async def close(self) -> None:
        """Close all connections."""
        try:
            await self._redis.aclose(close_connection_pool=True)
        except (self._error, OSError) as error:
            raise StoreError(f"redis: {error}") from error

    async def lease(self, key: str, *, ttl_s: float) -> Lease:
        """See `LeasingStore.lease`."""
        name, token = self._name(key, "lease:"), secrets.token_hex(16)
        if await self._command("SET", name, token, "NX", "PX", _milliseconds(ttl_s)):
            return Lease(token)
        return Lease(is_open=await self._command("GET", name) == _OPEN)

    async def release(self, key: str, token: str, *, open_s: float = 0.0) -> None:
        """See `LeasingStore.release`."""
        milliseconds = _milliseconds(open_s) if open_s > 0 else 0
        await self._command("EVAL", _RELEASE, 1, self._name(key, "lease:"), token, _OPEN, milliseconds)

    async def _command(self, *words: str | bytes | int) -> object:
        try:
            answer: object = await self._redis.execute_command(*words)
        except (self._error, OSError, TimeoutError) as error:
            raise StoreError(f"redis: {error}") from error
        return answer

    def _name(self, key: str, kind: str = "") -> str:
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=20)
        return f"{self._prefix}{kind}{digest.hexdigest()}"


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
