"""What every engine is to an acceptor.

An engine makes the event loop and a `Wire`: the connections of one acceptor, with everything between a
connected socket and a handler's call. The acceptor and its admission decide who comes in and when to leave;
the wire does the rest. Three engines obey this contract, and one list of tests runs on each: `python`
(`rocket_sup/connection.py` on asyncio or uvloop), `epoll` and `io_uring` (`crates/`).
"""

from __future__ import annotations

import asyncio
import enum
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rocket_sup.accesslog import AccessLog
from rocket_sup.config import Config
from rocket_sup.log import EventLog
from rocket_sup.router import Router
from rocket_sup.sessions import Sessions
from rocket_sup.threads import ThreadUse


class Places(Protocol):
    """The places under `max_connections`, as `scoreboard.Slot` gives them to one acceptor."""

    def vacate(self) -> None:
        """Give back the place of a connection that is gone."""

    def share(self) -> object:
        """Describe them to native code, which counts in the same memory."""


@dataclass(frozen=True, slots=True)
class WireBrief:
    """What a wire is made of.

    Attributes:
        router: frozen.
        config: limits, timeouts and thread count are read once.
        loop: the loop that all connections belong to, made by the same engine.
        log: for failures of handlers and hooks.
        access_log: one entry per answer; None for none.
        on_closed: called once for every connection that is gone, while the wire `is_telling`.
        on_stop_accepting: called when a setup hook says so.
        flight_box: 512 bytes of shared memory in which the request about to be handled is left for the
            post-mortem; None for none.
        places: every connection has one, which the wire gives back when it is gone; None where nobody counts.
    """

    router: Router
    config: Config
    loop: asyncio.AbstractEventLoop
    log: EventLog
    access_log: AccessLog | None
    on_closed: Callable[[], None]
    on_stop_accepting: Callable[[], None]
    flight_box: memoryview | None = None
    places: Places | None = None


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


class Stop(enum.StrEnum):
    """Why a doorman took no more connections from a queue."""

    EMPTY = "empty"  # there are no more
    ENOUGH = "enough"  # as many as were asked for
    FULL = "full"  # there is no place; perhaps there is no newcomer either
    FAILED = "failed"  # `accept` failed
    UNOPENED = "unopened"  # one was taken that cannot be served, and was closed


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a queue.

    Attributes:
        taken: connections that are served now.
        errno: of a failure; else 0.
    """

    taken: int
    stop: Stop
    errno: int = 0


class Doorman(Protocol):
    """Takes connections from listening sockets by itself, each for a place that it claimed before."""

    def watch(self, listening_fd: int, on_stuck: Callable[[int, Accepted], None]) -> None:
        """Take connections whenever there are any.

        Args:
            on_stuck: called with the descriptor when there is no place, or something failed. Nothing else
                comes of it: the queue is watched on, and looked at again in the next turn of the loop.

        Raises:
            OSError: the kernel gives no more.
        """

    def unwatch(self, listening_fd: int) -> None:
        """Leave a queue alone, watched or not."""

    def accept(self, listening_fd: int, most: int) -> Accepted:
        """Take what is in a queue now, up to so many."""


class Wire(Protocol):
    """The connections of one acceptor; belongs to one loop.

    Attributes:
        is_draining: every answer from now on says `Connection: close`.
        is_telling: somebody wants to know when a connection is gone.
        doorman: takes connections without being handed each; None where the wire has to be handed them.
    """

    is_draining: bool
    is_telling: bool

    @property
    def doorman(self) -> Doorman | None: ...
    @property
    def statistics(self) -> Counts: ...
    @property
    def sessions(self) -> Sessions:
        """The long conversations among the connections; `drain` asks them to end."""

    def start(self) -> None:
        """Begin to enforce deadlines."""

    def stop(self) -> None:
        """Enforce no deadline any more, and let the threads end when their handlers do."""

    def open(self, sock: socket.socket) -> None:
        """Serve a connected, non-blocking socket, which is the wire's from now on, as is the place that was
        occupied for it.

        Raises:
            OSError: it cannot be served; the caller still owns it and its place.
        """

    def connection_count(self) -> int:
        """Connections that are open, or on their way to be."""

    def thread_use(self) -> ThreadUse:
        """How the threads of handlers are used."""

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
