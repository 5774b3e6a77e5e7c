"""A native task is what `asyncio.Task` is: the same scenarios on both, on each loop.

What handlers see of it is in `test_native_task_list.py`; here is what others see: who awaits it, cancels it,
asks how it is, or gives it something strange to wait for. What only native tasks do is in
`test_native_runtime.py`.
"""

from __future__ import annotations

import asyncio
import functools
import io
import sys
import weakref
from collections.abc import Generator
from contextvars import ContextVar, copy_context
from types import coroutine
from typing import Any

import pytest

from tests.engine.tasks import LOOPS, Run, Starter, run_on, turn, waits_for

seen: ContextVar[str] = ContextVar("seen", default="nothing")


KINDS = [(kind, loop) for loop in sorted(LOOPS) for kind in ("asyncio.Task", "native")]


@pytest.fixture(params=[each for each in KINDS if each != ("asyncio.Task", "selector")], ids=" on ".join)
def run(request: pytest.FixtureRequest, pipe_of_libuv: None) -> Run[Any]:
    """Give a function that runs a scenario with one kind of task on one loop."""
    kind, loop = request.param
    return lambda scenario: run_on(loop, kind, scenario)


@coroutine
def gives(something: object) -> Generator[object, None, object]:
    """Yield something to whoever steps the coroutine."""
    return (yield something)


async def raises(awaited: Any, kind: type[BaseException] = LookupError) -> None:
    """Raise after having waited."""
    await awaited
    raise kind("on purpose")


def test_it_is_an_asyncio_task_to_whoever_asks(run: Run[Any]) -> None:
    """By `isinstance`, by attributes, and as a key."""

    async def scenario(start: Starter) -> list[object]:
        future: asyncio.Future[None] = start.loop.create_future()
        task = start(waits_for(future)).waiting
        await turn()
        weak = weakref.ref(task)
        task.mark = "mine"  # type: ignore[attr-defined]
        return [
            isinstance(task, asyncio.Task),
            asyncio.isfuture(task),
            {task: "key"}[task],
            weak() is task,
            task.mark,  # type: ignore[attr-defined]
            task.get_loop() is start.loop,
            asyncio.iscoroutine(task.get_coro()),
        ]

    assert run(scenario) == [True, True, "key", True, "mine", True, True]


def test_its_state_can_be_watched(run: Run[Any]) -> None:
    """Also by the names without documentation that anyio and debuggers use."""

    async def scenario(start: Starter) -> list[object]:
        future: asyncio.Future[str] = start.loop.create_future()
        task = start(waits_for(future)).waiting
        await turn()
        task.add_done_callback(print)
        with pytest.raises(asyncio.InvalidStateError):
            task.result()
        with pytest.raises(asyncio.InvalidStateError):
            task.exception()

        def look() -> list[object]:
            return [task.done(), task._state, task._must_cancel, task in asyncio.all_tasks()]  # type: ignore[attr-defined]

        before = [*look(), task._fut_waiter is future, print in [each for each, _ in task._callbacks]]  # type: ignore[attr-defined]
        task.remove_done_callback(print)
        future.set_result("ok")
        await turn()
        after = [*look(), task._fut_waiter, task._callbacks, task.result(), task._result, task.exception()]  # type: ignore[attr-defined]
        return [*before, *after, task._exception, task._log_traceback, task._source_traceback]  # type: ignore[attr-defined]

    before = [False, "PENDING", False, True, True, True]
    after = [True, "FINISHED", False, False, None, None, "ok", "ok", None]
    assert run(scenario) == [*before, *after, None, False, None]


def test_names_and_representations(run: Run[Any]) -> None:
    """A name is a text; without one given it is unique. The representation is asyncio's."""

    async def scenario(start: Starter) -> list[object]:
        future: asyncio.Future[str] = start.loop.create_future()
        task, other = start(waits_for(future)).waiting, start(waits_for(future)).waiting
        await turn()
        are_unique = task.get_name() != other.get_name() and task.get_name() == task.get_name()
        task.set_name(17)
        pending = repr(task)
        task.cancel()
        cancelling = repr(task)
        await turn()
        return [are_unique, task.get_name(), pending, cancelling, repr(task)]

    are_unique, name, pending, cancelling, cancelled = run(scenario)

    assert (are_unique, name) == (True, "17")
    assert pending.startswith("<Task pending name='17' coro=<waits_for() running at ")
    assert " wait_for=<Future pending " in pending
    assert cancelling.startswith("<Task cancelling name='17' ")
    assert cancelled.startswith("<Task cancelled name='17' coro=<waits_for() done, defined at ")


def test_stacks(run: Run[Any]) -> None:
    """Where it waits, or where it failed."""

    async def scenario(start: Starter) -> list[object]:
        future: asyncio.Future[str] = start.loop.create_future()
        started = start(raises(future))
        task, printed = started.waiting, io.StringIO()
        await turn()
        waiting = [frame.f_code.co_name for frame in task.get_stack(limit=5)]
        future.set_result("")
        with pytest.raises(LookupError):
            await started.end()
        failed = [frame.f_code.co_name for frame in task.get_stack()]
        task.print_stack(limit=1, file=printed)
        return [waiting, failed[-1], "LookupError: on purpose" in printed.getvalue()]

    assert run(scenario) == [["raises"], "raises", True]


def test_everybody_may_await_it(run: Run[Any]) -> None:
    """Tasks of any kind, before or after its end; in every way that asyncio has."""

    async def scenario(start: Starter) -> list[object]:
        future: asyncio.Future[str] = start.loop.create_future()
        task = start(waits_for(future)).waiting
        of_asyncio = [
            asyncio.ensure_future(waits_for(task)),
            asyncio.ensure_future(asyncio.wait_for(task, 30)),
        ]
        same_kind = start(waits_for(task))
        gathered = asyncio.gather(task, asyncio.shield(task))
        await turn()
        future.set_result("ok")
        results = [await each for each in of_asyncio] + [await same_kind.end(), *await gathered]
        done, pending = await asyncio.wait([task])
        return [*results, await task, done == {task}, pending]

    assert run(scenario) == ["ok"] * 6 + [True, set()]


def test_its_exception_reaches_who_awaits_it(run: Run[Any]) -> None:
    """Each of them, with the traceback."""

    async def scenario(start: Starter) -> list[object]:
        started = start(raises(asyncio.sleep(0)))
        story: list[object] = []
        for _ in range(2):
            with pytest.raises(LookupError, match="on purpose") as caught:
                await started.waiting
            # asyncio's own loses it when somebody has seen it before
            story.append(not start.is_native or "raises" in [entry.name for entry in caught.traceback])
        error = started.waiting.exception()
        with pytest.raises(LookupError):
            await started.end()
        return [*story, repr(error), started.waiting.cancelled()]

    assert run(scenario) == [True, True, "LookupError('on purpose')", False]


def test_a_cancellation_of_who_awaits_it_cancels_it(run: Run[Any]) -> None:
    """And goes on to what it waits for itself, and comes back."""

    async def scenario(start: Starter) -> list[object]:
        future: asyncio.Future[str] = start.loop.create_future()
        inner = start(waits_for(future)).waiting
        outer = start(waits_for(inner)).waiting
        await turn()
        outer.cancel("why")
        await turn()
        with pytest.raises(asyncio.CancelledError):
            inner.result()
        with pytest.raises(asyncio.CancelledError):
            outer.exception()
        return [outer.cancelled(), inner.cancelled(), future.cancelled(), outer._state]

    assert run(scenario) == [True, True, True, "CANCELLED"]


async def endures(wait: Any) -> list[object]:
    """Wait, until cancelled; tell of it after having waited once more."""
    try:
        while True:
            await wait()
    except asyncio.CancelledError as error:
        await asyncio.sleep(0)
        return list(error.args)


@pytest.mark.parametrize("kind", ["future", "turn", "done future"])
def test_a_cancellation_comes_where_it_waits(run: Run[Any], kind: str) -> None:
    """With its message, also when what it waits for is done already; whoever catches it goes on."""

    async def scenario(start: Starter) -> list[object]:
        future: asyncio.Future[None] = start.loop.create_future()
        started = await start.from_the_loop(
            endures((lambda: asyncio.sleep(0)) if kind == "turn" else lambda: future)
        )
        await turn()
        if kind == "done future":
            future.set_result(None)
        task = started.waiting
        accepted = [task.cancel("why"), task.cancelling()]
        args = await started.end()
        return [*accepted, args, future.cancelled(), task.cancelled(), task.cancel(), task.cancelling()]

    assert run(scenario) == [True, 1, ["why"], kind == "future", False, False, 1]


def test_cancellations_are_counted(run: Run[Any]) -> None:
    """Up and down, not below zero."""

    async def scenario(start: Starter) -> list[object]:
        future: asyncio.Future[None] = start.loop.create_future()
        started = start(endures(lambda: future))
        await turn()
        task = started.waiting
        counts: list[object] = [task.uncancel(), task.cancel(), task.cancel(), task.cancelling()]
        counts += [task.uncancel(), task.uncancel(), task.uncancel(), task.cancelling()]
        return [*counts, await started.end()]

    assert run(scenario) == [0, True, True, 2, 1, 0, 0, 0, []]


def test_a_future_may_refuse_to_be_cancelled(run: Run[Any]) -> None:
    """Then the cancellation comes when it is done."""

    class Stubborn(asyncio.Future[None]):
        def cancel(self, msg: object = None) -> bool:
            return False

    async def scenario(start: Starter) -> list[object]:
        future = Stubborn(loop=start.loop)
        started = start(endures(lambda: future))
        await turn()
        started.waiting.cancel("why")
        await turn()
        before = started.waiting.done()
        future.set_result(None)
        return [before, await started.end()]

    assert run(scenario) == [False, ["why"]]


@pytest.mark.parametrize(
    ("what", "complaint"),
    [
        ("number", "Task got bad yield: 42"),
        ("generator", "yield was used instead of yield from for generator in task"),
        ("future", "yield was used instead of yield from in task"),
        ("foreign future", "got Future <Future pending> attached to a different loop"),
        ("itself", "Task cannot await on itself"),
        ("touchy", "do not touch"),
    ],
)
def test_what_cannot_be_waited_for_is_an_error(run: Run[Any], what: str, complaint: str) -> None:
    """In the coroutine, which may go on."""

    class Touchy:
        @property
        def _asyncio_future_blocking(self) -> bool:
            raise RuntimeError("do not touch")

    async def waits(start: Starter, foreign: asyncio.Future[None]) -> str:
        task = asyncio.current_task()
        assert task is not None
        try:
            await {
                "number": lambda: gives(42),
                "generator": lambda: gives(n for n in "abc"),
                "future": lambda: gives(start.loop.create_future()),
                "foreign future": lambda: foreign,
                "itself": lambda: task,
                "touchy": lambda: gives(Touchy()),
            }[what]()
        except RuntimeError as error:
            await asyncio.sleep(0)
            return str(error)
        return "waited"

    async def scenario(start: Starter) -> Any:
        other = asyncio.new_event_loop()
        foreign: asyncio.Future[None] = other.create_future()
        other.close()
        if what == "touchy" and not start.is_native:  # asyncio tells its log, and never steps it again
            return complaint
        started = await start.from_the_loop(waits(start, foreign))
        return await started.end()

    assert complaint in run(scenario)


def test_done_callbacks(run: Run[Any]) -> None:
    """In order, in their contexts, with the task; also added late; removed by equality; failing alone."""

    async def scenario(start: Starter) -> list[object]:
        story: list[object] = []
        start.loop.set_exception_handler(lambda loop, context: story.append(repr(context["exception"])))
        future: asyncio.Future[None] = start.loop.create_future()
        task = start(waits_for(future)).waiting
        other = copy_context()
        other.run(seen.set, "other")
        seen.set("own")
        task.add_done_callback(lambda ended: story.append((ended is task, seen.get())))
        task.add_done_callback(lambda ended: 1 / 0)
        task.add_done_callback(lambda ended: story.append(seen.get()), context=other)
        task.add_done_callback(story.append)
        task.add_done_callback(story.append)
        story.append(task.remove_done_callback(story.append))
        story.append(task.remove_done_callback(story.append))
        future.set_result(None)
        await turn()
        task.add_done_callback(lambda ended: story.append("late"))
        story.append("not yet")
        await turn()
        return story

    assert run(scenario) == [
        2,
        0,
        (True, "own"),
        "ZeroDivisionError('division by zero')",
        "other",
        "not yet",
        "late",
    ]


def test_its_result_is_its_own(run: Run[Any]) -> None:
    """Nobody may set it, or have a lost exception announced."""

    async def scenario(start: Starter) -> bool:
        started = start(asyncio.sleep(0))
        task = started.waiting
        with pytest.raises(RuntimeError, match="Task does not support set_result operation"):
            task.set_result(None)
        with pytest.raises(RuntimeError, match="Task does not support set_exception operation"):
            task.set_exception(LookupError())
        with pytest.raises(ValueError, match="_log_traceback can only be set to False"):
            task._log_traceback = True  # type: ignore[assignment]
        task._log_traceback = False
        await started.end()
        return True

    assert run(scenario)


@pytest.mark.parametrize(
    "kind", [StopIteration, StopAsyncIteration, GeneratorExit, asyncio.InvalidStateError]
)
def test_exceptions_with_a_meaning_of_their_own(run: Run[Any], kind: type[BaseException]) -> None:
    """End it like any other; a coroutine that raises `StopIteration` has not returned."""

    async def scenario(start: Starter) -> str:
        started = start(raises(asyncio.sleep(0), kind))
        with pytest.raises(RuntimeError if kind is StopIteration else kind) as caught:
            await started.end()
        return str(caught.value)

    assert run(scenario) == ("coroutine raised StopIteration" if kind is StopIteration else "on purpose")


def test_an_interrupt_from_the_keyboard_is_for_the_loop_too(run: Run[Any]) -> None:
    """It ends the loop."""

    async def scenario(start: Starter) -> None:
        start(raises(asyncio.sleep(0), KeyboardInterrupt))
        await start.loop.create_future()

    with pytest.raises(KeyboardInterrupt, match="on purpose"):
        run(scenario)


def test_the_loop_s_debug_mode(run: Run[Any]) -> None:
    """Looks at callbacks more closely."""

    async def scenario(start: Starter) -> Any:
        start.loop.set_debug(True)
        return await start(waits_for(asyncio.sleep(0.001, "ok"))).end()

    assert run(scenario) == "ok"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks")
def test_children_that_start_eagerly(run: Run[Any]) -> None:
    """Each is the current task while it runs, and its parent after that."""

    async def child() -> asyncio.Task[Any] | None:
        return asyncio.current_task()

    async def parent() -> list[bool]:
        before = asyncio.current_task()
        task = asyncio.create_task(child())
        return [await task is task, asyncio.current_task() is before]

    async def scenario(start: Starter) -> Any:
        eager: Any = functools.partial(asyncio.Task, eager_start=True)
        start.loop.set_task_factory(lambda loop, coroutine, **options: eager(coroutine, loop=loop))
        try:
            return await start(parent()).end()
        finally:
            start.loop.set_task_factory(None)

    assert run(scenario) == [True, True]
