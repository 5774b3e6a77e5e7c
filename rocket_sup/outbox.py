"""The actions of one turn of the supervision machine, in the order in which they were decided."""

from __future__ import annotations

from rocket_sup.actions import (
    Action,
    Answer,
    Finished,
    Kill,
    Reply,
    Report,
    ReportKind,
    Shutdown,
    Start,
    Token,
)
from rocket_sup.child import Child
from rocket_sup.spec import ExitReason


class Outbox:
    """Collects actions until the shell gets them."""

    def __init__(self) -> None:
        self._actions: list[Action] = []

    def drain(self) -> list[Action]:
        """Return what was collected since the last time."""
        actions, self._actions = self._actions, []
        return actions

    def start(self, child: Child) -> None:
        """Have a process started."""
        self._actions.append(Start(child.id))

    def shut_down(self, child: Child) -> None:
        """Have a process asked to leave."""
        self._actions.append(Shutdown(child.id))

    def kill(self, child: Child) -> None:
        """Have a process killed."""
        self._actions.append(Kill(child.id))

    def finish(self, finished: Finished) -> None:
        """Say the last word."""
        self._actions.append(finished)

    def report(
        self, kind: ReportKind, child: Child, reason: ExitReason | None = None, **detail: object
    ) -> None:
        """Have something logged; the pid is added when it is known."""
        if child.pid is not None:
            detail["pid"] = child.pid
        self._actions.append(Report(kind, child.id, reason, detail))

    def reply(self, token: Token, result: Answer, *, pid: int | None = None) -> None:
        """Answer a call."""
        self._actions.append(Reply(token, result, pid))

    def answer_start(self, child: Child, result: Answer, reason: ExitReason | None = None) -> None:
        """Answer the call that waits for this child to be ready, if there is one."""
        for token in child.start_token:
            self._actions.append(Reply(token, result, child.pid if result is Answer.OK else None, reason))
        child.start_token = ()

    def answer_stop(self, child: Child) -> None:
        """Answer the calls that wait for this child to be gone."""
        for token in child.stop_tokens:
            self._actions.append(Reply(token, Answer.OK))
        child.stop_tokens.clear()
