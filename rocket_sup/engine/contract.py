"""What every engine is to an acceptor.

An engine makes the event loop and a `Wire`: the connections of one acceptor, with everything between a
connected socket and a handler's call. The acceptor and its admission decide who comes in and when to leave;
the wire does the rest. Three engines obey this contract, and one list of tests runs on each: `python`
(`rocket_sup/connection.py` on asyncio or uvloop), `epoll` and `io_uring` (`crates/`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rocket_sup.accesslog import AccessLog
from rocket_sup.config import Config
from rocket_sup.log import EventLog
from rocket_sup.router import Router


@dataclass(frozen=True, slots=True)
class WireBrief:
    """What a wire is made of.

    Attributes:
        router: frozen.
        config: limits, timeouts and thread count are read once.
        loop: the loop that all connections belong to, made by the same engine.
        log: for failures of handlers and hooks.
        access_log: one entry per answer; None for none.
        on_closed: called exactly once for every connection that was opened, when it is gone.
        on_stop_accepting: called when a setup hook says so.
        flight_box: 512 bytes of shared memory in which the request about to be handled is left for the
            post-mortem; None for none.
    """

    router: Router
    config: Config
    loop: asyncio.AbstractEventLoop
    log: EventLog
    access_log: AccessLog | None
    on_closed: Callable[[], None]
    on_stop_accepting: Callable[[], None]
    flight_box: memoryview | None = None


class Counts(Protocol):
    """Counters of one wire, since it was made."""

    @property
    def requests(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def statuses(self) -> list[int]: ...
    @property
    def latency(self) -> list[int]: ...


class Wire(Protocol):
    """The connections of one acceptor; belongs to one loop.

    Attributes:
        is_draining: every answer from now on says `Connection: close`.
    """

    is_draining: bool

    @property
    def statistics(self) -> Counts: ...

    def start(self) -> None:
        """Begin to enforce deadlines."""

    def stop(self) -> None:
        """Enforce no deadline any more, and let the threads end when their handlers do."""

    def open(self, sock: socket.socket) -> None:
        """Serve a connected, non-blocking socket, which is the wire's from now on.

        Raises:
            OSError: it cannot be served; the caller still owns it, and `on_closed` is not called.
        """

    def connection_count(self) -> int:
        """Connections that are open, or on their way to be."""

    def held_bytes(self) -> tuple[int, int]:
        """Bytes held for all connections: received and not served yet, answered and not sent yet."""

    def longest_idle_since(self) -> float | None:
        """Monotonic seconds since when the longest-idle connection is idle; None when none is."""

    def close_longest_idle(self) -> bool:
        """Close the longest-idle connection; False when none is idle."""

    def drain(self) -> None:
        """Keep no connection alive from now on: close the idle ones, let the others have one last answer."""

    def abort_all(self) -> None:
        """Cut every connection and cancel what runs for it."""


class AcceptingWire(Wire, Protocol):
    """A wire that takes connections from a queue by itself, many in one call."""

    def accept(self, listening_fd: int, limit: int) -> tuple[int, int]:
        """Take connections from a listening socket's queue and open them.

        `on_closed` is called for each of them, and for none before this returns.

        Args:
            limit: how many at most; there is a place for each.

        Returns:
            How many were opened; and the errno that ended it before the limit, which is EAGAIN when the queue
            was empty, or 0.
        """


class Engine(Protocol):
    """One way to serve.

    Attributes:
        name: "python", "epoll" or "io_uring".
        reason: why it was chosen, for the log and `rocket-sup status`.
        is_fallback: something better was wanted or could be had; to be said loudly.
    """

    @property
    def name(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def is_fallback(self) -> bool: ...

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Make the event loop that handlers run on.

        Raises:
            ImportError: the configuration asks for uvloop, which is not installed.
        """

    def make_wire(self, brief: WireBrief) -> Wire:
        """Make a wire on a loop of `new_loop`."""
