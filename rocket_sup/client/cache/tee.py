"""Content that is read once and goes two ways: to the caller, piece by piece, and whole into the store.

As long as nobody else waits for it, the caller's reading is what reads it: no task, no piece more than was
asked for, and when the caller leaves, the rest is not read and nothing is stored. When others wait
(`hasten`), a task reads ahead, up to `max_bytes`, so that a slow caller holds up nobody and one that leaves
takes nothing from them. Content of more than `max_bytes` is not stored; then only what the caller has not
read yet is held.

Spec: RFC 9111 §3.3
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable


class Tee:
    """The content of one response."""

    def __init__(
        self,
        source: AsyncIterator[bytes],
        *,
        max_bytes: int,
        on_whole: Callable[[bytes], Awaitable[None]],
        on_lost: Callable[[Exception | None, bool], Awaitable[None]],
    ) -> None:
        """Read from a source.

        Args:
            max_bytes: of content that is stored.
            on_whole: gets it when it has come completely; must not raise.
            on_lost: called instead when it is too large, did not come, or was left: gets the error of the
                source, if there is one, and whether the caller left. Must not raise.
        """
        self._source = source
        self._max_bytes = max_bytes
        self._on_whole = on_whole
        self._on_lost = on_lost
        self._pieces: deque[bytes] = deque()
        self._read = 0  # how many of the pieces the caller has; 0 once they are not kept
        self._size = 0
        self._is_kept = True
        self._is_over = False
        self._is_left = False
        self._is_closed = False  # the source was told that nobody reads it any more
        self._error: Exception | None = None
        self._reading = asyncio.Lock()
        self._pump: asyncio.Task[None] | None = None
        self._moved: asyncio.Future[None] | None = None  # the caller waits for the pump

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be read."""
        return self._is_over

    def hasten(self) -> None:
        """Read ahead: somebody waits for the whole."""
        if self._pump is None and self._is_kept and not self._is_over:
            self._pump = asyncio.get_running_loop().create_task(self._read_ahead())

    async def relax(self) -> None:
        """Nobody waits any more; with the caller gone, too, the rest is not read."""
        if self._is_left and not self._is_over:
            await self._give_up()

    async def next_piece(self) -> bytes | None:
        """Give the caller its next piece, None at the end."""
        while True:
            if self._read < len(self._pieces):
                if not self._is_kept:
                    return self._pieces.popleft()
                self._read += 1
                return self._pieces[self._read - 1]
            if self._is_over:
                if self._error is not None:
                    raise self._error
                return None
            if self._pump is not None:
                self._moved = asyncio.get_running_loop().create_future()
                await self._moved
            else:
                await self._advance(is_caller=True)

    async def leave(self) -> None:
        """The caller reads no more."""
        self._is_left = True
        if self._pump is None:
            await self._give_up()

    async def _give_up(self) -> None:
        self._is_over = True
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()
            await asyncio.wait([pump])
        try:
            await self._close()
        finally:
            await self._lose(None, is_left=True)
            self._pieces.clear()

    async def _close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            close = getattr(self._source, "aclose", None)
            if close is not None:
                await close()

    async def _lose(self, error: Exception | None, *, is_left: bool) -> None:
        if self._is_kept:
            self._is_kept = False
            for _ in range(self._read):
                self._pieces.popleft()
            self._read = 0
            await self._on_lost(error, is_left)

    async def _read_ahead(self) -> None:
        try:
            while self._is_kept and not self._is_over:
                await self._advance(is_caller=False)
        finally:
            if self._pump is asyncio.current_task():
                self._pump = None
            self._wake()

    async def _advance(self, *, is_caller: bool) -> None:
        """Read one piece. One reads at a time: the caller may be reading when the pump begins."""
        async with self._reading:
            if self._is_over or (is_caller and (self._read < len(self._pieces) or self._pump is not None)):
                return
            try:
                piece = await anext(self._source)
            except StopAsyncIteration:
                await self._finish(None)
            except Exception as error:
                await self._finish(error)
            except BaseException:
                # Cancelled in the middle: only the source knows whether it can be read on.
                await self._lose(None, is_left=True)
                raise
            else:
                await self._take(piece)
        self._wake()

    async def _take(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._is_kept and self._size > self._max_bytes:
            await self._lose(None, is_left=False)

    async def _finish(self, error: Exception | None) -> None:
        self._error = error
        try:
            if error is not None:
                await self._lose(error, is_left=False)
            elif self._is_kept:
                await self._on_whole(b"".join(self._pieces))
            await self._close()
        finally:
            self._is_over = True

    def _wake(self) -> None:
        if self._moved is not None and not self._moved.done():
            self._moved.set_result(None)


class TeeStream:
    """What the caller has of a `Tee`: an iterator of pieces that can be closed, or just dropped."""

    def __init__(self, tee: Tee) -> None:
        self._tee = tee
        self._loop = asyncio.get_running_loop()

    def __aiter__(self) -> TeeStream:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._tee.next_piece()
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Read no more."""
        await self._tee.leave()

    def __del__(self) -> None:
        # Dropped without being closed: others must not wait for a caller that is gone.
        if not self._tee.is_over and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_forsake, self._tee, self._loop)


# Tasks of tees whose callers dropped them; the loop itself has only weak references.
_forsaken: set[asyncio.Task[None]] = set()


def _forsake(tee: Tee, loop: asyncio.AbstractEventLoop) -> None:
    task = loop.create_task(tee.leave())
    _forsaken.add(task)
    task.add_done_callback(_forsaken.discard)
