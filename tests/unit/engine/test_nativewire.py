"""The native wire: a socket is served and counted until it ends, on asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rocket_sup.accesslog import AccessLog
from rocket_sup.hooks import SetupDecision
from rocket_sup.request import Request
from rocket_sup.router import Router
from tests.unit.conftest import Journal
from tests.unit.engine.nativesetting import GET, KINDS, MISSING, MODULE, Setting, make_router

pytestmark = pytest.mark.skipif(MODULE is None, reason=MISSING)


@pytest.fixture(params=KINDS)
def setting(request: pytest.FixtureRequest, pipe_of_libuv: None, journal: Journal) -> Iterator[Setting]:
    """Each native engine on each loop in turn."""
    setting = Setting(request.param, journal)
    yield setting
    setting.close()


def test_a_socket_is_served_and_counted_until_it_ends(setting: Setting) -> None:
    """From the moment it was handed over, and told exactly once."""

    async def check() -> None:
        client = setting.open()
        assert setting.wire.connection_count() == 1
        for target, body in [(b"/", b"ok"), (b"/thread", b"from a thread"), (b"/later", b"later")]:
            answer = await setting.ask(client, GET.replace(b"/ ", target + b" "))
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"\r\n\r\n" + body)
        assert (setting.wire.connection_count(), setting.closed) == (1, 0)
        client.close()
        await setting.turn_until(lambda: setting.closed)
        assert setting.wire.connection_count() == 0

    setting.run(check)

    counts = setting.wire.statistics
    assert (1, 3, 0) == (setting.closed, counts.requests, counts.in_flight)
    assert [0, 0, 3, 0, 0, 0] == list(counts.statuses)
    assert 3 == sum(counts.latency)
    assert counts.bytes_received > 3 * 20
    assert counts.bytes_sent > 3 * 100


def test_a_socket_that_cannot_be_served_stays_the_caller_s(setting: Setting) -> None:
    """Nobody is told of it."""

    async def check() -> None:
        gone = socket.socket()
        gone.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            setting.wire.open(gone)
        assert setting.wire.connection_count() == 0

    setting.run(check)

    assert setting.closed == 0


@pytest.mark.parametrize(
    ("decision", "stopped"), [(SetupDecision.DROP, 0), (SetupDecision.STOP_ACCEPTING, 1)]
)
def test_a_socket_that_is_not_admitted_is_closed(
    setting: Setting, decision: SetupDecision, stopped: int
) -> None:
    """And counted out."""
    app = make_router()
    app.on_connection_setup(lambda client: decision)

    async def check() -> None:
        client = setting.open()
        assert await setting.loop.sock_recv(client, 1) == b""
        assert setting.wire.connection_count() == 0

    setting.run(check, app)

    assert (setting.closed, setting.stopped) == (1, stopped)


def test_the_longest_idle_connection_is_closed_first(setting: Setting) -> None:
    """Idle is who was served, since he was; a new connection is left a moment."""

    async def check() -> None:
        wire = setting.wire
        assert wire.longest_idle_since() is None
        assert not wire.close_longest_idle()
        first, second = setting.open(), setting.open()
        assert wire.longest_idle_since() is None
        began = time.monotonic()
        await setting.ask(first)
        await setting.ask(second)
        await setting.ask(first)
        since = wire.longest_idle_since()
        assert since is not None
        assert began <= since <= time.monotonic()
        assert wire.close_longest_idle()
        assert await setting.loop.sock_recv(second, 1) == b""
        assert (wire.connection_count(), setting.closed) == (1, 1)
        assert wire.close_longest_idle()
        assert await setting.loop.sock_recv(first, 1) == b""
        assert not wire.close_longest_idle()

    setting.run(check)

    assert setting.closed == 2


def test_what_is_held_is_told(setting: Setting) -> None:
    """Half a head; with a handler that waits, what came after its request."""
    app = make_router()
    gates: list[asyncio.Event] = []

    @app.get("/wait")
    async def wait(request: Request) -> str:
        gates.append(asyncio.Event())
        await gates[0].wait()
        return "done"

    async def check() -> None:
        assert setting.wire.held_bytes() == (0, 0)
        half, waiting = setting.open(), setting.open()
        half.send(GET[:10])
        waiting.send(GET.replace(b"/ ", b"/wait ") + GET)
        await setting.turn_until(lambda: setting.wire.held_bytes() == (10 + len(GET), 0))
        assert setting.wire.statistics.in_flight == 1
        gates[0].set()
        assert b"\r\n\r\ndone" in await setting.loop.sock_recv(waiting, 65536)

    setting.run(check, app)


def test_draining_closes_what_is_idle_and_the_rest_after_its_answer(setting: Setting) -> None:
    """Being told alone closes nothing."""

    async def check() -> None:
        idle, fresh = setting.open(), setting.open()
        await setting.ask(idle)
        assert not setting.wire.is_draining
        setting.wire.is_draining = True
        assert setting.wire.is_draining
        assert setting.closed == 0
        setting.wire.is_draining = False
        setting.wire.drain()
        assert setting.wire.is_draining
        assert await setting.loop.sock_recv(idle, 1) == b""
        assert b"Connection: close\r\n" in await setting.ask(fresh)

    setting.run(check)


def test_the_access_log_has_the_wire_s_lines(setting: Setting, tmp_path: Any) -> None:
    """Also when the wire stops before anybody asks."""
    access_log = AccessLog(format="json", file=str(tmp_path / "access.log"))

    async def check() -> None:
        await setting.ask(setting.open())

    setting.run(check, access_log=access_log)
    access_log.close()

    assert (tmp_path / "access.log").read_bytes().count(b'"target":"/"') == 1


def test_aborting_cuts_all_and_cancels_what_runs(setting: Setting) -> None:
    """The handler sees it where it waits."""
    app = make_router()
    story: list[str] = []

    @app.get("/wait")
    async def wait(request: Request) -> str:
        story.append("waiting")
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            story.append("cancelled")
            raise
        return "not reached"

    async def check() -> None:
        client = setting.open()
        client.send(GET.replace(b"/ ", b"/wait "))
        await setting.turn_until(lambda: story)
        setting.wire.abort_all()
        await setting.turn_until(lambda: len(story) == 2)
        assert await setting.loop.sock_recv(client, 1) == b""

    setting.run(check, app)

    assert ["waiting", "cancelled"] == story
    assert (1, 0) == (setting.closed, setting.wire.statistics.in_flight)


def test_threads_of_a_loop_that_waits_are_heard(setting: Setting) -> None:
    """`call_soon_threadsafe` is the way in, as everywhere in asyncio."""

    async def check() -> None:
        future = setting.loop.create_future()
        await asyncio.to_thread(setting.loop.call_soon_threadsafe, future.set_result, "heard")
        assert await future == "heard"

    setting.run(check)


def burn(seconds: float) -> None:
    """Be a slow handler, by the clock that batches are measured with."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def longest_run(story: list[str]) -> int:
    """The most handlers that were called without a turn of the loop in between."""
    return max(len(run) for run in "".join("h" if event == "handler" else "." for event in story).split("."))


@pytest.mark.parametrize("target", [b"/", b"/later", b"/thread"])
def test_slow_handlers_let_the_loop_turn(setting: Setting, target: bytes) -> None:
    """However many connections have asked at once, and whether handlers answer or wait."""
    app = Router()
    story: list[str] = []
    ended = asyncio.Event()

    def slow() -> None:
        burn(0.003)  # longer than a batch
        story.append("handler")

    @app.get("/")
    def plain(request: Request) -> str:
        slow()
        return "ok"

    @app.get("/later")
    async def later(request: Request) -> str:
        slow()
        await ended.wait()
        return "later"

    @app.get("/thread", blocking=True)
    def thread(request: Request) -> str:
        ended_too.wait()
        return "thread"

    ended_too = threading.Event()

    @app.on_pre_routing
    def hook(request: Request) -> None:
        if request.path == "/thread":
            slow()

    async def check() -> None:
        clients = [setting.open() for _ in range(10)]

        def tick() -> None:
            story.append("turn")
            if story.count("handler") < len(clients):
                setting.loop.call_soon(tick)

        for client in clients:
            client.send(GET.replace(b"/ ", target + b" "))
        setting.loop.call_soon(tick)
        await setting.turn_until(lambda: story.count("handler") == len(clients))
        ended.set()
        ended_too.set()
        await setting.turn_until(lambda: not setting.wire.statistics.in_flight)

    setting.run(check, app)

    assert longest_run(story) <= setting.batches


def test_what_was_held_back_lets_the_loop_turn(setting: Setting) -> None:
    """Pipelines of slow requests, one answer in each turn."""
    app = Router()
    story: list[str] = []

    @app.get("/")
    def plain(request: Request) -> str:
        burn(0.003)
        story.append("handler")
        return "ok"

    async def check() -> None:
        clients = [setting.open() for _ in range(10)]

        def tick() -> None:
            story.append("turn")
            if story.count("handler") < 3 * len(clients):
                setting.loop.call_soon(tick)

        for client in clients:
            client.send(GET * 3)
        setting.loop.call_soon(tick)
        await setting.turn_until(lambda: story.count("handler") == 3 * len(clients))

    setting.run(check, app, limits={"pipeline": 1})

    assert longest_run(story) <= 2 * setting.batches, "a new one and one that was held back"
