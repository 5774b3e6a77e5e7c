"""A connection's hold on its socket: writing, pausing, closing so that the client can read.

It knows when the client does not take what was written, and stops reading it until it does; it knows how to
end: answer, half-close, read and forget for a moment, close (RFC 9112 §9.6). It knows no requests;
`exchange.py`, `intake.py` and `connection.py` build on it, each one layer of the same object, so that
nothing is handed around on the hot path.
"""

from __future__ import annotations

import asyncio
import fcntl
import math
import struct
import termios
import time
from typing import Final, cast

from rocket_sup.errors import TransportError
from rocket_sup.phases import CLOSED, FRESH, IDLE, LENT, LINGER, Phase
from rocket_sup.service import Service

LINGER_QUIET_S: Final = 2.0  # after the last answer: closed when the client has been silent for this long,
LINGER_TOTAL_S: Final = 10.0  # or at the latest after this; nginx waits 5 and 30
FRESH_IDLE_S: Final = 1.0  # a new connection this silent may be closed in favour of others
# While draining, a new connection's first request is waited for no longer than this.
DRAIN_FRESH_S: Final = 1.0

_monotonic = time.monotonic


class Link(asyncio.Protocol):
    """The socket side of a connection.

    Attributes:
        deadline: monotonic seconds; the service calls `on_deadline` when it has passed; infinite for none.
        idle_since: monotonic seconds since when nothing was asked or owed; means something while `is_idle`.
    """

    __slots__ = (
        "_error",
        "_is_blocked",
        "_is_half_closed",
        "_is_reading",
        "_linger_until",
        "_pending",
        "_phase",
        "_service",
        "_transport",
        "_unsent",
        "deadline",
        "idle_since",
    )

    def __init__(self, service: Service) -> None:
        """Wait for a transport."""
        self.deadline = math.inf
        self.idle_since = 0.0
        self._service = service
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)  # from connection_made on
        self._phase = Phase.FRESH
        self._error: Exception | None = None  # why we closed it, for the teardown hooks
        self._pending = bytearray()  # received, not looked at or not complete
        self._is_reading = True
        self._is_blocked = False  # the client does not take what was written
        self._unsent = (0.0, 0, 0)  # when that began, and bytes unsent then and at the last look
        self._is_half_closed = False  # the client will send no more
        self._linger_until = 0.0

    def pause_writing(self) -> None:
        """The client does not take what was written: read no more of what it sends, until a deadline.

        Whoever has taken the connection over decides that himself: two sides that write first and read later
        would wait for each other.
        """
        now = _monotonic()
        unsent = self._transport.get_write_buffer_size()
        self._is_blocked = True
        self._unsent = (now, unsent, unsent)
        self.deadline = after(now, self._service.timeouts.write)
        if self._phase is not LINGER and self._phase is not LENT:
            self._pause_reading()

    @property
    def is_idle(self) -> bool:
        """Nothing is asked, owed or unsent."""
        return (self._phase is IDLE or self._phase is FRESH) and not self._pending and not self._is_blocked

    def is_idle_enough(self, now: float) -> bool:
        """Say whether it may be closed in favour of others; a new connection is left a moment to ask."""
        return self.is_idle and (self._phase is IDLE or now - self.idle_since >= FRESH_IDLE_S)

    def held_bytes(self) -> tuple[int, int]:
        """Bytes received and not served yet, and bytes answered and not sent yet."""
        return len(self._pending), self._transport.get_write_buffer_size()

    def close_idle(self) -> None:
        """Close an idle connection at once: nothing is owed that the client would have to read first."""
        self._phase = LINGER
        self._linger_until = self.deadline = _monotonic() + LINGER_QUIET_S
        self._transport.close()

    def drain(self) -> None:
        """Close it if nothing is asked of it; else its next answer is its last (see `_serve`)."""
        if self.is_idle and self._phase is IDLE and not self._has_unread_bytes():
            self.close_idle()
        elif self._phase is FRESH:
            self.deadline = min(self.deadline, _monotonic() + DRAIN_FRESH_S)

    def abort(self) -> None:
        """Cut it."""
        if self._phase is not CLOSED:
            self._transport.abort()

    def _drop(self, out: list[bytes]) -> None:
        """Close without an answer, but for those owed before."""
        self._phase = LINGER
        self._linger_until = self.deadline = _monotonic() + LINGER_QUIET_S
        if out:
            self._write(out)
        self._transport.close()

    def _close_with(self, out: list[bytes]) -> None:
        """Write the last answers and close so that the client can read them (RFC 9112 §9.6)."""
        transport = self._transport
        self._phase = LINGER
        self._pending.clear()
        now = _monotonic()
        self._linger_until = now + LINGER_TOTAL_S
        if not self._is_blocked:
            self.deadline = now + LINGER_QUIET_S
        if out:
            self._write(out)
        if transport.is_closing():
            return
        if self._is_half_closed:
            transport.close()
            return
        transport.write_eof()
        self._resume_reading()

    def _write(self, out: list[bytes]) -> None:
        if self._transport.is_closing():  # the client is gone, and we are about to be told
            out.clear()
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._service.statistics.bytes_sent += len(data)
        if self._is_blocked:
            since, first, last = self._unsent
            self._unsent = (since, first + len(data), last + len(data))
        self._transport.write(data)

    def _on_write_deadline(self, now: float) -> None:
        """Cut a client that reads nothing, or so little that it is only holding on."""
        timeouts = self._service.timeouts
        since, first, last = self._unsent
        unsent = self._transport.get_write_buffer_size()
        deadline = now + timeouts.write
        if timeouts.body_min_rate:
            deadline = min(deadline, since + timeouts.write + (first - unsent) / timeouts.body_min_rate)
        if unsent >= last or now >= deadline:
            self._error = TransportError("the client does not read its answer")
            self._transport.abort()
            return
        self._unsent = (since, first, unsent)
        self.deadline = deadline

    def _pause_reading(self) -> None:
        if self._is_reading and not self._transport.is_closing():
            self._is_reading = False
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._is_reading and not self._is_half_closed and not self._transport.is_closing():
            self._is_reading = True
            self._transport.resume_reading()

    def _has_unread_bytes(self) -> bool:
        """Say whether the kernel holds bytes of the client that the loop has not read."""
        transport_socket = self._transport.get_extra_info("socket")
        if transport_socket is None or not self._is_reading:
            return False
        try:
            unread = fcntl.ioctl(transport_socket.fileno(), termios.FIONREAD, b"\0\0\0\0")
        except OSError:  # closed meanwhile
            return False
        return bool(struct.unpack("i", unread)[0])


def after(now: float, timeout_s: float) -> float:
    """Return the deadline of a timeout, of which 0 means never."""
    return now + timeout_s if timeout_s else math.inf
