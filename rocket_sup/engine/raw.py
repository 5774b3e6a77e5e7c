"""What a connection below HTTP is to its handler, and what engines promise about it.

`rocket_sup/engine/rawportable.py` keeps the promise on any loop of asyncio's kind, and
`crates/rocket-py/src/tcp.rs` on the native reactors. One list of tests runs on each.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

READ_LIMIT: Final = 1 << 62  # bytes for one read: whatever has arrived
# After our end a client that is silent for this long is left alone, and any other after that. As HTTP has it.
LINGER_QUIET_S: Final = 2.0
LINGER_TOTAL_S: Final = 10.0
CLOSED_HERE: Final = "the connection was closed here"
SECOND_READ: Final = "another read of this connection is waiting: one at a time"
ENDED: Final = "write after write_eof"
TOO_LATE: Final = "the client was idle for too long"


@dataclass(frozen=True, slots=True)
class Limits:
    """What connections of one server may take.

    Attributes:
        connections: open at a time; further clients wait in the kernel's queue.
        unread: bytes; when a handler has left that much unread, nothing more is received. One receive may go
            beyond it, by up to 256 KiB.
        unsent: bytes; when more than that is staged and unsent, `write` raises BufferError.
        idle_s: seconds that a read or a flush waits without a byte before it raises TimeoutError; 0: for
            ever.
        close_s: seconds that a client may take no byte of what was staged before `close`.

    Raises:
        ValueError: one of them is out of its range.
    """

    connections: int = 10_000
    unread: int = 256 * 1024  # what a fast network brings in a few milliseconds
    unsent: int = 1024 * 1024  # a handler that flushes never comes near
    idle_s: float = 0.0
    close_s: float = 10.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("connections", "unread", "unsent"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is at least 1")
        for name in ("idle_s", "close_s"):
            check_seconds(name, getattr(self, name))


def check_seconds(name: str, seconds: float) -> None:
    """Refuse what is no duration.

    Raises:
        ValueError: it is negative, not a number, or longer than a year.
    """
    if not 0 <= seconds <= 31_536_000:
        raise ValueError(f"{name} is {seconds}; it is 0 to 31536000 seconds")


class Connection(Protocol):
    """One client, as its handler has it. Everything happens on the loop's thread.

    Attributes:
        idle_s: as in `Limits`, for this connection; counts from the next read or flush on.
    """

    idle_s: float

    @property
    def client(self) -> Any:  # whatever the socket's family calls an address
        """The client's address as its socket names it; "" for a Unix socket, or a client that had left."""

    @property
    def is_open(self) -> bool:
        """Say whether it is neither closed here nor broken; a client that sends no more is no break."""

    @property
    def has_timed_out(self) -> bool:
        """Say whether a read or a flush ever waited too long."""

    def read(self, limit: int = READ_LIMIT, /) -> Awaitable[bytes]:
        """Wait for bytes and give what has arrived, a copy.

        Args:
            limit: at most that many; the rest stays for the next read.

        Returns:
            At least one byte; b"" when the client sends no more.

        Raises:
            ConnectionError: it broke, or was closed here (ConnectionAbortedError).
            TimeoutError: nothing came for `idle_s`; the connection can be used on.
            RuntimeError: another read is waiting.
            ValueError: a limit below one.
        """

    def read_view(self) -> Awaitable[memoryview]:
        """As `read`, without a copy: a read-only view of the memory that the bytes were received into.

        It has to be given back: use it in a `with` block, or call `release`. Given back, it raises ValueError
        when it is used, and so does every slice of it that was released; while slices of it are in use the
        memory stays theirs. When 16 are out, and for less than 1 KiB, the view is of a copy.
        """

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Stage bytes: they are copied, and sent when the handler next waits, all in one.

        Raises:
            ConnectionError: it broke, or was closed here.
            BufferError: more than `Limits.unsent` is staged already: flush first.
            RuntimeError: after `write_eof`.
        """

    def flush(self) -> Awaitable[None]:
        """Wait until the socket has taken everything that is staged.

        Raises:
            ConnectionError: it broke, or was closed here.
            TimeoutError: the client has taken nothing for `idle_s`.
        """

    def write_eof(self) -> None:
        """Send the end behind what is staged: nothing more can be written, reading goes on.

        Raises:
            ConnectionError: it broke, or was closed here.
        """

    def close(self) -> None:
        """Be done with it: what is staged still leaves, then the end, in the background."""

    def abort(self) -> None:
        """Cut it: what is unsent is dropped, and the client is told that it is no regular end."""


class RawLink(Connection, Protocol):
    """A connection as its server has it."""

    def drop(self) -> None:
        """Close it at once; cut it if something is unsent."""


class Streams(Protocol):
    """An engine's raw connections, on one loop."""

    @property
    def name(self) -> str:
        """Name the engine: "python", "epoll" or "io_uring"."""

    async def open(
        self, sock: socket.socket, limits: Limits, *, client: object, on_closed: Callable[[], None]
    ) -> RawLink:
        """Take over a connected, non-blocking socket.

        Args:
            sock: ours from now on.
            limits: of this connection.
            client: its address, as `client` will give it.
            on_closed: called exactly once, when its socket is closed.

        Raises:
            OSError: it cannot be served; the caller still owns the socket, and `on_closed` is not called.
        """
