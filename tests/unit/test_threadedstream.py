"""An iterator in a thread: in order, a little ahead, and closed where it ran."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rocket_sup.threadedstream import MADE_AHEAD, ThreadedStream
from tests.unit.fakeconduit import run


class Life:
    """A generator's life, noted."""

    def __init__(self) -> None:
        self.made = 0
        self.ended = threading.Event()
        self.thread = ""

    def pieces(self, count: int, *, size: int = 1000, fails: bool = False) -> Iterator[bytes | str]:
        """Make pieces."""
        try:
            for _ in range(count):
                self.made += 1
                yield b"x" * size
                yield ""
            if fails:
                raise KeyError("why")
        finally:
            self.thread = threading.current_thread().name
            self.ended.set()


def test_every_piece_comes_in_order() -> None:
    """From beginning to end; empty ones are left out."""

    async def check() -> None:
        with ThreadPoolExecutor(1) as threads:
            stream = ThreadedStream([b"a", "é", b"", bytearray(b"b")], threads)

            assert [piece async for piece in stream] == [b"a", "é".encode(), b"b"]
            await stream.aclose()

    run(check())


def test_it_is_not_far_ahead_of_its_reader() -> None:
    """So that memory is bounded; closing ends it, in its thread."""

    async def check() -> None:
        life = Life()
        with ThreadPoolExecutor(1, thread_name_prefix="pool") as threads:
            stream = ThreadedStream(life.pieces(1_000_000), threads)
            for _ in range(1000):
                assert await stream.__anext__() == b"x" * 1000
            assert life.made <= 1000 + MADE_AHEAD // 1000 + 2
            await stream.aclose()
            await asyncio.to_thread(life.ended.wait, 10)

            assert life.thread.startswith("pool")
            assert life.made <= 1000 + MADE_AHEAD // 1000 + 2

    run(check())


@pytest.mark.parametrize("pieces", [[b"a", 1], "generator"])
def test_what_it_raises_comes_behind_what_it_gave(pieces: object) -> None:
    """Also when it gave something that is no piece."""

    async def check() -> None:
        source = Life().pieces(1, size=1, fails=True) if pieces == "generator" else pieces
        with ThreadPoolExecutor(1) as threads:
            stream = ThreadedStream(source, threads)  # type: ignore[arg-type]
            assert await stream.__anext__() in (b"a", b"x")
            with pytest.raises((KeyError, TypeError)):
                await stream.__anext__()

    run(check())


def test_closed_before_a_thread_was_free_it_never_runs() -> None:
    """The iterator is closed all the same."""

    async def check() -> None:
        closed: list[str] = []

        class Source:
            def __iter__(self) -> Iterator[bytes]:
                closed.append("ran")
                return iter([])

            def close(self) -> None:
                closed.append("closed")

        release = threading.Event()
        with ThreadPoolExecutor(1) as threads:
            threads.submit(release.wait, 10)
            stream = ThreadedStream(Source(), threads)
            await stream.aclose()
            release.set()

        assert closed == ["closed"]

    run(check())
