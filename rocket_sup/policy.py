"""The supervision machine: told what happened and when, it says what to do next. It does OTP's
`supervisor` exactly.

It starts no process, reads no clock and writes no log. Events come in as method calls with `now`
(monotonic seconds); each returns the actions to carry out, in order. The shell calls `on_time` whenever
`next_deadline` has come, after it has delivered what else it had read: so a stop request overtakes the
next attempt of a child that keeps failing to start.

A *plan* is work that OTP does without looking at its mailbox: boot, a group restart, and under the group
strategies each call. A plan ends children one by one, then starts children one by one. While there is
one, exits and calls wait in the mailbox; `stop` alone does not wait. Under `one_for_one` there is no plan
after boot: children come and go independently.

What a child and a supervisor may go through stands in `lifecycle.py`, the rules and our deviations in
docs/supervision.md.
"""

from __future__ import annotations

import random as _random
from collections import deque
from collections.abc import Callable, Iterable

from rocket_sup.actions import (
    Action,
    Answer,
    Cause,
    ChildCount,
    ChildStatus,
    Finished,
    Kill,
    PolicyStatistics,
    Reply,
    Report,
    ReportKind,
    Shutdown,
    Start,
    Token,
)
from rocket_sup.child import Child, Purpose
from rocket_sup.children import Children
from rocket_sup.lifecycle import (
    IN_TRANSIT,
    POLICY_TRANSITIONS,
    ChildEvent,
    ChildState,
    PolicyEvent,
    PolicyState,
    next_state,
)
from rocket_sup.outbox import Outbox
from rocket_sup.plan import Call, Exit, Mailbox, Plan
from rocket_sup.spec import (
    BrutalKill,
    ChildSpec,
    ExitKind,
    ExitReason,
    Strategy,
    SupervisorFlags,
    check_childspecs,
)
from rocket_sup.verdict import Intensity, ends_supervisor, is_expected, is_reported, is_restarted

__all__ = [
    "Action",
    "Answer",
    "Cause",
    "ChildCount",
    "ChildState",
    "ChildStatus",
    "Finished",
    "Kill",
    "Policy",
    "PolicyState",
    "PolicyStatistics",
    "Reply",
    "Report",
    "ReportKind",
    "Shutdown",
    "Start",
    "Token",
]


class Policy:
    """One supervisor: its flags, its children in start order, and what it owes them."""

    def __init__(
        self,
        flags: SupervisorFlags,
        specs: Iterable[ChildSpec],
        *,
        random: Callable[[], float] = _random.random,
    ) -> None:
        """Make a supervisor that has started nothing yet.

        Args:
            random: gives numbers of 0..1, for the jitter of backoff.

        Raises:
            SupervisionError: flags and specifications cannot work; every problem is named.
        """
        specs = tuple(specs)
        check_childspecs(flags, specs)
        self.flags = flags
        self.state = PolicyState.CREATED
        self._random = random
        self._children = Children(specs)
        self._plan: Plan | None = None
        self._mailbox = Mailbox()
        self._intensity = Intensity()
        self._finished: Finished | None = None
        self._out = Outbox()

    # What happened.

    def boot(self, now: float) -> list[Action]:
        """Start the children in order, each when the one before is ready. State: created → booting."""
        self._enter(PolicyEvent.BOOT)
        self._plan = Plan(starting=deque(self._children), purpose=Purpose.BOOT)
        return self._settle(now)

    def on_started(self, child_id: str, pid: int, now: float) -> list[Action]:
        """Take note that the child said ready; a message that crossed our request to leave is no mistake.

        Raises:
            SupervisionError: the shell's fault: there is no such child, or none that is starting.
        """
        child = self._children.get(child_id)
        was_starting = child.state is ChildState.STARTING
        child.enter(ChildEvent.READY)
        child.pid = pid
        if was_starting:
            child.started_at = now
            self._out.report(ReportKind.PROGRESS, child)
            self._out.answer_start(child, Answer.OK)
        return self._settle(now)

    def on_ignore(self, child_id: str, now: float) -> list[Action]:
        """Take note that the child, instead of ready, said that it is not needed, and is gone.

        Raises:
            SupervisionError: the shell's fault: there is no such child, or none that is starting.
        """
        child = self._children.get(child_id)
        if child.state in (ChildState.OVERDUE, ChildState.STOPPING, ChildState.KILLING):
            return self.on_exit(child_id, ExitReason(ExitKind.NORMAL), now)
        child.enter(ChildEvent.IGNORE)
        self._out.answer_start(child, Answer.OK)
        self._children.drop_if_temporary(child)
        return self._settle(now)

    def on_exit(self, child_id: str, reason: ExitReason, now: float) -> list[Action]:
        """Take note that the child's process is gone, whatever it was doing.

        Raises:
            SupervisionError: the shell's fault: there is no such child, or it has no process.
        """
        child = self._children.get(child_id)
        if child.started_at is not None:
            child.ran_s = now - child.started_at
        if child.state in (ChildState.STARTING, ChildState.OVERDUE):
            self._start_failed(child, reason, now)
        elif child.state in (ChildState.STOPPING, ChildState.KILLING):
            self._terminated(child, reason)
        elif self.state is not PolicyState.RUNNING:
            child.enter(ChildEvent.DEFER)
            child.reason = reason
            self._mailbox.put(Exit(child, reason))
        else:
            self._ended(child, reason, now)
        return self._settle(now)

    def on_time(self, now: float) -> list[Action]:
        """Do what is due. Calling it too early, or for nothing, is harmless."""
        for child in list(self._children):
            if child.deadline > now:
                continue
            if child.state is ChildState.STARTING:
                child.enter(ChildEvent.OVERSTAY)
                self._out.kill(child)
            elif child.state is ChildState.STOPPING:
                child.enter(ChildEvent.KILL)
                self._out.kill(child)
        while self.state is PolicyState.RUNNING and (due := self._children.next_attempt(now)):
            self._restart(due, now)
        return self._settle(now)

    def next_deadline(self) -> float | None:
        """Return when `on_time` has something to do (monotonic seconds, perhaps past), or None."""
        return self._children.next_deadline(with_attempts=self.state is PolicyState.RUNNING)

    def stop(self, now: float) -> list[Action]:
        """End all children in reverse order, then finish, whatever is going on. State: any → stopping."""
        if self.state not in (PolicyState.STOPPING, PolicyState.FINISHED):
            self._shut_down(Finished(ExitReason(ExitKind.SHUTDOWN), Cause.STOPPED))
        return self._settle(now)

    # What is asked of it. Every call is answered by one `Reply`, in these actions or in later ones.

    def start_child(self, spec: ChildSpec, now: float, *, token: Token) -> list[Action]:
        """Add a child and start it; one that fails to start is forgotten again.

        Answers: `ok`, `already_started`, `already_present`, `start_error`, `stopping`.

        Raises:
            SupervisionError: the caller's fault: the specification cannot work.
        """
        check_childspecs(self.flags, [spec])
        return self._call(lambda at: self._start_child(spec, token, at), token, now)

    def terminate_child(self, child_id: str, now: float, *, token: Token) -> list[Action]:
        """End a child; keep its specification unless temporary. Answers: `ok`, `not_found`, `stopping`."""
        return self._call(lambda at: self._terminate_child(child_id, token, at), token, now)

    def restart_child(self, child_id: str, now: float, *, token: Token) -> list[Action]:
        """Start a child that is stopped.

        Answers: `ok`, `running`, `restarting`, `not_found`, `start_error`, `stopping`.
        """
        return self._call(lambda at: self._restart_child(child_id, token, at), token, now)

    def delete_child(self, child_id: str, now: float, *, token: Token) -> list[Action]:
        """Forget a child that is stopped. Answers: `ok`, `running`, `restarting`, `not_found`, `stopping`."""
        return self._call(lambda at: self._delete_child(child_id, token), token, now)

    def change_flags(self, flags: SupervisorFlags) -> None:
        """Go on under other flags; restarts already counted are judged by them at the next one.

        Raises:
            SupervisionError: the caller's fault: the flags do not suit the children.
        """
        check_childspecs(flags, [child.spec for child in self._children])
        self.flags = flags

    # What can be seen.

    def which_children(self) -> list[ChildStatus]:
        """Return every child known, in start order."""
        return self._children.statuses()

    def count_children(self) -> ChildCount:
        """Return how many children are known, and how many have a process."""
        return self._children.count()

    def get_childspec(self, child_id: str) -> ChildSpec | None:
        """Return the specification of a child, or None when there is no such child."""
        child = self._children.find(child_id)
        return None if child is None else child.spec

    def statistics(self) -> PolicyStatistics:
        """Return what the supervisor has been through."""
        return PolicyStatistics(self.state, self._intensity.total, self._intensity.recent, len(self._mailbox))

    # The calls, when their turn has come.

    def _call(self, carry_out: Callable[[float], None], token: Token, now: float) -> list[Action]:
        if self.state in (PolicyState.STOPPING, PolicyState.FINISHED):
            self._out.reply(token, Answer.STOPPING)
        else:
            self._mailbox.put(Call(carry_out, token))
        return self._settle(now)

    def _start_child(self, spec: ChildSpec, token: Token, now: float) -> None:
        known = self._children.find(spec.id)
        if known is None:
            child = self._children.add(spec)
            self._begin_for_call(child, Purpose.ADDED, token, now)
        elif known.state in (ChildState.STOPPED, ChildState.RESTARTING):
            self._out.reply(token, Answer.ALREADY_PRESENT)
        else:
            self._out.reply(token, Answer.ALREADY_STARTED, pid=known.pid)

    def _terminate_child(self, child_id: str, token: Token, now: float) -> None:
        child = self._children.find(child_id)
        if child is None:
            self._out.reply(token, Answer.NOT_FOUND)
            return
        self._terminate(child, now)
        if child.state is ChildState.STOPPED:
            self._out.reply(token, Answer.OK)
            return
        child.stop_tokens.append(token)
        if self._is_serial:
            self._make_plan(Plan(current=child))

    def _restart_child(self, child_id: str, token: Token, now: float) -> None:
        child = self._stopped_child(child_id, token)
        if child is not None:
            self._begin_for_call(child, Purpose.REQUESTED, token, now)

    def _delete_child(self, child_id: str, token: Token) -> None:
        child = self._stopped_child(child_id, token)
        if child is not None:
            self._children.drop(child)
            self._out.reply(token, Answer.OK)

    def _stopped_child(self, child_id: str, token: Token) -> Child | None:
        """Return the child if it is stopped, else answer the call and return None."""
        child = self._children.find(child_id)
        if child is None:
            self._out.reply(token, Answer.NOT_FOUND)
        elif child.state in (ChildState.RESTARTING, ChildState.STARTING, ChildState.OVERDUE):
            self._out.reply(token, Answer.RESTARTING)
        elif child.state is not ChildState.STOPPED:
            self._out.reply(token, Answer.RUNNING, pid=child.pid)
        else:
            return child
        return None

    def _begin_for_call(self, child: Child, purpose: Purpose, token: Token, now: float) -> None:
        self._begin(child, purpose, now)
        child.start_token = (token,)
        if self._is_serial:
            self._make_plan(Plan(current=child))

    # The end of a child.

    def _ended(self, child: Child, reason: ExitReason, now: float) -> None:
        """Do what the restart type says about a child gone by itself. Spec: supervisor.erl, do_restart."""
        comes_back = is_restarted(child.spec, reason)
        child.enter(ChildEvent.FALL if comes_back else ChildEvent.END)
        child.reason = reason
        if is_reported(child.spec, reason):
            self._out.report(ReportKind.CHILD_TERMINATED, child, reason, ran_s=child.ran_s)
        if not comes_back:
            self._children.drop_if_temporary(child)
            if ends_supervisor(self.flags, child, self._children):
                self._shut_down(Finished(reason, Cause.AUTO_SHUTDOWN, child.id))
            return
        delay_s = self._delay(child, failed_start=False)
        if delay_s > 0.0:
            child.deadline = now + delay_s
        else:
            self._restart(child, now)

    def _start_failed(self, child: Child, reason: ExitReason, now: float) -> None:
        """Do what follows when a child is gone before it was ready, which depends on why it was started."""
        if child.state is ChildState.OVERDUE:
            overdue = f"not ready within {child.spec.boot_deadline_s} seconds"
            reason = ExitReason(ExitKind.BOOT_TIMEOUT, reason.code, reason.signal, reason.detail or overdue)
        child.reason = reason
        self._out.report(ReportKind.START_ERROR, child, reason)
        if child.purpose is Purpose.RESTART and self.state is not PolicyState.STOPPING:
            child.enter(ChildEvent.FALL)
            child.deadline = now + self._delay(child, failed_start=True)
            if self._plan is not None and self._plan.current is child:
                self._plan.starting.clear()  # the next attempt makes a plan of its own, for the same children
            return
        child.enter(ChildEvent.END)
        if child.purpose is Purpose.BOOT:
            self._shut_down(Finished(reason, Cause.START_ERROR, child.id))
        elif child.purpose is Purpose.ADDED:
            self._children.drop(child)
        self._out.answer_start(child, Answer.START_ERROR, reason)

    def _terminated(self, child: Child, reason: ExitReason) -> None:
        """Do what follows when a child is gone that was told to go. Spec: supervisor.erl, do_terminate."""
        child.enter(ChildEvent.END)
        child.reason = reason
        if not is_expected(child.spec, reason):
            self._out.report(ReportKind.SHUTDOWN_ERROR, child, reason)
        if child.purpose is Purpose.ADDED:  # it never was ready, so its start failed
            self._children.drop(child)
        self._children.drop_if_temporary(child)
        self._out.answer_start(child, Answer.START_ERROR, reason)
        self._out.answer_stop(child)

    # Doing.

    def _restart(self, child: Child, now: float) -> None:
        """Attempt to have the child back, unless there were too many. Spec: supervisor.erl, restart."""
        # Failed starts of a child with such a backoff slow it down and harm nobody else: siblings may serve.
        backoff = child.spec.backoff
        is_spared = child.purpose is Purpose.RESTART and backoff is not None and backoff.failed_starts_only
        if not is_spared and self._intensity.is_exceeded_at(now, self.flags):
            child.enter(ChildEvent.CANCEL)
            reason = child.reason or ExitReason(ExitKind.SHUTDOWN)
            self._out.report(
                ReportKind.SHUTDOWN,
                child,
                reason,
                cause=str(Cause.REACHED_MAX_RESTART_INTENSITY),
                max_restarts=self.flags.max_restarts,
                max_seconds=self.flags.max_seconds,
            )
            self._shut_down(Finished(reason, Cause.REACHED_MAX_RESTART_INTENSITY, child.id))
        elif self._is_serial:
            group = self._children.group(self.flags.strategy, child)
            # Temporary children are dropped as they end, and `_advance` starts none that was dropped.
            self._make_plan(Plan(deque(reversed(group)), deque(group)))
        else:
            self._begin(child, Purpose.RESTART, now)

    def _begin(self, child: Child, purpose: Purpose, now: float) -> None:
        child.begin(purpose, now)
        self._out.start(child)

    def _terminate(self, child: Child, now: float) -> None:
        """Have the child gone, now or soon; one that is on its way out already needs nothing."""
        if child.state is ChildState.RESTARTING:
            child.enter(ChildEvent.CANCEL)
        elif child.state is ChildState.FALLEN:
            self._mailbox.withdraw_exit(child)
            self._terminated(child, child.reason or ExitReason(ExitKind.NORMAL))
        elif child.state is ChildState.OVERDUE:
            child.enter(ChildEvent.KILL)
        elif child.state in (ChildState.STARTING, ChildState.RUNNING):
            if isinstance(child.spec.shutdown, BrutalKill):
                child.enter(ChildEvent.KILL)
                self._out.kill(child)
            else:
                child.enter(ChildEvent.ASK)
                child.deadline = now + child.spec.shutdown
                self._out.shut_down(child)

    def _shut_down(self, finished: Finished) -> None:
        """End everything. Who waits for a start is told so at once; who waits for an end will see it."""
        self._enter(PolicyEvent.STOP)
        self._finished = finished
        for token in self._mailbox.empty():
            self._out.reply(token, Answer.STOPPING)
        for child in self._children:
            self._out.answer_start(child, Answer.STOPPING)
        self._plan = Plan(deque(reversed(self._children)))

    def _make_plan(self, plan: Plan) -> None:
        self._enter(PolicyEvent.PLAN)
        self._plan = plan

    def _settle(self, now: float) -> list[Action]:
        """Go on until there is something to wait for, and return what is to be done meanwhile."""
        while True:
            if self._plan is not None:
                if not self._advance(self._plan, now):
                    break
            elif self.state is PolicyState.RUNNING and self._mailbox:
                mail = self._mailbox.take()
                if isinstance(mail, Call):
                    mail.carry_out(now)
                else:
                    self._ended(mail.child, mail.reason, now)
            else:
                break
        return self._out.drain()

    def _advance(self, plan: Plan, now: float) -> bool:
        """Take the next step of the plan; return False when it has to wait for a child."""
        if plan.current is not None and plan.current.state in IN_TRANSIT:
            return False
        plan.current = None
        if plan.stopping:
            plan.current = plan.stopping.popleft()
            self._terminate(plan.current, now)
        elif plan.starting:
            child = plan.starting.popleft()
            if child in self._children:
                plan.current = child
                self._begin(child, plan.purpose, now)
        else:
            self._plan = None
            self._enter(PolicyEvent.SETTLE)
            if self._finished is not None:
                self._out.finish(self._finished)
        return True

    # Small things.

    @property
    def _is_serial(self) -> bool:
        """Whether one thing is done at a time: children that fall together must not come and go apart."""
        return self.flags.strategy is not Strategy.ONE_FOR_ONE

    def _enter(self, event: PolicyEvent) -> None:
        self.state = next_state(POLICY_TRANSITIONS, self.state, event, "the supervisor")

    def _delay(self, child: Child, *, failed_start: bool) -> float:
        """Return the seconds to wait before the next attempt."""
        delay_s = child.next_delay(self._random, failed_start=failed_start)
        if delay_s > 0.0:
            self._out.report(ReportKind.BACKOFF, child, child.reason, delay_s=delay_s)
        return delay_s
