"""The Supervisor: the main process, the only one that the service manager knows.

It owns what must outlive everything else: the scoreboard, duplicates of all listening sockets, the control
socket. Its children are the Listener and the commands of the configuration, under OTP's rules. It is a
subreaper: the acceptors of a Listener that died become its children, and it clears their slots when they end.
What an operator may ask of it is in `orders.py`.

When it dies, however it dies, the lifeline tells the whole tree, which drains and leaves.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from rocket_sup import __version__
from rocket_sup.acceptorpool import DRAIN_MARGIN_S, RunAcceptor
from rocket_sup.actions import Cause
from rocket_sup.channel import Channel, ChannelClosedError, Message
from rocket_sup.config import Config
from rocket_sup.config_load import Inputs, Loaded
from rocket_sup.control_path import control_path, make_directory
from rocket_sup.heldsockets import HeldSockets
from rocket_sup.listener import EXIT_APPLICATION, EXIT_INTENSITY, ListenerBrief
from rocket_sup.listener import run as run_listener
from rocket_sup.log import EventLog
from rocket_sup.ops.control import ControlServer
from rocket_sup.ops.systemd import Notifier, listen_fds
from rocket_sup.orders import Orders
from rocket_sup.policy import Policy
from rocket_sup.poller import Poller
from rocket_sup.process import Process, become_subreaper, fork, set_name
from rocket_sup.processors import effective_processors
from rocket_sup.renewal import Edition
from rocket_sup.scoreboard import Reaper, Scoreboard, SlotState
from rocket_sup.shell import ProcessTree
from rocket_sup.sidecar import Sidecars, spec_of
from rocket_sup.spec import (
    AutoShutdown,
    Backoff,
    ChildSpec,
    ChildType,
    ExitKind,
    ExitReason,
    Strategy,
    SupervisorFlags,
)

LISTENER = "listener"
_TICK_S = 1.0
_SMALLEST_BOARD = 64  # slots: four generations of sixteen acceptors
_UNBORN_S = 2.0  # a slot without a pid is given one within a millisecond, unless the Listener died in between
_LISTENER_HANG_S = 5.0  # its loop turns ten times a second and never runs anybody else's code


def run(loaded: Loaded, inputs: Inputs, load_acceptor: Callable[[], RunAcceptor]) -> int:
    """Run the whole tree until it ends.

    Args:
        loaded: the checked configuration.
        inputs: where it came from, for reloads.
        load_acceptor: gives the body of an acceptor process; called in the Listener.

    Returns:
        The exit status: 0 stopped as asked, 1 cannot listen, 3 the application cannot be imported, 70 restart
        intensity reached, 78 wrong descriptors from the service manager (as `ConfigError`).
    """
    return Supervisor(loaded, inputs, load_acceptor).serve()


class Supervisor:
    """The process's state; see the module's docstring."""

    def __init__(self, loaded: Loaded, inputs: Inputs, load_acceptor: Callable[[], RunAcceptor]) -> None:
        config = loaded.config
        self.config = config
        self.inputs = inputs
        self.generation = 1
        self.acceptors = config.server.num_acceptors or effective_processors()
        self.log = EventLog(level=config.log.level, format=config.log.format, file=config.log.file)
        self.notifier = Notifier.from_environment(os.environ)
        self.held = HeldSockets(config, listen_fds(os.environ, os.getpid()), self.notifier)
        self.scoreboard = Scoreboard(
            max(_SMALLEST_BOARD, 4 * self.acceptors), max_connections=config.server.max_connections
        )
        self.started_at = time.monotonic()
        self.listener_state: Message = {}
        self.is_up = False
        self.is_stopping = False
        self.exit_status: int | None = None
        self._load_acceptor = load_acceptor
        self._lifeline, self._lifeline_end = os.pipe2(os.O_CLOEXEC)
        self.poller = Poller()
        self.commands = {child.name: child for child in config.children}
        self._sidecars = Sidecars(self.poller, lambda child_id: self.tree.child_is_ready(child_id))
        self.tree = ProcessTree(
            Policy(
                _flags(config),
                [_listener_spec(config), *(spec_of(c, config.supervisor) for c in config.children)],
            ),
            self,
            poller=self.poller,
            log=self.log,
            on_reply=lambda token, result: self._orders.on_policy_reply(token, result),
            on_orphan=self._on_orphan_reaped,
        )
        self._orders = Orders(self)
        self._control: ControlServer | None = None
        self._boot_report = ""
        self._next_tick = 0.0
        self._next_watchdog = 0.0

    def serve(self) -> int:
        """Run until all children are gone."""
        set_name("rocket-sup")
        become_subreaper()
        self._watch_signals()
        self._open_control()
        self.log.info(
            "supervisor_started", version=__version__, pid=os.getpid(), acceptors=self.acceptors,
            handler=self.config.server.handler or self.config.files.directory,
        )  # fmt: skip
        self.tree.perform(self.tree.policy.boot(time.monotonic()))
        while self.tree.finished is None:
            self._turn()
        self._see_off_acceptors()
        self.held.close()
        if self._control is not None:
            self._control.close()
        return self._conclude()

    # --- the loop ---

    def _watch_signals(self) -> None:
        on = self.poller.on_signal
        on(signal.SIGTERM, self.on_stop_signal)
        on(signal.SIGINT, self.on_stop_signal)
        on(signal.SIGHUP, lambda: self._orders.reload(self._orders.log_answer))
        on(signal.SIGUSR1, self._orders.reopen_logs)
        on(signal.SIGTTIN, lambda: self._orders.scale(self.acceptors + 1, self._orders.log_answer))
        on(signal.SIGTTOU, lambda: self._orders.scale(self.acceptors - 1, self._orders.log_answer))

    def _turn(self) -> None:
        deadline = self.tree.policy.next_deadline()
        self.poller.run_once(self._next_tick if deadline is None else min(deadline, self._next_tick))
        self.tree.run_due()
        now = time.monotonic()
        if now >= self._next_tick:
            was_late = self._next_tick > 0 and now - self._next_tick > _LISTENER_HANG_S / 2
            self._next_tick = now + min(_TICK_S, self.notifier.watchdog_interval_s or _TICK_S)
            self._orders.rates.sample()
            if not was_late:
                self._check_listener()
            if self.notifier.watchdog_interval_s:
                self.notifier.watchdog()
            if self.is_stopping or not self.is_up:
                self.notifier.extend_timeout(2 * _TICK_S + DRAIN_MARGIN_S)

    def _check_listener(self) -> None:
        heartbeat_ns = self.scoreboard.listener_heartbeat_ns
        if LISTENER not in self.tree.running or not heartbeat_ns:
            return
        age_s = (time.monotonic_ns() - heartbeat_ns) / 1e9
        if age_s > _LISTENER_HANG_S:
            self.log.error(
                "listener_hung", heartbeat_age_s=round(age_s, 3), consequence="killed and replaced"
            )
            self.tree.kill(LISTENER, because=ExitKind.HUNG)

    def on_stop_signal(self) -> None:
        """Drain and stop; the second time, stop at once."""
        if self.is_stopping:
            self.log.warning("stopping_at_once")
            for process in self.tree.running.values():
                process.signal(signal.SIGKILL)
            self._signal_acceptors(signal.SIGKILL)
            return
        self.stop(why="signal")

    def stop(self, *, why: str) -> None:
        """Begin to end the tree in reverse order of start."""
        if not self.is_stopping:
            self.is_stopping = True
            self.log.info("stopping", why=why, drain_s=self.config.timeouts.drain)
            self.notifier.stopping("draining")
            self.tree.perform(self.tree.policy.stop(time.monotonic()))

    def tell_listener(self, kind: str, **fields: Any) -> bool:
        """Send the Listener an order; False when there is no Listener to hear it."""
        process = self.tree.running.get(LISTENER)
        if process is None or process.channel is None:
            return False
        try:
            process.channel.send(kind, **fields)
        except ChannelClosedError:
            return False
        return True

    def _open_control(self) -> None:
        if not self.config.control.enabled:
            return
        path = control_path(self.config, os.environ)
        try:
            if not self.config.control.socket:
                make_directory(path.parent)
            self._control = ControlServer(path, poller=self.poller, handler=self._orders.handle)
            self.log.info("control_socket", path=str(path))
        except OSError as error:
            self.log.error("control_socket_refused", path=str(path), error=error.strerror or str(error))

    # --- children (shell.Launcher) ---

    def launch(self, child_id: str) -> Process:
        """Start the Listener, or one of the configured commands."""
        if child_id != LISTENER:
            process = self._sidecars.launch(self.commands[child_id])
            self.log.info("child_started", id=child_id, pid=process.pid)
            return process
        self._retire_the_gone()
        self.held.forget_unfinished()
        self.scoreboard.forget_listener()
        self.listener_state = {}  # what a former one said is not the state of this one
        ours, theirs = Channel.pair()
        brief = ListenerBrief(
            edition=Edition(self.config, self.generation),
            acceptors=self.acceptors,
            addresses=self.held.addresses,
            binds=self.held.binds,
            scoreboard=self.scoreboard,
            channel=theirs,
            lifeline=self._lifeline,
            load_acceptor=self._load_acceptor,
        )
        keep = (theirs.fileno(), self._lifeline, *self.held.fds(), *self.scoreboard.doorbells)
        process = fork(lambda: run_listener(brief), keep=keep, name="rocket-listener")
        process.channel = ours
        theirs.close()
        return process

    def ask_to_stop(self, child_id: str, process: Process) -> None:
        """Ask a child to end."""
        if child_id == LISTENER:
            process.signal(signal.SIGTERM)
        else:
            self._sidecars.ask_to_stop(process)

    def on_message(self, child_id: str, message: Message, fds: list[int]) -> None:
        """Handle what the Listener says."""
        kind = message["type"]
        if kind == "sockets":
            self.held.on_sockets(message, fds)
        elif kind == "bind":
            self.held.on_bind(message)
        elif kind == "state":
            self.listener_state = message
        elif kind == "answer":
            self._orders.on_listener_answer(message)
        elif kind == "boot_failed":
            self._boot_report = str(message["report"])
        elif kind == "stop_server":
            self.stop(why=str(message["cause"]))
        elif kind == "ready":
            self._on_listener_ready()

    def on_gone(self, child_id: str, process: Process, reason: ExitReason) -> None:
        """Clean up after a child; a Listener that gave up takes the tree with it."""
        if child_id != LISTENER:
            self._sidecars.bury(child_id, process)
            return
        self._orders.on_listener_gone()
        self._retire_the_gone()
        if self.is_stopping or reason.is_clean:
            return
        self.log.error("listener_died", pid=process.pid, reason=str(reason))
        # What the Listener found hopeless is not tried again here: that would be a loop.
        if reason.kind is ExitKind.BOOT_FAILED or reason.code == EXIT_INTENSITY:
            self.exit_status = reason.code
            self.stop(
                why="the application does not start" if reason.code == EXIT_APPLICATION else str(reason)
            )

    def _on_listener_ready(self) -> None:
        where = [str(bind["address"]) for bind in self.held.describe()]
        for bind in self.held.describe():
            if bind["why_shared"]:
                self.log.warning("socket_shared", bind=bind["address"], why=bind["why_shared"])
        self.log.info("serving", at=where, acceptors=self.acceptors, generation=self.generation)
        if not self.is_up:
            self.is_up = True
            self.notifier.ready(f"serving at {', '.join(where)}")

    # --- acceptors without a Listener ---

    def _on_orphan_reaped(self, pid: int) -> None:
        """Clear the slot of an acceptor that outlived its Listener and ended just now."""
        slot = self.scoreboard.find(pid)
        if slot is not None:
            self.scoreboard.retire(slot, reaper=Reaper.SUPERVISOR)
            self.log.info("orphan_reaped", pid=pid)

    def _signal_acceptors(self, signum: int) -> None:
        for slot in self.scoreboard.used_slots():
            if slot.pid:
                try:
                    os.kill(slot.pid, signum)  # not reaped before we reap it: the number cannot be reused
                except ProcessLookupError:
                    pass

    def _see_off_acceptors(self) -> None:
        """Wait for acceptors that a dead Listener left; kill those that stay too long."""
        deadline = time.monotonic() + self.config.timeouts.drain + DRAIN_MARGIN_S
        self.tree.reap()
        self._signal_acceptors(signal.SIGTERM)
        while any(slot.state is not SlotState.FREE for slot in self.scoreboard.used_slots()):
            if time.monotonic() > deadline:
                self._signal_acceptors(signal.SIGKILL)
            self.poller.run_once(time.monotonic() + 0.05)
            self.tree.reap()
            self._retire_the_gone()

    def _retire_the_gone(self) -> None:
        """Clear slots that nobody clears any more: a Listener died while it buried their owner, or before it
        forked.

        Every living acceptor without a Listener is our child, so a pid that cannot be waited for is gone for
        good.
        """
        for slot in self.scoreboard.used_slots():
            try:
                if slot.pid:
                    os.waitid(os.P_PID, slot.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                elif slot.age_s() > _UNBORN_S:
                    slot.clear()
            except ChildProcessError:
                self.scoreboard.retire(slot, reaper=Reaper.SUPERVISOR)

    def _conclude(self) -> int:
        finished = self.tree.finished
        assert finished is not None  # noqa: S101 - serve() has waited for it
        if self._boot_report and (finished.cause is Cause.START_ERROR or self.exit_status is not None):
            sys.stderr.write(self._boot_report.rstrip() + "\n")
            sys.stderr.flush()
        code = self.exit_status
        if code is None:
            code = _STATUS_OF_CAUSE.get(finished.cause, 0)
            if finished.cause is Cause.START_ERROR and finished.child_id == LISTENER:
                code = finished.reason.code or 1
        cause = finished.cause.value if self.exit_status is None else "the listener gave up"
        self.log.info("supervisor_ended", cause=cause, child=finished.child_id, exit_status=code)
        return code


_STATUS_OF_CAUSE: Mapping[Cause, int] = {
    Cause.STOPPED: 0,
    Cause.AUTO_SHUTDOWN: 0,
    Cause.START_ERROR: 1,
    Cause.REACHED_MAX_RESTART_INTENSITY: EXIT_INTENSITY,
}


def _flags(config: Config) -> SupervisorFlags:
    settings = config.supervisor
    return SupervisorFlags(
        strategy=Strategy(settings.strategy),
        max_restarts=settings.max_restarts,
        max_seconds=settings.max_seconds,
        auto_shutdown=AutoShutdown(settings.auto_shutdown),
    )


def _listener_spec(config: Config) -> ChildSpec:
    settings = config.supervisor
    drain_s = config.timeouts.drain + DRAIN_MARGIN_S
    return ChildSpec(
        id=LISTENER,
        type=ChildType.SUPERVISOR,
        shutdown=drain_s + DRAIN_MARGIN_S,  # it waits for its acceptors, and kills the last of them itself
        backoff=Backoff(initial_s=settings.backoff_initial, max_s=settings.backoff_max)
        if settings.backoff
        else None,
    )
