"""What tasks may do with a WebSocket: wait with a deadline, be cancelled, talk to others; on every engine."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from collections.abc import Callable

import pytest

from rocket_sup.errors import LocalProtocolError, WebSocketClosed
from rocket_sup.websocket import WebSocket
from tests.conformance.server import Server
from tests.conformance.wsclient import Conversation, Socket, Stage

Serve = Callable[..., Server]
TEXT, CLOSE = 1, 8

SAID: contextvars.ContextVar[str] = contextvars.ContextVar("SAID", default="nothing")


def opened(serve: Serve, conversation: Conversation, **options: object) -> Socket:
    """Serve a handler and connect to it."""
    return Socket(serve(Stage(conversation, **options).router).connect())


def test_a_message_is_waited_for_with_a_deadline(serve: Serve) -> None:
    """What comes after it is the next one's."""

    async def wait(socket: WebSocket) -> None:
        for deadline in (asyncio.wait_for(socket.receive(), 0.02), _within(socket, 0.02)):
            with pytest.raises(TimeoutError):
                await deadline
        await socket.send("late")
        await socket.send(await asyncio.wait_for(socket.receive(), 10))
        await socket.send(await _within(socket, 10))

    socket = opened(serve, wait)
    assert (0x81, b"late") == socket.read()
    assert (0x81, b"a") == socket.send(TEXT, b"a").read()
    assert (0x81, b"b") == socket.send(TEXT, b"b").read()


async def _within(socket: WebSocket, seconds: float) -> str | bytes:
    async with asyncio.timeout(seconds):
        return await socket.receive()


def test_receive_and_send_may_be_tasks(serve: Serve) -> None:
    """As coroutines are: created, gathered, waited for together, cancelled."""

    async def converse(socket: WebSocket) -> None:
        await socket.accept()
        receiving = asyncio.create_task(socket.receive())
        await asyncio.create_task(socket.send("first"))
        await asyncio.gather(socket.send("second"), socket.send(b"third"))
        done, _ = await asyncio.wait([receiving])
        await socket.send(done.pop().result())
        receiving = asyncio.create_task(socket.receive())
        await asyncio.sleep(0)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        await socket.send(await socket.receive())

    socket = opened(serve, converse)
    assert [(0x81, b"first"), (0x81, b"second"), (0x82, b"third")] == [socket.read() for _ in range(3)]
    assert (0x81, b"a") == socket.send(TEXT, b"a").read()
    assert (0x81, b"b") == socket.send(TEXT, b"b").read()


def test_one_task_at_a_time_waits(serve: Serve) -> None:
    """The second is refused; the first goes on."""

    async def converse(socket: WebSocket) -> None:
        await socket.accept()
        first = asyncio.create_task(socket.receive())
        await asyncio.sleep(0)
        with pytest.raises(LocalProtocolError):
            await socket.receive()
        await socket.send("refused")
        await socket.send(await first)

    socket = opened(serve, converse)
    assert (0x81, b"refused") == socket.read()
    assert (0x81, b"a") == socket.send(TEXT, b"a").read()


def test_a_step_within_the_read_is_a_step_of_its_task(serve: Serve) -> None:
    """Its context, and asyncio's idea of who runs."""

    async def converse(socket: WebSocket) -> None:
        SAID.set("by the handler")
        task = asyncio.current_task()
        async for _ in socket:
            assert asyncio.current_task() is task
            await socket.send(SAID.get())
            async with asyncio.timeout(10):
                await asyncio.sleep(0)
            await socket.send("still")

    socket = opened(serve, converse)
    for _ in range(3):
        assert (0x81, b"by the handler") == socket.send(TEXT, b"?").read()
        assert (0x81, b"still") == socket.read()


def test_listening_and_speaking_at_once(serve: Serve) -> None:
    """Two tasks of one handler; both end when the client leaves."""

    async def converse(socket: WebSocket) -> None:
        heard: asyncio.Queue[str | bytes] = asyncio.Queue()

        async def listen() -> None:
            async for message in socket:
                heard.put_nowait(message)
            raise WebSocketClosed(socket.close_code or 0)

        async def speak() -> None:
            while True:
                await socket.send(await heard.get())

        async with asyncio.TaskGroup() as group:
            group.create_task(listen())
            group.create_task(speak())

    stage = Stage(converse)
    server = serve(stage.router)
    socket = Socket(server.connect())
    for number in range(20):
        assert (0x81, b"%d" % number) == socket.send(TEXT, b"%d" % number).read()
    socket.send(CLOSE).read_close()
    server.wait_until(lambda: stage.fates)

    assert ["ExceptionGroup"] == stage.fates
    assert [] == [event for event in server.events() if event["event"] == "handler_failed"]


def test_others_may_send(serve: Serve) -> None:
    """What one handler sends to the clients of others leaves at once."""
    stage = Stage(None)

    async def tell_all(socket: WebSocket) -> None:
        async for message in socket:
            for each in stage.sockets:
                await each.send(message)

    stage = Stage(tell_all)
    server = serve(stage.router)
    sockets = [Socket(server.connect()) for _ in range(4)]
    server.wait_until(lambda: len(stage.sockets) == 4)
    for number, socket in enumerate(sockets):
        socket.send(TEXT, b"%d" % number)
        assert [(0x81, b"%d" % number)] * 4 == [each.read() for each in sockets]


def test_what_may_be_sent(serve: Serve) -> None:
    """Text and bytes of every kind; what is no text is the application's error."""

    class Word(str):
        """Text of a class of its own."""

    async def send(socket: WebSocket) -> None:
        for message in ("é", Word("w"), b"b", bytearray(b"a"), memoryview(b"v")):
            await socket.send(message)
        with pytest.raises(UnicodeEncodeError):
            await socket.send("\ud800")
        with pytest.raises(TypeError):
            await socket.send(None)  # type: ignore[arg-type]
        await socket.send_json({"done": True})

    socket = opened(serve, send)
    expected = [(0x81, "é".encode()), (0x81, b"w"), (0x82, b"b"), (0x82, b"a"), (0x82, b"v")]
    assert expected == [socket.read() for _ in expected]
    assert (0x81, b'{"done":true}') == socket.read()


def test_after_the_end(serve: Serve) -> None:
    """What was received before is still given; then every call says that it is over."""
    told: list[object] = []
    gate = asyncio.Event()

    async def converse(socket: WebSocket) -> None:
        await socket.accept()
        await gate.wait()
        told.append(await socket.receive())
        told.append([message async for message in socket])
        for attempt in (socket.receive, lambda: socket.send("late")):
            try:
                await attempt()
            except WebSocketClosed as closed:
                told.append(closed.code)

    stage = Stage(converse)
    server = serve(stage.router)
    socket = Socket(server.connect())
    for message in (b"a", b"b", b"c"):
        socket.send(TEXT, message)
    socket.send(CLOSE, b"\x0b\xb8")
    server.wait_until(lambda: stage.sockets[0].close_code)
    server.call(gate.set)
    server.wait_until(lambda: stage.fates)

    assert ["returned"] == stage.fates
    assert ["a", ["b", "c"], 3000, 3000] == told


def test_nothing_is_left_of_a_conversation(serve: Serve) -> None:
    """Sockets, lanes and tasks are garbage once they are over."""
    stage = Stage()
    server = serve(stage.router)
    for _ in range(3):
        socket = Socket(server.connect())
        assert (0x81, b"a") == socket.send(TEXT, b"a").read()
        socket.send(CLOSE).read_close()
    server.wait_until(lambda: server.closed == 3 and len(stage.fates) == 3)
    remains = [weakref.ref(each) for each in stage.sockets]
    stage.sockets.clear()

    def collected() -> bool:
        gc.collect()
        return not any(each() for each in remains)

    server.wait_until(collected)
