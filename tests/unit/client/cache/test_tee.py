"""Content that goes two ways."""

from __future__ import annotations

import asyncio
import gc

import pytest

from rocket_sup.client.cache.tee import Tee, TeeStream
from tests.unit.client.cache.origins import Pieces, run, until


class Fate:
    """What became of a content.

    Attributes:
        whole: what came, if all did.
        lost: the error, and whether the caller left, if not.
    """

    def __init__(self) -> None:
        self.whole: list[bytes] = []
        self.lost: list[tuple[Exception | None, bool]] = []

    async def on_whole(self, content: bytes) -> None:
        """As told."""
        await asyncio.sleep(0)
        self.whole.append(content)

    async def on_lost(self, error: Exception | None, is_left: bool) -> None:
        """As told."""
        self.lost.append((error, is_left))


def split(pieces: Pieces, *, max_bytes: int = 1000) -> tuple[Tee, TeeStream, Fate]:
    """A tee over a source."""
    fate = Fate()
    tee = Tee(pieces, max_bytes=max_bytes, on_whole=fate.on_whole, on_lost=fate.on_lost)
    return tee, TeeStream(tee), fate


def test_the_caller_reads_and_the_store_gets_the_whole() -> None:
    """Nothing is read ahead."""

    async def scenario() -> None:
        source = Pieces(b"a", b"", b"b")
        _, stream, fate = split(source)
        assert await anext(stream) == b"a"
        assert source.taken == 1
        assert [b"", b"b"] == [piece async for piece in stream]
        assert ([b"ab"], []) == (fate.whole, fate.lost)
        assert source.is_closed
        await stream.aclose()
        assert [b"ab"] == fate.whole

    run(scenario())


def test_hastened_it_is_read_without_the_caller() -> None:
    """Who still gets every piece."""

    async def scenario() -> None:
        tee, stream, fate = split(Pieces(b"a", b"b", b"c"))
        assert await anext(stream) == b"a"
        tee.hasten()
        tee.hasten()
        await until(lambda: fate.whole)
        assert [b"b", b"c"] == [piece async for piece in stream]
        assert [b"abc"] == fate.whole

    run(scenario())


def test_hastened_while_the_caller_reads() -> None:
    """One reads at a time, and no piece is lost."""

    async def scenario() -> None:
        gate = asyncio.Event()
        tee, stream, fate = split(Pieces(b"a", b"b", gate=gate))

        async def read() -> list[bytes]:
            return [piece async for piece in stream]

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        tee.hasten()
        await asyncio.sleep(0)
        gate.set()
        assert [b"a", b"b"] == await reading
        assert [b"ab"] == fate.whole

    run(scenario())


@pytest.mark.parametrize("is_hastened", [True, False])
def test_too_large_is_given_up_for_the_store_alone(is_hastened: bool) -> None:
    """The caller gets all, and no more than that is held."""

    async def scenario() -> None:
        tee, stream, fate = split(Pieces(*[b"x" * 100] * 50), max_bytes=1000)
        if is_hastened:
            tee.hasten()
            await until(lambda: fate.lost)
        size = held = 0
        async for piece in stream:
            size += len(piece)
            held = max(held, len(tee._pieces))
        assert size == 5000
        assert held <= 11
        assert ([], [(None, False)]) == (fate.whole, fate.lost)

    run(scenario())


def test_an_error_goes_to_the_caller_and_to_who_waits() -> None:
    """After what had come."""

    async def scenario() -> None:
        error = ValueError("broken")
        tee, stream, fate = split(Pieces(b"a", error))
        tee.hasten()
        await until(lambda: fate.lost)
        assert await anext(stream) == b"a"
        with pytest.raises(ValueError, match="broken"):
            await anext(stream)
        assert ([], [(error, False)]) == (fate.whole, fate.lost)

    run(scenario())


def test_left_alone_the_rest_is_not_read() -> None:
    """The source is closed."""

    async def scenario() -> None:
        source = Pieces(b"a", b"b")
        tee, stream, fate = split(source)
        await anext(stream)
        await stream.aclose()
        assert (source.taken, source.is_closed, tee.is_over) == (1, True, True)
        assert [(None, True)] == fate.lost
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    run(scenario())


def test_left_while_others_wait_the_rest_is_read() -> None:
    """Until they do not wait any more, either."""

    async def scenario() -> None:
        gate = asyncio.Event()
        tee, stream, fate = split(Pieces(b"a", b"b", gate=gate))
        tee.hasten()
        await stream.aclose()
        assert not tee.is_over
        gate.set()
        await until(lambda: fate.whole)

        gate.clear()
        source = Pieces(b"a", b"b", gate=gate)
        tee, stream, fate = split(source)
        tee.hasten()
        await asyncio.sleep(0)
        await tee.relax()
        assert not tee.is_over
        await stream.aclose()
        await tee.relax()
        assert (tee.is_over, source.is_closed, fate.lost) == (True, True, [(None, True)])

    run(scenario())


def test_a_cancelled_read_can_be_repeated_but_is_not_stored() -> None:
    """The caller loses nothing that the source still gives."""

    async def scenario() -> None:
        gate = asyncio.Event()
        _, stream, fate = split(Pieces(b"a", b"b", gate=gate))
        reading = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert [(None, True)] == fate.lost
        gate.set()
        assert [b"a", b"b"] == [piece async for piece in stream]
        assert [] == fate.whole

    run(scenario())


def test_a_caller_may_be_cancelled_while_it_is_read_ahead() -> None:
    """The whole comes nevertheless, and the caller can go on."""

    async def scenario() -> None:
        gate = asyncio.Event()
        tee, stream, fate = split(Pieces(b"a", b"b", gate=gate))
        tee.hasten()
        reading = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        gate.set()
        assert [b"a", b"b"] == [piece async for piece in stream]
        assert [b"ab"] == fate.whole

    run(scenario())


def test_a_stream_that_is_dropped_counts_as_left() -> None:
    """Nobody waits for a caller that is gone."""

    async def scenario() -> None:
        source = Pieces(b"a", b"b")
        _, stream, fate = split(source)
        await anext(stream)
        del stream
        gc.collect()
        await until(lambda: fate.lost)
        assert source.is_closed

    run(scenario())
