"""A conduit for coroutines: bounded queues, and nobody waits for what will not come."""

from __future__ import annotations

import asyncio

import pytest

from rocket_sup.errors import LocalProtocolError, RemoteProtocolError, TransportError
from rocket_sup.flow import QUEUED, Flow
from tests.unit.fakeconduit import FakeConduit, run, turns


def test_content_is_asked_for_when_somebody_reads() -> None:
    """Not before; and taken in order, one by one or all at once."""

    async def check() -> None:
        conduit = FakeConduit()
        flow = Flow(conduit)
        assert conduit.calls == []
        reading = asyncio.ensure_future(flow.read_one())
        await turns()
        assert conduit.calls == ["resume"]
        for piece in (b"a", b"b", b"c"):
            flow.on_content(piece)
        flow.on_content_end(b"\r\nX: 1")

        assert await reading == b"a"
        assert await flow.read() == [b"b", b"c"]
        assert await flow.read() == []
        assert await flow.read_one() == b""
        assert flow.trailers == b"\r\nX: 1"

    run(check())


def test_the_queue_is_bounded() -> None:
    """The client waits until half of it is taken; tiny pieces count for what they cost."""

    async def check() -> None:
        conduit = FakeConduit()
        flow = Flow(conduit)
        reading = asyncio.ensure_future(flow.read_one())
        await turns()
        fed = 0
        while "pause" not in conduit.calls:
            flow.on_content(b"x")
            fed += 1
        assert fed < QUEUED // 50
        assert await reading == b"x"
        taken = 1
        while conduit.calls[-1] == "pause":
            assert await flow.read_one() == b"x"
            taken += 1

        assert fed // 3 < taken < fed
        assert conduit.calls == ["resume", "pause", "resume"]
        flow.on_content(b"y" * QUEUED)
        assert conduit.calls[-1] == "pause"
        await flow.read()
        assert conduit.calls[-1] == "resume"

    run(check())


def test_errors_come_behind_what_came_before_them() -> None:
    """And come again, to whoever asks again."""

    async def check() -> None:
        flow = Flow(FakeConduit())
        flow.on_content(b"a")
        flow.on_content_error(RemoteProtocolError("short"))

        assert await flow.read_one() == b"a"
        for _ in range(2):
            with pytest.raises(RemoteProtocolError, match="short"):
                await flow.read_one()

    run(check())


def test_two_readers_would_tear_the_content_apart() -> None:
    """The second is refused."""

    async def check() -> None:
        flow = Flow(FakeConduit())
        reading = asyncio.ensure_future(flow.read())
        await turns()
        with pytest.raises(LocalProtocolError, match="one reader"):
            await flow.read()
        flow.on_content_end(b"")

        assert await reading == []

    run(check())


def test_writing_waits_for_room() -> None:
    """And only then."""

    async def check() -> None:
        conduit = FakeConduit()
        flow = Flow(conduit)
        await flow.write(b"a")
        conduit.has_room = False
        writing = asyncio.ensure_future(flow.write(b"b"))
        await turns()
        assert not writing.done()
        flow.on_room()
        await writing
        sending = asyncio.ensure_future(flow.send_file(3, 7, 9))
        await turns()
        assert not sending.done()
        flow.on_room()
        await sending

        assert conduit.wire == b"ab[7+9]"

    run(check())


def test_nobody_waits_for_a_client_that_is_gone() -> None:
    """Reader, writer, and whoever wants to know."""

    async def check() -> None:
        conduit = FakeConduit(has_room=False)
        flow = Flow(conduit)
        waiting = [
            asyncio.ensure_future(something)
            for something in (flow.read(), flow.write(b"x"), flow.wait_for_leave(), flow.wait_for_leave())
        ]
        await turns()
        assert not any(each.done() for each in waiting)
        flow.on_gone(None)
        results = await asyncio.gather(*waiting, return_exceptions=True)

        assert [type(result) for result in results] == [
            TransportError,
            TransportError,
            type(None),
            type(None),
        ]
        assert flow.is_left
        with pytest.raises(TransportError):
            await flow.write(b"y")

    run(check())


def test_content_that_is_whole_stays_when_the_client_goes() -> None:
    """It has come."""

    async def check() -> None:
        flow = Flow(FakeConduit())
        flow.on_content(b"a")
        flow.on_content_end(b"")
        flow.on_gone(OSError("reset"))

        assert await flow.read() == [b"a"]
        assert await flow.read() == []

    run(check())


def test_leaving_is_told_to_whoever_asked() -> None:
    """Once."""

    async def check() -> None:
        flow = Flow(FakeConduit())
        told: list[str] = []
        flow.on_leave = lambda: told.append("left")
        flow.on_left()
        await flow.wait_for_leave()

        assert told == ["left"]
        assert (flow.is_left, flow.is_gone) == (True, False)

    run(check())
