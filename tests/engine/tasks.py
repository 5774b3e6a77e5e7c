"""Coroutines run as tasks of asyncio or as native ones, so that one test can ask the same of both."""

from __future__ import annotations

import asyncio
import itertools
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar

import pytest
import uvloop

native = pytest.importorskip("rocket_sup.engine._native", reason="the native module is not built")

Outcome = tuple[Any, BaseException | None]
T = TypeVar("T")


class TurningSelector(selectors.DefaultSelector):
    """Starts tasks and gives turns inside `select`, as a reactor does.

    Attributes:
        runtime: of the tasks; None before there is one.
        guests: what to do inside `select`, once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.runtime: Any = None
        self.guests: list[Callable[[], None]] = []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Give one turn, and let the guests in."""
        if self.runtime is None:
            return super().select(timeout)
        if self.guests or self.runtime.has_turns():
            timeout = 0  # what happens now may be work for the loop
        self.runtime.keep_turns(True)
        self.runtime.give_turns()
        while self.guests:
            self.guests.pop(0)()
        self.runtime.keep_turns(False)
        return super().select(timeout)


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
    "selector": lambda: asyncio.SelectorEventLoop(TurningSelector()),
}


class Started:
    """A coroutine that runs as a task.

    Attributes:
        task: None if it ended in its first step, as only native ones can.
        outcomes: what it came to; one when all is well.
    """

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None
        self.outcomes: list[Outcome] = []
        self._ended = asyncio.Event()

    @property
    def waiting(self) -> asyncio.Task[Any]:
        """Its task, which has not ended in the first step."""
        assert self.task is not None
        return self.task

    async def end(self) -> Any:
        """Wait for the end; return or raise what it came to."""
        await self._ended.wait()
        [(value, error)] = self.outcomes
        if error is not None:
            raise error
        return value

    def on_ended(self, value: object, error: BaseException | None) -> None:
        """Take what it came to."""
        self.outcomes.append((value, error))
        self._ended.set()


class Starter:
    """Starts coroutines in the running loop, as tasks of one kind."""

    def __init__(self, kind: str) -> None:
        self.is_native = kind == "native"
        self.loop = asyncio.get_running_loop()
        self._started: dict[int, Started] = {}
        self._tokens = itertools.count()
        self._runtime = native.TaskRuntime(self.loop, self._on_ended)
        selector = getattr(self.loop, "_selector", None)
        self._selector = selector if isinstance(selector, TurningSelector) and self.is_native else None
        if self._selector is not None:
            self._selector.runtime = self._runtime

    def __call__(self, coroutine: Any, context: Context | None = None) -> Started:
        """Start a coroutine, or for a native task whatever can be awaited."""
        started = Started()
        if self.is_native:
            token = next(self._tokens)
            self._started[token] = started
            started.task = self._runtime.start(coroutine, token, context)
        else:
            started.task = self.loop.create_task(coroutine, context=context)
            started.task.add_done_callback(lambda task: started.on_ended(*_outcome_of(task)))
        return started

    async def from_the_loop(self, coroutine: Any) -> Started:
        """Start a coroutine where no task is current, as an engine does."""
        future = self.loop.create_future()
        context = copy_context()
        if self._selector is None:
            self.loop.call_soon(lambda: future.set_result(self(coroutine, context)))
        else:
            self._selector.guests.append(lambda: future.set_result(self(coroutine, context)))
        started: Started = await future
        return started

    def _on_ended(self, token: int, value: object, error: BaseException | None) -> None:
        self._started.pop(token).on_ended(value, error)


def _outcome_of(task: asyncio.Task[Any]) -> Outcome:
    try:
        return task.result(), None
    except BaseException as error:
        return None, error


Scenario = Callable[[Starter], Coroutine[Any, Any, T]]
Run = Callable[[Scenario[T]], T]


def run_on(loop_name: str, kind: str, scenario: Scenario[T]) -> T:
    """Run a scenario on a loop of its own, then close that."""
    with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:

        async def begin() -> T:
            return await scenario(Starter(kind))

        return runner.run(begin())


async def turn() -> None:
    """Let the loop turn, so that what is ready runs, and what that makes ready."""
    for _ in range(3):
        await asyncio.sleep(0)


async def waits_for(future: Awaitable[T]) -> T:
    """Await something."""
    return await future
