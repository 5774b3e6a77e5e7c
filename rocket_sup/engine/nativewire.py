"""The native wire: connections served by the Rust core, on asyncio's own loop or on another.

On asyncio's loop the reactor is the selector. On a loop that has its own way of waiting (uvloop), the
reactor's descriptor is watched like any other, and turned when it is readable.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from rocket_sup.engine.announcing import Announcements
from rocket_sup.engine.contract import Counts, Doorman, WireBrief
from rocket_sup.engine.desk import Desk
from rocket_sup.engine.doorman import NativeDoorman
from rocket_sup.hooks import Client
from rocket_sup.sessions import Sessions
from rocket_sup.threads import ThreadUse

_ROUNDS: Final = 2  # batches in one callback of a loop that is not ours; more starved a 2 ms timer, measured
_TICK_S: Final = 0.25  # deadlines are looked at this often


class NativeWire:
    """See `Wire`.

    Args:
        module: the native module.
        reactor: the one that the loop was made with.
        is_selector: the reactor is the loop's selector.
    """

    def __init__(self, module: Any, reactor: Any, brief: WireBrief, *, is_selector: bool) -> None:
        self._loop = brief.loop
        self._reactor = reactor
        self._is_selector = is_selector
        self._desk = Desk(brief, wake=None if is_selector else self._wake)
        self._desk.sessions.make_lane = module.Lane
        self._http = module.Http(reactor, self._desk)
        self._desk.deliver = self._http.on_thread
        self._places = brief.places
        # Setup hooks decide about a connection before it is served: they are asked where it is handed over.
        # So is who is announced by a proxy.
        self._announcements = Announcements.wanted(brief, serve=self._serve, on_gone=self._on_gone)
        is_asked = self._desk.has_setup or self._announcements is not None
        self.doorman: Doorman | None = None if is_asked else NativeDoorman(self._http, self._desk)
        self._timer: asyncio.TimerHandle | None = None
        self._is_turning = False
        if brief.access_log is not None:
            brief.access_log.source = self._http.take_log

    @property
    def statistics(self) -> Counts:
        """See `Wire`."""
        counts: Counts = self._http
        return counts

    @property
    def sessions(self) -> Sessions:
        """See `Wire`."""
        return self._desk.sessions

    @property
    def is_draining(self) -> bool:
        """See `Wire`."""
        return bool(self._http.is_draining)

    @is_draining.setter
    def is_draining(self, is_draining: bool) -> None:
        self._http.is_draining = is_draining

    @property
    def is_telling(self) -> bool:
        """See `Wire`."""
        return bool(self._http.is_telling)

    @is_telling.setter
    def is_telling(self, is_telling: bool) -> None:
        self._http.is_telling = is_telling

    def start(self) -> None:
        """See `Wire`."""
        if not self._is_selector and self._timer is None:
            self._loop.add_reader(self._reactor.fileno(), self._turn)
            self._tick()

    def stop(self) -> None:
        """See `Wire`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._loop.remove_reader(self._reactor.fileno())
            self._reactor.close()
        if self._desk.access_log is not None:
            self._desk.access_log.flush()
            self._desk.access_log.source = None
        self._desk.close()

    def open(self, sock: socket.socket) -> None:
        """See `Wire`."""
        if self._announcements is not None:
            self._announcements.open(sock)
        else:
            self._serve(sock, None)

    def _serve(self, sock: socket.socket, announced: Client | None) -> None:
        peer: Any = announced or ""
        try:
            peer = announced or sock.getpeername()
        except OSError:
            pass  # it has left meanwhile: reading will say so
        client = peer if isinstance(peer, tuple) else (peer or "")
        timeouts = self._desk.admit(client) if self._desk.has_setup else self._desk.timeouts
        if timeouts is None:
            sock.close()
            self._turn_away(client)
            return
        own = () if timeouts is self._desk.timeouts else (timeouts,)
        self._http.open(sock.fileno(), client, *own)
        sock.detach()

    def _turn_away(self, client: Client) -> None:
        if self._desk.has_teardown:
            self._desk.tear_down(client, "", 0, "")
        self._on_gone()

    def _on_gone(self) -> None:
        """Count out a connection that was never served."""
        if self._places is not None:
            self._places.vacate()
        if self.is_telling:
            self._desk.on_closed()

    def connection_count(self) -> int:
        """See `Wire`."""
        waiting = 0 if self._announcements is None else len(self._announcements)
        return len(self._http) + waiting

    def thread_use(self) -> ThreadUse:
        """See `Wire`."""
        return self._desk.thread_use()

    def held_bytes(self) -> tuple[int, int]:
        """See `Wire`."""
        held: tuple[int, int] = self._http.held_bytes()
        return held

    def longest_idle_since(self) -> float | None:
        """See `Wire`."""
        since: float | None = self._http.longest_idle_since()
        return since

    def close_longest_idle(self) -> bool:
        """See `Wire`."""
        return bool(self._http.close_longest_idle())

    def drain(self) -> None:
        """See `Wire`."""
        self._http.drain()
        if self._announcements is not None:
            self._announcements.cut()
        self._desk.sessions.drain()

    def abort_all(self) -> None:
        """See `Wire`."""
        self._http.abort_all()
        if self._announcements is not None:
            self._announcements.cut()

    # --- a loop that is not ours ---

    def _tick(self) -> None:
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        self._turn()

    def _turn(self) -> None:
        """Serve what there is, within bounds; come back soon if there is more."""
        for _ in range(_ROUNDS):
            has_more = self._reactor.turn()
            if not has_more:
                return
        self._wake()

    def _wake(self) -> None:
        """Have the reactor turned soon, though no descriptor may be ready."""
        if not self._is_turning:
            self._is_turning = True
            self._loop.call_soon(self._turn_again, context=self._desk.context)

    def _turn_again(self) -> None:
        self._is_turning = False
        self._turn()
