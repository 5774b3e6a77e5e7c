"""How handlers end: by an answer, an exception, a cancellation, or a client that leaves."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from rocket_sup.request import Request
from rocket_sup.router import Router
from tests.conformance.server import Server, get


class Unusual(BaseException):
    """Not an `Exception`."""


@pytest.mark.parametrize("suspends", [False, True])
@pytest.mark.parametrize("kind", [LookupError, Unusual, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_whatever_a_handler_raises_is_a_500(
    serve: Callable[..., Server], kind: type[BaseException], suspends: bool
) -> None:
    """With a line in the log that has the traceback; the connection serves on."""
    app = Router()

    @app.get("/")
    async def handler(req: Request) -> str:
        if suspends:
            await asyncio.sleep(0)
        raise kind("on purpose")

    server = serve(app)
    client = server.connect()

    assert [client.send(get()).read().status for _ in range(2)] == [500, 500]
    failures = [event for event in server.events() if event["event"] == "handler_failed"]
    assert len(failures) == 2
    assert failures[0]["error"] == f"{kind.__name__}: on purpose"
    assert "in handler" in failures[0]["traceback"]


@pytest.mark.parametrize("suspends", [False, True])
def test_a_handler_that_cancels_itself_and_returns_has_answered(
    serve: Callable[..., Server], suspends: bool
) -> None:
    """Its task counts as cancelled, but the value is there."""
    app = Router()

    @app.get("/")
    async def handler(req: Request) -> str:
        task = asyncio.current_task()
        assert task is not None
        if suspends:
            await asyncio.sleep(0)
        task.cancel()
        return "ok"

    assert serve(app).connect().send(get()).read().body == b"ok"


@pytest.mark.parametrize("suspends", [False, True])
def test_a_handler_that_is_cancelled_from_outside_is_a_500(
    serve: Callable[..., Server], suspends: bool
) -> None:
    """Nobody answered, so the server does."""
    app = Router()

    @app.get("/")
    async def handler(req: Request) -> str:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        if suspends:
            await asyncio.sleep(0)
        loop.call_soon(task.cancel)
        await loop.create_future()
        return "not reached"

    assert serve(app).connect().send(get()).read().status == 500


def test_a_client_that_leaves_cancels_its_handler(serve: Callable[..., Server]) -> None:
    """The handler may clean up, awaiting; the next client is served."""
    app = Router()
    story: list[str] = []

    @app.get("/wait")
    async def wait(req: Request) -> str:
        story.append("waiting")
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            story.append("cleaned up")
            raise
        return "not reached"

    @app.get("/")
    async def other(req: Request) -> str:
        return "ok"

    server = serve(app)
    client = server.connect().send(get("/wait"))
    server.wait_until(lambda: story)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()  # resets: a mere end of what it sends would leave it free to read on
    server.wait_until(lambda: story == ["waiting", "cleaned up"])

    assert server.connect().send(get()).read().body == b"ok"


def test_a_task_outlives_the_handler_that_started_it(serve: Callable[..., Server]) -> None:
    """It belongs to the loop."""
    app = Router()
    kept: dict[str, Any] = {}

    async def child(event: asyncio.Event) -> str:
        await event.wait()
        return "done"

    @app.get("/start")
    async def start(req: Request) -> str:
        kept["event"] = asyncio.Event()
        kept["task"] = asyncio.create_task(child(kept["event"]))
        return "started"

    @app.get("/finish")
    async def finish(req: Request) -> str:
        kept["event"].set()
        result: str = await kept["task"]
        return result

    client = serve(app).connect()

    assert [client.send(get(target)).read().body for target in ["/start", "/finish"]] == [b"started", b"done"]


def test_handlers_are_told_apart_when_many_wait(serve: Callable[..., Server]) -> None:
    """Answers go to whom they belong, whichever handler ends first."""
    app = Router()
    gates: dict[str, asyncio.Event] = {}

    @app.get("/wait/:name")
    async def wait(req: Request) -> str:
        name = req.path_params["name"]
        gates[name] = asyncio.Event()
        await gates[name].wait()
        return name

    server = serve(app)
    names = [str(n) for n in range(20)]
    clients = {name: server.connect().send(get(f"/wait/{name}")) for name in names}
    server.wait_until(lambda: len(gates) == len(names))
    for name in reversed(names):
        server.call(gates[name].set)

        assert clients[name].read().body == name.encode()
