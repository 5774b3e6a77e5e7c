"""Connections below HTTP on any loop of asyncio's kind: a protocol that keeps what has to be kept.

Everything is copied at least once here, and a handler that waits is resumed by the loop. The limits, the
errors and what the client sees are those of the native reactors.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from rocket_sup.engine.raw import (
    CLOSED_HERE,
    ENDED,
    LINGER_QUIET_S,
    LINGER_TOTAL_S,
    READ_LIMIT,
    SECOND_READ,
    TOO_LATE,
    Limits,
    check_seconds,
)

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close by a reset


class PortableStreams:
    """See `raw.Streams`.

    Args:
        loop: whose connections they are.
    """

    name = "python"

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    async def open(
        self, sock: socket.socket, limits: Limits, *, client: object, on_closed: Callable[[], None]
    ) -> PortableConnection:
        """See `raw.Streams`."""
        connection = PortableConnection(self._loop, sock, limits, client=client)
        await self._loop.connect_accepted_socket(lambda: connection, sock)
        connection.watch(on_closed)
        return connection


class PortableConnection(asyncio.Protocol):
    """See `raw.RawLink`.

    Args:
        loop: on which everything happens.
        sock: the transport's, once it is connected.
        limits: of this connection.
        client: its address.
    """

    __slots__ = (
        "_chunks",
        "_close_s",
        "_deadline",
        "_drained",
        "_error",
        "_flushers",
        "_has_timed_out",
        "_idle_s",
        "_is_blocked",
        "_is_closed",
        "_is_ended",
        "_is_eof_wanted",
        "_is_gone",
        "_is_lingering",
        "_is_reading",
        "_is_sending",
        "_limits",
        "_linger_until",
        "_loop",
        "_on_closed",
        "_outbox",
        "_progress",
        "_reader",
        "_sock",
        "_transport",
        "_unread",
        "client",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, limits: Limits, *, client: object
    ) -> None:
        self.client: Any = client
        self._loop = loop
        self._sock = sock
        self._limits = limits
        self._idle_s = limits.idle_s
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)  # from connection_made on
        self._on_closed: Callable[[], None] | None = None
        self._chunks: deque[bytes] = deque()
        self._unread = 0
        self._outbox: list[bytes] = []  # staged, not given to the transport
        self._is_sending = False  # `_send` is about to be called
        self._is_reading = True
        self._is_blocked = False  # the transport has bytes that the socket did not take
        self._is_ended = False  # the client sends no more
        self._is_eof_wanted = False
        self._is_closed = False  # here
        self._is_lingering = False
        self._is_gone = False  # the transport is
        self._error: OSError | None = None  # it broke
        self._has_timed_out = False
        self._reader: asyncio.Future[None] | None = None
        self._flushers: set[asyncio.Future[OSError | None]] = set()
        self._deadline: asyncio.TimerHandle | None = None  # of a closed connection
        self._linger_until = 0.0
        self._progress = (0, 0)

    # --- the handler's side ---

    @property
    def idle_s(self) -> float:
        """See `raw.Connection`."""
        return self._idle_s

    @idle_s.setter
    def idle_s(self, seconds: float) -> None:
        check_seconds("idle_s", seconds)
        self._idle_s = seconds

    @property
    def is_open(self) -> bool:
        """See `raw.Connection`."""
        return not self._is_closed and self._error is None

    @property
    def has_timed_out(self) -> bool:
        """See `raw.Connection`."""
        return self._has_timed_out

    async def read(self, limit: int = READ_LIMIT, /) -> bytes:
        """See `raw.Connection`."""
        if limit < 1:
            raise ValueError(f"the limit is {limit}; it is at least 1")
        if self._reader is not None:
            raise RuntimeError(SECOND_READ)
        while not self._chunks:
            if self._is_closed:
                raise _closed_here()
            if self._error is not None:
                raise _copy(self._error)
            if self._is_ended:
                return b""
            await self._wait_for_bytes()
        return self._take(limit)

    async def read_view(self) -> memoryview:
        """See `raw.Connection`."""
        return memoryview(await self.read())

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """See `raw.Connection`."""
        self._check_usable()
        if self._is_eof_wanted:
            raise RuntimeError(ENDED)
        unsent = self._unsent()
        if unsent > self._limits.unsent:
            raise BufferError(
                f"{unsent} bytes are staged and unsent, {self._limits.unsent} allowed: flush first"
            )
        self._outbox.append(data if type(data) is bytes else bytes(memoryview(data)))
        if not self._is_sending:
            self._is_sending = True
            self._loop.call_soon(self._send)

    async def flush(self) -> None:
        """See `raw.Connection`."""
        self._check_usable()
        self._send()
        if not self._is_blocked:
            return
        flusher: asyncio.Future[OSError | None] = self._loop.create_future()
        self._flushers.add(flusher)
        try:
            while not flusher.done():
                before = self._unsent()
                await asyncio.wait([flusher], timeout=self._idle_s or None)
                if not flusher.done() and self._unsent() >= before:
                    self._has_timed_out = True
                    raise TimeoutError(TOO_LATE)
        finally:
            self._flushers.discard(flusher)
        failure = flusher.result()
        if failure is not None:
            raise failure

    def write_eof(self) -> None:
        """See `raw.Connection`."""
        self._check_usable()
        if not self._is_eof_wanted:
            self._is_eof_wanted = True
            self._send()

    def close(self) -> None:
        """See `raw.Connection`."""
        if self._is_closed:
            return
        self._is_closed = True
        self._chunks.clear()
        self._unread = 0
        self._wake_reader()
        if self._is_gone:
            return
        self._is_eof_wanted = True
        self._send()
        self._resume_reading()
        self._leave()

    def abort(self) -> None:
        """See `raw.Connection`."""
        if not self._is_gone:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._cut()

    def drop(self) -> None:
        """See `raw.RawLink`."""
        if self._unsent():
            self.abort()
        else:
            self._cut()

    # --- the transport's side ---

    def watch(self, on_closed: Callable[[], None]) -> None:
        """Say whom to tell when it is gone, which it may be already."""
        self._on_closed = on_closed
        if self._is_gone:
            self._tell_closed()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can be used. The transport tells when it has bytes left, and when it has not."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(0)

    def data_received(self, data: bytes) -> None:
        """Keep what came, or drop it after `close`."""
        if self._is_closed:
            self._linger()
            return
        self._chunks.append(data)
        self._unread += len(data)
        self._wake_reader()
        if self._unread >= self._limits.unread and self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client sends no more; it may still be sent to."""
        self._is_ended = True
        self._wake_reader()
        if self._is_closed:
            self._leave()
        return True

    def pause_writing(self) -> None:
        """The socket did not take everything."""
        self._is_blocked = True

    def resume_writing(self) -> None:
        """The socket has taken everything."""
        self._is_blocked = False
        for flusher in self._flushers:
            if not flusher.done():
                flusher.set_result(None)
        self._leave()

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is closed, or about to be in this turn of the loop."""
        self._is_gone = True
        self._is_blocked = False
        self._outbox.clear()
        if self._deadline is not None:
            self._deadline.cancel()
        if not self._is_closed:
            self._error = error if isinstance(error, OSError) else _error(errno.ECONNRESET)
        for flusher in self._flushers:
            if not flusher.done():
                flusher.set_result(_closed_here() if self._error is None else _copy(self._error))
        self._wake_reader()
        self._tell_closed()

    # --- within ---

    def _check_usable(self) -> None:
        if self._is_closed:
            raise _closed_here()
        if self._error is not None:
            raise _copy(self._error)

    async def _wait_for_bytes(self) -> None:
        self._reader = self._loop.create_future()
        timer = self._loop.call_later(self._idle_s, self._on_reader_late) if self._idle_s else None
        try:
            await self._reader
        finally:
            self._reader = None
            if timer is not None:
                timer.cancel()

    def _on_reader_late(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._has_timed_out = True
            self._reader.set_exception(TimeoutError(TOO_LATE))

    def _take(self, limit: int) -> bytes:
        chunk = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        if len(chunk) > limit:
            self._chunks.append(chunk[limit:])
            chunk = chunk[:limit]
        self._unread -= len(chunk)
        if self._unread < self._limits.unread:
            self._resume_reading()
        return chunk

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _resume_reading(self) -> None:
        if not self._is_reading and not self._is_gone:
            self._is_reading = True
            self._transport.resume_reading()

    def _unsent(self) -> int:
        waiting = 0 if self._is_gone else self._transport.get_write_buffer_size()
        return waiting + sum(map(len, self._outbox))

    def _send(self) -> None:
        """Give what is staged to the transport, which sends what it can at once."""
        self._is_sending = False
        if self._is_gone:
            return
        if self._outbox:
            data = self._outbox[0] if len(self._outbox) == 1 else b"".join(self._outbox)
            self._outbox.clear()
            self._transport.write(data)
        if self._is_eof_wanted and not self._transport.is_closing():
            try:
                self._transport.write_eof()  # after what is in its buffer; again, it does nothing
            except OSError:  # it broke, and nobody was reading who would have noticed
                self._transport.abort()

    def _leave(self) -> None:
        """Go on with closing, once everything is sent."""
        if not self._is_closed or self._is_gone:
            return
        if self._is_blocked:
            self._expect_progress()
        elif self._is_ended:
            self._transport.close()
        elif not self._is_lingering:
            self._is_lingering = True
            self._linger_until = self._loop.time() + LINGER_TOTAL_S
            self._linger()

    def _expect_progress(self) -> None:
        self._progress = (self._unsent(), 0)
        self._set_deadline(self._limits.close_s, self._on_unsent)

    def _on_unsent(self) -> None:
        if self._unsent() < self._progress[0]:
            self._expect_progress()
        else:
            self.abort()

    def _linger(self) -> None:
        if self._is_lingering:
            left = self._linger_until - self._loop.time()
            self._set_deadline(min(LINGER_QUIET_S, left), self._cut)

    def _set_deadline(self, seconds: float, act: Callable[[], None]) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(seconds, act)

    def _cut(self) -> None:
        self._is_closed = True
        self._outbox.clear()
        self._wake_reader()
        if not self._is_gone:
            self._transport.abort()

    def _tell_closed(self) -> None:
        if self._on_closed is not None:
            on_closed, self._on_closed = self._on_closed, None
            on_closed()


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _closed_here() -> OSError:
    return OSError(errno.ECONNABORTED, CLOSED_HERE)


def _copy(error: OSError) -> OSError:
    """Make an error that may be raised again: one that is raised twice would gather both tracebacks."""
    return OSError(error.errno or errno.ECONNRESET, error.strerror or str(error))
