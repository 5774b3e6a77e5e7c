"""What all connections of one acceptor share: the application, the limits, the logs, the numbers, and one
timer.

The service knows no processes and no listening sockets. An acceptor makes one, makes a `Connection` for
every client it accepts, and is told when one is gone. Deadlines are kept by the connections as a moment
each; one timer compares them all with the clock four times a second, so that no request ever sets or
cancels a timer.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import frexp
from typing import TYPE_CHECKING, Final

from rocket_sup.accesslog import AccessLog
from rocket_sup.config import Config
from rocket_sup.hooks import Client, host_of
from rocket_sup.http.semantics import Heads
from rocket_sup.http.witness import Witness
from rocket_sup.log import EventLog
from rocket_sup.repertoire import Repertoire
from rocket_sup.request import Request
from rocket_sup.response import ENCODERS
from rocket_sup.router import Router
from rocket_sup.sessions import Sessions
from rocket_sup.threads import Threads, ThreadUse

if TYPE_CHECKING:
    from rocket_sup.connection import Connection

# Deadlines are in seconds: a quarter late hurts nobody, and ten thousand comparisons take half a millisecond.
SWEEP_S: Final = 0.25
LATENCY_BUCKETS: Final = 32
MICROSECOND: Final = 1e-6


class Statistics:
    """Counters of one acceptor; connections write them, the acceptor copies them to the scoreboard.

    Attributes:
        bytes_received, bytes_sent: on the connections.
        exceptions: answers by class, but for 2xx; index 0 counts those outside 100 to 599.
        durations: all answers, by the binary exponent of their seconds, which is one call in C; see
        `latency`. in_flight: requests whose handler waits or runs in a thread.
    """

    __slots__ = ("bytes_received", "bytes_sent", "durations", "exceptions", "in_flight")

    def __init__(self) -> None:
        self.bytes_received = 0
        self.bytes_sent = 0
        self.exceptions = [0] * 6
        # From 2**-20 s (nothing is shorter, with MICROSECOND added); negative exponents count from the end.
        self.durations = [0] * 64
        self.in_flight = 0

    def count(self, status: int, duration_s: float) -> None:
        """Count one answer."""
        self.durations[frexp(duration_s + MICROSECOND)[1]] += 1
        if not 200 <= status < 300:
            self.exceptions[status // 100 if status < 600 else 0] += 1

    @property
    def requests(self) -> int:
        """Answers begun, refusals included."""
        return sum(self.durations)

    @property
    def statuses(self) -> list[int]:
        """Answers by class; 2xx is what the exceptions leave, so that the usual answer costs one counter."""
        by_class = self.exceptions.copy()
        by_class[2] = self.requests - sum(by_class)
        return by_class

    @property
    def latency(self) -> list[int]:
        """Answers by duration: index n counts those of 2**(n-21) up to 2**(n-20) seconds."""
        by_exponent = self.durations[-20:] + self.durations[:-20]
        return [*by_exponent[: LATENCY_BUCKETS - 1], sum(by_exponent[LATENCY_BUCKETS - 1 :])]


class Service:
    """Shared by the connections of one acceptor; belongs to one event loop.

    Attributes:
        connections: every connection that was made and is not lost; connections add and remove themselves.
        statistics: see `Statistics`.
        sessions: the long conversations among them.
        is_draining: every answer from now on says `Connection: close`.
    """

    def __init__(
        self,
        router: Router,
        config: Config,
        *,
        loop: asyncio.AbstractEventLoop,
        log: EventLog,
        access_log: AccessLog | None,
        statistics: Statistics,
        on_closed: Callable[[], None],
        on_stop_accepting: Callable[[], None],
        record_in_flight: Callable[[bytes], None] | None = None,
    ) -> None:
        """Prepare to serve.

        Args:
            router: frozen.
            config: limits, timeouts and thread count are read once, here.
            loop: the loop that all connections belong to.
            log: for failures of handlers and hooks.
            access_log: one entry per answer; None for none.
            statistics: where to count.
            on_closed: called exactly once for every connection made.
            on_stop_accepting: called when a setup hook says so.
            record_in_flight: is given method and target before each handler runs, for the post-mortem.
        """
        self.router = router
        self.hooks = router.hooks
        self.error_pages = router.error_pages
        self.limits = config.limits
        self.timeouts = config.timeouts
        self.max_body = config.server.max_body
        self.find = router.find
        # A head no longer than these breaks no limit: the hot path compares with them alone.
        self._plain_bytes = min(config.limits.request_line, config.limits.head)
        self._plain_fields = 4 * config.limits.headers  # "a:" and CRLF: the shortest field line
        self.loop = loop
        self.log = log
        self.access_log = access_log
        self.statistics = statistics
        self.on_closed = on_closed
        self.on_stop_accepting = on_stop_accepting
        self.record_in_flight = record_in_flight or _record_nothing
        self.connections: set[Connection] = set()
        self.sessions = Sessions(config.websocket)
        self.is_draining = False
        self.heads = Heads(ENCODERS)
        self.witness = Witness()
        self.repertoire = Repertoire()
        self.find_known = self.repertoire.find
        self.idle_s = config.timeouts.idle or math.inf
        # Every handler gets a copy of this, so that no context variable of one request is seen by another.
        self.context = contextvars.copy_context()
        self.threads = Threads(config.acceptor.threads)
        self._timer: asyncio.TimerHandle | None = None
        self._idle_queue: list[tuple[float, Connection]] = []  # longest idle last; see longest_idle

    @property
    def executor(self) -> ThreadPoolExecutor:
        """The threads of blocking handlers; started by the first of them."""
        return self.threads.executor

    def thread_use(self) -> ThreadUse:
        """How the threads are used."""
        return self.threads.use()

    def start(self) -> None:
        """Begin to enforce deadlines."""
        if self._timer is None:
            self._timer = self.loop.call_later(SWEEP_S, self._sweep)

    def stop(self) -> None:
        """Enforce no deadline any more, and let the threads end when their handlers do."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.threads.close()

    def allows_plain(self, head_bytes: int, fields: bytes) -> bool:
        """Say whether a head found by the short way is surely within the limits."""
        return head_bytes <= self._plain_bytes and len(fields) < self._plain_fields

    def note(
        self, request: Request | None, status: int, body_bytes: int, duration_s: float, *, client: Client = ""
    ) -> None:
        """Count and log one answer; without a request when it could not be read."""
        self.statistics.count(status, duration_s)
        if self.access_log is None:
            return
        if request is None:
            self.access_log.append(host_of(client), "-", "-", "-", status, body_bytes, duration_s, None, None)
            return
        self.access_log.append(
            host_of(request.client),
            request.method,
            request.target,
            request.http_version,
            status,
            body_bytes,
            duration_s,
            request.get_header("referer"),
            request.get_header("user-agent"),
        )

    def refresh_heads(self, now: float) -> None:
        """Write the date anew."""
        self.heads.refresh(now, time.time())

    def current_date_line(self) -> bytes:
        """The Date field, as of now."""
        now = time.monotonic()
        if now >= self.heads.expires:
            self.refresh_heads(now)
        return self.heads.date_line

    def longest_idle_since(self) -> float | None:
        """Return when the longest-idle connection became idle (monotonic seconds), or None when none is."""
        connection = self._longest_idle()
        return connection.idle_since if connection is not None else None

    def close_longest_idle(self) -> bool:
        """Close the longest-idle connection; False when none is idle."""
        connection = self._longest_idle()
        if connection is None:
            return False
        connection.close_idle()
        return True

    def drain(self) -> None:
        """Keep no connection alive from now on: close the idle ones, let the others have one last answer."""
        self.is_draining = True
        for connection in list(self.connections):
            connection.drain()
        self.sessions.drain()

    def abort_all(self) -> None:
        """Cut every connection and cancel what runs for it."""
        for connection in list(self.connections):
            connection.abort()

    def _longest_idle(self) -> Connection | None:
        """Find the longest-idle connection without looking at all of them each time.

        Whatever became idle after the queue was made has been idle for less time than everything in it, so
        a queued connection that is still idle since the same moment is the longest of all.
        """
        queue = self._idle_queue
        while True:
            while queue:
                since, connection = queue[-1]
                if connection.idle_since == since and connection.is_idle:
                    return connection
                queue.pop()
            now = time.monotonic()
            idle = [(c.idle_since, c) for c in self.connections if c.is_idle_enough(now)]
            if not idle:
                return None
            idle.sort(key=lambda entry: entry[0], reverse=True)
            queue.extend(idle)

    def _sweep(self) -> None:
        self._timer = self.loop.call_later(SWEEP_S, self._sweep)
        now = time.monotonic()
        late = [connection for connection in self.connections if connection.deadline <= now]
        for connection in late:
            try:
                connection.on_deadline(now)
            except Exception as error:  # one connection must not cost the others their deadlines
                self.log.error("connection_failed", error=f"{type(error).__name__}: {error}")
                connection.abort()


def _record_nothing(_label: bytes) -> None:
    """Record no request in flight."""
