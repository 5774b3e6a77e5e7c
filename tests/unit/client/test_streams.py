"""Content between a connection and its reader."""

from __future__ import annotations

import asyncio

import pytest

from rocket_sup.client.errors import ReadError
from rocket_sup.client.streams import ContentStream, Tunnel


class Fake:
    """A connection that notes what is asked of it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_wanted(self) -> None:
        self.told.append("wanted")

    def on_taken(self, size: int) -> None:
        self.told.append(f"taken {size}")

    def give_up(self) -> None:
        self.told.append("given up")

    def write(self, piece: bytes) -> None:
        self.told.append(f"write {piece!r}")

    async def drain(self) -> None:
        self.told.append("drain")

    def end_writing(self) -> None:
        self.told.append("end")


def test_pieces_in_order() -> None:
    """What is there is given at once, then the reader waits; the connection knows both."""

    async def run() -> None:
        fake = Fake()
        stream = ContentStream(fake)
        stream.put(b"ab")
        stream.put(b"c")
        assert 3 == stream.held
        assert b"ab" == await anext(stream)
        assert b"c" == await anext(stream)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        stream.put(b"d")
        assert b"d" == await waiting
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        stream.complete()
        with pytest.raises(StopAsyncIteration):
            await waiting
        await stream.aclose()
        assert ["taken 2", "taken 1", "wanted", "taken 1", "wanted"] == fake.told

    asyncio.run(run())


def test_an_error_comes_after_what_came_before() -> None:
    """Every time, and only if the content was not complete."""

    async def run() -> None:
        stream = ContentStream(Fake())
        stream.put(b"a")
        stream.fail(ReadError("gone"))
        assert b"a" == await anext(stream)
        for _ in range(2):
            with pytest.raises(ReadError):
                await anext(stream)
        whole = ContentStream(Fake())
        whole.complete()
        whole.fail(ReadError("gone"))
        with pytest.raises(StopAsyncIteration):
            await anext(whole)

    asyncio.run(run())


def test_a_reader_who_leaves() -> None:
    """The connection is told once."""

    async def run() -> None:
        fake = Fake()
        stream = ContentStream(fake)
        stream.put(b"a")
        await stream.aclose()
        await stream.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert ["given up"] == fake.told

    asyncio.run(run())


def test_a_tunnel_goes_both_ways() -> None:
    """Reading is iteration, writing waits for room, closing ends both."""

    async def run() -> None:
        fake = Fake()
        stream = ContentStream(fake)
        tunnel = Tunnel(stream, fake)
        stream.put(b"a")
        async for piece in tunnel:
            assert b"a" == piece
            break
        await tunnel.write(b"b")
        tunnel.end_writing()
        await tunnel.aclose()
        assert ["taken 1", "write b'b'", "drain", "end", "given up"] == fake.told

    asyncio.run(run())
