"""A wait of one task, as a task sees it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable

import pytest

from rocket_sup.wakeup import Wakeup

SAID: contextvars.ContextVar[str] = contextvars.ContextVar("SAID", default="nothing")


def run(scene: Callable[[asyncio.AbstractEventLoop], Awaitable[None]]) -> None:
    """Play a scene in a loop of its own."""

    async def play() -> None:
        await scene(asyncio.get_running_loop())

    asyncio.run(play())


def from_the_loop(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> asyncio.Future[None]:
    """Call something where no task is running."""
    done = loop.create_future()

    def call() -> None:
        act()
        done.set_result(None)

    loop.call_soon(call)
    return done


def test_the_task_goes_on_within_wake_now() -> None:
    """No turn of the loop lies between what came and who waits for it."""

    async def scene(loop: asyncio.AbstractEventLoop) -> None:
        told: list[str] = []
        wakeup = Wakeup(loop)

        async def wait() -> None:
            SAID.set("by the task")
            await wakeup
            told.append(SAID.get())

        task = loop.create_task(wait())
        await asyncio.sleep(0)

        def act() -> None:
            wakeup.wake_now()
            told.append("after it")

        await from_the_loop(loop, act)
        await task

        assert ["by the task", "after it"] == told

    run(scene)


def test_the_task_goes_on_after_wake() -> None:
    """Whoever runs is not interrupted."""

    async def scene(loop: asyncio.AbstractEventLoop) -> None:
        told: list[str] = []
        wakeup = Wakeup(loop)

        async def wait() -> None:
            await wakeup
            told.append("the task")

        task = loop.create_task(wait())
        await asyncio.sleep(0)
        wakeup.wake()
        wakeup.wake()
        told.append("whoever woke it")
        await task

        assert ["whoever woke it", "the task"] == told
        assert wakeup.done()

    run(scene)


def test_a_wait_that_is_over_is_not_waited_for() -> None:
    """It was over before anybody waited."""

    async def scene(loop: asyncio.AbstractEventLoop) -> None:
        wakeup = Wakeup(loop)
        wakeup.wake_now()
        wakeup.wake_now()

        await wakeup

        assert not wakeup.cancel()

    run(scene)


def test_a_cancelled_task_waits_no_more() -> None:
    """The message of the cancellation arrives with it."""

    async def scene(loop: asyncio.AbstractEventLoop) -> None:
        wakeup = Wakeup(loop)

        async def wait() -> None:
            await wakeup

        task = loop.create_task(wait())
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task

        assert wakeup.done()
        wakeup.wake_now()

    run(scene)


def test_a_callback_that_comes_late_is_called_all_the_same() -> None:
    """A task that asks after the end is called in the loop's next turn, with or without a context."""

    async def scene(loop: asyncio.AbstractEventLoop) -> None:
        called: list[Wakeup] = []
        wakeup = Wakeup(loop)
        wakeup.wake()
        wakeup.add_done_callback(called.append)

        assert [] == called
        await asyncio.sleep(0)
        assert [wakeup] == called

    run(scene)


def test_a_callback_without_a_context_is_called_in_the_present_one() -> None:
    """As futures do it."""

    async def scene(loop: asyncio.AbstractEventLoop) -> None:
        called: list[Wakeup] = []
        wakeup = Wakeup(loop)
        wakeup.add_done_callback(called.append)
        wakeup.wake_now()

        assert [wakeup] == called
        assert wakeup.get_loop() is loop

    run(scene)
