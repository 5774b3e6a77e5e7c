"""What may be supervised and how: child specifications, supervisor flags and exit reasons.

The vocabulary and the defaults are those of Erlang/OTP's `supervisor`; times are seconds. Everything here
is a value: nothing is started, no clock is read. `check_childspecs` refuses a tree that cannot work
before anything starts, and names every problem it finds. `policy.py` is the machine that acts on these
values; docs/supervision.md explains both.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from rocket_sup.errors import SupervisionError


class Strategy(enum.Enum):
    """Which children are restarted when one falls."""

    ONE_FOR_ONE = "one_for_one"  # that child alone
    ONE_FOR_ALL = "one_for_all"  # all of them
    REST_FOR_ONE = "rest_for_one"  # that child and those started after it


class Restart(enum.Enum):
    """When a child that ended is started again."""

    PERMANENT = "permanent"  # always, even after `normal`
    TRANSIENT = "transient"  # unless it ended with `normal` or `shutdown`
    TEMPORARY = "temporary"  # never; its specification goes with it


class AutoShutdown(enum.Enum):
    """Whether the supervisor ends by itself when significant children have ended by themselves."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class ChildType(enum.Enum):
    """What kind of process a child is; it only matters to `count_children` and to people."""

    WORKER = "worker"
    SUPERVISOR = "supervisor"


class BrutalKill(enum.Enum):
    """The type of `BRUTAL_KILL`, a shutdown that asks nothing and kills."""

    BRUTAL_KILL = "brutal_kill"


BRUTAL_KILL: Final = BrutalKill.BRUTAL_KILL
INFINITY: Final = math.inf
Shutdown = float | BrutalKill  # seconds to leave in after being asked; INFINITY waits as long as it takes


class ExitKind(enum.Enum):
    """The ways a process can be gone."""

    NORMAL = "normal"  # exit status 0, unasked
    SHUTDOWN = "shutdown"  # told to stop, and gone
    EXIT = "exit"  # a status other than 0
    KILLED = "killed"  # a signal
    OOM = "oom"  # the kernel, for memory
    BOOT_FAILED = "boot_failed"  # it said why it cannot start
    BOOT_TIMEOUT = "boot_timeout"  # it did not say ready in time
    HUNG = "hung"  # its heartbeat stopped, so it was killed


@dataclass(frozen=True, slots=True)
class ExitReason:
    """Why a process is gone.

    Attributes:
        kind: the way.
        code: the exit status, for `exit`.
        signal: the name of the signal ("SIGSEGV"), for `killed`.
        detail: what else is known, for example a traceback; may be many lines.
    """

    kind: ExitKind
    code: int | None = None
    signal: str | None = None
    detail: str = ""

    @property
    def is_clean(self) -> bool:
        """Answer whether a transient child that ended so is left alone."""
        return self.kind in (ExitKind.NORMAL, ExitKind.SHUTDOWN)

    def __str__(self) -> str:
        if self.kind is ExitKind.EXIT:
            return f"exit({self.code})"
        if self.kind is ExitKind.KILLED:
            return f"killed({self.signal})"
        return str(self.kind.value)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a restart. OTP has no such thing: a child without one is restarted at once.

    Attributes:
        initial_s: the first delay, seconds, above 0.
        max_s: no delay is longer, jitter included.
        factor: each delay is the one before times this, 1 or more.
        jitter: fraction of the delay added or removed at random, 0..1, lest children return in step.
        reset_after_s: a child that ran this long starts again from `initial_s`.
        failed_starts_only: a child that had been ready is restarted at once; only failed starts wait, and the
            attempts that follow them do not count towards the intensity.
    """

    initial_s: float = 1.0
    max_s: float = 60.0
    factor: float = 2.0
    jitter: float = 0.2
    reset_after_s: float = 60.0
    failed_starts_only: bool = False

    def spread(self, delay_s: float, chance: float) -> float:
        """Return `delay_s` with jitter, given `chance`, a random number of 0..1."""
        return min(self.max_s, delay_s * (1 + self.jitter * (2 * chance - 1)))


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child, as its supervisor needs to know it.

    Attributes:
        id: unique among its siblings.
        restart: when it is started again.
        shutdown: seconds it has to leave in once asked, or `BRUTAL_KILL`, or `INFINITY` (for supervisors, who
            have children of their own to wait for).
        significant: its ending by itself may end the supervisor, see `AutoShutdown`.
        type: worker or supervisor.
        boot_deadline_s: seconds it has to say ready in, or None for as long as it takes.
        backoff: the delay before restarts, or None for none.
    """

    id: str
    restart: Restart = Restart.PERMANENT
    shutdown: Shutdown = 5.0
    significant: bool = False
    type: ChildType = ChildType.WORKER
    boot_deadline_s: float | None = None
    backoff: Backoff | None = None


@dataclass(frozen=True, slots=True)
class SupervisorFlags:
    """How one supervisor treats its children.

    Attributes:
        strategy: who is restarted along with a child that fell.
        max_restarts: restarts tolerated within `max_seconds`, 0 or more; at the next it gives up.
        max_seconds: the length of that window, above 0. Three in five seconds is Elixir's default.
        auto_shutdown: whether significant children can end the supervisor.
    """

    strategy: Strategy = Strategy.ONE_FOR_ONE
    max_restarts: int = 3
    max_seconds: float = 5.0
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER


def check_childspecs(flags: SupervisorFlags, specs: Iterable[ChildSpec]) -> None:
    """Refuse flags and specifications that cannot work together.

    Raises:
        SupervisionError: the caller's fault; the text names every problem, one a line.
    """
    specs = tuple(specs)
    problems = list(_flag_problems(flags))
    seen: set[str] = set()
    for spec in specs:
        if spec.id in seen:
            problems.append(f"child {spec.id!r}: the id is used twice")
        seen.add(spec.id)
        problems.extend(f"child {spec.id!r}: {problem}" for problem in _spec_problems(flags, spec))
    if problems:
        raise SupervisionError("\n".join(problems))


# Comparisons are written so that NaN fails them: `not x > 0` refuses it, `x <= 0` would let it pass.


def _flag_problems(flags: SupervisorFlags) -> Iterator[str]:
    if flags.max_restarts < 0:
        yield f"max_restarts is {flags.max_restarts}, allowed: 0 or more"
    if not flags.max_seconds > 0:
        yield f"max_seconds is {flags.max_seconds}, allowed: above 0"


def _spec_problems(flags: SupervisorFlags, spec: ChildSpec) -> Iterator[str]:
    if not spec.id:
        yield "the id is empty"
    if not isinstance(spec.shutdown, BrutalKill) and not spec.shutdown >= 0:
        yield f"shutdown is {spec.shutdown}, allowed: brutal_kill, 0 seconds or more, infinity"
    if spec.significant and spec.restart is Restart.PERMANENT:
        yield "significant, but permanent: it never ends by itself for good"
    if spec.significant and flags.auto_shutdown is AutoShutdown.NEVER:
        yield "significant, but auto_shutdown is never"
    if spec.boot_deadline_s is not None and not spec.boot_deadline_s > 0:
        yield f"boot_deadline_s is {spec.boot_deadline_s}, allowed: above 0, or none"
    if spec.backoff is not None:
        yield from _backoff_problems(spec.backoff)


def _backoff_problems(backoff: Backoff) -> Iterator[str]:
    if not 0 < backoff.initial_s <= backoff.max_s:
        yield f"backoff from {backoff.initial_s} to {backoff.max_s} seconds, allowed: 0 < initial_s <= max_s"
    if not math.isfinite(backoff.max_s):
        yield f"backoff max_s is {backoff.max_s}, allowed: a finite number of seconds"
    if not backoff.factor >= 1:
        yield f"backoff factor is {backoff.factor}, allowed: 1 or more"
    if not 0 <= backoff.jitter <= 1:
        yield f"backoff jitter is {backoff.jitter}, allowed: 0 to 1"
    if not backoff.reset_after_s >= 0:
        yield f"backoff reset_after_s is {backoff.reset_after_s}, allowed: 0 or more"
