"""What the supervision machine asks of its shell, tells it and answers it. Values only; `policy.py` makes
them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from rocket_sup.lifecycle import ChildState, PolicyState
from rocket_sup.spec import ChildSpec, ChildType, ExitReason

Token = object  # whatever the shell wants back with the reply to a call; the machine never looks at it


class ReportKind(enum.StrEnum):
    """What a report is about; OTP's words, and `backoff`, which OTP does not have."""

    PROGRESS = "progress"  # a child said ready
    CHILD_TERMINATED = "child_terminated"  # it ended by itself, and should not have
    START_ERROR = "start_error"  # it ended before it said ready
    SHUTDOWN_ERROR = "shutdown_error"  # told to end, it ended in another way than expected
    SHUTDOWN = "shutdown"  # the supervisor gives up: too many restarts
    BACKOFF = "backoff"  # the next attempt waits


class Answer(enum.StrEnum):
    """How a call ended."""

    OK = "ok"
    ALREADY_STARTED = "already_started"
    ALREADY_PRESENT = "already_present"  # the specification is known, the child has no process
    RUNNING = "running"
    RESTARTING = "restarting"
    NOT_FOUND = "not_found"
    START_ERROR = "start_error"
    STOPPING = "stopping"  # the supervisor is ending; nothing was done


class Cause(enum.StrEnum):
    """Why a supervisor finished."""

    STOPPED = "stopped"
    START_ERROR = "start_error"
    REACHED_MAX_RESTART_INTENSITY = "reached_max_restart_intensity"
    AUTO_SHUTDOWN = "auto_shutdown"


@dataclass(frozen=True, slots=True)
class Start:
    """Start a process for this child; `on_started`, `on_ignore` or `on_exit` must follow in any case."""

    child_id: str


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Ask the child's process to leave; `on_exit` must follow, and `Kill` will if it takes too long."""

    child_id: str


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the child's process; `on_exit` must follow."""

    child_id: str


@dataclass(frozen=True, slots=True)
class Report:
    """Something to log.

    Attributes:
        kind: what about.
        child_id: which child; for `shutdown`, the offender.
        reason: how it ended, or None when it did not.
        detail: more, by name: numbers and short strings.
    """

    kind: ReportKind
    child_id: str
    reason: ExitReason | None = None
    detail: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a call.

    Attributes:
        token: what the caller gave.
        result: the answer.
        pid: the process, when a start went well (None after `ignore`) or the child was running already.
        reason: how the start failed, for `start_error`.
    """

    token: Token
    result: Answer
    pid: int | None = None
    reason: ExitReason | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """All children are gone and nothing will follow.

    Attributes:
        reason: how the offender ended; `shutdown` when there is none.
        cause: why the supervisor finished.
        child_id: the offender: the child that failed to start, fell once too often, or was significant.
    """

    reason: ExitReason
    cause: Cause
    child_id: str | None = None


Action = Start | Shutdown | Kill | Report | Reply | Finished


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """One child as it is now; `pid` and `started_at` (monotonic seconds) are None until it said ready."""

    id: str
    pid: int | None
    state: ChildState
    type: ChildType
    spec: ChildSpec
    restarts: int
    started_at: float | None


@dataclass(frozen=True, slots=True)
class ChildCount:
    """How many children there are: known, with a process, and known by type."""

    specs: int
    active: int
    supervisors: int
    workers: int


@dataclass(frozen=True, slots=True)
class PolicyStatistics:
    """What a supervisor has been through: restarts ever and in the window, and mail that waits its turn."""

    state: PolicyState
    restarts: int
    recent_restarts: int
    waiting: int
