"""What every store has to do: one list of checks, and the server that some of them need."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rocket_sup.client.cache.keys import variant_key
from rocket_sup.client.cache.store import LeasingStore, Store
from rocket_sup.client.cache.stored import Catalogue, Variant
from tests.unit.client.cache.exchanges import NOW, stored

PATIENCE_S = 10.0


async def check_store(store: Store) -> None:
    """Everything `Store` promises, but for time."""
    one, two = stored("max-age=60", etag='"1"', x="ü\xff"), stored(status=404, x="")
    catalogue = Catalogue((Variant(variant_key("a", ()), (("x", None), ("y", "1")), '"1"', NOW, NOW + 1),))

    assert await store.get("a") is None
    await store.set("a", one, ttl_s=60)
    await store.set("b", catalogue, ttl_s=60)
    assert one == await store.get("a")
    assert catalogue == await store.get("b")
    await store.set("a", two, ttl_s=60)
    assert two == await store.get("a")
    await store.touch("a", ttl_s=120)
    assert two == await store.get("a")
    await store.touch("nothing", ttl_s=60)
    assert await store.get("nothing") is None
    await store.delete("a")
    await store.delete("a")
    assert await store.get("a") is None
    await store.set("b", one, ttl_s=0)
    assert await store.get("b") is None
    await store.set("c" * 9000, one, ttl_s=60)
    assert one == await store.get("c" * 9000)


async def check_leases(store: LeasingStore) -> None:
    """Everything `LeasingStore` promises, but for time."""
    mine = await store.lease("a", ttl_s=60)
    assert mine.token
    assert not mine.is_open
    theirs = await store.lease("a", ttl_s=60)
    assert (theirs.token, theirs.is_open) == ("", False)
    assert (await store.lease("b", ttl_s=60)).token
    await store.release("a", "not the token")
    assert not (await store.lease("a", ttl_s=60)).token
    await store.release("a", mine.token)
    again = await store.lease("a", ttl_s=60)
    assert again.token
    await store.release("a", again.token, open_s=60)
    assert (await store.lease("a", ttl_s=60)).is_open


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis of the test's own on a Unix socket; skips where none is installed."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("no redis-server: apt-get install redis-server")
    pytest.importorskip("redis", reason="the extra redis is not installed")
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as short:  # a socket's path is short
        path = os.path.join(short, "s")
        command = [program, "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no"]
        server = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)
        try:
            asyncio.run(_until_it_listens(path))
            yield f"unix://{path}"
        finally:
            server.kill()
            server.wait()


async def _until_it_listens(path: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_unix_connection(path)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            writer.close()
            await writer.wait_closed()
            return
