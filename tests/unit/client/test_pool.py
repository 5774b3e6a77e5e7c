"""The pool: limits, fairness, expiry, and callers who leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from rocket_sup.client.errors import ClientClosed, PoolTimeout, TotalTimeout
from rocket_sup.client.messages import Request
from rocket_sup.client.pool import Connection, Lane, Pool
from rocket_sup.client.settings import Limits, Timeout

REQUEST = Request("GET", "http://host/", timeout=Timeout(pool=None))


class Fake:
    """A connection that is gone as soon as it is closed."""

    def __init__(self, pool: Pool, most: int = 1) -> None:
        self.pool = pool
        self.most = most
        self.used = 0
        self.is_closed = False

    def reserve(self) -> bool:
        self.used += 1
        return self.used < self.most

    def release(self) -> bool:
        self.used -= 1
        return not self.used

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            asyncio.get_running_loop().call_soon(self.pool.on_closed, self)

    def abort(self) -> None:
        self.close()


def with_pool(
    limits: Limits, *, may_share: bool = False
) -> Callable[[Callable[[Pool], Awaitable[None]]], Callable[[], None]]:
    """Run a test in a loop, with a pool that is closed in the end."""

    def wrap(test: Callable[[Pool], Awaitable[None]]) -> Callable[[], None]:
        async def run() -> None:
            pool = Pool(asyncio.get_running_loop(), limits, may_share=may_share)
            await test(pool)
            await pool.close()
            assert 0 == pool.open

        def runner() -> None:
            asyncio.run(run())

        runner.__doc__ = test.__doc__
        return runner

    return wrap


async def opened(pool: Pool, lane: Lane) -> Connection:
    """Open a connection as a caller would."""
    assert await pool.reserve(lane, REQUEST) is None
    connection = Fake(pool)
    pool.add(lane, connection)
    return connection


async def turns(count: int = 5) -> None:
    """Let everything happen that is ready to."""
    for _ in range(count):
        await asyncio.sleep(0)


@with_pool(Limits())
async def test_the_last_one_used_is_used_next(pool: Pool) -> None:
    """A warm connection is better than a cold one; a closed one is no good."""
    lane = pool.lane("a")
    first, second, third = [await opened(pool, lane) for _ in range(3)]
    for connection in (first, second, third):
        pool.on_idle(connection)

    third.close()

    assert second is pool.try_take(lane)
    assert first is await pool.reserve(lane, REQUEST)
    assert pool.try_take(lane) is None
    assert pool.lane("a") is lane


@with_pool(Limits(max_per_origin=1))
async def test_waiters_of_one_origin_are_served_in_order(pool: Pool) -> None:
    """First come, first served, by the same connection; another origin is not held up."""
    lane = pool.lane("a")
    connection = await opened(pool, lane)
    waiting = [asyncio.ensure_future(pool.reserve(lane, REQUEST)) for _ in range(3)]
    await turns()
    await opened(pool, pool.lane("b"))

    for place, future in enumerate(waiting):
        pool.on_idle(connection)
        assert connection is await future
        assert all(not later.done() for later in waiting[place + 1 :])


@with_pool(Limits(max_connections=1))
async def test_an_idle_connection_makes_room_for_another_origin(pool: Pool) -> None:
    """The pool is full of connections that nobody uses: one of them goes."""
    idle = await opened(pool, pool.lane("a"))
    pool.on_idle(idle)

    await opened(pool, pool.lane("b"))

    assert idle.is_closed
    assert 1 == pool.open


@with_pool(Limits(max_connections=1))
async def test_who_waits_longest_is_next_over_all_origins(pool: Pool) -> None:
    """A busy origin does not starve another one, nor the other way round."""
    busy, other = pool.lane("busy"), pool.lane("other")
    connection = await opened(pool, busy)
    order: list[str] = []

    async def wait(lane: Lane, name: str) -> None:
        given = await pool.reserve(lane, REQUEST)
        if given is None:
            given = Fake(pool)
            pool.add(lane, given)
        order.append(name)
        pool.on_idle(given)

    tasks = []
    for lane, name in ((busy, "busy 1"), (other, "other 1"), (busy, "busy 2"), (other, "other 2")):
        tasks.append(asyncio.ensure_future(wait(lane, name)))
        await turns()
    pool.on_idle(connection)
    await asyncio.gather(*tasks)

    assert ["busy 1", "other 1", "busy 2", "other 2"] == order


@with_pool(Limits(max_per_origin=1))
async def test_a_caller_who_leaves_loses_nothing(pool: Pool) -> None:
    """Before it was given anything, and in the moment in which it was."""
    lane = pool.lane("a")
    connection = await opened(pool, lane)
    early, late, last = [asyncio.ensure_future(pool.reserve(lane, REQUEST)) for _ in range(3)]
    await turns()
    early.cancel()
    await turns()
    pool.on_idle(connection)
    late.cancel()

    assert connection is await last
    assert early.cancelled()
    with pytest.raises(asyncio.CancelledError):
        await late
    pool.on_idle(connection)


@with_pool(Limits(max_per_origin=1))
async def test_the_right_to_open_one_is_not_lost_either(pool: Pool) -> None:
    """A caller is cancelled who had just been allowed to open a connection."""
    lane = pool.lane("a")
    connection = await opened(pool, lane)
    late, last = [asyncio.ensure_future(pool.reserve(lane, REQUEST)) for _ in range(2)]
    await turns()
    connection.close()
    await asyncio.sleep(0)
    late.cancel()

    assert await last is None
    pool.cancel(lane)


@with_pool(Limits(max_connections=1))
async def test_no_time_to_wait(pool: Pool) -> None:
    """The two timeouts of a caller who waits, and a place that is free again afterwards."""
    lane = pool.lane("a")
    connection = await opened(pool, lane)
    soon = Request("GET", "http://host/", timeout=Timeout(pool=0.01))
    over = Request("GET", "http://host/", timeout=Timeout(pool=None))
    over.deadline = asyncio.get_running_loop().time()

    with pytest.raises(PoolTimeout):
        await pool.reserve(lane, soon)
    with pytest.raises(TotalTimeout):
        await pool.reserve(pool.lane("b"), over)
    connection.close()
    await turns()
    await opened(pool, pool.lane("c"))


@with_pool(Limits(idle_s=0.02))
async def test_what_is_idle_too_long_is_closed(pool: Pool) -> None:
    """And its lane is forgotten."""
    lane = pool.lane("a")
    connection = await opened(pool, lane)
    pool.on_idle(connection)
    while pool.open:  # noqa: ASYNC110 - the pool tells nobody
        await asyncio.sleep(0.005)

    assert connection.is_closed
    assert pool.lane("a") is not lane


@with_pool(Limits(max_per_origin=1))
async def test_a_closed_pool_has_nothing_for_anybody(pool: Pool) -> None:
    """Who waits is told, who comes is told, what comes back is closed."""
    lane = pool.lane("a")
    connection = await opened(pool, lane)
    waiting = asyncio.ensure_future(pool.reserve(lane, REQUEST))
    await turns()

    await pool.close()

    with pytest.raises(ClientClosed):
        await waiting
    with pytest.raises(ClientClosed):
        await pool.reserve(lane, REQUEST)
    assert connection.is_closed


@with_pool(Limits(), may_share=True)
async def test_connections_that_take_many_requests_are_made_one_at_a_time(pool: Pool) -> None:
    """The first caller opens one, the others share it, and only those it has no room for open the next."""
    lane = pool.lane("a")
    assert await pool.reserve(lane, REQUEST) is None
    waiting = [asyncio.ensure_future(pool.reserve(lane, REQUEST)) for _ in range(5)]
    await turns()
    assert 1 == pool.open
    first = Fake(pool, most=3)
    pool.add(lane, first)
    await turns()

    assert [first, first, None] == [future.result() for future in waiting[:3]]
    assert [False, False] == [future.done() for future in waiting[3:]]
    pool.on_idle(first)
    assert first is await waiting[3]
    pool.cancel(lane)
    assert await waiting[4] is None
    pool.cancel(lane)


@with_pool(Limits(idle_s=0.02), may_share=True)
async def test_a_shared_connection_is_idle_when_nobody_uses_it(pool: Pool) -> None:
    """It has room before that, and is closed only after."""
    lane = pool.lane("a")
    assert await pool.reserve(lane, REQUEST) is None
    connection = Fake(pool, most=10)
    pool.add(lane, connection)
    assert connection is pool.try_take(lane)
    pool.on_idle(connection)
    await asyncio.sleep(0.06)
    assert not connection.is_closed
    pool.on_idle(connection)
    while pool.open:  # noqa: ASYNC110 - the pool tells nobody
        await asyncio.sleep(0.005)
    assert connection.is_closed
