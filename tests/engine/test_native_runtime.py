"""What native tasks do that asyncio's do not: end at once, begin anywhere, and be used again."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import traceback
import weakref
from collections.abc import Generator, Iterator
from contextvars import copy_context
from typing import Any

import pytest

from tests.engine.tasks import LOOPS, Run, Starter, native, run_on, turn, waits_for


@pytest.fixture(params=sorted(LOOPS))
def run(request: pytest.FixtureRequest, pipe_of_libuv: None) -> Run[Any]:
    """Give a function that runs a scenario with native tasks, on each loop."""
    return lambda scenario: run_on(request.param, "native", scenario)


@pytest.fixture
def few_objects() -> Iterator[None]:
    """Have the garbage collector look at what a test makes, and not at all that pytest has loaded."""
    gc.freeze()
    yield
    gc.unfreeze()


async def returns(value: object) -> object:
    """Return without waiting."""
    return value


async def fails() -> None:
    """Raise without waiting."""
    raise LookupError("on purpose")


async def current(*, waits: bool = False) -> asyncio.Task[Any] | None:
    """Tell which task runs."""
    if waits:
        await asyncio.sleep(0)
    return asyncio.current_task()


class Awaitable:
    """Something to await that is neither a coroutine nor a future."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, None, object]:
        yield from asyncio.sleep(0).__await__()
        return self._value


def test_a_coroutine_that_does_not_wait_ends_at_once(run: Run[Any]) -> None:
    """Before the loop has turned; there is no task to keep."""

    async def scenario(start: Starter) -> list[object]:
        turned: list[bool] = []
        start.loop.call_soon(turned.append, True)
        good, bad = start(returns(1)), start(fails())
        [(_, error)] = bad.outcomes
        assert "in fails" in "".join(traceback.format_exception(error))
        return [list(turned), good.task, good.outcomes, bad.task, repr(error)]

    assert run(scenario) == [[], None, [(1, None)], None, "LookupError('on purpose')"]


def test_whatever_can_be_awaited_can_be_started(run: Run[Any]) -> None:
    """In a coroutine of its own; anything else is an error."""

    async def scenario(start: Starter) -> list[object]:
        future: asyncio.Future[str] = start.loop.create_future()
        started = [
            start(each) for each in (future, asyncio.ensure_future(returns("task")), Awaitable("object"))
        ]
        future.set_result("future")
        [(_, error)] = start(42).outcomes
        return [*[await each.end() for each in started], repr(error)]

    *values, error = run(scenario)

    assert values == ["future", "task", "object"]
    assert error.startswith("TypeError(")
    assert "await" in error


@pytest.fixture(params=["as found", "without the table"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way to tell asyncio which task runs; from 3.14 on there is only the second."""
    if request.param == "without the table":
        if not hasattr(asyncio.tasks, "_swap_current_task"):
            pytest.skip("this asyncio has only the table")
        monkeypatch.delattr(asyncio.tasks, "_current_tasks")


@pytest.mark.usefixtures("way")
def test_the_current_task_before_is_current_again(run: Run[Any]) -> None:
    """Be it none, one of asyncio's, or a native one."""

    async def outer(start: Starter) -> list[bool]:
        own = asyncio.current_task()
        inner = start(current(waits=True))
        mine = asyncio.current_task() is own
        await asyncio.sleep(0)
        return [mine, (await inner.end()) is inner.task, asyncio.current_task() is own, own is not inner.task]

    async def scenario(start: Starter) -> list[object]:
        own = asyncio.current_task()
        started = start(outer(start))
        after_start = asyncio.current_task() is own
        found: list[object] = []
        future = start.loop.create_future()

        def from_loop() -> None:
            found.append(asyncio.current_task())
            start(fails())
            found.append(asyncio.current_task())
            found.append(start(current()).outcomes[0][0] is not None)
            found.append(asyncio.current_task())
            future.set_result(None)

        start.loop.call_soon(from_loop)
        await future
        return [after_start, *await started.end(), asyncio.current_task() is own, *found]

    assert run(scenario) == [True] * 6 + [None, None, True, None]


def test_an_asyncio_without_what_is_needed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, naming what is missing."""
    monkeypatch.delattr(asyncio.tasks, "_current_tasks", raising=False)
    monkeypatch.delattr(asyncio.tasks, "_swap_current_task", raising=False)
    with asyncio.Runner() as runner, pytest.raises(AttributeError, match="_swap_current_task"):
        native.TaskRuntime(runner.get_loop(), print)


def test_a_cancelled_coroutine_may_still_return(run: Run[Any]) -> None:
    """Whoever started it gets the value; whoever awaits the task learns that it was cancelled."""

    async def returns_cancelled(*, waits: bool) -> asyncio.Task[Any] | None:
        task = asyncio.current_task()
        assert task is not None
        if waits:
            await asyncio.sleep(0)
        task.cancel("why")
        return task

    async def scenario(start: Starter) -> list[object]:
        story: list[object] = []
        for waits in (False, True):
            task = await start(returns_cancelled(waits=waits)).end()
            with pytest.raises(asyncio.CancelledError, match="why"):
                await task
            story.append(task.cancelled())
        return story

    assert run(scenario) == [True, True]


def test_a_cancellation_taken_back_in_time_never_comes(run: Run[Any]) -> None:
    """As in Python 3.13, on every version."""

    async def changes_its_mind() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        task.uncancel()
        await asyncio.sleep(0)
        return "ok"

    async def scenario(start: Starter) -> Any:
        return await start(changes_its_mind()).end()

    assert run(scenario) == "ok"


def test_an_exit_is_an_outcome(run: Run[Any]) -> None:
    """It does not end the loop, which is the server's."""

    async def leaves() -> None:
        await asyncio.sleep(0)
        sys.exit(3)

    async def scenario(start: Starter) -> str:
        started = start(leaves())
        await turn()
        return repr(started.outcomes)

    assert run(scenario) == "[(None, SystemExit(3))]"


def test_a_task_that_nobody_keeps_is_used_again(run: Run[Any]) -> None:
    """With nothing left of what it was; one that somebody keeps is left alone."""
    kept: list[Any] = []

    async def leaves_traces(how: str) -> int:
        task: Any = asyncio.current_task()
        task.set_name("mine")
        task.cancel("mine")
        if how == "reference":
            kept.append(task)
        elif how == "weak reference":
            kept.append(weakref.ref(task))
        elif how == "attribute":
            task.mark = "mine"
        elif how == "callback":
            task.add_done_callback(kept.append)
        return id(task)

    async def looks() -> tuple[int, list[object]]:
        task: Any = asyncio.current_task()
        traces = [task.get_name() == "mine", task.cancelling(), task._must_cancel, hasattr(task, "mark")]
        traces.append(task._cancel_message)
        with pytest.raises(asyncio.InvalidStateError):
            task.result()
        return id(task), traces

    async def scenario(start: Starter) -> None:
        for how in ("nothing", "reference", "weak reference", "attribute", "callback"):
            before = await start(leaves_traces(how)).end()
            gc.disable()  # an object freed in between may leave its place to another
            after, traces = await start(looks()).end()
            gc.enable()
            assert [False, 0, False, False, None] == traces
            if how in ("nothing", "reference", "callback"):
                assert (how == "nothing") == (before == after), how
        await turn()

    run(scenario)
    assert [type(each).__name__ for each in kept] == ["NativeTask", "ReferenceType", "NativeTask"]


def test_a_task_that_gave_way_is_used_again(run: Run[Any]) -> None:
    """Though asyncio has a weak reference to it; while nobody uses it, it is not among all tasks."""
    kept: list[Any] = []

    async def gives_way(*, is_kept: bool) -> tuple[int, int]:
        task: Any = asyncio.current_task()
        if is_kept:
            kept.append(weakref.ref(task))
        task.set_name("mine")
        await asyncio.sleep(0)
        return id(task), task in asyncio.all_tasks()

    async def scenario(start: Starter) -> list[object]:
        runtime = native.TaskRuntime(start.loop, lambda token, value, error: outcomes.append(value or error))
        runtime.keep_turns(True)
        story: list[object] = []
        for is_kept in (False, True):
            outcomes: list[Any] = []
            runtime.start(gives_way(is_kept=is_kept), 0)
            runtime.give_turns()
            listed = [task for task in asyncio.all_tasks() if type(task) is native.NativeTask]
            gc.disable()  # an object freed in between may leave its place to another
            runtime.start(current(), 1)
            gc.enable()
            [(identity, was_listed), task] = outcomes
            story += [was_listed, listed, task.get_name() == "mine"]
            if not is_kept:
                story.append(identity == id(task))
        return [*story, kept[0]() is None or kept[0]() is not task]

    assert run(scenario) == [True, [], False, True, True, [], False, True]


def test_an_interrupt_leaves_the_others_their_turn(run: Run[Any]) -> None:
    """In their order."""
    ended: list[Any] = []

    async def interrupts() -> None:
        await asyncio.sleep(0)
        raise KeyboardInterrupt

    async def scenario(start: Starter) -> None:
        runtime = native.TaskRuntime(start.loop, lambda token, value, error: ended.append(token))
        runtime.keep_turns(True)
        for token, coroutine in enumerate([waits_for(asyncio.sleep(0)), interrupts(), current(waits=True)]):
            assert runtime.start(coroutine, token) is not None
        with pytest.raises(KeyboardInterrupt):
            runtime.give_turns()
        assert [0, 1] == ended
        assert runtime.has_turns()
        runtime.give_turns()
        assert not runtime.has_turns()

    run(scenario)
    assert ended == [0, 1, 2]


@pytest.mark.usefixtures("few_objects")
def test_tasks_are_not_piled_up(run: Run[Any]) -> None:
    """Neither those that wait nor those that do not."""

    def count() -> int:
        gc.collect()
        return sum(type(each).__name__ == "NativeTask" for each in gc.get_objects())

    async def scenario(start: Starter) -> int:
        before = count()
        for _ in range(50):
            waiting = [start(asyncio.sleep(0)) for _ in range(20)]
            ended = [start(returns(None)) for _ in range(20)]
            for each in waiting + ended:
                await each.end()
        del waiting, ended, each
        return count() - before

    assert run(scenario) <= 64


@pytest.mark.usefixtures("few_objects")
def test_a_collection_may_begin_while_a_task_is_made(run: Run[Any]) -> None:
    """The interpreter shows the collector an object that is empty yet; it must not look into it."""

    async def scenario(start: Starter) -> int:
        threshold = gc.get_threshold()
        waiting, spare = [], [{} for _ in range(200)]  # the interpreter has no dictionary left to use again
        gc.set_threshold(1)
        try:
            for number in range(100):
                spare += [{} for _ in range(number % 4)]  # a collection begins at every other object
                waiting.append(start(asyncio.sleep(0)))
        finally:
            gc.set_threshold(*threshold)
        for each in waiting:
            await each.end()
        return len(waiting)

    assert run(scenario) == 100


@pytest.mark.usefixtures("few_objects")
def test_what_waits_for_itself_alone_is_garbage(run: Run[Any]) -> None:
    """The collector finds the circle of task, coroutine and future; the coroutine is closed."""
    story: list[str] = []

    async def waits_forever() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            await future
        finally:
            story.append("closed")

    async def scenario(start: Starter) -> list[object]:
        started = start(waits_forever())
        weak = weakref.ref(started.waiting)
        started.task = None
        gc.collect()
        return [weak(), started.outcomes]

    assert run(scenario) == [None, []]
    assert story == ["closed"]


@pytest.mark.usefixtures("few_objects")
def test_a_runtime_is_garbage_with_its_tasks() -> None:
    """It keeps spare tasks, which know it."""

    class Told:
        def __call__(self, *outcome: object) -> None: ...

    told = Told()
    weak = weakref.ref(told)
    with asyncio.Runner() as runner:
        runtime = native.TaskRuntime(runner.get_loop(), told)
        assert runtime.start(returns(None), 0) is None
        del runtime, told
    gc.collect()

    assert weak() is None


def test_a_context_that_is_entered_is_refused(run: Run[Any]) -> None:
    """Nothing runs in it."""

    async def scenario(start: Starter) -> str:
        context, never_begun = copy_context(), returns(1)
        with contextlib.closing(never_begun):
            started = context.run(start, never_begun, context)
        [(_, error)] = started.outcomes
        return str(error)

    assert "cannot enter context" in run(scenario)


def test_only_the_loop_may_call_a_task(run: Run[Any]) -> None:
    """It is its own callback; while it runs or when it is done that makes no sense."""

    async def calls_itself() -> asyncio.Task[Any]:
        await asyncio.sleep(0)
        task: Any = asyncio.current_task()
        with pytest.raises(asyncio.InvalidStateError, match="not suspended"):
            task()
        return task  # type: ignore[no-any-return]

    async def scenario(start: Starter) -> None:
        task = await start(calls_itself()).end()
        with pytest.raises(asyncio.InvalidStateError, match="not suspended"):
            task()

    run(scenario)


def test_a_closed_loop_runs_nothing_more() -> None:
    """A coroutine that wants to wait ends with what the loop says."""
    ended: list[Any] = []
    loop = asyncio.new_event_loop()
    runtime = native.TaskRuntime(loop, lambda *outcome: ended.append(outcome))
    loop.close()

    assert runtime.start(waits_for(asyncio.sleep(0)), 7) is None
    [(token, _, error)] = ended
    assert (token, str(error)) == (7, "Event loop is closed")


def test_a_failing_sink_is_reported(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """It harms neither the task nor the loop."""
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)

    async def scenario(start: Starter) -> None:
        runtime = native.TaskRuntime(start.loop, lambda *outcome: 1 / 0)
        task = runtime.start(asyncio.sleep(0), 0)
        await task
        assert runtime.start(returns(None), 1) is None

    run(scenario)
    assert [each.exc_type for each in reported] == [ZeroDivisionError] * 2
