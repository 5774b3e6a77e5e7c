"""An ordinary iterator that may block, run in a thread, and read by the event loop.

The thread makes pieces ahead of the client up to a bound, then waits. It belongs to the stream until that
ends: whoever reads slowly keeps a thread of the pool.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Executor
from typing import Final

from rocket_sup.sources import as_piece

MADE_AHEAD: Final = 131_072  # bytes


class ThreadedStream:
    """An asynchronous iterator of the pieces that an ordinary one makes in a thread."""

    def __init__(self, pieces: Iterable[object], executor: Executor) -> None:
        """Start."""
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        # Under the condition's lock, as both threads use them:
        self._pieces: deque[bytes] = deque()
        self._made = 0
        self._is_closed = False
        self._is_done = False
        self._error: BaseException | None = None
        # Of the loop alone:
        self._arrival: asyncio.Future[None] | None = None
        self._source = pieces
        self._future = executor.submit(contextvars.copy_context().run, self._run)

    def __aiter__(self) -> ThreadedStream:
        return self

    async def __anext__(self) -> bytes:
        while True:
            with self._changed:
                if self._pieces:
                    piece = self._pieces.popleft()
                    self._made -= len(piece)
                    self._changed.notify()
                    return piece
                if self._is_done:
                    break
                arrival = self._arrival = self._loop.create_future()
            await arrival
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Have the thread close the iterator when it gets there; a call that blocks cannot be stopped."""
        with self._changed:
            self._is_closed = True
            self._pieces.clear()
            self._changed.notify()
        if self._future.cancel():  # no thread had begun
            _close(self._source)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for piece in self._source:
                if not self._put(as_piece(piece)):
                    break
        except BaseException as problem:
            error = problem
        try:
            _close(self._source)
        except BaseException as problem:
            error = error or problem
        with self._changed:
            self._error = error
            self._is_done = True
        self._tell()

    def _put(self, piece: bytes) -> bool:
        if not piece:
            return True
        with self._changed:
            while self._made >= MADE_AHEAD and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                return False
            self._pieces.append(piece)
            self._made += len(piece)
            is_first = len(self._pieces) == 1
        if is_first:
            self._tell()
        return True

    def _tell(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop is closed: nobody reads
            return

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)


def _close(source: object) -> None:
    close = getattr(source, "close", None)
    if close is not None:
        close()
