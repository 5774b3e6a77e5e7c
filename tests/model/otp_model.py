"""OTP's supervisor told again, as plainly as possible: what the machine in `policy.py` is compared with.

Written from the specification of OTP's `supervisor`, not from our machine, and with another technique:
the supervisor is a process, here a generator, that starts and ends children one after the other and reads
its mailbox in between, just as supervisor.erl does. Where OTP would block, the generator yields. The
stated deviations are here too: after boot a `one_for_one` supervisor gives every message a process of its
own, so that it blocks for nobody; `stop` interrupts; there are boot deadlines and delays before restarts.

Actions are tuples: ("start", id), ("shutdown", id), ("kill", id), ("report", kind, id, reason), ("reply",
token, result), ("finished", cause, id). Reasons are strings, as an `ExitReason` prints itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

from rocket_sup.spec import (
    BRUTAL_KILL,
    INFINITY,
    AutoShutdown,
    ChildSpec,
    Restart,
    Strategy,
    SupervisorFlags,
)

Blocking = Generator[None, None, None]
Action = tuple[object, ...]
RESTARTING = "restarting"
CLEAN = ("normal", "shutdown")


class Leave(Exception):  # noqa: N818 - it is a decision, not an error
    """The supervisor process ends, for this cause."""

    def __init__(self, cause: str, child: Record | None = None) -> None:
        self.cause = cause
        self.child = child


class Record:
    """What OTP keeps in a #child record, and what it would know from being blocked."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.id = spec.id
        self.pid: object = None  # OTP's: undefined, restarting, or a process
        self.doing: str | None = None  # "starting" or "stopping": somebody is, or would be, blocked on it
        self.outcome: str | None = None  # of the start somebody waits for: "ready", "ignore", or a reason
        self.killed = False
        self.deadline = INFINITY
        self.unread_exit: str | None = None  # it is dead, but its EXIT message was not read
        self.last_reason = "shutdown"
        self.starter: Blocking | None = None  # who waits for it to start, under one_for_one
        self.is_new = False  # the start somebody waits for is its first, by start_child
        self.start_token: object = None
        self.stop_tokens: list[object] = []
        self.ready_at = 0.0
        self.ran_s = 0.0  # how long it had been ready when it ended by itself
        self.is_retry = False  # its last start failed
        self.delays = 0  # how often in a row its restart was delayed


class Model:
    """A supervisor process with its mailbox."""

    def __init__(self, flags: SupervisorFlags, specs: Iterable[ChildSpec]) -> None:
        self.flags = flags
        self.children = [Record(spec) for spec in specs]
        self.now = 0.0
        self.mailbox: list[tuple[Any, ...]] = []  # handler, token of the caller, arguments
        self.restarts: list[float] = []
        self.processes: list[Blocking] = []
        self.is_idle = False  # in the receive loop of gen_server, not blocked
        self.leaving: Leave | None = None
        self.out: list[Action] = []

    # gen_server

    def main(self) -> Blocking:
        yield from self.init()
        while True:
            while self.mailbox:
                message = self.mailbox.pop(0)
                if self.flags.strategy is Strategy.ONE_FOR_ONE:
                    self.processes.append(self.handle(*message))
                    self.step(self.processes[-1])
                else:
                    yield from self.handle(*message)
            self.is_idle = self.leaving is None
            yield
            self.is_idle = False

    def step(self, process: Blocking) -> None:
        try:
            next(process)
        except StopIteration:
            self.processes.remove(process)
        except Leave as leave:
            self.terminate_all(leave)

    def run(self) -> list[Action]:
        before: object = None
        while before != (before := (list(self.processes), len(self.out), len(self.mailbox))):
            for process in list(self.processes):
                if process in self.processes:
                    self.step(process)
        out, self.out = self.out, []
        return out

    def terminate_all(self, leave: Leave) -> None:
        self.leaving = leave
        self.is_idle = False
        self.out += [
            ("reply", message[1], "stopping") for message in self.mailbox if message[0] != self.handle_exit
        ]
        for child in self.children:
            self.answer_start(child, "stopping")
        self.mailbox = []
        self.processes = [self.terminate()]

    def terminate(self) -> Blocking:
        assert self.leaving is not None
        for child in reversed(list(self.children)):
            yield from self.do_terminate(child)
        offender = self.leaving.child
        self.out.append(("finished", self.leaving.cause, offender and offender.id))

    def handle(self, handler: Callable[..., Blocking], token: object, *arguments: object) -> Blocking:
        yield from handler(token, *arguments)

    # init, and the children's beginning

    def init(self) -> Blocking:
        for child in list(self.children):
            outcome = yield from self.do_start_child(child)
            if outcome not in ("ready", "ignore"):
                raise Leave("start_error", child)

    def do_start_child(self, child: Record) -> Generator[None, None, str]:
        self.out.append(("start", child.id))
        child.doing, child.outcome, child.killed = "starting", None, False
        child.deadline = self.now + (child.spec.boot_deadline_s or INFINITY)
        while child.outcome is None:
            yield
        return child.outcome

    def started(self, child: Record, outcome: str) -> None:
        child.outcome, child.doing, child.deadline = outcome, None, INFINITY
        child.pid = None
        if outcome == "ready":
            child.pid, child.ready_at = object(), self.now
            self.out.append(("report", "progress", child.id, None))
        elif outcome == "ignore":
            if child.spec.restart is Restart.TEMPORARY:
                self.children.remove(child)
        else:
            child.last_reason = outcome
            self.out.append(("report", "start_error", child.id, outcome))
            if child.is_new:
                self.children.remove(child)
        child.is_new = False

    # API

    def find(self, child_id: object) -> Record | None:
        return next((child for child in self.children if child.id == child_id), None)

    def start_child(self, token: object, spec: ChildSpec) -> Blocking:
        known = self.find(spec.id)
        if known is not None:
            is_process = known.doing or known.pid not in (None, RESTARTING)
            self.out.append(("reply", token, "already_started" if is_process else "already_present"))
            return
        child = Record(spec)
        child.is_new = True
        self.children.append(child)
        yield from self.start_for(token, child)

    def restart_child(self, token: object, child_id: str) -> Blocking:
        child = self.find(child_id)
        if not (answer := self.why_not_stopped(child)):
            assert child is not None
            yield from self.start_for(token, child)
        else:
            self.out.append(("reply", token, answer))

    def start_for(self, token: object, child: Record) -> Blocking:
        child.start_token = token
        child.starter = self.processes[-1]
        outcome = yield from self.do_start_child(child)
        self.answer_start(child, "ok" if outcome in ("ready", "ignore") else "start_error")

    def delete_child(self, token: object, child_id: str) -> Blocking:
        child = self.find(child_id)
        answer = self.why_not_stopped(child)
        if not answer:
            assert child is not None
            self.children.remove(child)
        self.out.append(("reply", token, answer or "ok"))
        yield from ()

    def why_not_stopped(self, child: Record | None) -> str:
        if child is None:
            return "not_found"
        if child.doing == "starting" or (child.doing is None and child.pid is RESTARTING):
            return "restarting"
        return "running" if child.doing or child.pid is not None else ""

    def terminate_child(self, token: object, child_id: str) -> Blocking:
        child = self.find(child_id)
        if child is None:
            self.out.append(("reply", token, "not_found"))
            return
        child.stop_tokens.append(token)
        if (
            child.starter in self.processes and child.doing == "starting"
        ):  # one_for_one: nobody need wait any more
            self.processes.remove(child.starter)
        yield from self.do_terminate(child)
        self.answer_stop(child)

    # the end of a child

    def handle_exit(self, token: object, child: Record, pid: object, reason: str) -> Blocking:
        if child not in self.children or child.pid is not pid:
            return  # somebody ended it in the meantime and has seen that it was dead
        child.unread_exit = None
        child.is_retry = False
        child.last_reason = reason
        kind = child.spec.restart
        if kind is Restart.PERMANENT or (kind is Restart.TRANSIENT and reason not in CLEAN):
            self.out.append(("report", "child_terminated", child.id, reason))
            child.pid = RESTARTING
            delay = self.delay(child, False)
            child.deadline = self.now + delay
            if delay == 0:
                yield from self.restart(child)
            return
        if reason not in CLEAN:
            self.out.append(("report", "child_terminated", child.id, reason))
        self.del_child(child)
        self.do_auto_shutdown(child)

    def del_child(self, child: Record) -> None:
        child.pid = None
        if child.spec.restart is Restart.TEMPORARY:
            self.children.remove(child)

    def do_auto_shutdown(self, ended: Record) -> None:
        if not ended.spec.significant or self.flags.auto_shutdown is AutoShutdown.NEVER:
            return
        alive = [
            child
            for child in self.children
            if child.spec.significant and child.doing != "stopping" and (child.doing or child.pid is not None)
        ]
        if self.flags.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT or not alive:
            raise Leave("auto_shutdown", ended)

    def try_again(self, token: object, child: Record) -> Blocking:
        if child in self.children and child.pid is RESTARTING:
            yield from self.restart(child)

    def restart(self, child: Record) -> Blocking:
        backoff = child.spec.backoff
        if not (child.is_retry and backoff is not None and backoff.failed_starts_only):
            self.count_restart(child)
        child.starter = self.processes[-1]
        if self.flags.strategy is Strategy.ONE_FOR_ONE:
            group = [child]
        elif self.flags.strategy is Strategy.ONE_FOR_ALL:
            group = list(self.children)
        else:
            group = self.children[self.children.index(child) :]
        for each in reversed(group):
            yield from self.do_terminate(each)
        for each in [each for each in group if each in self.children]:
            outcome = yield from self.do_start_child(each)
            if outcome not in ("ready", "ignore"):
                each.pid = RESTARTING
                each.is_retry = True
                each.deadline = self.now + self.delay(each, True)
                return

    def count_restart(self, child: Record) -> None:
        since = self.now - self.flags.max_seconds
        self.restarts = [self.now] + [at for at in self.restarts if at >= since]
        if len(self.restarts) > self.flags.max_restarts:
            self.out.append(("report", "shutdown", child.id, child.last_reason))
            child.pid = None
            raise Leave("reached_max_restart_intensity", child)

    def delay(self, child: Record, failed_start: bool) -> float:
        backoff = child.spec.backoff
        if backoff is None:
            return 0.0
        if not failed_start and child.ran_s >= backoff.reset_after_s:
            child.delays = 0
        if backoff.failed_starts_only and not failed_start:
            return 0.0
        delay = min(backoff.max_s, backoff.initial_s * backoff.factor**child.delays)
        child.delays += 1
        self.out.append(("report", "backoff", child.id, child.last_reason))
        return delay

    # do_terminate and shutdown

    def do_terminate(self, child: Record) -> Blocking:
        if child.unread_exit is not None:
            reason, child.unread_exit = child.unread_exit, None
            self.terminated(child, reason)
        elif child.doing is None and child.pid in (None, RESTARTING):
            child.pid, child.deadline = None, INFINITY
        elif child.doing != "stopping":
            if child.killed:
                pass  # it missed its boot deadline
            elif child.spec.shutdown is BRUTAL_KILL:
                self.out.append(("kill", child.id))
                child.killed = True
            else:
                self.out.append(("shutdown", child.id))
                child.deadline = self.now + child.spec.shutdown
            child.doing = "stopping"
        while child.doing == "stopping":
            yield

    def terminated(self, child: Record, reason: str) -> None:
        is_expected = reason == ("killed(SIGKILL)" if child.spec.shutdown is BRUTAL_KILL else "shutdown")
        if not is_expected and (child.spec.restart is Restart.PERMANENT or reason not in CLEAN):
            self.out.append(("report", "shutdown_error", child.id, reason))
        child.last_reason = reason
        child.doing, child.killed, child.deadline = None, False, INFINITY
        if child.is_new and child.spec.restart is not Restart.TEMPORARY:
            self.children.remove(child)
        self.del_child(child)
        self.answer_start(child, "start_error")
        self.answer_stop(child)

    def answer_start(self, child: Record, answer: str) -> None:
        if child.start_token is not None:
            self.out.append(("reply", child.start_token, answer))
            child.start_token = None

    def answer_stop(self, child: Record) -> None:
        self.out += [("reply", token, "ok") for token in child.stop_tokens]
        child.stop_tokens = []

    # what the world does

    def boot(self) -> list[Action]:
        self.processes.append(self.main())
        return self.run()

    def stop(self) -> list[Action]:
        if self.leaving is None:
            self.terminate_all(Leave("stopped"))
        return self.run()

    def call(self, handler: Callable[..., Blocking], token: object, argument: object) -> list[Action]:
        if self.leaving is not None:
            self.out.append(("reply", token, "stopping"))
        else:
            self.mailbox.append((handler, token, argument))
        return self.run()

    def on_ready(self, child_id: str) -> list[Action]:
        child = self.find(child_id)
        assert child is not None
        if child.doing == "starting" and not child.killed:
            self.started(child, "ready")
        return self.run()

    def on_ignore(self, child_id: str) -> list[Action]:
        child = self.find(child_id)
        assert child is not None
        if child.doing == "starting" and not child.killed:
            self.started(child, "ignore")
            return self.run()
        return self.on_exit(child_id, "normal")

    def on_exit(self, child_id: str, reason: str) -> list[Action]:
        child = self.find(child_id)
        assert child is not None
        if child.doing == "starting":
            self.started(child, "boot_timeout" if child.killed else reason)
        elif child.doing == "stopping":
            self.terminated(child, reason)
        else:
            child.unread_exit = reason
            child.ran_s = self.now - child.ready_at
            if self.leaving is None:
                self.mailbox.append((self.handle_exit, None, child, child.pid, reason))
        return self.run()

    def on_time(self) -> list[Action]:
        for child in self.children:
            if child.doing and not child.killed and child.deadline <= self.now:
                child.killed = True
                self.out.append(("kill", child.id))
        out, self.out = self.out, []
        while self.is_idle and (due := [child for child in self.owed() if child.deadline <= self.now]):
            self.mailbox.append((self.try_again, None, min(due, key=lambda child: child.deadline)))
            out += self.run()
        return out + self.run()

    def owed(self) -> list[Record]:
        return [child for child in self.children if child.doing is None and child.pid is RESTARTING]

    def next_deadline(self) -> float | None:
        deadlines = [child.deadline for child in self.children if child.doing and not child.killed]
        if self.is_idle:
            deadlines += [child.deadline for child in self.owed()]
        earliest = min(deadlines, default=INFINITY)
        return None if earliest == INFINITY else earliest
