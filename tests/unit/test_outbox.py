"""Actions are handed over once, in the order in which they were decided."""

from __future__ import annotations

import pytest

from rocket_sup.actions import (
    Answer,
    Cause,
    Finished,
    Kill,
    Reply,
    Report,
    ReportKind,
    Shutdown,
    Start,
)
from rocket_sup.child import Child
from rocket_sup.outbox import Outbox
from rocket_sup.spec import ChildSpec, ExitKind, ExitReason

CRASH = ExitReason(ExitKind.EXIT, code=1)


@pytest.fixture
def child() -> Child:
    """A child that said ready once."""
    child = Child(ChildSpec("a"))
    child.pid = 7
    return child


def test_actions_come_in_order_and_once(child: Child) -> None:
    """The second time there is nothing."""
    out = Outbox()
    finished = Finished(CRASH, Cause.STOPPED)
    out.start(child)
    out.shut_down(child)
    out.kill(child)
    out.finish(finished)

    assert [Start("a"), Shutdown("a"), Kill("a"), finished] == out.drain()
    assert [] == out.drain()


def test_a_report_names_the_pid_when_there_is_one(child: Child) -> None:
    """A process that never was ready has none."""
    out = Outbox()
    out.report(ReportKind.CHILD_TERMINATED, child, CRASH, ran_s=1.0)
    child.pid = None
    out.report(ReportKind.START_ERROR, child, CRASH)

    assert [
        Report(ReportKind.CHILD_TERMINATED, "a", CRASH, {"ran_s": 1.0, "pid": 7}),
        Report(ReportKind.START_ERROR, "a", CRASH, {}),
    ] == out.drain()


def test_who_waits_for_a_start_is_answered_once(child: Child) -> None:
    """With the pid if it went well, and the reason if not."""
    out = Outbox()
    child.start_token = ("token",)
    out.answer_start(child, Answer.OK)
    out.answer_start(child, Answer.OK)
    child.start_token = ("token",)
    out.answer_start(child, Answer.START_ERROR, CRASH)
    out.reply("other", Answer.RUNNING, pid=7)

    assert [
        Reply("token", Answer.OK, 7),
        Reply("token", Answer.START_ERROR, None, CRASH),
        Reply("other", Answer.RUNNING, 7),
    ] == out.drain()


def test_who_waits_for_an_end_is_answered_once(child: Child) -> None:
    """All of them, in the order of their calls."""
    out = Outbox()
    child.stop_tokens += [1, 2]
    out.answer_stop(child)
    out.answer_stop(child)

    assert [Reply(1, Answer.OK), Reply(2, Answer.OK)] == out.drain()
