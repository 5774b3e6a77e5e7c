"""The shell around the supervision machine: it turns actions into processes and processes into events.

The Supervisor and the Listener are both a `ProcessTree` with a launcher of their own. All decisions are
`policy.Policy`'s; what is here is plain enough to be checked by reading: start, ask, kill, reap, report.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from rocket_sup.actions import Action, Finished, Kill, Reply, Report, ReportKind, Shutdown, Start
from rocket_sup.channel import ChannelClosedError, Message
from rocket_sup.lifecycle import ChildState
from rocket_sup.log import EventLog
from rocket_sup.policy import Policy
from rocket_sup.poller import Poller
from rocket_sup.process import Process, reap
from rocket_sup.spec import ExitKind, ExitReason


class Launcher(Protocol):
    """What a tree asks of the one who knows its children."""

    def launch(self, child_id: str) -> Process:
        """Start the child's process. An OSError is a failed start."""

    def on_message(self, child_id: str, message: Message, fds: list[int]) -> None:
        """Handle a message of a child that the tree itself does not know."""

    def on_gone(self, child_id: str, process: Process, reason: ExitReason) -> None:
        """Clean up after a child that was reaped; called before the policy decides what follows."""

    def ask_to_stop(self, child_id: str, process: Process) -> None:
        """Ask a child to end: a signal or a message."""


class ProcessTree:
    """A policy at work over real processes.

    Attributes:
        finished: how it ended, once it has.
    """

    def __init__(
        self,
        policy: Policy,
        launcher: Launcher,
        *,
        poller: Poller,
        log: EventLog,
        on_reply: Callable[[object, str], None],
        on_orphan: Callable[[int], None],
    ) -> None:
        self.policy = policy
        self.finished: Finished | None = None
        self.running: dict[str, Process] = {}
        self._launcher = launcher
        self._poller = poller
        self._log = log
        self._on_reply = on_reply
        self._on_orphan = on_orphan
        poller.on_signal(signal.SIGCHLD, self.reap)

    def perform(self, actions: Sequence[Action]) -> None:
        """Carry out what the policy decided, in order, with all that follows at once from it."""
        for action in actions:
            match action:
                case Start(child_id=child_id):
                    self._start(child_id)
                case Shutdown(child_id=child_id):
                    self._ask(child_id)
                case Kill(child_id=child_id):
                    self.kill(child_id, because=self._why_kill(child_id))
                case Report():
                    self._report(action)
                case Reply(token=token, result=result):
                    self._on_reply(token, result)
                case Finished():
                    self.finished = action

    def run_due(self) -> None:
        """Give the policy the time, and slow children what they did not take of their messages."""
        for process in self.running.values():
            if process.channel is not None:
                try:
                    process.channel.flush()
                except ChannelClosedError:
                    pass  # its end follows as SIGCHLD
        self.perform(self.policy.on_time(time.monotonic()))

    def child_is_ready(self, child_id: str) -> None:
        """Tell the policy that a child said it is ready; a command may say it again, after a reload of its
        own."""
        process = self.running.get(child_id)
        if process is not None and not process.is_ready:
            process.is_ready = True
            self.perform(self.policy.on_started(child_id, process.pid, time.monotonic()))

    def kill(self, child_id: str, *, because: ExitKind | None) -> None:
        """Send SIGKILL; the exit reason will name the cause when one is given."""
        process = self.running.get(child_id)
        if process is not None:
            if process.killed_because is None:
                process.killed_because = because
            process.signal(signal.SIGKILL)

    def reap(self) -> None:
        """Reap all that ended: children of the policy, and orphans that became ours."""
        while (ended := reap()) is not None:
            pid, status = ended
            child_id = next((name for name, process in self.running.items() if process.pid == pid), None)
            if child_id is None:
                self._on_orphan(pid)
            else:
                self._gone(child_id, status)

    def _why_kill(self, child_id: str) -> ExitKind | None:
        """Say why the policy kills, where the signal alone would not: the boot deadline has passed."""
        states = {child.id: child.state for child in self.policy.which_children()}
        return ExitKind.BOOT_TIMEOUT if states.get(child_id) is ChildState.OVERDUE else None

    def _start(self, child_id: str) -> None:
        try:
            process = self._launcher.launch(child_id)
        except OSError as error:
            reason = ExitReason(ExitKind.BOOT_FAILED, detail=str(error))
            self._log.error("child_not_started", id=child_id, error=str(error))
            self.perform(self.policy.on_exit(child_id, reason, time.monotonic()))
            return
        self.running[child_id] = process
        if process.channel is not None:
            self._poller.watch(process.channel.fileno(), lambda: self._receive(child_id, process))
        if process.is_ready_at_once:
            self.child_is_ready(child_id)

    def _ask(self, child_id: str) -> None:
        process = self.running.get(child_id)
        if process is not None:
            process.was_asked = True
            self._launcher.ask_to_stop(child_id, process)

    def _receive(self, child_id: str, process: Process) -> None:
        assert process.channel is not None  # noqa: S101 - watched only when there is one
        try:
            while (received := process.channel.receive()) is not None:
                message, fds = received
                if message["type"] == "ready":
                    self.child_is_ready(child_id)
                elif message["type"] == "boot_failed":
                    process.boot_report = str(message["report"])
                self._launcher.on_message(child_id, message, fds)
        except ChannelClosedError:
            self._poller.unwatch(process.channel.fileno())
            process.channel.close()
            process.channel = None  # its end follows as SIGCHLD

    def _gone(self, child_id: str, status: int) -> None:
        process = self.running[child_id]
        if process.channel is not None:
            self._receive(child_id, process)  # its last words may still be in the channel
        if process.channel is not None:
            self._poller.unwatch(process.channel.fileno())
        del self.running[child_id]
        reason = process.exit_reason(status)
        process.close()
        self._launcher.on_gone(child_id, process, reason)
        self.perform(self.policy.on_exit(child_id, reason, time.monotonic()))

    def _report(self, report: Report) -> None:
        fields = {"id": report.child_id, **report.detail}
        if report.reason is not None:
            fields["reason"] = str(report.reason)  # its detail, a traceback, is told once, by the launcher
        is_routine = report.kind in _ROUTINE or (report.reason is not None and report.reason.is_clean)
        write = self._log.info if is_routine else self._log.error
        write(f"supervisor_{report.kind.value}", **fields)


_ROUTINE = frozenset({ReportKind.PROGRESS})
