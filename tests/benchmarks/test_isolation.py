"""Every engine that can be reached without sockets answers what it is measured by."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from benchmarks.isolation import CASES, CONNECTIONS, DOORS, nanoseconds
from benchmarks.servers import APPLICATIONS


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop, closed afterwards."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.mark.parametrize("engine", DOORS)
def test_a_door_answers_every_case(
    engine: str, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many answers as requests, on every connection, with a handler that suspends too."""
    monkeypatch.syspath_prepend(APPLICATIONS)
    door = DOORS[engine](loop)
    for workload in CASES.values():
        before = door.answered()

        assert nanoseconds(loop, door, workload, 1) > 0
        assert door.answered() - before == CONNECTIONS * workload.depth
    door.close()
