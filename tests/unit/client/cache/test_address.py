"""Stores by their address."""

from __future__ import annotations

from pathlib import Path

import pytest

from rocket_sup.client.cache.address import store_at
from rocket_sup.client.cache.sqlite import SqliteStore
from rocket_sup.client.cache.store import MemoryStore


def test_each_address_names_its_store(tmp_path: Path) -> None:
    """Nothing is opened yet."""
    assert isinstance(store_at("memory:"), MemoryStore)
    assert isinstance(store_at(f"sqlite:{tmp_path}/cache.db"), SqliteStore)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("address", ["redis://localhost:1/0", "rediss://localhost:1", "unix:///nowhere"])
def test_a_redis_is_named_by_its_url(address: str) -> None:
    """In each of the ways to reach it."""
    redis = pytest.importorskip("rocket_sup.client.cache.redis")
    pytest.importorskip("redis", reason="the extra redis is not installed")

    assert isinstance(store_at(address), redis.RedisStore)


@pytest.mark.parametrize("address", ["", "memory", "sqlite:", "http://a", "disk:x"])
def test_what_is_no_address_is_refused(address: str) -> None:
    """With what would be one."""
    with pytest.raises(ValueError, match="sqlite:PATH"):
        store_at(address)
