"""anyio works inside a handler: its scopes live on details of the task that asyncio does not document."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from rocket_sup.request import Request
from tests.engine.conftest import Ask

LONG_S = 30.0  # never waited for; a test that fails is ended by the client's patience


@pytest.mark.parametrize("suspends", [False, True])
def test_scopes_that_do_not_expire(ask: Ask, suspends: bool) -> None:
    """Leave no trace."""

    async def handler(req: Request) -> list[object]:
        with anyio.fail_after(LONG_S) as failing, anyio.move_on_after(LONG_S) as moving:
            if suspends:
                await checkpoint()
        await checkpoint()
        return [failing.cancelled_caught, moving.cancelled_caught]

    assert ask(handler) == [False, False]


def test_scopes_that_expire(ask: Ask) -> None:
    """The one that expired catches its own cancellation, whichever is nested in which."""

    async def handler(req: Request) -> list[object]:
        outcome: list[object] = []
        with anyio.move_on_after(LONG_S) as outer, anyio.move_on_after(0.001) as inner:
            await anyio.sleep_forever()
        outcome += [outer.cancelled_caught, inner.cancelled_caught]
        with anyio.move_on_after(0.001) as outer, anyio.move_on_after(LONG_S) as inner:
            await anyio.sleep_forever()
        outcome += [outer.cancelled_caught, inner.cancelled_caught]
        try:
            with anyio.fail_after(0.001):
                await anyio.sleep_forever()
        except TimeoutError:
            outcome.append("failed")
        await checkpoint()
        return outcome

    assert ask(handler) == [False, True, True, False, "failed"]


@pytest.mark.parametrize("suspends", [False, True])
def test_a_cancelled_scope(ask: Ask, suspends: bool) -> None:
    """Stays cancelled inside, again and again, and is over outside."""

    async def handler(req: Request) -> list[object]:
        interrupted = 0
        with anyio.CancelScope() as scope:
            if suspends:
                await checkpoint()
            scope.cancel()
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                interrupted += 1
                with anyio.CancelScope(shield=True):
                    await checkpoint()
                    interrupted += 1
                await anyio.sleep_forever()
        await checkpoint()
        return [interrupted, scope.cancelled_caught]

    assert ask(handler) == [2, True]


def test_a_task_group_gathers_results(ask: Ask) -> None:
    """Its tasks run while the handler waits, and may report that they are ready."""

    async def double(n: int, results: list[object]) -> None:
        await checkpoint()
        results.append(2 * n)

    async def serve(*, task_status: anyio.abc.TaskStatus[str]) -> None:
        task_status.started("ready")
        await anyio.sleep_forever()

    async def handler(req: Request) -> list[object]:
        results: list[object] = []
        async with anyio.create_task_group() as group:
            for n in range(3):
                group.start_soon(double, n, results)
        async with anyio.create_task_group() as group:
            results.append(await group.start(serve))
            group.cancel_scope.cancel()
        return results

    assert ask(handler) == [0, 2, 4, "ready"]


@pytest.mark.parametrize("busy", [False, True], ids=["leaving", "waiting"])
def test_a_task_group_that_fails_cancels_all(ask: Ask, busy: bool) -> None:
    """Siblings, and the handler where it waits in the group."""

    async def fail() -> None:
        await checkpoint()
        raise LookupError("on purpose")

    async def wait(story: list[str]) -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            story.append("cancelled")
            raise

    async def handler(req: Request) -> list[str]:
        story: list[str] = []
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(wait, story)
                group.start_soon(fail)
                if busy:
                    await wait(story)
        except* LookupError as caught:
            story += [str(error) for error in caught.exceptions]
        await checkpoint()
        return story

    assert ask(handler) == ["cancelled"] * (1 + busy) + ["on purpose"]


def test_threads(ask: Ask) -> None:
    """There and back again."""

    async def double(n: int) -> int:
        await checkpoint()
        return 2 * n

    async def handler(req: Request) -> list[int]:
        return [await anyio.to_thread.run_sync(anyio.from_thread.run, double, 21)]

    assert ask(handler) == [42]


def test_synchronisation_and_channels(ask: Ask) -> None:
    """A lock knows its owner by the task; a channel hands things over."""

    async def handler(req: Request) -> list[object]:
        lock, received = anyio.Lock(), []
        sending, receiving = anyio.create_memory_object_stream[int](0)

        async def produce() -> None:
            async with sending, lock:
                for n in range(3):
                    await sending.send(n)

        async with anyio.create_task_group() as group, receiving:
            group.start_soon(produce)
            received = [n async for n in receiving]
        async with lock:
            return [received, lock.statistics().owner == anyio.get_current_task()]

    assert ask(handler) == [[0, 1, 2], True]
