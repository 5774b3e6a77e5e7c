"""The acceptors of one Listener as supervised processes: forked, watched, told, buried.

A `shell.Launcher` for the Listener's one_for_one tree. It knows how an acceptor starts and what its end
leaves behind; what the end means for the sockets, and who comes next, is the Listener's business, which it
hears through `PoolEvents`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rocket_sup import scoreboard as board
from rocket_sup.actions import Answer, Finished
from rocket_sup.channel import Channel, ChannelClosedError, Message
from rocket_sup.config import Config
from rocket_sup.log import EventLog
from rocket_sup.policy import Policy
from rocket_sup.poller import Poller
from rocket_sup.process import Process, fork
from rocket_sup.renewal import Edition
from rocket_sup.roster import Member, Roster
from rocket_sup.scoreboard import Reaper, Scoreboard, Slot, SlotState
from rocket_sup.shell import ProcessTree
from rocket_sup.spec import Backoff, ChildSpec, ExitKind, ExitReason, SupervisorFlags
from rocket_sup.vigil import DUMP_SIGNAL, Pulse, Vigil

DRAIN_MARGIN_S = 5.0  # an acceptor ends its own drain by its deadline; past this much more it is stuck


@dataclass(frozen=True, slots=True)
class AcceptorBrief:
    """All that an acceptor process is given.

    Attributes:
        fds: listening descriptors it accepts on, one for each bind.
        lifeline: reads end-of-file when the Supervisor is gone.
    """

    child_id: str
    number: int
    config: Config
    scoreboard: Scoreboard
    slot_index: int
    channel: Channel
    fds: tuple[int, ...]
    lifeline: int


RunAcceptor = Callable[[AcceptorBrief], int]


class PoolEvents(Protocol):
    """What the Listener hears."""

    def edition(self) -> Edition:
        """Say what the next acceptor is made of."""

    def fds_for(self, number: int) -> tuple[int, ...]:
        """Say which sockets an acceptor accepts on."""

    def on_health(self) -> None:
        """Some acceptor became healthy, or is no longer."""

    def on_ready(self, member: Member) -> None:
        """An acceptor that `start` began said ready."""

    def on_not_started(self, member: Member, report: str) -> None:
        """An acceptor that `start` began never became ready; it is off the roster."""

    def on_failed_boot(self, report: str) -> None:
        """A process ended before it was ready, whether it was new or being restarted."""

    def on_wish(self, member: Member, message: Message) -> None:
        """An acceptor asks for something: to be recycled, or that the server stops."""


class AcceptorPool:
    """See the module's docstring.

    Args:
        events: the Listener.
        target: how many acceptors there are to be, for the restart intensity.
        lifeline: handed to every acceptor.
        run_acceptor: the body of an acceptor process.
    """

    def __init__(
        self,
        events: PoolEvents,
        *,
        config: Config,
        target: int,
        scoreboard: Scoreboard,
        poller: Poller,
        log: EventLog,
        lifeline: int,
        run_acceptor: RunAcceptor,
    ) -> None:
        self.roster = Roster()
        self._events = events
        self._scoreboard = scoreboard
        self._log = log
        self._lifeline = lifeline
        self._run_acceptor = run_acceptor
        self._births: dict[int, int] = {}
        self._last_engine: dict[str, Any] = {}
        self._is_stopping = False
        self._vigil = Vigil(suspect_s=config.acceptor.suspect, hang_s=config.acceptor.hang)
        self._tree = ProcessTree(
            Policy(_flags(config, target), ()),
            self,
            poller=poller,
            log=log,
            on_reply=self._on_reply,
            on_orphan=lambda _pid: None,
        )

    @property
    def finished(self) -> Finished | None:
        """How the tree ended, once it has."""
        return self._tree.finished

    def boot(self) -> None:
        """Be ready to start acceptors."""
        self._tree.perform(self._tree.policy.boot(time.monotonic()))

    def next_deadline(self) -> float | None:
        """When `run_due` is to be called next, monotonic seconds."""
        return self._tree.policy.next_deadline()

    def run_due(self) -> None:
        """Carry out what is due by now."""
        self._tree.run_due()

    def reconfigure(self, config: Config, *, target: int) -> None:
        """Use other deadlines and another intensity from now on."""
        self._vigil.change_deadlines(suspect_s=config.acceptor.suspect, hang_s=config.acceptor.hang)
        self._tree.policy.change_flags(_flags(config, target))

    def start(self, number: int) -> None:
        """Start one more acceptor of this number; `on_ready` or `on_not_started` follows."""
        birth = self._births[number] = self._births.get(number, 0) + 1
        child_id = f"acceptor-{number}" if birth == 1 else f"acceptor-{number}.{birth}"
        edition = self._events.edition()
        self.roster.members[child_id] = Member(child_id, number, edition.generation)
        spec = _spec(child_id, edition.config)
        self._tree.perform(self._tree.policy.start_child(spec, time.monotonic(), token=("start", child_id)))

    def terminate(self, member: Member) -> None:
        """Ask an acceptor to drain; it is off the roster once it is gone."""
        member.is_leaving = True
        token = ("terminate", member.child_id)
        self._tree.perform(self._tree.policy.terminate_child(member.child_id, time.monotonic(), token=token))

    def stop(self) -> None:
        """Ask all to drain promptly, those that were draining patiently too."""
        self._is_stopping = True
        for member in self.roster.members.values():
            process = self._tree.running.get(member.child_id)
            if member.is_leaving and process is not None:
                process.signal(signal.SIGTERM)
        self._tree.perform(self._tree.policy.stop(time.monotonic()))

    def tell(self, member: Member, kind: str, *, fds: Sequence[int] = (), **fields: object) -> None:
        """Send an acceptor a message; one that is gone hears nothing."""
        process = self._tree.running.get(member.child_id)
        if process is not None and process.channel is not None:
            try:
                process.channel.send(kind, fds=fds, **fields)
            except ChannelClosedError:
                pass  # its end follows as SIGCHLD

    def describe(self) -> list[dict[str, Any]]:
        """Describe every member, for `status`."""
        restarts = {child.id: child.restarts for child in self._tree.policy.which_children()}
        return [
            {
                "id": member.child_id,
                "number": member.number,
                "slot": None if member.slot is None else member.slot.index,
                "restarts": restarts.get(member.child_id, 0),
                "is_suspect": member.is_suspect,
                "is_leaving": member.is_leaving,
                "engine": member.engine,
            }
            for member in self.roster.members.values()
        ]

    def check_heartbeats(self) -> None:
        """Look at every heartbeat, and act on those that are late."""
        now_ns = time.monotonic_ns()
        ages = {
            member.child_id: member.slot.heartbeat_age_s(now_ns)
            for member in self.roster.members.values()
            if member.slot is not None and member.slot.state in (SlotState.READY, SlotState.DRAINING)
        }
        for verdict in self._vigil.check(ages):
            self._on_pulse(self.roster.members[verdict.child_id], verdict.after, verdict.age_s)

    # --- shell.Launcher ---

    def launch(self, child_id: str) -> Process:
        """Fork one acceptor."""
        member = self.roster.members[child_id]
        edition = self._events.edition()
        member.generation = edition.generation
        slot = self._scoreboard.allocate(number=member.number, generation=edition.generation)
        if slot is None:
            raise OSError(0, f"all {self._scoreboard.capacity} places for acceptors are taken")
        try:
            process = self._fork(member, slot, edition)
        except OSError:
            slot.clear()  # nobody was born into it
            raise
        member.slot = slot
        return process

    def _fork(self, member: Member, slot: Slot, edition: Edition) -> Process:
        ours, theirs = Channel.pair()
        brief = AcceptorBrief(
            child_id=member.child_id,
            number=member.number,
            config=edition.config,
            scoreboard=self._scoreboard,
            slot_index=slot.index,
            channel=theirs,
            fds=self._events.fds_for(member.number),
            lifeline=self._lifeline,
        )
        keep = (theirs.fileno(), self._lifeline, *brief.fds, *self._scoreboard.doorbells)
        try:
            process = fork(lambda: self._run_acceptor(brief), keep=keep, name=member.child_id)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        process.channel = ours
        slot.write(board.PID, process.pid)
        return process

    def ask_to_stop(self, child_id: str, process: Process) -> None:
        """Ask an acceptor to drain: patiently while others serve, promptly when the whole tree goes."""
        self.roster.members[child_id].is_leaving = True
        process.signal(signal.SIGTERM if self._is_stopping else signal.SIGQUIT)

    def on_message(self, child_id: str, message: Message, fds: list[int]) -> None:
        """Handle what an acceptor says."""
        for fd in fds:
            os.close(fd)  # acceptors hand nothing over
        if message["type"] == "ready":
            self._log.info("acceptor_ready", id=child_id, pid=self._tree.running[child_id].pid)
            self._events.on_health()
        elif message["type"] == "engine":
            self._on_engine(self.roster.members[child_id], message)
        elif message["type"] in ("recycle", "stop_server"):
            self._events.on_wish(self.roster.members[child_id], message)

    def on_gone(self, child_id: str, process: Process, reason: ExitReason) -> None:
        """Bury an acceptor: newcomers are steered away before anything else is done."""
        member = self.roster.members[child_id]
        slot = member.slot
        had_booted = slot is not None and slot.state is not SlotState.BOOTING
        member.died()
        self._vigil.forget(child_id)
        self._events.on_health()
        if slot is not None:
            if had_booted and not reason.is_clean:
                self._log.error(
                    "acceptor_died",
                    id=child_id,
                    pid=process.pid,
                    reason=str(reason),
                    connections=slot.read(board.CONNECTIONS),
                    last_request=slot.in_flight_request().decode("latin-1"),
                )
            self._scoreboard.retire(slot, reaper=Reaper.LISTENER)
        if not had_booted and not member.is_leaving:
            report = reason.detail or f"{child_id} ended before it was ready: {reason}"
            member.boot_report = report
            self._events.on_failed_boot(report)

    # --- within ---

    def _on_pulse(self, member: Member, pulse: Pulse, age_s: float) -> None:
        process = self._tree.running.get(member.child_id)
        if process is None:
            return
        member.is_suspect = pulse is not Pulse.FRESH
        fields = {"id": member.child_id, "pid": process.pid, "heartbeat_age_s": round(age_s, 3)}
        if pulse is Pulse.FRESH:
            self._log.info("acceptor_recovered", **fields)
        elif pulse is Pulse.SUSPECT:
            self._log.warning("acceptor_suspect", **fields, consequence="no new connections")
        elif pulse is Pulse.DUMPED:
            self._log.error("acceptor_hung", **fields, consequence="stacks dumped, then replaced")
            process.signal(DUMP_SIGNAL)
        elif pulse is Pulse.ASKED:
            process.signal(signal.SIGTERM)
        else:
            self._tree.kill(member.child_id, because=ExitKind.HUNG)

    def _on_engine(self, member: Member, message: Message) -> None:
        """Note what an acceptor serves with; log it once for all that say the same."""
        member.engine = {key: message[key] for key in ("name", "loop", "reason", "is_fallback")}
        if member.engine != self._last_engine:
            self._last_engine = member.engine
            write = self._log.warning if message["is_fallback"] else self._log.info
            write("engine", name=message["name"], loop=message["loop"], reason=message["reason"])

    def _on_reply(self, token: object, result: str) -> None:
        """Hear how a start or a termination ended."""
        if not isinstance(token, tuple):
            return
        if result == Answer.STOPPING:
            return  # all are ended together: who has a process stays on the roster until it is gone
        verb, child_id = token
        if verb == "terminate":
            self._tree.perform(self._tree.policy.delete_child(child_id, time.monotonic(), token=None))
            self.roster.members.pop(child_id, None)
            self._events.on_health()
        elif result == Answer.OK:
            self._events.on_ready(self.roster.members[child_id])
        else:
            member = self.roster.members.pop(child_id)
            self._events.on_not_started(member, member.boot_report)


def _flags(config: Config, target: int) -> SupervisorFlags:
    # A burst that kills each acceptor once is not a storm.
    most = config.acceptor.max_restarts or target + 3
    return SupervisorFlags(max_restarts=most, max_seconds=config.acceptor.max_seconds)


def _spec(child_id: str, config: Config) -> ChildSpec:
    settings = config.supervisor
    return ChildSpec(
        id=child_id,
        shutdown=config.timeouts.drain + DRAIN_MARGIN_S,
        boot_deadline_s=config.acceptor.boot or None,
        # A replacement that does not start is tried again ever more slowly while its siblings serve.
        backoff=Backoff(
            initial_s=settings.backoff_initial,
            max_s=settings.backoff_max,
            failed_starts_only=not settings.backoff,
        ),
    )
