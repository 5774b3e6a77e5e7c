"""Acceptors that outlived their Listener.

They serve on while a new Listener brings up its own. Each is then asked to drain, once its number has a
successor that is ready. They are the Supervisor's children now (it is a subreaper), which reaps them and
clears their slots; here they are only watched and signalled, by pidfd.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from rocket_sup.poller import Poller
from rocket_sup.scoreboard import Scoreboard, Slot, SlotState


@dataclass(slots=True)
class Orphan:
    """One acceptor of a former Listener.

    Attributes:
        kill_at: monotonic seconds when it is killed if it has not left; None until it was asked to leave.
    """

    pid: int
    pidfd: int
    slot: Slot
    number: int
    kill_at: float | None = None

    def is_healthy(self, now_ns: int, suspect_s: float) -> bool:
        """It may get new connections."""
        return self.slot.state is SlotState.READY and self.slot.heartbeat_age_s(now_ns) < suspect_s

    def signal(self, signum: int) -> None:
        """Send a signal; nothing happens when it is gone."""
        try:
            signal.pidfd_send_signal(self.pidfd, signum)
        except ProcessLookupError:
            pass  # gone between two turns of the loop


class Orphans:
    """All of them; empty unless this Listener took over from a dead one."""

    def __init__(self, scoreboard: Scoreboard, poller: Poller, on_gone: Callable[[Orphan], None]) -> None:
        self._poller = poller
        self._on_gone = on_gone
        self._living: dict[int, Orphan] = {}
        for slot in scoreboard.used_slots():
            self._take(slot)

    def __len__(self) -> int:
        return len(self._living)

    def numbers(self) -> set[int]:
        """The numbers that orphans hold."""
        return {orphan.number for orphan in self._living.values()}

    def healthy_numbers(self, suspect_s: float) -> set[int]:
        """The numbers whose orphans may get new connections."""
        now_ns = time.monotonic_ns()
        return {
            o.number for o in self._living.values() if o.kill_at is None and o.is_healthy(now_ns, suspect_s)
        }

    def ask_to_leave(self, numbers: set[int] | None, *, signum: int, within_s: float) -> None:
        """Ask orphans to drain.

        Args:
            numbers: whose; None: all.
            signum: SIGQUIT drains patiently, SIGTERM closes idle connections at once.
            within_s: seconds after which one that is still there is killed.
        """
        for orphan in self._living.values():
            if (numbers is None or orphan.number in numbers) and (orphan.kill_at is None or numbers is None):
                orphan.kill_at = time.monotonic() + within_s
                orphan.signal(signum)

    def kill_overdue(self, *, hang_s: float) -> None:
        """Kill those that did not leave in time, or hang."""
        now, now_ns = time.monotonic(), time.monotonic_ns()
        for orphan in self._living.values():
            is_hung = bool(hang_s) and orphan.slot.heartbeat_age_s(now_ns) >= hang_s
            if is_hung or (orphan.kill_at is not None and now >= orphan.kill_at):
                orphan.signal(signal.SIGKILL)

    def _take(self, slot: Slot) -> None:
        pid = slot.pid
        if pid == 0:
            return  # it died while it forked: a process comes, or the Supervisor clears the slot
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return  # ended and reaped: the Supervisor is about to clear the slot
        if slot.pid != pid:
            os.close(pidfd)  # reaped in between: the number may belong to a stranger by now
            return
        orphan = Orphan(pid, pidfd, slot, slot.read_number())
        self._living[pid] = orphan
        self._poller.watch(pidfd, lambda: self._gone(orphan))

    def _gone(self, orphan: Orphan) -> None:
        self._poller.unwatch(orphan.pidfd)
        os.close(orphan.pidfd)
        del self._living[orphan.pid]
        self._on_gone(orphan)
