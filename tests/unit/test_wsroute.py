"""`rocket_sup.wsroute`: from a request to a WebSocket, and what is said when its handler ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from rocket_sup.config_websocket import WebSocketConfig
from rocket_sup.errors import WebSocketClosed
from rocket_sup.http.wsframes import CLOSE, TEXT, pack_close
from rocket_sup.pattern import RouteError
from rocket_sup.request import Request
from rocket_sup.response import Answer
from rocket_sup.router import Handler, Route
from rocket_sup.sessions import Sessions
from rocket_sup.websocket import WebSocket
from rocket_sup.wsroute import WebSocketFunction, WebSocketHandler, WebSocketOptions
from tests.engine.frames import frame
from tests.unit.borrowed import FakeConduit, as_conduit, play, request, upgrade


async def serve(
    conduit: FakeConduit,
    function: WebSocketFunction,
    asked: Request | None = None,
    plain: Route | None = None,
    **options: object,
) -> object:
    """Call a route's handler."""
    handler = WebSocketHandler(function, WebSocketOptions(**options))  # type: ignore[arg-type]
    handler.plain = plain
    return await handler(asked or upgrade(), as_conduit(conduit))


def converse(
    function: WebSocketFunction,
    act: Callable[[FakeConduit, asyncio.Task[object]], Awaitable[None]],
    **options: object,
) -> None:
    """Play the client of a handler."""

    async def scene(conduit: FakeConduit) -> None:
        task = asyncio.create_task(serve(conduit, function, **options))
        await asyncio.sleep(0)
        await act(conduit, task)

    play(scene)


async def echo(socket: WebSocket) -> None:
    """Send back whatever comes."""
    async for message in socket:
        await socket.send(message)


def test_a_conversation() -> None:
    """From the handshake to both goodbyes."""

    async def act(conduit: FakeConduit, task: asyncio.Task[object]) -> None:
        assert conduit.take().startswith(b"HTTP/1.1 101 ")
        await conduit.receive(frame(TEXT, b"a"))
        assert b"\x81\x01a" == conduit.take()
        await conduit.receive(frame(CLOSE, pack_close(1000, "")))
        assert await task is None
        assert conduit.finished is not None

    converse(echo, act)


def test_a_handler_that_returns_says_goodbye() -> None:
    """With 1000, and its task waits for the client's."""

    async def greet(socket: WebSocket) -> None:
        await socket.send("hi")

    async def act(conduit: FakeConduit, task: asyncio.Task[object]) -> None:
        await asyncio.sleep(0)
        assert conduit.take().endswith(b"\x81\x02hi\x88\x02\x03\xe8")
        assert not task.done()
        await conduit.receive(frame(CLOSE, pack_close(1000, "")))
        assert await task is None

    converse(greet, act)


def test_a_handler_that_does_nothing_has_accepted() -> None:
    """It refused nothing."""

    async def idle(socket: WebSocket) -> None:
        pass

    async def act(conduit: FakeConduit, task: asyncio.Task[object]) -> None:
        assert conduit.take().endswith(b"\r\n\r\n\x88\x02\x03\xe8")
        await conduit.receive(frame(CLOSE))
        assert await task is None

    converse(idle, act)


def test_a_handler_that_fails_says_so() -> None:
    """1011 to the client, at once; the exception is the engine's to log."""

    async def fail(socket: WebSocket) -> None:
        await socket.accept()
        raise ValueError("broken")

    async def act(conduit: FakeConduit, task: asyncio.Task[object]) -> None:
        with pytest.raises(ValueError, match="broken"):
            await task
        assert b"\x03\xf3" in conduit.take()
        assert conduit.finished is not None

    converse(fail, act)


def test_a_failure_before_the_answer_is_like_any_other() -> None:
    """The engine answers 500."""

    async def fail(socket: WebSocket) -> None:
        raise ValueError("broken")

    async def act(conduit: FakeConduit, task: asyncio.Task[object]) -> None:
        with pytest.raises(ValueError, match="broken"):
            await task
        assert not conduit.is_begun

    converse(fail, act)


def test_that_nobody_is_there_is_no_failure() -> None:
    """Also where a group of tasks says so."""

    async def receive(socket: WebSocket) -> None:
        await socket.receive()

    async def receive_in_group(socket: WebSocket) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(receive(socket))

    async def act(conduit: FakeConduit, task: asyncio.Task[object]) -> None:
        await asyncio.sleep(0)
        conduit.receiver.on_gone(None)
        assert await task is None

    converse(receive, act)
    converse(receive_in_group, act)


def test_a_group_in_which_something_else_failed_too() -> None:
    """That is a failure."""

    async def fail(socket: WebSocket) -> None:
        await socket.accept()
        raise ExceptionGroup("both", [WebSocketClosed(1000), ValueError("broken")])

    async def act(conduit: FakeConduit, task: asyncio.Task[object]) -> None:
        with pytest.raises(ExceptionGroup):
            await task

    converse(fail, act)


def test_a_refusal_is_an_ordinary_answer() -> None:
    """Whatever a handler may return; a close before the answer is a 403."""

    async def refuse(socket: WebSocket) -> object:
        return 401, "who are you?"

    async def close(socket: WebSocket) -> None:
        await socket.close(1008)

    async def scene(conduit: FakeConduit) -> None:
        assert (401, "who are you?") == await serve(conduit, refuse)
        closed = await serve(conduit, close)
        assert isinstance(closed, Answer)
        assert 403 == closed.status
        assert not conduit.is_begun

    play(scene)


def test_handshakes_that_fail() -> None:
    """The handler is not called, and the answer says what would be right."""

    async def scene(conduit: FakeConduit) -> None:
        for asked, status in [
            (request(), 426),
            (upgrade("Sec-WebSocket-Key: AAAA"), 400),
            (request("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 12"), 426),
            (upgrade("Origin: https://evil.example"), 403),
        ]:
            answer = await serve(conduit, echo, asked, origins=("https://example.com",))
            assert isinstance(answer, Answer)
            assert status == answer.status
            if status == 426:
                assert b"Upgrade: websocket\r\n" in answer.fields

    play(scene)


def test_requests_that_ask_for_no_websocket_have_a_route_of_their_own() -> None:
    """Plain, async or blocking."""
    threads: list[int] = []

    def plain(request: Request) -> object:
        return f"plain {request.method}"

    async def waiting(request: Request) -> object:
        await asyncio.sleep(0)
        return "async"

    def blocking(request: Request) -> object:
        threads.append(threading.get_ident())
        return "blocking"

    async def taking(request: Request, conduit: object) -> object:
        return "conduit"

    async def scene(conduit: FakeConduit) -> None:
        stream = Route("GET", "/ws", cast(Handler, taking), takes_conduit=True)
        assert "conduit" == await serve(conduit, echo, request(), stream)
        for method in ("GET", "HEAD"):
            asked = request(method=method)
            assert f"plain {method}" == await serve(conduit, echo, asked, Route("GET", "/ws", plain))
        assert "async" == await serve(conduit, echo, request(), Route("GET", "/ws", waiting))
        route = Route("GET", "/ws", blocking, blocking=True)
        assert "blocking" == await serve(conduit, echo, request(), route)
        assert [threading.get_ident()] != threads

    play(scene)


def test_a_routes_options_are_laid_over_once() -> None:
    """For each wire."""

    async def refuse(socket: WebSocket) -> object:
        return 403

    async def scene(conduit: FakeConduit) -> None:
        handler = WebSocketHandler(refuse, WebSocketOptions(queue=9))
        for sessions in (conduit.sessions, conduit.sessions, Sessions()):
            conduit.sessions = sessions
            assert 403 == await handler(upgrade(), as_conduit(conduit))

    play(scene)


def test_a_routes_options_lie_over_the_configured_ones() -> None:
    """What a route leaves out is as configured."""
    config = WebSocketConfig(max_message=5000, queue=7)

    over = WebSocketOptions(queue=9, compression=False, ping_interval=0).over(config)

    assert WebSocketConfig(max_message=5000, queue=9, compression=False, ping_interval=0) == over
    assert config is WebSocketOptions().over(config)


@pytest.mark.parametrize(
    "options",
    [
        {"max_message": 100},
        {"queue": 0},
        {"ping_interval": -1},
        {"subprotocols": "chat"},
        {"origins": "https://a"},
    ],
)
def test_options_that_make_no_sense(options: dict[str, object]) -> None:
    """They are the application's error, when it starts."""
    with pytest.raises(RouteError):
        WebSocketOptions(**options)  # type: ignore[arg-type]
