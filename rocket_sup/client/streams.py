"""Content on its way from a connection to whoever reads it, with backpressure; and a connection that was
given to another protocol.

The connection puts pieces in; the reader takes them out, or waits. When more than `HIGH_WATER` is held the
connection stops reading its socket, until the reader has taken it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

# Two full reads of the socket: enough to keep a fast reader busy, little enough for ten thousand of them.
HIGH_WATER: Final = 512 * 1024


class Source(Protocol):
    """What a stream asks of its connection."""

    def on_wanted(self) -> None:
        """Somebody waits for the next piece: read, and let the read timeout run."""
        ...

    def on_taken(self, size: int) -> None:
        """Bytes were taken out."""
        ...

    def give_up(self) -> None:
        """Nobody wants the rest."""
        ...


class ContentStream:
    """The content of one answer, in the order it came."""

    __slots__ = ("_error", "_is_complete", "_pieces", "_source", "_waiter", "held")

    def __init__(self, source: Source) -> None:
        self._source: Source | None = source
        self._pieces: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._is_complete = False
        self.held = 0  # bytes that came and were not taken

    def put(self, piece: bytes) -> None:
        """Add a piece."""
        self._pieces.append(piece)
        self.held += len(piece)
        self._wake()

    def complete(self) -> None:
        """Nothing more comes: that was all."""
        self._is_complete = True
        self._source = None
        self._wake()

    def fail(self, error: BaseException) -> None:
        """Nothing more comes: something went wrong. What came before can still be read."""
        if not self._is_complete:
            self._error = error
            self.complete()

    def __aiter__(self) -> ContentStream:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._is_complete:
                raise StopAsyncIteration
            if self._source is not None:
                self._source.on_wanted()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        piece = self._pieces.popleft()
        self.held -= len(piece)
        if self._source is not None:
            self._source.on_taken(len(piece))
        return piece

    async def aclose(self) -> None:
        """Give up what was not read."""
        source, self._source = self._source, None
        self._pieces.clear()
        self.held = 0
        if not self._is_complete:
            self._is_complete = True
            if source is not None:
                source.give_up()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Outlet(Protocol):
    """The writing side of a connection."""

    def write(self, piece: bytes) -> None:
        """Send bytes, or keep them until they can be sent."""
        ...

    async def drain(self) -> None:
        """Wait until not much is kept any more."""
        ...

    def end_writing(self) -> None:
        """Send nothing more."""
        ...


class Tunnel:
    """A connection after 101 or CONNECT: bytes both ways.

    Reading is iteration (`async for piece in tunnel`); `aclose` ends both directions.
    """

    __slots__ = ("_outlet", "_stream")

    def __init__(self, stream: ContentStream, outlet: Outlet) -> None:
        self._stream = stream
        self._outlet = outlet

    def __aiter__(self) -> ContentStream:
        return self._stream

    async def write(self, piece: bytes) -> None:
        """Send bytes; wait while the other side takes none."""
        self._outlet.write(piece)
        await self._outlet.drain()

    def end_writing(self) -> None:
        """Send nothing more; the other side can still speak."""
        self._outlet.end_writing()

    async def aclose(self) -> None:
        """End the connection."""
        await self._stream.aclose()
