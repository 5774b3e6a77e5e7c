"""Handlers and hooks that come back into the engine, or want to leave it."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from rocket_sup.engine.contract import Engine
from rocket_sup.request import Request
from rocket_sup.router import Router
from tests.conformance.server import Server, get
from tests.engine.stage import Stage, stage

__all__ = ["stage"]  # a fixture

MakeStage = Callable[[Router], Stage]


class Doing:
    """An application whose handlers do what the test says, in the loop's thread."""

    def __init__(self, manner: str = "plain") -> None:
        self.errand: Callable[[], object] = lambda: None
        self.router = Router()

        @self.router.get("/")
        def root(request: Request) -> str:
            return "ok"

        @self.router.get("/plain")
        def plain(request: Request) -> str:
            self.errand()
            return "done"

        @self.router.get("/first")
        async def first(request: Request) -> str:
            self.errand()
            return "done"

        @self.router.get("/later")
        async def later(request: Request) -> str:
            await asyncio.sleep(0)
            self.errand()
            return "done"


MANNERS = ["/plain", "/first", "/later"]


@pytest.mark.parametrize("target", MANNERS)
def test_a_handler_may_close_the_longest_idle_connection(
    stage: MakeStage, engine: Engine, target: str
) -> None:
    """Its own is not idle, whoever has waited for longest."""
    if (engine.name, target) == ("python", "/plain"):
        pytest.skip("the portable engine holds a connection for idle while a plain handler runs")
    app = Doing()
    scene = stage(app.router)
    own, other = scene.open(), scene.open()
    scene.ask(own, get())
    scene.ask(other, get())
    closed: list[bool] = []
    app.errand = lambda: closed.extend([scene.wire.close_longest_idle(), scene.wire.close_longest_idle()])

    assert scene.ask(own, get(target)).endswith(b"done")
    assert [True, False] == closed
    assert b"" == scene.read(other)


@pytest.mark.parametrize("target", MANNERS)
def test_a_handler_may_abort_all_and_its_own_answer_with_it(stage: MakeStage, target: str) -> None:
    """Nothing of a connection that is cut is sent."""
    app = Doing()
    scene = stage(app.router)
    own, other = scene.open(), scene.open()
    scene.ask(other, get())
    app.errand = lambda: scene.wire.abort_all()
    own.send(get(target))

    assert [b"", b""] == [scene.read(own), scene.read(other)]
    scene.run_until(lambda: scene.closed == 2)
    assert (0, 0) == (scene.wire.connection_count(), scene.wire.statistics.in_flight)


@pytest.mark.parametrize("target", MANNERS)
def test_a_handler_may_stop_the_loop(stage: MakeStage, target: str) -> None:
    """Its answer is sent; the loop may be run again."""
    app = Doing()
    scene = stage(app.router)
    client = scene.open()
    client.send(get(target))
    app.errand = lambda: scene.loop.stop()
    scene.loop.call_later(10, scene.loop.stop)  # only if that fails
    scene.loop.run_forever()

    assert scene.read(client).endswith(b"done")
    assert scene.ask(client, get()).endswith(b"ok")


@pytest.mark.parametrize("target", MANNERS)
def test_an_interrupt_leaves_the_loop_once(stage: MakeStage, engine: Engine, target: str) -> None:
    """Ctrl-C is for who runs the loop; who asked at the same time is answered when it runs again."""
    if engine.name == "python":
        pytest.skip("uvloop keeps what leaves a protocol, asyncio loses the events that came with it")

    def interrupt() -> None:
        raise KeyboardInterrupt

    app = Doing()
    scene = stage(app.router)
    clients = [scene.open() for _ in range(3)]
    for client in clients:
        scene.ask(client, get())
    app.errand = interrupt
    clients[1].send(get(target))
    for client in (clients[0], clients[2]):
        client.send(get())
    with pytest.raises(KeyboardInterrupt):
        scene.run_until(lambda: False)
    app.errand = lambda: None

    assert [True, True] == [scene.read(client).endswith(b"ok") for client in (clients[0], clients[2])]
    assert scene.ask(scene.open(), get(target)).endswith(b"done")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, ValueError])
def test_what_a_thread_raises_is_a_500(serve: Callable[..., Server], kind: type[BaseException]) -> None:
    """No signal arrives in it: whatever it is, it is the handler's."""
    app = Router()

    @app.get("/", blocking=True)
    def handler(request: Request) -> str:
        raise kind("on purpose")

    server = serve(app)
    client = server.connect()

    assert [500, 500] == [client.send(get()).read().status for _ in range(2)]
    failures = [event["error"] for event in server.events() if event["event"] == "handler_failed"]
    assert [f"{kind.__name__}: on purpose"] * 2 == failures


@pytest.mark.parametrize(("kind", "is_logged"), [(ValueError, True), (SystemExit, False)])
@pytest.mark.parametrize("is_blocking", [False, True])
def test_what_a_handler_raises_after_its_client_left_is_logged(
    serve: Callable[..., Server], kind: type[BaseException], is_logged: bool, is_blocking: bool
) -> None:
    """If it is an error; nobody is told of it otherwise."""
    app = Router()
    begun, gate, ended = threading.Event(), threading.Event(), threading.Event()

    @app.get("/thread", blocking=True)
    def thread(request: Request) -> str:
        begun.set()
        gate.wait(10)
        ended.set()
        raise kind("too late")

    @app.get("/task")
    async def task(request: Request) -> str:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()
            raise kind("too late")

    @app.get("/")
    def root(request: Request) -> str:
        return "ok"

    server = serve(app)
    client = server.connect().send(get("/thread" if is_blocking else "/task"))
    assert begun.wait(10)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    server.wait_until(lambda: not server.wire.connection_count())
    gate.set()
    assert ended.wait(10)
    if is_logged:
        server.wait_until(lambda: any(event["event"] == "handler_failed" for event in server.events()))

    assert server.connect().send(get()).read().body == b"ok"
    failures = [event["error"] for event in server.events() if event["event"] == "handler_failed"]
    assert ([f"{kind.__name__}: too late"] if is_logged else []) == failures


def test_an_error_that_cannot_be_printed_is_logged_all_the_same(serve: Callable[..., Server]) -> None:
    """It costs its own request, not the connection, nor the acceptor."""

    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    app = Router()

    @app.get("/")
    def handler(request: Request) -> str:
        raise UnprintableError

    server = serve(app)
    client = server.connect()

    assert [500, 500] == [client.send(get()).read().status for _ in range(2)]
    failures = [event["error"] for event in server.events() if event["event"] == "handler_failed"]
    assert len(failures) == 2
    assert failures[0].startswith("UnprintableError: ")


@pytest.mark.parametrize("is_first", [False, True])
def test_readiness_of_a_descriptor_that_a_handler_gave_up_is_not_told_to_the_next(
    serve: Callable[..., Server], is_first: bool
) -> None:
    """Both have come in one batch, in this order or that; then the number is somebody else's."""
    app = Doing()
    server = serve(app.router)
    client = server.connect()
    client.send(get()).read()
    heard: list[str] = []
    ours, theirs = socket.socketpair()
    other, silent = socket.socketpair()
    fd = ours.detach()

    def swap() -> None:
        server.loop.remove_reader(fd)
        os.dup2(other.fileno(), fd)
        server.loop.add_reader(fd, heard.append, "the next")

    def at_once() -> None:
        server.loop.add_reader(fd, heard.append, "the former")
        if is_first:
            theirs.send(b"x")
        client.send(get("/plain"))
        if not is_first:
            theirs.send(b"x")

    app.errand = swap
    server.call(at_once)
    assert client.read().body == b"done"
    server.call(lambda: None)
    server.call(lambda: server.loop.remove_reader(fd))
    os.close(fd)
    for each in (theirs, other, silent):
        each.close()

    assert "the next" not in heard


def test_a_teardown_hook_may_close_others(stage: MakeStage) -> None:
    """And their hooks others again."""
    app = Doing()
    told: list[object] = []
    scene: Any = None

    @app.router.on_connection_teardown
    def hook(client: object, error: Exception | None) -> None:
        told.append(error)
        scene.wire.close_longest_idle()

    scene = stage(app.router)
    clients = [scene.open() for _ in range(5)]
    for client in clients:
        scene.ask(client, get())
    clients[2].close()
    scene.run_until(lambda: scene.closed == 5)

    assert [None] * 5 == told


def test_another_thread_is_refused_and_not_believed(serve: Callable[..., Server], engine: Engine) -> None:
    """While the loop waits, nothing can be done to its connections from outside."""
    server = serve()
    if engine.name == "python" or type(server.loop).__module__ == "uvloop":
        pytest.skip("where the native selector waits: others check no threads")

    def insist(act: Callable[[], object]) -> None:
        for _ in range(10_000):  # until the loop waits
            act()

    for act in (server.wire.drain, server.wire.abort_all, server.wire.close_longest_idle):
        with pytest.raises(RuntimeError, match="call_soon_threadsafe"):
            insist(act)
    assert server.connect().send(get()).read().status == 200
