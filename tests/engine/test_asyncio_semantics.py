"""Inside a handler everything of asyncio works, whatever engine runs it.

Each handler is served on a real socket and tells in its answer what it saw. In the order of asyncio's own
documentation: tasks and contexts, timeouts, groups, cancellation, synchronisation. Threads, processes and
streams are in `test_asyncio_surroundings.py`, how handlers end in `test_handler_fates.py`, anyio in
`test_anyio_semantics.py`.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from rocket_sup.request import Request
from rocket_sup.router import Router
from tests.conformance.server import Server, get
from tests.engine.conftest import Ask

LONG_S = 30.0  # never waited for; a test that fails is ended by the client's patience
seen: ContextVar[str] = ContextVar("seen", default="nothing")


async def never() -> None:
    """Wait for what does not come."""
    await asyncio.get_running_loop().create_future()


def own_task() -> asyncio.Task[Any]:
    """Return the task of the running handler."""
    task = asyncio.current_task()
    assert task is not None
    return task


def test_the_current_task_is_one_task_from_beginning_to_end(ask: Ask) -> None:
    """Before, between and after suspensions, and it is an `asyncio.Task` to whoever asks."""

    async def handler(req: Request) -> list[bool]:
        tasks = [own_task()]
        await asyncio.sleep(0)
        tasks.append(own_task())
        await asyncio.sleep(0.001)
        tasks.append(own_task())
        first = tasks[0]
        kinds = [isinstance(first, asyncio.Task), isinstance(first, asyncio.Future), asyncio.isfuture(first)]
        return [*kinds, *(task is first for task in tasks), first.done(), first.cancelled()]

    assert ask(handler) == [True] * 6 + [False] * 2


def test_requests_have_tasks_of_their_own(serve: Callable[..., Server]) -> None:
    """Two handlers that wait at once are two tasks; a plain handler is none."""
    app = Router()
    tasks: list[asyncio.Task[Any] | None] = []
    gate = asyncio.Event()

    @app.get("/wait")
    async def wait(req: Request) -> str:
        tasks.append(own_task())
        if len(tasks) == 2:
            gate.set()
        await gate.wait()
        return "ok"

    @app.get("/plain")
    def plain(req: Request) -> str:
        return repr(asyncio.current_task())

    server = serve(app)
    first, second = server.connect().send(get("/wait")), server.connect().send(get("/wait"))

    assert [first.read().body, second.read().body] == [b"ok", b"ok"]
    assert tasks[0] is not tasks[1]
    assert first.send(get("/plain")).read().body == b"None"


def test_the_loop_is_the_server_s(serve: Callable[..., Server]) -> None:
    """And the task says so."""
    app = Router()
    loops: list[asyncio.AbstractEventLoop] = []

    @app.get("/")
    async def handler(req: Request) -> str:
        loops.extend([asyncio.get_running_loop(), own_task().get_loop()])
        return "ok"

    server = serve(app)
    server.connect().send(get()).read()

    assert loops == [server.loop, server.loop]


def test_a_task_has_a_name_a_coroutine_and_a_stack(ask: Ask) -> None:
    """For logs and debuggers."""

    async def handler(req: Request) -> list[object]:
        task, printed = own_task(), io.StringIO()
        has_name = bool(task.get_name())
        task.set_name("mine")
        task.print_stack(file=printed)
        return [
            has_name,
            task.get_name(),
            asyncio.iscoroutine(task.get_coro()),
            bool(task.get_stack()),
            "Stack for" in printed.getvalue(),
            "name='mine'" in repr(task),
        ]

    assert ask(handler) == [True, "mine", True, True, True, True]


def test_all_tasks_contains_a_suspended_handler(ask: Ask) -> None:
    """So that a program can wait for everything that runs."""

    async def handler(req: Request) -> list[bool]:
        task = own_task()

        async def look() -> bool:
            return task in asyncio.all_tasks()

        return [await asyncio.create_task(look()), task in asyncio.all_tasks()]

    assert ask(handler) == [True, True]


def test_all_tasks_contains_a_handler_that_gives_way(ask: Ask) -> None:
    """Though it waits for nothing but its turn."""

    async def handler(req: Request) -> list[bool]:
        task, story = own_task(), list[bool]()
        asyncio.get_running_loop().call_soon(lambda: story.append(task in asyncio.all_tasks()))
        await asyncio.sleep(0)
        return story

    assert ask(handler) == [True]


@pytest.mark.parametrize("suspends", [False, True])
def test_done_callbacks_run_when_the_handler_has_ended(serve: Callable[..., Server], suspends: bool) -> None:
    """In the context that added them, with the task."""
    app = Router()
    told: list[object] = []

    @app.get("/")
    async def handler(req: Request) -> str:
        task = own_task()
        seen.set("handler's")
        task.add_done_callback(lambda ended: told.extend([ended is task, ended.done(), seen.get()]))
        task.add_done_callback(told.append)
        removed = task.remove_done_callback(told.append)
        if suspends:
            await asyncio.sleep(0)
        return str(removed)

    server = serve(app)

    assert server.connect().send(get()).read().body == b"1"
    server.wait_until(lambda: told)
    assert told == [True, True, "handler's"]


def test_no_context_variable_reaches_another_request(serve: Callable[..., Server]) -> None:
    """Whether set by a coroutine, before or after it waited, or by a plain handler."""
    app = Router()

    @app.get("/soon")
    async def soon(req: Request) -> str:
        before = seen.get()
        seen.set("soon")
        return before

    @app.get("/late")
    async def late(req: Request) -> str:
        before = seen.get()
        await asyncio.sleep(0)
        seen.set("late")
        await asyncio.sleep(0)
        return before + (seen.get() == "late") * "!"

    @app.get("/plain")
    def plain(req: Request) -> str:
        before = seen.get()
        seen.set("plain")
        return before

    server = serve(app)
    client = server.connect()
    targets = ["/soon", "/late", "/plain"] * 2
    answers = [client.send(get(target)).read().body for target in targets]
    pipelined = client.send(b"".join(get(target) for target in targets))

    expected = [b"nothing", b"nothing!", b"nothing"] * 2
    assert answers == expected
    assert [pipelined.read().body for _ in targets] == expected
    assert server.call(seen.get) == "nothing"


def test_a_context_lives_through_suspensions_and_is_given_to_callbacks(ask: Ask) -> None:
    """Callbacks and child tasks get copies."""

    async def child() -> str:
        before = seen.get()
        seen.set("child's")
        return before

    async def handler(req: Request) -> list[str]:
        seen.set("handler's")
        loop = asyncio.get_running_loop()
        heard: asyncio.Future[str] = loop.create_future()
        loop.call_soon(lambda: heard.set_result(seen.get()))
        of_callback = await heard
        loop.call_soon(seen.set, "callback's")
        return [of_callback, await asyncio.create_task(child()), seen.get(), copy_context()[seen]]

    assert ask(handler) == ["handler's"] * 4


@pytest.mark.parametrize("suspends", [False, True])
def test_a_timeout_that_does_not_expire(ask: Ask, suspends: bool) -> None:
    """Leaves no trace, not even when its moment had come and nothing was awaited any more."""

    async def handler(req: Request) -> list[object]:
        async with asyncio.timeout(LONG_S) as far:
            if suspends:
                await asyncio.sleep(0)
        async with asyncio.timeout(-1) as unseen:  # noqa: ASYNC100 - that nothing is awaited is the point
            pass
        await asyncio.sleep(0)
        return [far.expired(), unseen.expired(), own_task().cancelling()]

    assert ask(handler) == [False, False, 0]


@pytest.mark.parametrize("delay_s", [-1, 0, 0.001])
def test_a_timeout_that_expires(ask: Ask, delay_s: float) -> None:
    """Cancels what waits, and becomes `TimeoutError`, once or nested."""

    async def handler(req: Request) -> list[object]:
        outcome: list[object] = []
        try:
            async with asyncio.timeout(LONG_S) as outer:
                try:
                    async with asyncio.timeout(delay_s) as inner:
                        await never()
                except TimeoutError:
                    outcome.append(inner.expired())
                await asyncio.sleep(0)
                outer.reschedule(asyncio.get_running_loop().time())
                await never()
        except TimeoutError:
            outcome.append(outer.expired())
        return [*outcome, own_task().cancelling()]

    assert ask(handler) == [True, True, 0]


def test_wait_for(ask: Ask) -> None:
    """Gives the result, or cancels and raises."""

    async def handler(req: Request) -> list[object]:
        result = await asyncio.wait_for(asyncio.sleep(0, "in time"), LONG_S)
        waiting = asyncio.ensure_future(never())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting, 0.001)
        return [result, waiting.cancelled()]

    assert ask(handler) == ["in time", True]


def test_a_task_group_gathers_results(ask: Ask) -> None:
    """Its tasks run while the handler waits for them."""

    async def handler(req: Request) -> list[object]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, n)) for n in range(5)]
        return [task.result() for task in tasks]

    assert ask(handler) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("busy", [False, True], ids=["leaving", "waiting"])
def test_a_task_group_that_fails_cancels_all(ask: Ask, busy: bool) -> None:
    """Siblings, and the handler where it waits in the group; afterwards it goes on."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError("on purpose")

    async def handler(req: Request) -> list[object]:
        outcome: list[object] = []
        try:
            async with asyncio.TaskGroup() as group:
                sibling = group.create_task(never())
                group.create_task(fail())
                if busy:
                    await never()
        except* LookupError as caught:
            outcome = [str(error) for error in caught.exceptions]
        await asyncio.sleep(0)
        # Before Python 3.13 a failure while leaving is never uncancelled.
        return [*outcome, sibling.cancelled(), own_task().cancelling() if busy else 0]

    assert ask(handler) == ["on purpose", True, 0]


def test_gather_wait_and_shield(ask: Ask) -> None:
    """The older ways to wait for several."""

    async def fail() -> None:
        raise LookupError("on purpose")

    async def handler(req: Request) -> list[object]:
        gathered = await asyncio.gather(asyncio.sleep(0, 1), fail(), return_exceptions=True)
        slow, fast = asyncio.ensure_future(never()), asyncio.ensure_future(asyncio.sleep(0))
        done, pending = await asyncio.wait([slow, fast], return_when=asyncio.FIRST_COMPLETED)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(slow), 0.001)
        outcome: list[object] = [
            gathered[0],
            type(gathered[1]).__name__,
            done == {fast},
            pending == {slow},
            slow.done(),
        ]
        slow.cancel()
        return outcome

    assert ask(handler) == [1, "LookupError", True, True, False]


def test_locks_events_and_queues(ask: Ask) -> None:
    """They pass control to and fro between the handler and its tasks."""

    async def handler(req: Request) -> list[object]:
        lock, event, queue = asyncio.Lock(), asyncio.Event(), asyncio.Queue[int](1)

        async def produce() -> None:
            async with lock:
                event.set()
            for n in range(5):
                await queue.put(n)

        async with lock, asyncio.TaskGroup() as group:
            group.create_task(produce())
            await asyncio.sleep(0)
            was_locked_out = not event.is_set()
            lock.release()
            await event.wait()
            taken = [await queue.get() for _ in range(5)]
            await lock.acquire()
        return [was_locked_out, taken]

    assert ask(handler) == [True, [0, 1, 2, 3, 4]]


def test_cancelling_oneself(ask: Ask) -> None:
    """Comes at the next suspension, with its message; `uncancel` takes it back."""

    async def handler(req: Request) -> list[object]:
        task = own_task()
        accepted = [task.cancel("mine"), task.cancelling()]
        try:
            await asyncio.sleep(0)
            outcome = ["not cancelled"]
        except asyncio.CancelledError as error:
            outcome = list(error.args)
        taken_back = task.uncancel()
        await asyncio.sleep(0)
        return [*accepted, *outcome, taken_back, task.cancelling(), task.cancelled()]

    assert ask(handler) == [True, 1, "mine", 0, 0, False]


def test_being_cancelled_by_another(ask: Ask) -> None:
    """The future that is awaited is cancelled, the message arrives, the handler may go on."""

    async def handler(req: Request) -> list[object]:
        task, loop = own_task(), asyncio.get_running_loop()
        awaited = loop.create_future()
        loop.call_soon(task.cancel, "from outside")
        with pytest.raises(asyncio.CancelledError, match="from outside"):
            await awaited
        return [awaited.cancelled(), task.uncancel()]

    assert ask(handler) == [True, 0]


def test_turns_are_taken_fairly(ask: Ask) -> None:
    """`sleep(0)` lets every other task take one step."""

    async def handler(req: Request) -> list[bool]:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        for _ in range(100):
            await asyncio.sleep(0)
        task.cancel()
        return [99 <= turns <= 101]

    assert ask(handler) == [True]


def test_whoever_gives_way_goes_on_after_what_was_ready(ask: Ask) -> None:
    """Also in the first step, and when a timer has woken it."""

    async def handler(req: Request) -> list[int]:
        story: list[int] = []
        loop = asyncio.get_running_loop()
        for n in range(4):
            loop.call_soon(story.append, n)
            await asyncio.sleep(0)
            story.append(-n)
            if n == 1:
                await asyncio.sleep(0.001)
        return story

    assert ask(handler) == [0, 0, 1, -1, 2, -2, 3, -3]
