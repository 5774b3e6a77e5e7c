"""The pool of threads, and handlers that are moved into it."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from rocket_sup.request import Request
from rocket_sup.router import Router
from rocket_sup.testing import TestClient
from rocket_sup.threads import HandlerThreads, Threads, ThreadUse, move_to_threads

PATIENCE_S = 10.0


def test_a_pool_says_how_it_is_used() -> None:
    """Threads, those that are busy, and what waits for one."""
    release = threading.Event()
    begun = threading.Semaphore(0)

    def work() -> int:
        begun.release()
        release.wait(PATIENCE_S)
        return 7

    with HandlerThreads(2) as pool:
        before = pool.use()
        futures = [pool.submit(work) for _ in range(5)]
        for _ in range(2):
            assert begun.acquire(timeout=PATIENCE_S)
        during = pool.use()
        release.set()
        results = [future.result(PATIENCE_S) for future in futures]
        after = pool.use()

    assert before == ThreadUse(2, 0, 0)
    assert during == ThreadUse(2, 2, 3)
    assert results == [7] * 5
    assert after == ThreadUse(2, 0, 0)


def test_what_a_call_raises_ends_its_count_too() -> None:
    """And is the future's."""

    def work(value: int, *, name: str) -> None:
        raise ValueError(f"{value} {name}")

    with HandlerThreads(1) as pool:
        future = pool.submit(work, 1, name="a")
        with pytest.raises(ValueError, match="1 a"):
            future.result(PATIENCE_S)

    assert pool.use().busy == 0


def make_app() -> Router:
    """A handler of each kind that says where it runs."""
    app = Router()

    def here() -> str:
        return threading.current_thread().name.partition("_")[0]

    @app.get("/plain")
    def plain(request: Request) -> str:
        time.sleep(0)
        return here()

    @app.get("/async")
    async def soon(request: Request) -> str:
        await asyncio.sleep(0)
        return here()

    @app.get("/blocking", blocking=True)
    def blocking(request: Request) -> str:
        return here()

    @app.fallback
    def fallback(request: Request) -> str:
        return here()

    return app


@pytest.mark.parametrize("path", ["/plain", "/async", "/blocking", "/nowhere"])
def test_every_handler_runs_in_a_thread(path: str) -> None:
    """Whatever it is."""
    with TestClient(make_app(), acceptor={"run": "threads"}) as client:
        assert client.get(path).text == "rocket-handler"


def test_what_has_a_conduit_stays() -> None:
    """Streams are on the loop; doing it again changes nothing."""
    app = make_app()

    @app.post("/stream", stream=True)
    async def stream(request: Request) -> str:
        return str(len([chunk async for chunk in request.stream()]))

    app.freeze()
    move_to_threads(app)
    handlers = [route.handler for route in app.all_routes()]
    move_to_threads(app)

    assert handlers == [route.handler for route in app.all_routes()]
    assert [route.takes_conduit for route in app.all_routes()] == [False, False, False, True, False]
    assert [route.blocking for route in app.all_routes()] == [True, True, True, False, True]


def test_otherwise_only_those_that_say_so_do() -> None:
    """The usual way."""
    with TestClient(make_app()) as client:
        where = [client.get(path).text for path in ("/plain", "/async", "/blocking")]

    assert [name == "rocket-handler" for name in where] == [False, False, True]


def test_a_pool_is_made_when_it_is_needed_and_again_after_its_end() -> None:
    """None of it costs anything before; closing twice is no error."""
    threads = Threads(0)

    assert threads.use() == ThreadUse(1)
    first = threads.executor
    assert first.submit(lambda: 7).result(10) == 7
    assert threads.executor is first
    threads.close()
    threads.close()
    assert threads.executor is not first
    threads.close()
