"""Accept and admit: take connections from the listening sockets, within the one limit of all acceptors.

With `overload = "wait"` a place is claimed before a connection is taken, so that newcomers wait in the
kernel's queue, where they cost nothing and can be taken over by a sibling if this process dies. A waiting
acceptor asks for room: the acceptor whose kept connection has been idle longest closes it, and all give up
keep-alive after the answer they are giving, so that busy clients share the places with those who wait. With
`overload = "reject"` a connection over the limit is taken and told 503.

A wire that has a doorman claims and takes by itself, and asks here when it cannot go on: the rules are these.

When descriptors or memory run out (EMFILE, ENFILE, ENOBUFS, ENOMEM) accepting pauses for a moment instead of
spinning.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import time
from dataclasses import dataclass

from rocket_sup import scoreboard as board
from rocket_sup.engine.contract import Accepted, Stop, Wire
from rocket_sup.log import EventLog
from rocket_sup.rejection import reject
from rocket_sup.scoreboard import Scoreboard, Slot

_BATCH = 64  # connections taken in one turn of the loop before others get theirs
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_EXHAUSTED_PAUSE_S = 0.25
# Should a doorbell be missed, a waiting acceptor looks again after this long.
_WAITING_PAUSE_S = 0.1
_HEARING_S = 0.005  # an idle acceptor answers its doorbell within a fraction of this
_REJECT_TRIES = 3  # two that race for the last place may both step back: try again before refusing somebody


@dataclass(frozen=True, slots=True)
class AdmissionRules:
    """How to treat newcomers at the limit."""

    must_reject: bool
    retry_after_s: int


class Admission:
    """The way in of one acceptor.

    Args:
        loop: the acceptor's event loop.
        wire: who serves the connections.
        scoreboard: the counter.
        slot: our row in it.
        rules: what to do at the limit.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wire: Wire,
        *,
        scoreboard: Scoreboard,
        slot: Slot,
        rules: AdmissionRules,
        log: EventLog,
    ) -> None:
        self._loop = loop
        self._wire = wire
        # Whoever is to be rejected has to be taken first, and is never the wire's.
        self._doorman = None if rules.must_reject else wire.doorman
        self._board = scoreboard
        self._slot = slot
        self._rules = rules
        self._log = log
        self._listening: dict[int, socket.socket] = {}
        self._adopted: dict[int, list[int]] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._is_watching = True
        self._is_closed = False
        self._exhausted_at = 0.0
        self._eviction: asyncio.TimerHandle | None = None
        loop.add_reader(scoreboard.doorbells[slot.index], self._on_doorbell)

    def open(self, fds: tuple[int, ...]) -> None:
        """Begin to accept on our own sockets."""
        for fd in fds:
            self._watch(fd)

    def adopt(self, number: int, fds: list[int]) -> None:
        """Accept on the sockets of a number that nobody serves at the moment."""
        if self._is_closed:
            for fd in fds:
                os.close(fd)
            return
        self.release(number)
        self._adopted[number] = fds
        for fd in fds:
            self._watch(fd)

    def release(self, number: int) -> None:
        """Leave a number's sockets to its new owner."""
        for fd in self._adopted.pop(number, ()):
            self._unwatch(fd)

    def close(self) -> None:
        """Take what is queued now, then accept no more."""
        if self._is_closed:
            return
        for sock in list(self._listening.values()):
            self._accept_from(sock)
        self._is_closed = True
        for fd in list(self._listening):
            self._unwatch(fd)
        for timer in (self._retry, self._eviction):
            if timer is not None:
                timer.cancel()
        self._slot.write(board.WAITING, 0)
        self._loop.remove_reader(self._board.doorbells[self._slot.index])

    def review(self) -> None:
        """Look again, now and then, whether others wait and whether we may go on."""
        self._press(bool(self._board.waiting()))
        if not self._is_watching and self._retry is None:
            self._resume()

    def on_connection_closed(self) -> None:
        """Take the next newcomer if we had to wait: a place is free."""
        if not self._is_watching and not self._is_closed:
            self._loop.call_soon(self._resume)

    # --- accepting ---

    def _watch(self, fd: int) -> None:
        sock = socket.socket(fileno=fd)
        self._listening[fd] = sock
        if self._is_watching:
            self._look_at(fd)

    def _unwatch(self, fd: int) -> None:
        sock = self._listening.pop(fd)
        self._look_away_from(fd)
        sock.close()

    def _look_at(self, fd: int) -> None:
        if self._doorman is not None:
            self._doorman.watch(fd, self._on_stuck)
        else:
            self._loop.add_reader(fd, self._accept_from, self._listening[fd])

    def _look_away_from(self, fd: int) -> None:
        if self._doorman is not None:
            self._doorman.unwatch(fd)
        else:
            self._loop.remove_reader(fd)

    def _on_stuck(self, fd: int, accepted: Accepted) -> None:
        """Decide what the doorman cannot; if we do not pause, it looks again by itself."""
        if accepted.stop is Stop.FULL:
            if self._claim_or_wait(self._listening[fd]):
                self._slot.unclaim()  # it came free just now, and is to be had
            return
        error = OSError(accepted.errno, os.strerror(accepted.errno))
        if accepted.stop is Stop.UNOPENED:
            self._log.warning("connection_not_opened", error=repr(error))
        elif accepted.stop is Stop.FAILED:
            self._is_over(error)

    def _accept_from(self, listening: socket.socket) -> None:
        if self._doorman is not None:
            self._on_stuck(listening.fileno(), self._doorman.accept(listening.fileno(), _BATCH))
            return
        for _ in range(_BATCH):
            if not self._rules.must_reject and not self._claim_or_wait(listening):
                return
            try:
                sock, _ = listening.accept()
            except OSError as error:
                if not self._rules.must_reject:
                    self._slot.unclaim()
                if self._is_over(error):
                    return
                continue
            sock.setblocking(False)
            if self._rules.must_reject and not self._try_claim_firmly():
                reject(sock, self._rules.retry_after_s)
                continue
            self._slot.occupy()
            self._open(sock)

    def _is_over(self, error: OSError) -> bool:
        """Decide after a failed accept whether this turn is over; other errors concern one dead newcomer."""
        if isinstance(error, BlockingIOError):
            return True
        if error.errno in _EXHAUSTED:
            self._pause(_EXHAUSTED_PAUSE_S)
            if time.monotonic() - self._exhausted_at > 10:
                self._log.error("accept_paused", reason=error.strerror, pause_s=_EXHAUSTED_PAUSE_S)
            self._exhausted_at = time.monotonic()
            return True
        return error.errno in (errno.EBADF, errno.EINVAL)  # the socket is no longer ours

    def _open(self, sock: socket.socket) -> None:
        try:
            self._wire.open(sock)
        except OSError as error:  # it left already, or there is no memory for it: the place comes back
            self._log.warning("connection_not_opened", error=repr(error))
            sock.close()
            self._slot.vacate()
            self.on_connection_closed()

    # --- the limit ---

    def _try_claim_firmly(self) -> bool:
        return any(self._slot.try_claim() for _ in range(_REJECT_TRIES))

    def _claim_or_wait(self, listening: socket.socket) -> bool:
        if self._slot.try_claim():
            return True
        if not _has_newcomer(listening):
            return False  # the last one got in: nobody is to be closed for nobody
        self._slot.write(board.WAITING, 1)
        board.fence()
        if self._slot.try_claim():  # a place came free between the two lines above
            self._slot.write(board.WAITING, 0)
            return True
        self._ask_for_room()
        self._pause(_WAITING_PAUSE_S)
        return False

    def _ask_for_room(self) -> None:
        """Have the longest-idle kept connection closed, wherever it is; tell all that somebody waits.

        What the others last said of their idle connections may be a heartbeat old, so they are asked to say
        it anew first.
        """
        others = [slot for slot in self._board.used_slots() if slot.index != self._slot.index]
        for slot in others:
            self._board.ring(slot.index)
        if self._eviction is None:
            self._eviction = self._loop.call_later(_HEARING_S if others else 0, self._evict)

    def _evict(self) -> None:
        """Choose the connection that has to go, and close it or have its owner close it."""
        self._eviction = None
        if self._is_closed or not self._slot.read(board.WAITING):
            return
        self.publish_idle()
        idle = [
            (since, slot) for slot in self._board.used_slots() if (since := slot.read(board.LONGEST_IDLE))
        ]
        if not idle:
            return  # all are busy: a place comes free when one of them has its answer
        _, owner = min(idle, key=lambda entry: entry[0])
        if owner.index == self._slot.index:
            self._wire.close_longest_idle()
        else:
            owner.write(board.EVICT, 1)
            self._board.ring(owner.index)

    def publish_idle(self) -> None:
        """Let the others see since when our longest-idle connection is idle."""
        since = self._wire.longest_idle_since()
        self._slot.write(board.LONGEST_IDLE, 0 if since is None else round(since * 1e9))

    def _on_doorbell(self) -> None:
        try:
            os.eventfd_read(self._board.doorbells[self._slot.index])
        except BlockingIOError:
            return  # rung for the former owner of this slot
        self._press(bool(self._board.waiting()))
        if self._slot.read(board.EVICT):
            self._slot.write(board.EVICT, 0)
            self._wire.close_longest_idle()
        self.publish_idle()
        if not self._is_watching:
            self._resume()

    def _press(self, is_pressed: bool) -> None:
        """While anybody waits for a place, let no connection be kept after its answer."""
        self._wire.is_draining = is_pressed or self._is_closed

    def _pause(self, seconds: float) -> None:
        if self._is_watching:
            self._is_watching = False
            self._wire.is_telling = True
            for fd in self._listening:
                self._look_away_from(fd)
        if self._retry is None and not self._is_closed:
            self._retry = self._loop.call_later(seconds, self._on_retry)

    def _on_retry(self) -> None:
        self._retry = None
        self._resume()

    def _resume(self) -> None:
        """Try again: with a place to be had, watch the sockets; else wait on."""
        if self._is_closed or self._is_watching:
            return
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._is_watching = True
        self._wire.is_telling = False
        self._slot.write(board.WAITING, 0)
        for fd in self._listening:
            self._look_at(fd)


def _has_newcomer(listening: socket.socket) -> bool:
    poller = select.poll()
    poller.register(listening, select.POLLIN)
    return bool(poller.poll(0))
