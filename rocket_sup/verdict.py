"""What the end of a child means: does it come back, was it asked to go, was it once too often.

Each rule is one clause of OTP's supervisor.erl, named beside it. No rule looks at more than it is given.
"""

from __future__ import annotations

from collections.abc import Iterable

from rocket_sup.child import Child
from rocket_sup.lifecycle import ChildState
from rocket_sup.spec import (
    BRUTAL_KILL,
    AutoShutdown,
    ChildSpec,
    ExitKind,
    ExitReason,
    Restart,
    SupervisorFlags,
)

# A child that was told to leave counts as gone: OTP would have waited for it before it read this exit.
_GONE = frozenset({ChildState.STOPPED, ChildState.STOPPING, ChildState.KILLING})


def is_restarted(spec: ChildSpec, reason: ExitReason) -> bool:
    """Answer whether a child that ended by itself comes back. Spec: supervisor.erl, do_restart."""
    if spec.restart is Restart.TRANSIENT:
        return not reason.is_clean
    return spec.restart is Restart.PERMANENT


def is_reported(spec: ChildSpec, reason: ExitReason) -> bool:
    """Answer whether an end that nobody asked for is worth a report. Spec: supervisor.erl, do_restart."""
    return spec.restart is Restart.PERMANENT or not reason.is_clean


def is_expected(spec: ChildSpec, reason: ExitReason) -> bool:
    """Answer whether a child that was told to go went as it should have. Spec: supervisor.erl, shutdown."""
    if spec.restart is not Restart.PERMANENT and reason.is_clean:
        return True
    if spec.shutdown is BRUTAL_KILL:
        return reason.kind is ExitKind.KILLED and reason.signal == "SIGKILL"
    return reason.kind is ExitKind.SHUTDOWN


def ends_supervisor(flags: SupervisorFlags, ended: Child, children: Iterable[Child]) -> bool:
    """Answer whether the supervisor ends with this child. Spec: supervisor.erl, do_auto_shutdown."""
    if not ended.spec.significant or flags.auto_shutdown is AutoShutdown.NEVER:
        return False
    if flags.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT:
        return True
    return all(child.state in _GONE for child in children if child.spec.significant)


class Intensity:
    """Counts restarts, and says when there were too many. Spec: supervisor.erl, add_restart.

    Attributes:
        total: restarts ever, the one that was too many included.
    """

    def __init__(self) -> None:
        self.total = 0
        self._recent: list[float] = []  # oldest first

    @property
    def recent(self) -> int:
        """Return how many restarts were in the window when the last one was counted."""
        return len(self._recent)

    def is_exceeded_at(self, now: float, flags: SupervisorFlags) -> bool:
        """Count a restart and answer if it is one too many; one exactly `max_seconds` old still counts."""
        self.total += 1
        self._recent = [*(at for at in self._recent if at >= now - flags.max_seconds), now]
        return len(self._recent) > flags.max_restarts
