"""What a supervisor remembers about one child: its place in the life cycle, its process, its deadline,
who waits for it.

Bookkeeping only: every decision is made in `policy.py`, every transition is looked up in `lifecycle.py`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable

from rocket_sup.actions import ChildStatus, Token
from rocket_sup.lifecycle import CHILD_TRANSITIONS, HAS_PROCESS, ChildEvent, ChildState, next_state
from rocket_sup.spec import ChildSpec, ExitReason


class Purpose(enum.Enum):
    """Why a child is started, which decides what a failure to start means."""

    BOOT = "boot"  # the supervisor fails
    RESTART = "restart"  # it is tried again
    ADDED = "added"  # by `start_child`: the caller is told, the child forgotten
    REQUESTED = "requested"  # by `restart_child`: the caller is told, the child stays stopped


class Child:
    """One child of one supervisor."""

    __slots__ = (
        "_base_delay_s",
        "deadline",
        "pid",
        "purpose",
        "ran_s",
        "reason",
        "restarts",
        "spec",
        "start_token",
        "started_at",
        "state",
        "stop_tokens",
    )

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.state = ChildState.STOPPED
        self.pid: int | None = None  # of the last process, when it said ready
        self.started_at: float | None = None  # when the last process said ready
        self.ran_s = 0.0  # how long the last process ran after it said ready
        self.deadline = math.inf  # to be ready, to be gone, or of the next attempt: the state tells which
        self.reason: ExitReason | None = None  # how the last process ended
        self.restarts = 0
        self.purpose: Purpose | None = None  # why it was started; None once it was ready
        self.start_token: tuple[Token, ...] = ()  # of the call that waits for it to be ready: one or none
        self.stop_tokens: list[Token] = []  # of the calls that wait for it to be gone
        self._base_delay_s = 0.0  # the last delay, before jitter; 0 for none

    @property
    def id(self) -> str:
        return self.spec.id

    def enter(self, event: ChildEvent) -> None:
        """Make a transition. Every state has a deadline of its own, or none.

        Raises:
            SupervisionError: the table refuses it; nothing is changed.
        """
        before = self.state
        self.state = next_state(CHILD_TRANSITIONS, before, event, f"child {self.id!r}")
        if self.state is not before:
            self.deadline = math.inf
        if self.state is ChildState.RUNNING:
            self.purpose = None

    def begin(self, purpose: Purpose, now: float) -> None:
        """Note that a process is being started. State: stopped or restarting → starting."""
        self.enter(ChildEvent.START)
        self.purpose = purpose
        self.pid = None
        self.started_at = None
        self.ran_s = 0.0
        self.deadline = math.inf if self.spec.boot_deadline_s is None else now + self.spec.boot_deadline_s
        if purpose is Purpose.RESTART:
            self.restarts += 1

    def next_delay(self, random: Callable[[], float], *, failed_start: bool) -> float:
        """Return the seconds to wait before the next attempt, and make the one after that longer."""
        backoff = self.spec.backoff
        if backoff is None:
            return 0.0
        if not failed_start and self.ran_s >= backoff.reset_after_s:
            self._base_delay_s = 0.0
        if backoff.failed_starts_only and not failed_start:
            return 0.0
        grown = self._base_delay_s * backoff.factor if self._base_delay_s else backoff.initial_s
        self._base_delay_s = min(backoff.max_s, grown)
        return backoff.spread(self._base_delay_s, random())

    def status(self) -> ChildStatus:
        """Return what others may see of it."""
        pid, started_at = (self.pid, self.started_at) if self.state in HAS_PROCESS else (None, None)
        return ChildStatus(self.id, pid, self.state, self.spec.type, self.spec, self.restarts, started_at)
