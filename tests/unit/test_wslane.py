"""`rocket_sup.wslane`: messages are queued, held back, delivered and gathered, with the conduit played."""

from __future__ import annotations

import asyncio

import pytest

from rocket_sup.errors import LocalProtocolError
from rocket_sup.http.wsframes import BINARY, CLOSE, PING, PONG, TEXT, pack_close
from rocket_sup.websocket import WebSocket
from rocket_sup.wslane import PortableLane
from rocket_sup.wslink import SocketState
from tests.engine.frames import compressed, frame
from tests.unit.borrowed import FakeConduit
from tests.unit.test_websocket import scene
from tests.unit.test_wslink import accepted, echo


def test_all_answers_to_one_read_leave_in_one_write() -> None:
    """And they have left when the read is done with: no turn of the loop lies between."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        task = echo(socket)
        await asyncio.sleep(0)
        written: list[list[bytes]] = []

        def receive() -> None:
            conduit.receiver.on_content(frame(TEXT, b"a") * 16)
            written.append(list(conduit.written))

        await conduit.call(receive)

        assert [[b"\x81\x01a" * 16]] == written
        task.cancel()

    scene(act)


def test_what_is_sent_in_one_turn_leaves_in_one_write() -> None:
    """Also where no message woke the handler."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        for _ in range(3):
            await socket.send("a")
        assert [] == conduit.written
        await asyncio.sleep(0)
        assert [b"\x81\x01a" * 3] == conduit.written

    scene(act)


def test_much_that_is_sent_in_one_turn_is_written_meanwhile() -> None:
    """A handler that never waits does not fill the memory before somebody looks."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        conduit.has_room = False
        await socket.send(bytes(100_000))
        assert 1 == len(conduit.written)
        sending = asyncio.create_task(socket.send("more"))
        await asyncio.sleep(0)
        assert not sending.done()

        conduit.has_room = True
        conduit.receiver.on_room()
        await sending
        await asyncio.sleep(0)
        assert b"\x81\x04more" == conduit.written[-1]

    scene(act)


def test_a_handler_that_sends_on_and_on_lets_others_have_their_turn() -> None:
    """Also where its client takes everything at once."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)

        async def pour() -> None:
            while True:
                await socket.send(bytes(1000))

        task = asyncio.create_task(pour())
        await conduit.until_written(3)
        task.cancel()

    scene(act)


def test_a_client_that_is_too_fast_has_to_wait() -> None:
    """Until half of what waits was taken."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        await conduit.receive(frame(TEXT, b"a") * 4)
        assert conduit.is_reading
        await conduit.receive(frame(TEXT, b"a"))
        assert not conduit.is_reading

        states = []
        for _ in range(5):
            await socket.receive()
            states.append(conduit.is_reading)
        assert [False, False, True, True, True] == states

    scene(act, queue=4)


def test_large_messages_wait_in_small_numbers() -> None:
    """The bytes of the queue are bounded by the largest message."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        await conduit.receive(frame(BINARY, bytes(600)))
        assert conduit.is_reading
        await conduit.receive(frame(BINARY, bytes(600)))
        assert not conduit.is_reading

    scene(act, max_message=1000)


def test_what_inflates_to_much_is_inflated_when_there_is_room() -> None:
    """The read that brought it all is not read at once."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        await conduit.receive(compressed(bytes(200_000), BINARY) * 4 + frame(TEXT, b"last"))
        assert not conduit.is_reading

        assert [bytes(200_000)] * 4 + ["last"] == [await socket.receive() for _ in range(5)]
        assert conduit.is_reading

    scene(act, "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover", queue=1)


def test_a_goodbye_behind_much_that_waits_is_found() -> None:
    """Once nobody wants the messages they are dropped, and the Close behind them counts."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        await conduit.receive(compressed(bytes(200_000), BINARY) * 4 + frame(CLOSE, pack_close(1000, "")))
        await socket.close(1001)

        assert SocketState.CLOSED is socket.state
        assert conduit.finished is not None

    scene(act, "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover", queue=1)


def test_an_iteration_takes_what_was_held_back() -> None:
    """And has the client read again."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        await conduit.receive(frame(TEXT, b"a") * 3)
        assert not conduit.is_reading
        taken = []
        async for message in socket:
            taken.append(message)
            if len(taken) == 3:
                break
        assert conduit.is_reading

    scene(act, queue=2)


def test_what_is_held_back_comes_when_somebody_waits() -> None:
    """Also where the queue was emptied before it could be read on: nothing is forgotten."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        lane = socket._lane
        assert isinstance(lane, PortableLane)
        await conduit.receive(frame(TEXT, b"a") * 3)
        lane._queue.clear()
        conduit.later.append(frame(TEXT, b"b"))
        assert "b" == await socket.receive()
        assert aiter(lane) is lane

    scene(act, queue=1)


def test_what_comes_behind_a_goodbye_of_ours() -> None:
    """Messages are dropped, also inflated ones in any number; pings have no answer; the Close counts."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        closing = asyncio.create_task(socket.close())
        await asyncio.sleep(0)
        conduit.take()
        many = compressed(bytes(200_000), BINARY) * 4
        await conduit.receive(frame(TEXT, b"a") + many + frame(PING) + many + frame(CLOSE))
        await closing
        assert b"" == conduit.take()
        assert SocketState.CLOSED is socket.state

    scene(act, "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover")


def test_pings_are_answered() -> None:
    """In order, each with its payload (RFC 6455 §5.5.3)."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        await conduit.receive(frame(PING, b"1") + frame(PING, b"2") + frame(PONG, b"unasked"))
        await asyncio.sleep(0)
        assert b"\x8a\x011\x8a\x012" == conduit.take()

    scene(act)


def test_pings_of_a_client_who_does_not_read() -> None:
    """The latest is answered when there is room; the others are not kept."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        conduit.has_room = False
        await conduit.receive(frame(PING, b"1"))
        await asyncio.sleep(0)
        assert b"\x8a\x011" == conduit.take()
        await conduit.receive(*(frame(PING, str(number).encode()) for number in range(2, 10)))
        await asyncio.sleep(0)
        assert b"" == conduit.take()

        conduit.receiver.on_room()
        await asyncio.sleep(0)
        assert b"\x8a\x019" == conduit.take()

    scene(act)


def test_one_task_at_a_time_waits_for_messages() -> None:
    """Which of two would get one is nothing to leave to chance."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        waiting = asyncio.create_task(socket.receive())
        await asyncio.sleep(0)
        with pytest.raises(LocalProtocolError):
            await socket.receive()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await conduit.receive(frame(TEXT, b"a"))
        assert "a" == await socket.receive()

    scene(act)


def test_a_message_that_comes_while_a_task_runs() -> None:
    """The reader goes on afterwards: no task is interrupted by another."""

    async def act(conduit: FakeConduit, socket: WebSocket) -> None:
        await accepted(conduit, socket)
        waiting = asyncio.create_task(socket.receive())
        await asyncio.sleep(0)
        conduit.receiver.on_content(frame(TEXT, b"a"))
        assert not waiting.done()
        assert "a" == await waiting

    scene(act)
