"""The Listener: owns every listening socket, steers newcomers, and supervises the acceptors one for one.

It binds the sockets once, or gets them from the Supervisor when it takes over from a dead Listener, and never
closes one while the tree lives (`gate.py`). The first acceptor starts alone, so that an application that
cannot be imported is told once; then the others start together. Whoever is replaced is replaced by a
successor that is ready (`renewal.py`).

A small process that is safe to fork from: no threads, no running event loop of asyncio, no application. When
its Supervisor dies it stops listening, drains and leaves; when it dies itself, its acceptors serve on
(`orphans.py`).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rocket_sup.acceptorpool import DRAIN_MARGIN_S, AcceptorPool, RunAcceptor
from rocket_sup.actions import Cause
from rocket_sup.channel import Channel, ChannelClosedError, Message
from rocket_sup.config import from_document
from rocket_sup.gate import Gate
from rocket_sup.log import EventLog
from rocket_sup.orphans import Orphan, Orphans
from rocket_sup.poller import Poller
from rocket_sup.renewal import Edition, Renewal
from rocket_sup.roster import Member
from rocket_sup.scoreboard import Scoreboard
from rocket_sup.sockets import Bind, BindError

BEAT_S = 0.1  # a tenth of the smallest useful `suspect`; ten wake-ups a second cost nothing measurable
_RETRY_START_S = 10.0  # while orphans serve, an application that does not start is tried again this often
EXIT_APPLICATION = 3  # the application cannot be imported; as gunicorn and uvicorn use it
EXIT_INTENSITY = 70  # restart intensity reached


@dataclass(frozen=True, slots=True)
class ListenerBrief:
    """All that the Listener process is given.

    Attributes:
        edition: what acceptors are made of.
        acceptors: how many.
        addresses: where to listen.
        binds: sockets of a former Listener, or of the service manager, for the first of these addresses.
        lifeline: reads end-of-file when the Supervisor is gone.
        load_acceptor: imports what acceptors need and gives their body; called before the first fork.
    """

    edition: Edition
    acceptors: int
    addresses: tuple[str, ...]
    binds: list[Bind]
    scoreboard: Scoreboard
    channel: Channel
    lifeline: int
    load_acceptor: Callable[[], RunAcceptor]


def run(brief: ListenerBrief) -> int:
    """Be the Listener until told to stop.

    Returns:
        The exit status: 0 when asked to leave, 1 when it cannot listen, 3 when the application cannot be
        imported, 70 for a restart storm.
    """
    return Listener(brief).serve()


class Listener:
    """The process's state, and the ear of its acceptor pool; see the module's docstring."""

    def __init__(self, brief: ListenerBrief) -> None:
        config = brief.edition.config
        self._brief = brief
        self._target = brief.acceptors
        self._log = EventLog(level=config.log.level, format=config.log.format, file=config.log.file)
        self._poller = Poller()
        self._pool = AcceptorPool(
            self,
            config=config,
            target=brief.acceptors,
            scoreboard=brief.scoreboard,
            poller=self._poller,
            log=self._log,
            lifeline=brief.lifeline,
            run_acceptor=brief.load_acceptor(),
        )
        self._gate = Gate(
            brief.binds,
            server=config.server,
            roster=self._pool.roster,
            log=self._log,
            tell_supervisor=self._tell,
            tell_member=self._pool.tell,
            on_change=self._tell_state,
        )
        self._renewal = Renewal(
            brief.edition,
            roster=self._pool.roster,
            log=self._log,
            start=self._pool.start,
            terminate=self._pool.terminate,
            answer=self._answer,
            on_edition=self._reconfigure,
        )
        self._orphans = Orphans(brief.scoreboard, self._poller, self._on_orphan_gone)
        self._exit_status: int | None = None
        self._is_up = False
        self._is_stopping = False
        self._next_beat = 0.0
        self._retry_at: dict[int, float] = {}

    def serve(self) -> int:
        """Run until the last acceptor is gone."""
        self._watch_surroundings()
        try:
            self._gate.open(self._brief.addresses, acceptors=self._target)
        except BindError as error:
            self._tell("boot_failed", report=str(error))
            return 1
        self._pool.boot()
        self._pool.start(1)
        while self._pool.finished is None:
            self._turn()
        self._tell_state()
        if self._exit_status is not None:
            return self._exit_status
        return EXIT_INTENSITY if self._pool.finished.cause is Cause.REACHED_MAX_RESTART_INTENSITY else 0

    # --- surroundings: time, signals, the Supervisor ---

    def _watch_surroundings(self) -> None:
        for typed in (
            signal.SIGINT,
            signal.SIGHUP,
        ):  # at the terminal: the Supervisor passes them on in order
            signal.signal(typed, signal.SIG_IGN)
        self._poller.on_signal(signal.SIGTERM, self._stop)
        self._poller.watch(self._brief.channel.fileno(), self._receive)
        self._poller.watch(self._brief.lifeline, self._on_supervisor_gone)

    def _turn(self) -> None:
        deadline = self._pool.next_deadline()
        self._poller.run_once(self._next_beat if deadline is None else min(deadline, self._next_beat))
        self._pool.run_due()
        self._flush()
        now = time.monotonic()
        if now >= self._next_beat:
            suspect_s = self.edition().config.acceptor.suspect
            # Stopped and continued ourselves, we would see every heartbeat as late: give them a turn to prove
            # us wrong.
            was_late = self._next_beat > 0 and now - self._next_beat > suspect_s / 2
            self._next_beat = now + BEAT_S
            self._brief.scoreboard.beat_listener(pid=os.getpid())
            if not was_late:
                self._pool.check_heartbeats()
                self._orphans.kill_overdue(hang_s=self.edition().config.acceptor.hang)
            self._retry_starts(now)
        self.on_health()

    def _receive(self) -> None:
        try:
            while (received := self._brief.channel.receive()) is not None:
                self._on_order(received[0])
        except ChannelClosedError:
            self._on_supervisor_gone()

    def _on_order(self, order: Message) -> None:
        kind = order["type"]
        if kind == "reload":
            edition = Edition(from_document(order["config"]), order["generation"])
            self._renewal.reload(edition, order["token"])
        elif kind == "scale":
            self._scale(order["acceptors"], order["token"])
        elif kind == "restart":
            self._renewal.restart(order["id"], order["token"])
        elif kind == "reopen_logs":
            self._log.reopen()
            for member in self._pool.roster.members.values():
                self._pool.tell(member, "reopen_logs")

    def _on_supervisor_gone(self) -> None:
        """Let the next tree have the address at once, then drain and leave."""
        if not self._is_stopping:
            self._log.error("supervisor_gone", consequence="draining and leaving")
        self._poller.unwatch(self._brief.lifeline)
        self._poller.unwatch(self._brief.channel.fileno())
        self._gate.close()
        self._stop()

    def _stop(self) -> None:
        if not self._is_stopping:
            self._is_stopping = True
            self._orphans.ask_to_leave(None, signum=signal.SIGTERM, within_s=self._drain_s())
            self._pool.stop()

    def _tell(self, kind: str, *, fds: Sequence[int] = (), **fields: object) -> None:
        try:
            self._brief.channel.send(kind, fds=fds, **fields)
        except ChannelClosedError:
            pass  # the Supervisor is gone: the lifeline says so too

    def _flush(self) -> None:
        """Send what the Supervisor was too slow to take."""
        try:
            self._brief.channel.flush()
        except ChannelClosedError:
            pass  # the lifeline says so too

    def _answer(self, token: object, *, ok: bool, **fields: object) -> None:
        self._tell("answer", fds=(), token=token, ok=ok, **fields)

    def _tell_state(self) -> None:
        self._tell(
            "state",
            state="stopping" if self._is_stopping else "running" if self._is_up else "starting",
            generation=self.edition().generation,
            steered=sorted(self._gate.steered),
            orphans=len(self._orphans),
            acceptors=self._pool.describe(),
        )

    # --- acceptorpool.PoolEvents ---

    def edition(self) -> Edition:
        """What the next acceptor is made of."""
        return self._renewal.edition

    def fds_for(self, number: int) -> tuple[int, ...]:
        """Which sockets an acceptor accepts on."""
        return self._gate.fds_for(number)

    def on_health(self) -> None:
        """Steer newcomers to who is healthy now."""
        if not self._is_stopping:
            self._gate.steer(self._orphans.healthy_numbers(self.edition().config.acceptor.suspect))

    def on_ready(self, member: Member) -> None:
        """Go on: with the start of the others, with the replacement of the old."""
        self._orphans.ask_to_leave({member.number}, signum=signal.SIGQUIT, within_s=self._drain_s())
        if self._is_stopping:
            return
        if not self._is_up and member.number == 1:
            for other in range(2, self._target + 1):
                if self._pool.roster.current(other) is None:
                    self._pool.start(other)
        ready = {m.number for m in self._pool.roster.members.values() if m.is_ready}
        if not self._is_up and ready >= set(range(1, self._target + 1)):
            self._on_up()
        self._renewal.on_ready(member)
        self._tell_state()

    def on_not_started(self, member: Member, report: str) -> None:
        """Call its rollout off, or, when only orphans serve, try again in a while."""
        if self._is_stopping:
            return
        if not self._is_up and len(self._orphans):
            self._retry_at[member.number] = time.monotonic() + _RETRY_START_S
        self._renewal.on_not_started(member, report)
        self._tell_state()

    def on_failed_boot(self, report: str) -> None:
        """Give up when nobody serves: what cannot start will not start a second later."""
        if self._is_stopping:
            return
        if (self._is_up and self._pool.roster.is_anyone_ready()) or len(self._orphans):
            self._log.error("application_not_started", consequence="the others serve on", report=report)
        else:
            self._tell("boot_failed", report=report)
            self._exit_status = EXIT_APPLICATION
            self._stop()

    def on_wish(self, member: Member, message: Message) -> None:
        """Replace an acceptor that asks for it; pass on that the server is to stop."""
        if message["type"] == "stop_server":
            self._tell("stop_server", cause=message["cause"])
        elif member.is_ready:
            self._renewal.recycle(member.number, message["cause"])

    # --- within ---

    def _on_up(self) -> None:
        self._is_up = True
        self._orphans.ask_to_leave(None, signum=signal.SIGQUIT, within_s=self._drain_s())
        self.on_health()
        self._tell("ready")

    def _on_orphan_gone(self, orphan: Orphan) -> None:
        self._log.info("orphan_gone", pid=orphan.pid, number=orphan.number)

    def _retry_starts(self, now: float) -> None:
        for number in [number for number, at in self._retry_at.items() if now >= at]:
            del self._retry_at[number]
            self._pool.start(number)

    def _reconfigure(self) -> None:
        self._pool.reconfigure(self.edition().config, target=self._target)

    def _drain_s(self) -> float:
        return self.edition().config.timeouts.drain + DRAIN_MARGIN_S

    def _scale(self, acceptors: int, token: object) -> None:
        try:
            self._gate.extend(acceptors)
        except OSError as error:
            self._answer(token, ok=False, error=f"no more sockets: {error.strerror}")
            return
        before, self._target = self._target, acceptors
        self._reconfigure()
        for number in range(before + 1, acceptors + 1):
            self._pool.start(number)
        leaving = [m for m in self._pool.roster.members.values() if m.number > acceptors and not m.is_leaving]
        for member in leaving:
            member.is_leaving = True
        self.on_health()  # first no newcomers, then drain
        for member in leaving:
            self._pool.terminate(member)
        self._log.info("scaled", acceptors=acceptors, was=before)
        self._answer(token, ok=True, acceptors=acceptors, was=before)
        self._tell_state()
