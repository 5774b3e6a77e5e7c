"""`rocket_sup.wslink`: queues, deadlines and goodbyes, with the conduit played by the test."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rocket_sup.errors import RemoteProtocolError, WebSocketClosed
from rocket_sup.http.wsframes import CLOSE, PONG, TEXT, pack_close
from rocket_sup.websocket import WebSocket
from rocket_sup.wslink import SocketState
from tests.engine.frames import frame, unpack
from tests.unit.borrowed import FakeConduit
from tests.unit.test_websocket import scene


async def accepted(conduit: FakeConduit, socket: WebSocket) -> None:
    """Begin."""
    await socket.accept()
    conduit.take()


def echo(socket: WebSocket) -> asyncio.Task[None]:
    """Send back whatever comes."""

    async def run() -> None:
        async for message in socket:
            await socket.send(message)

    return asyncio.create_task(run())


def test_a_fault_of_the_client() -> None:
    """What came before is answered, the code is sent, and no goodbye is waited for."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        task = echo(socket)
        await asyncio.sleep(0)
        await conduit.receive(frame(TEXT, b"a") + frame(TEXT, b"\xff"))

        await task
        written = conduit.take()
        assert b"\x81\x01a" == written[:3]
        assert (0x88, b"\x03\xef") == (written[3], written[5:7])
        assert conduit.finished == (101, len(written), False)
        assert 1007 == socket.close_code

    scene(act)


def test_the_goodbye_of_the_client_is_answered_with_its_code() -> None:
    """Then the connection is closed."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        await conduit.receive(frame(CLOSE, pack_close(1001, "leaving")))
        assert (0x88, pack_close(1001, "leaving")) == unpack(conduit.take())
        assert conduit.finished is not None
        assert (1001, "leaving") == (socket.close_code, socket.close_reason)
        assert 0 == len(conduit.sessions)

    scene(act)


@pytest.mark.parametrize("way", ["on_left", "on_gone"])
def test_a_client_that_vanishes(way: str) -> None:
    """Who waits is told, with a code that is never on the wire."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        waiting = asyncio.create_task(socket.receive())
        await asyncio.sleep(0)
        if way == "on_left":
            conduit.receiver.on_left()
            assert conduit.finished is not None
        else:
            conduit.receiver.on_gone(ConnectionResetError("reset"))
        conduit.receiver.on_gone(None)

        with pytest.raises(WebSocketClosed) as caught:
            await waiting
        assert 1006 == caught.value.code
        assert b"" == conduit.take()

    scene(act)


def test_a_client_that_vanishes_before_the_answer() -> None:
    """There is nobody to accept."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        conduit.receiver.on_left()
        with pytest.raises(WebSocketClosed):
            await socket.receive()
        assert socket.is_refused

    scene(act)


def test_a_handler_that_waits_for_something_else_is_cancelled() -> None:
    """After a moment in which it may end by itself."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        conduit.receiver.on_gone(None)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()

    async def forgotten(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        conduit.receiver.on_gone(None)
        socket.forget_handler()
        await asyncio.sleep(0.02)

    scene(act, close_timeout=0.01)
    scene(forgotten, close_timeout=0.01)


def test_a_goodbye_that_nobody_answers() -> None:
    """It has a deadline."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        await asyncio.gather(socket.close(), socket.wait_closed())
        assert SocketState.CLOSED is socket.state
        assert conduit.finished is not None

    scene(act, close_timeout=0.01)


def test_a_drain_says_that_the_server_restarts() -> None:
    """1012 (RFC 6455 §7.4.2 and its registry)."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        task = echo(socket)
        await asyncio.sleep(0)
        conduit.sessions.drain()
        await task
        assert b"\x03\xf4" == unpack(conduit.take())[1][:2]
        assert 1012 == socket.close_code
        conduit.sessions.drain()
        assert b"" == conduit.take()

    scene(act)


def test_a_silent_client_is_asked_and_given_up() -> None:
    """A ping after the interval; without an answer 1011."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        with pytest.raises(WebSocketClosed) as caught:
            await socket.receive()
        written = conduit.take()
        assert b"\x89\x00" == written[:2]
        assert (0x88, b"\x03\xf3") == (written[2], written[4:6])
        assert 1011 == caught.value.code

    scene(act, ping_interval=0.01, ping_timeout=0.01)


def test_a_client_that_answers_is_kept() -> None:
    """Whatever comes is a sign of life; so is being held back."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        for _ in range(3):
            await conduit.until_written()
            assert b"\x89\x00" == conduit.take()
            await conduit.receive(frame(PONG))
        await conduit.receive(frame(TEXT, b"a") * 3)
        assert not conduit.is_reading
        await asyncio.sleep(0.05)
        assert SocketState.OPEN is socket.state

    scene(act, ping_interval=0.005, ping_timeout=10.0, queue=1)


def test_questions_without_a_deadline() -> None:
    """They keep the way open through whatever forgets silent connections."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        await conduit.until_written(3)
        assert SocketState.OPEN is socket.state

    scene(act, ping_interval=0.005, ping_timeout=0)


def test_content_that_is_none() -> None:
    """A handshake has no content: its end and its faults mean nothing."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        conduit.receiver.on_content_end(b"")
        conduit.receiver.on_content_error(RemoteProtocolError("wrong"))
        assert SocketState.OFFERED is socket.state

    scene(act)


@pytest.mark.parametrize("ending", ["close", "gone"])
def test_who_waits_for_room_is_told(ending: str) -> None:
    """A sender does not wait for a client who has left."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        conduit.has_room = False
        await socket.send("a")
        await asyncio.sleep(0)
        sending = [asyncio.create_task(socket.send("b")) for _ in range(2)]
        await asyncio.sleep(0)
        if ending == "close":
            socket.begin_close(1000)
        else:
            conduit.receiver.on_gone(None)
        done: list[Any] = await asyncio.gather(*sending, return_exceptions=True)
        assert [WebSocketClosed] * 2 == [type(each) for each in done]

    scene(act)
