"""One timer behind many deadlines."""

from __future__ import annotations

import asyncio

from rocket_sup.client.deadlines import Deadline
from rocket_sup.client.errors import ReadTimeout, WriteTimeout


def test_a_deadline_that_moves() -> None:
    """Only the last one counts, and each is told once."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        due = asyncio.Event()
        deadline = Deadline(loop, due.set)
        now = loop.time()
        deadline.set(now + 0.01, ReadTimeout, "early")
        deadline.set(now + 0.05, WriteTimeout, "late")
        await due.wait()
        assert loop.time() >= now + 0.049
        assert isinstance(deadline.error(), WriteTimeout)
        due.clear()
        deadline.set(now + 1000, ReadTimeout, "never")
        deadline.set(loop.time() + 0.01, ReadTimeout, "earlier")
        await due.wait()
        assert "earlier" == str(deadline.error())
        deadline.close()

    asyncio.run(run())


def test_a_deadline_that_is_cleared_or_closed() -> None:
    """Nothing is told."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        told: list[int] = []
        cleared = Deadline(loop, lambda: told.append(1))
        cleared.set(loop.time(), ReadTimeout, "")
        cleared.clear()
        closed = Deadline(loop, lambda: told.append(2))
        closed.set(loop.time(), ReadTimeout, "")
        closed.close()
        reached = asyncio.Event()
        later = Deadline(loop, reached.set)
        later.set(loop.time() + 0.02, ReadTimeout, "")
        await reached.wait()
        assert [] == told

    asyncio.run(run())
