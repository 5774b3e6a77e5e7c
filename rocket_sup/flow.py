"""A conduit for coroutines: what comes is queued until somebody asks for it, and who writes waits for room.

The queue is bounded: when it is full the client has to wait, until half of it is taken. Belongs to the
loop's thread, as the conduit does.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from rocket_sup.conduit import Conduit
from rocket_sup.errors import LocalProtocolError, RemoteProtocolError, TransportError

QUEUED: Final = 131_072  # bytes of content that wait for their reader; then the client waits
PIECE_COST: Final = 128  # what a piece takes beside its bytes: a client may send them one by one


class Flow:
    """The receiver of one conduit.

    Attributes:
        conduit: this is attached to it.
        trailers: field lines, each preceded by CRLF; complete with the content.
        is_whole: all content has come.
        has_room: it would be well to send more.
        is_left: the client has closed its side.
        is_gone: the connection is gone.
        loop, thread: to which it belongs.
        on_wait: is called when somebody has to wait for content; None when that changes nothing.
        on_leave: is called when the client leaves; None when that changes nothing.
    """

    __slots__ = (
        "_arrival",
        "_error",
        "_is_paused",
        "_leave",
        "_pieces",
        "_queued",
        "_room",
        "conduit",
        "has_room",
        "is_gone",
        "is_left",
        "is_whole",
        "loop",
        "on_leave",
        "on_wait",
        "thread",
        "trailers",
    )

    def __init__(self, conduit: Conduit) -> None:
        """Attach to a conduit."""
        self.conduit = conduit
        self.trailers = b""
        self.is_whole = False
        self.is_left = False
        self.is_gone = False
        self.on_wait: Callable[[], None] | None = None
        self.on_leave: Callable[[], None] | None = None
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self._pieces: deque[bytes] = deque()
        self._queued = 0
        self._is_paused = True  # nothing is wanted before somebody asks
        self._error: Exception | None = None
        self.has_room = True
        self._arrival: asyncio.Future[None] | None = None  # whom the reader waits for,
        self._room: asyncio.Future[None] | None = None  # the writer,
        self._leave: asyncio.Future[None] | None = None  # and whoever wants to know that the client leaves
        conduit.attach(self)

    # -- what the conduit tells

    def on_content(self, data: bytes) -> None:
        """See `Receiver`."""
        self._pieces.append(data)
        self._queued += len(data) + PIECE_COST
        if self._queued >= QUEUED:
            self._is_paused = True
            self.conduit.pause_reading()
        _wake(self._arrival)

    def on_content_end(self, trailers: bytes) -> None:
        """See `Receiver`."""
        self.trailers = trailers
        self.is_whole = True
        _wake(self._arrival)

    def on_content_error(self, error: RemoteProtocolError) -> None:
        """See `Receiver`."""
        self._error = error
        _wake(self._arrival)

    def on_room(self) -> None:
        """See `Receiver`."""
        self.has_room = True
        _wake(self._room)

    def on_left(self) -> None:
        """See `Receiver`."""
        self.is_left = True
        _wake(self._leave)
        if self.on_leave is not None:
            self.on_leave()

    def on_gone(self, error: Exception | None) -> None:
        """See `Receiver`."""
        self.is_left = self.is_gone = True
        if self._error is None and not self.is_whole:
            self._error = error if isinstance(error, RemoteProtocolError) else _gone()
        for waiting in (self._arrival, self._room, self._leave):
            _wake(waiting)

    # -- what a coroutine does

    async def read(self) -> list[bytes]:
        """Wait for content, and take what is there.

        Returns: pieces; none when the content is whole and all was taken.
        Raises:
            RemoteProtocolError: it will never be whole; left alone, it becomes the client's answer.
            TransportError: the client is gone.
            LocalProtocolError: somebody else is waiting for it.
        """
        await self._wait_for_content()
        pieces = list(self._pieces)
        self._pieces.clear()
        self._queued = 0
        if not self.is_whole and self._error is None:
            self._resume()
        return pieces

    async def read_one(self) -> bytes:
        """Wait for content, and take one piece; b"" when it is whole and all was taken. Raises as `read`."""
        if not self._pieces:
            await self._wait_for_content()
            if not self._pieces:
                return b""
        piece = self._pieces.popleft()
        self._queued -= len(piece) + PIECE_COST
        if self._is_paused and self._queued <= QUEUED // 2 and not self.is_whole and self._error is None:
            self._resume()
        return piece

    async def write(self, data: bytes) -> None:
        """Send bytes, and wait until it would be well to send more.

        Raises:
            TransportError: the client is gone.
        """
        self.push(data)
        await self.wait_for_room()

    def push(self, data: bytes) -> None:
        """Send bytes now; whoever sends more should wait for room first."""
        if not self.conduit.write(data):
            self.has_room = False

    async def send_file(self, fd: int, offset: int, count: int) -> None:
        """Send a part of a file, and wait until all of it was taken. Raises as `write`."""
        if not self.conduit.send_file(fd, offset, count):
            self.has_room = False
        await self.wait_for_room()

    async def wait_for_room(self) -> None:
        """Wait until the client has taken what was sent. Raises as `write`."""
        while not self.has_room and not self.is_gone:
            self._room = self.loop.create_future()
            try:
                await self._room
            finally:
                self._room = None
        if self.is_gone:
            raise _gone()

    async def wait_for_leave(self) -> None:
        """Wait until the client has closed its side, or is gone."""
        while not self.is_left:
            if self._leave is None or self._leave.done():
                self._leave = self.loop.create_future()
            await asyncio.shield(self._leave)  # several may wait

    async def _wait_for_content(self) -> None:
        while not self._pieces and not self.is_whole:
            if self._error is not None:
                raise self._error
            self._resume()
            if self._pieces or self.is_whole or self._error is not None:
                continue
            if self._arrival is not None:
                raise LocalProtocolError("the content of a request has one reader at a time")
            if self.on_wait is not None:
                self.on_wait()
            self._arrival = self.loop.create_future()
            try:
                await self._arrival
            finally:
                self._arrival = None

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self.conduit.resume_reading()


def _gone() -> TransportError:
    return TransportError("the client is gone")


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
