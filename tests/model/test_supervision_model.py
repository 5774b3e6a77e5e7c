"""The machine and the model are told the same random story, and must say the same things at every turn.

The story is a legal one: only a process that lives says ready or exits. What a shell relies on is checked
along the way, without the model: one process per child, one reply per call, no busy loop, nothing alive
at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rocket_sup.policy import (
    Action,
    ChildState,
    Finished,
    Kill,
    Policy,
    PolicyState,
    Reply,
    Report,
    Shutdown,
    Start,
)
from rocket_sup.spec import (
    BRUTAL_KILL,
    INFINITY,
    AutoShutdown,
    Backoff,
    ChildSpec,
    ExitKind,
    ExitReason,
    Restart,
    Strategy,
    SupervisorFlags,
)
from tests.model.otp_model import Model

pytestmark = pytest.mark.slow

IDS = ("a", "b", "c", "d", "e")
KILLED = ExitReason(ExitKind.KILLED, signal="SIGKILL")
REASONS = (
    *(ExitReason(kind) for kind in ExitKind if kind not in (ExitKind.EXIT, ExitKind.KILLED)),
    ExitReason(ExitKind.EXIT, code=3),
    ExitReason(ExitKind.KILLED, signal="SIGSEGV"),
    KILLED,
)
SHOWN_AS = {
    ChildState.STOPPED: "stopped",
    ChildState.RESTARTING: "restarting",
    ChildState.STARTING: "starting",
    ChildState.OVERDUE: "starting",
    ChildState.RUNNING: "running",
    ChildState.FALLEN: "running",  # OTP has not noticed yet
    ChildState.STOPPING: "stopping",
    ChildState.KILLING: "stopping",
}
STORIES = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    phases=[phase for phase in Phase if phase is not Phase.explain],  # it traces every line: too slow
)
BACKOFFS = (  # small powers of two, so that sums of delays are exact
    None,
    Backoff(0.5, 8.0),
    Backoff(1.0, 1.0, reset_after_s=0.0),
    Backoff(1.0, 4.0, reset_after_s=2.0, failed_starts_only=True),
)
SPECS = [  # whole specifications are drawn, not their parts: drawing is what takes the time
    ChildSpec("", restart, shutdown, significant, boot_deadline_s=boot_deadline_s, backoff=backoff)
    for restart in Restart
    for shutdown in (5.0, 0.0, 1.0, BRUTAL_KILL, INFINITY)
    for significant in ((False,) if restart is Restart.PERMANENT else (False, True))
    for boot_deadline_s in (None, 2.0)
    for backoff in BACKOFFS
]
FLAGS = [
    SupervisorFlags(Strategy.ONE_FOR_ONE, max_restarts, max_seconds, auto_shutdown)
    for max_restarts in (1000, 3, 1, 0)
    for max_seconds in (5.0, 1.0)
    for auto_shutdown in AutoShutdown
]
SECONDS = st.sampled_from([0.0, 0.5, 1.0, 2.0, 6.0])
WHICH = st.integers(0, 23)  # modulo the number there is


def plain(action: Action) -> tuple[object, ...]:
    """An action as the model says it."""
    match action:
        case Start(child_id):
            return ("start", child_id)
        case Shutdown(child_id):
            return ("shutdown", child_id)
        case Kill(child_id):
            return ("kill", child_id)
        case Report(kind, child_id, reason):
            return ("report", kind.value, child_id, None if reason is None else str(reason))
        case Reply(token, result):
            return ("reply", token, result.value)
        case Finished(_, cause, child_id):
            return ("finished", cause.value, child_id)


class Supervision(RuleBasedStateMachine):
    """A world with processes, a supervisor in it, and somebody who knows how it should behave."""

    strategy: Strategy

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.alive: dict[str, bool] = {}  # child id → it said ready
        self.asked: list[int] = []
        self.answered: Counter[object] = Counter()
        self.finished = False

    @initialize(flags=st.sampled_from(FLAGS), specs=st.lists(st.sampled_from(SPECS), max_size=4), boots=WHICH)
    def create(self, flags: SupervisorFlags, specs: list[ChildSpec], boots: int) -> None:
        """Make both supervisors, with none to four children."""
        self.flags = replace(flags, strategy=self.strategy)
        specs = [self.suited(spec, child_id) for spec, child_id in zip(specs, IDS, strict=False)]
        self.policy = Policy(self.flags, specs, random=lambda: 0.5)
        self.model = Model(self.flags, specs)
        if boots:
            self.both(self.policy.boot(self.now), self.model.boot())

    def suited(self, spec: ChildSpec, child_id: str) -> ChildSpec:
        """Name a specification, and make it suit the flags."""
        is_significant = spec.significant and self.flags.auto_shutdown is not AutoShutdown.NEVER
        return replace(spec, id=child_id, significant=is_significant)

    def starting(self) -> list[str]:
        """Processes that have not said ready."""
        return sorted(child_id for child_id, ready in self.alive.items() if not ready)

    def both(self, actions: list[Action], expected: list[tuple[object, ...]]) -> None:
        """Compare what they said, and do it."""
        assert expected == [plain(action) for action in actions]
        for action in actions:
            assert not self.finished or isinstance(action, Reply), "it had finished"
            match action:
                case Start(child_id):
                    assert child_id not in self.alive, "two processes for one child"
                    self.alive[child_id] = False
                case Shutdown(child_id) | Kill(child_id):
                    assert child_id in self.alive, "there is no process to end"
                case Reply(token):
                    self.answered[token] += 1
                case Finished():
                    assert not self.alive, "it left processes behind"
                    self.finished = True

    def call(self, name: str, argument: object) -> None:
        """Make a call of both."""
        token = len(self.asked)
        self.asked.append(token)
        method: Callable[..., list[Action]] = getattr(self.policy, name)
        actions = method(argument, self.now, token=token)
        self.both(actions, self.model.call(getattr(self.model, name), token, argument))

    @precondition(lambda self: self.starting())
    @rule(which=WHICH)
    def say_ready(self, which: int) -> None:
        """A process that was starting says ready."""
        child_id = self.starting()[which % len(self.starting())]
        self.alive[child_id] = True
        self.both(self.policy.on_started(child_id, 1, self.now), self.model.on_ready(child_id))

    @precondition(lambda self: self.starting())
    @rule()
    def all_say_ready(self) -> None:
        """Whatever is starting says ready, and so on until nothing is."""
        while self.starting():
            self.say_ready(0)

    @precondition(lambda self: self.starting())
    @rule(which=WHICH)
    def say_ignore(self, which: int) -> None:
        """A process that was starting says that it is not needed, and is gone."""
        child_id = self.starting()[which % len(self.starting())]
        del self.alive[child_id]
        self.both(self.policy.on_ignore(child_id, self.now), self.model.on_ignore(child_id))

    @precondition(lambda self: self.alive)
    @rule(which=WHICH, reason=st.sampled_from(REASONS))
    def die(self, which: int, reason: ExitReason) -> None:
        """Any process ends in any way at any time."""
        self.gone(sorted(self.alive)[which % len(self.alive)], reason)

    def gone(self, child_id: str, reason: ExitReason) -> None:
        """Bury it."""
        del self.alive[child_id]
        self.both(self.policy.on_exit(child_id, reason, self.now), self.model.on_exit(child_id, str(reason)))

    @precondition(lambda self: all(self.alive.values()))
    @rule(seconds=SECONDS)
    def rest(self, seconds: float) -> None:
        """Time passes and nobody looks at the clock."""
        self.now += seconds
        self.model.now = self.now

    @rule(seconds=SECONDS)
    def tick(self, seconds: float) -> None:
        """Time passes, and whatever is due is done."""
        self.now += seconds
        self.look_at_the_clock()

    @precondition(lambda self: self.policy.next_deadline() is not None)
    @rule()
    def wait(self) -> None:
        """Time passes until the next deadline exactly."""
        self.now = max(self.now, self.policy.next_deadline() or 0.0)
        self.look_at_the_clock()

    def look_at_the_clock(self) -> None:
        """Have done what is due, and see that a shell would not turn in circles."""
        self.model.now = self.now
        for _ in range(3):  # what was due; a shutdown of 0 seconds that it led to; nothing
            self.both(self.policy.on_time(self.now), self.model.on_time())
        deadline = self.policy.next_deadline()
        assert deadline is None or deadline > self.now

    @rule(spec=st.sampled_from(SPECS), child_id=st.sampled_from(IDS))
    def start_child(self, spec: ChildSpec, child_id: str) -> None:
        """Somebody adds a child."""
        self.call("start_child", self.suited(spec, child_id))

    @rule(child_id=st.sampled_from(IDS))
    def terminate_child(self, child_id: str) -> None:
        """Somebody ends a child."""
        self.call("terminate_child", child_id)

    @rule(child_id=st.sampled_from(IDS))
    def restart_child(self, child_id: str) -> None:
        """Somebody starts a child that was ended."""
        self.call("restart_child", child_id)

    @rule(child_id=st.sampled_from(IDS))
    def delete_child(self, child_id: str) -> None:
        """Somebody wants a child forgotten."""
        self.call("delete_child", child_id)

    @rule(max_restarts=st.sampled_from([0, 1, 3, 1000]))
    def change_flags(self, max_restarts: int) -> None:
        """Somebody changes the intensity that is tolerated."""
        self.flags = replace(self.flags, max_restarts=max_restarts)
        self.policy.change_flags(self.flags)
        self.model.flags = self.flags

    @precondition(lambda self: len(self.asked) > 5)
    @rule()
    def stop(self) -> None:
        """Somebody stops the supervisor."""
        self.both(self.policy.stop(self.now), self.model.stop())

    @invariant()
    def they_agree_on_what_there_is(self) -> None:
        """Children, their states and the next deadline are the same in both."""
        if not hasattr(self, "policy"):
            return
        shown = [(status.id, SHOWN_AS[status.state]) for status in self.policy.which_children()]
        known = [
            (child.id, child.doing or {None: "stopped", "restarting": "restarting"}.get(child.pid, "running"))
            for child in self.model.children
        ]

        assert known == shown
        assert self.model.next_deadline() == self.policy.next_deadline()

    @invariant()
    def processes_are_where_the_machine_thinks(self) -> None:
        """A child has a process exactly when its state says so, and a pid when it is ready and alive."""
        if not hasattr(self, "policy"):
            return
        children = self.policy.which_children()
        without = (ChildState.STOPPED, ChildState.RESTARTING, ChildState.FALLEN)

        assert set(self.alive) == {child.id for child in children if child.state not in without}
        assert len(self.alive) == self.policy.count_children().active
        assert {one for one, ready in self.alive.items() if ready} == {
            child.id for child in children if child.pid is not None
        }

    def teardown(self) -> None:
        """Stop it, let every process go, and see that nobody and nothing was left waiting."""
        if not hasattr(self, "policy"):
            return
        self.both(self.policy.stop(self.now), self.model.stop())
        while self.alive:
            self.gone(max(self.alive), ExitReason(ExitKind.SHUTDOWN))

        assert self.policy.state is PolicyState.FINISHED
        assert self.finished
        assert Counter(self.asked) == self.answered
        assert self.policy.next_deadline() is None


class OneForOne(Supervision):
    strategy = Strategy.ONE_FOR_ONE


class OneForAll(Supervision):
    strategy = Strategy.ONE_FOR_ALL


class RestForOne(Supervision):
    strategy = Strategy.REST_FOR_ONE


TestOneForOne = OneForOne.TestCase
TestOneForAll = OneForAll.TestCase
TestRestForOne = RestForOne.TestCase
TestOneForOne.settings = TestOneForAll.settings = TestRestForOne.settings = STORIES
