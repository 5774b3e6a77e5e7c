"""Handlers run in their own context, as tasks or in threads; whatever they raise becomes an answer."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable

import pytest

from rocket_sup.config import Config, LimitsConfig
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.handling import Running, failure, log_hook_failure
from rocket_sup.http.framing import parse_head
from rocket_sup.request import Request
from rocket_sup.response import Answer
from rocket_sup.router import Router
from rocket_sup.service import Service, Statistics
from rocket_sup.threads import Threads
from tests.unit.conftest import Journal

seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")


class Waiter:
    """Takes results as a connection does."""

    def __init__(self) -> None:
        self.results: list[object] = []
        self.arrived = asyncio.Event()

    def on_handled(self, running: Running, result: object) -> None:
        """Keep the result."""
        self.results.append(result)
        self.arrived.set()


def make_request() -> Request:
    """A request to speak about."""
    head = parse_head(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", 0, LimitsConfig())
    assert head is not None
    return Request(head, "")


@pytest.fixture
def run(journal: Journal) -> Callable[..., None]:
    """Give a function that runs a check with a service, a waiter and a running handler."""

    def run_check(check: Callable[[Service, Waiter, Running], Awaitable[None]]) -> None:
        async def body() -> None:
            service = Service(
                Router(),
                Config(),
                loop=asyncio.get_running_loop(),
                log=journal.log,
                access_log=None,
                statistics=Statistics(),
                on_closed=lambda: None,
                on_stop_accepting=lambda: None,
            )
            waiter = Waiter()
            running = Running(service, waiter, make_request(), keep_alive=True, started=0.0)
            assert service.statistics.in_flight == 1
            await asyncio.wait_for(check(service, waiter, running), 10)
            assert service.statistics.in_flight == 0
            service.stop()

        asyncio.run(body())

    return run_check


def test_a_coroutine_is_a_task_from_its_first_step(run: Callable[..., None]) -> None:
    """So that timeouts and task groups find it; its context is its own."""

    async def check(service: Service, waiter: Waiter, running: Running) -> None:
        async def handler() -> object:
            before = seen.get()
            seen.set("handler")
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                child = group.create_task(asyncio.sleep(0, "child"))
            return before, child.result(), asyncio.current_task() is not None

        running.start_task(handler())
        await waiter.arrived.wait()

        assert waiter.results == [("nothing", "child", True)]
        assert seen.get() == "nothing"
        assert not running.is_waiting

    run(check)


def test_a_thread_gets_the_context_and_keeps_its_changes(run: Callable[..., None]) -> None:
    """It runs beside the loop."""

    async def check(service: Service, waiter: Waiter, running: Running) -> None:
        def handler(request: Request) -> object:
            before = seen.get()
            seen.set("thread")
            return before, request.path

        running.start_thread(handler)
        await waiter.arrived.wait()

        assert waiter.results == [("nothing", "/x")]
        assert seen.get() == "nothing"

    run(check)


@pytest.mark.parametrize("problem", [RuntimeError("x"), SystemExit(1), asyncio.CancelledError()])
def test_what_a_coroutine_raises_is_500(
    run: Callable[..., None], problem: BaseException, journal: Journal
) -> None:
    """Also what would end a task or a process."""

    async def check(service: Service, waiter: Waiter, running: Running) -> None:
        async def handler() -> object:
            raise problem

        running.start_task(handler())
        await waiter.arrived.wait()

        answer = waiter.results[0]
        assert isinstance(answer, Answer)
        assert answer.status == 500

    run(check)

    assert journal.names() == ["handler_failed"]


def test_what_a_thread_raises_is_500(run: Callable[..., None], journal: Journal) -> None:
    """And is logged with its traceback."""

    async def check(service: Service, waiter: Waiter, running: Running) -> None:
        def handler(request: Request) -> object:
            raise RuntimeError("in a thread")

        running.start_thread(handler)
        await waiter.arrived.wait()

        assert isinstance(waiter.results[0], Answer)

    run(check)

    assert "in a thread" in journal.events()[0]["traceback"]


def test_given_up_a_coroutine_is_cancelled_and_its_result_dropped(run: Callable[..., None]) -> None:
    """Even when it insists on one; giving up twice does nothing more."""

    async def check(service: Service, waiter: Waiter, running: Running) -> None:
        fates: list[str] = []

        async def handler() -> object:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                fates.append("cancelled")
            return "anyway"

        running.start_task(handler())
        await asyncio.sleep(0)
        running.give_up()
        running.give_up()
        for _ in range(5):
            await asyncio.sleep(0)

        assert fates == ["cancelled"]
        assert waiter.results == []

    run(check)


def test_given_up_before_its_first_step_a_coroutine_is_closed(run: Callable[..., None]) -> None:
    """Its client left at once; nobody is warned of a coroutine that was never awaited."""

    async def check(service: Service, waiter: Waiter, running: Running) -> None:
        async def handler() -> object:
            return "never"

        coroutine = handler()
        running.start_task(coroutine)
        running.give_up()

        assert coroutine.cr_frame is None
        await asyncio.sleep(0)
        assert waiter.results == []

    run(check)


def test_given_up_what_it_raises_is_still_logged(run: Callable[..., None], journal: Journal) -> None:
    """Somebody has to look at it, though no client waits."""

    async def check(service: Service, waiter: Waiter, running: Running) -> None:
        running.give_up()
        running.deliver(RuntimeError("too late"))
        running.deliver("too late as well")

        assert waiter.results == []

    run(check)

    assert [event["error"] for event in journal.events()] == ["RuntimeError: too late"]


def test_given_up_a_queued_thread_never_starts(run: Callable[..., None]) -> None:
    """As long as no thread has taken it."""

    async def check(service: Service, waiter: Waiter, running: Running) -> None:
        started: list[str] = []
        service.threads = Threads(1)
        release = threading.Event()
        busy = service.executor.submit(release.wait, 10)
        running.start_thread(lambda request: started.append("started"))
        running.give_up()
        release.set()
        busy.result(10)
        service.executor.shutdown(wait=True)

        assert started == []

    run(check)


def test_failures_by_fault(run: Callable[..., None], journal: Journal) -> None:
    """The client's by its status and unlogged, any other 500."""

    async def check(service: Service, waiter: Waiter, running: Running) -> None:
        running.give_up()
        theirs = failure(service, running.request, RemoteProtocolError("bad form", status=415))
        odd = failure(service, running.request, RemoteProtocolError("odd", status=200))

        assert (theirs.status, odd.status) == (415, 500)
        assert b"bad form" in theirs.body
        assert b"odd" not in odd.body
        log_hook_failure(service, "setup", RuntimeError("hook"))

    run(check)

    assert journal.names() == ["handler_failed", "hook_failed"]


def test_a_handler_whose_loop_is_gone_has_not_failed(run: Callable[..., None], journal: Journal) -> None:
    """Its coroutine is closed where it waits: nobody is told of that."""

    async def check(service: Service, waiter: Waiter, running: Running) -> None:
        drive = running._drive(asyncio.sleep(3600))
        drive.send(None)
        loop, service.loop = service.loop, asyncio.new_event_loop()
        service.loop.close()
        drive.close()

        assert waiter.results == []
        service.loop = loop
        running.give_up()

    run(check)
    assert journal.events() == []
