"""A supervision machine that is told stories: short names for events, a clock, reports put aside."""

from __future__ import annotations

from dataclasses import replace

from rocket_sup.policy import (
    Action,
    Answer,
    Policy,
    Reply,
    Report,
    Start,
)
from rocket_sup.spec import (
    ChildSpec,
    ExitKind,
    ExitReason,
    Strategy,
    SupervisorFlags,
)

NORMAL, LEFT = ExitReason(ExitKind.NORMAL), ExitReason(ExitKind.SHUTDOWN)
CRASH, KILLED = ExitReason(ExitKind.EXIT, code=1), ExitReason(ExitKind.KILLED, signal="SIGKILL")
ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE = Strategy
PLENTY = SupervisorFlags(max_restarts=1000)


class Told:
    """A policy with a clock; its actions are split: what is to be done, reported, answered."""

    def __init__(self, *specs: ChildSpec | str, flags: SupervisorFlags = PLENTY) -> None:
        self.now = 0.0
        self.policy = Policy(
            flags,
            [ChildSpec(spec) if isinstance(spec, str) else spec for spec in specs],
            random=lambda: 0.5,
        )
        self.reports: list[tuple[str, str, str]] = []
        self.replies: dict[object, Reply] = {}

    def keep(self, actions: list[Action]) -> list[Action]:
        """Put reports and replies aside; return the rest."""
        rest: list[Action] = []
        for action in actions:
            if isinstance(action, Report):
                self.reports.append((action.kind.value, action.child_id, str(action.reason)))
            elif isinstance(action, Reply):
                assert action.token not in self.replies
                self.replies[action.token] = action
            else:
                rest.append(action)
        return rest

    def boot(self) -> list[Action]:
        return self.keep(self.policy.boot(self.now))

    def ready(self, child_id: str, pid: int = 1) -> list[Action]:
        return self.keep(self.policy.on_started(child_id, pid, self.now))

    def exit(self, child_id: str, reason: ExitReason = CRASH) -> list[Action]:
        return self.keep(self.policy.on_exit(child_id, reason, self.now))

    def ignore(self, child_id: str) -> list[Action]:
        return self.keep(self.policy.on_ignore(child_id, self.now))

    def time(self, now: float) -> list[Action]:
        self.now = now
        return self.keep(self.policy.on_time(now))

    def stop(self) -> list[Action]:
        return self.keep(self.policy.stop(self.now))

    def start_child(self, spec: ChildSpec, token: object = "start") -> list[Action]:
        return self.keep(self.policy.start_child(spec, self.now, token=token))

    def terminate(self, child_id: str, token: object = "terminate") -> list[Action]:
        return self.keep(self.policy.terminate_child(child_id, self.now, token=token))

    def restart(self, child_id: str, token: object = "restart") -> list[Action]:
        return self.keep(self.policy.restart_child(child_id, self.now, token=token))

    def delete(self, child_id: str, token: object = "delete") -> list[Action]:
        return self.keep(self.policy.delete_child(child_id, self.now, token=token))

    def answer(self, token: object) -> Answer | None:
        reply = self.replies.get(token)
        return None if reply is None else reply.result

    def errors(self) -> list[tuple[str, str, str]]:
        """All reports but those of progress."""
        return [report for report in self.reports if report[0] != "progress"]

    def states(self) -> dict[str, str]:
        return {status.id: status.state.value for status in self.policy.which_children()}


def running(*specs: ChildSpec | str, flags: SupervisorFlags = PLENTY) -> Told:
    """A supervisor whose children are all up."""
    told = Told(*specs, flags=flags)
    actions = told.boot()
    while actions:
        (start,) = actions
        assert isinstance(start, Start)
        actions = told.ready(start.child_id)
    return told


def with_strategy(strategy: Strategy, **changes: object) -> SupervisorFlags:
    """Patient flags."""
    return replace(PLENTY, strategy=strategy, **changes)  # type: ignore[arg-type]
