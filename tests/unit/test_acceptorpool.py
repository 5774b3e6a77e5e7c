"""Acceptors as supervised processes: forked, watched, told, buried. Their body here is a few lines."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from rocket_sup import acceptorpool
from rocket_sup import scoreboard as board
from rocket_sup.acceptorpool import AcceptorBrief, AcceptorPool
from rocket_sup.channel import Message
from rocket_sup.config import AcceptorConfig, Config, SupervisorConfig
from rocket_sup.poller import Poller
from rocket_sup.process import Process
from rocket_sup.renewal import Edition
from rocket_sup.roster import Member
from rocket_sup.scoreboard import Scoreboard, SlotState
from rocket_sup.vigil import DUMP_SIGNAL
from tests.unit.conftest import Journal

CONFIG = Config(
    acceptor=AcceptorConfig(suspect=1.0, hang=30.0),
    supervisor=SupervisorConfig(backoff_initial=0.01, backoff_max=0.01),
)
SLOTS = 3


def serve(brief: AcceptorBrief) -> int:
    """Be an acceptor that says ready, serves one request in its own account, and waits."""
    slot = brief.scoreboard.slot(brief.slot_index)
    slot.record_in_flight(b"GET / HTTP/1.1")
    slot.write(board.REQUESTS, 1)
    slot.state = SlotState.READY
    brief.channel.send("ready")
    while True:
        signal.pause()


class Listener:
    """Who hears of the pool, and turns the loop for it."""

    def __init__(self, poller: Poller, journal: Journal) -> None:
        self.poller = poller
        self.scoreboard = Scoreboard(SLOTS, max_connections=10)
        self.lifeline, self.lifeline_end = os.pipe2(os.O_CLOEXEC)
        self.body: Callable[[AcceptorBrief], int] = serve
        self.heard: list[tuple[str, str]] = []
        self.pool = AcceptorPool(
            self,
            config=CONFIG,
            target=2,
            scoreboard=self.scoreboard,
            poller=poller,
            log=journal.log,
            lifeline=self.lifeline,
            run_acceptor=lambda brief: self.body(brief),
        )
        self.pool.boot()

    def edition(self) -> Edition:
        return Edition(CONFIG, 1)

    def fds_for(self, number: int) -> tuple[int, ...]:
        return ()

    def on_health(self) -> None:
        pass

    def on_ready(self, member: Member) -> None:
        self.heard.append(("ready", member.child_id))

    def on_not_started(self, member: Member, report: str) -> None:
        self.heard.append(("not started", member.child_id))

    def on_failed_boot(self, report: str) -> None:
        self.heard.append(("failed boot", report))

    def on_wish(self, member: Member, message: Message) -> None:
        self.heard.append((message["type"], member.child_id))

    def turn_until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            due = self.pool.next_deadline()
            self.poller.run_once(deadline if due is None else min(due, deadline))
            self.pool.run_due()

    def start(self, number: int) -> None:
        """Start one and hear that it is ready."""
        heard = len(self.heard)
        self.pool.start(number)
        self.turn_until(lambda: len(self.heard) > heard)

    def healthy(self) -> set[int]:
        return self.pool.roster.healthy_numbers()


@pytest.fixture
def listener(poller: Poller, journal: Journal) -> Iterator[Listener]:
    """A pool that has started nobody; whoever it starts is ended after the test."""
    listener = Listener(poller, journal)
    yield listener
    listener.pool.stop()
    listener.turn_until(lambda: listener.pool.finished)
    for fd in (listener.lifeline, listener.lifeline_end, *listener.scoreboard.doorbells):
        os.close(fd)


def test_an_acceptor_starts_and_leaves(listener: Listener) -> None:
    """It is heard when it is ready, is off the roster when it has left, and its slot is free again."""
    listener.pool.start(1)
    listener.turn_until(lambda: listener.heard)
    member = listener.pool.roster.members["acceptor-1"]

    assert [("ready", "acceptor-1")] == listener.heard
    assert {1} == listener.healthy()
    assert member.slot is not None
    assert 0 != member.slot.pid
    listener.pool.terminate(member)
    assert set() == listener.healthy()
    listener.turn_until(lambda: not listener.pool.roster.members)
    assert [] == list(listener.scoreboard.used_slots())
    assert 1 == listener.scoreboard.totals().requests


def test_a_second_acceptor_of_a_number_has_a_name_of_its_own(listener: Listener) -> None:
    """Names tell births apart."""
    for _ in range(2):
        listener.pool.start(1)
    listener.turn_until(lambda: len(listener.heard) == 2)

    assert ["acceptor-1", "acceptor-1.2"] == [row["id"] for row in listener.pool.describe()]


def test_an_acceptor_that_dies_comes_back(listener: Listener, journal: Journal) -> None:
    """Its death is logged with the request in flight, its totals are kept, and another takes its place."""
    listener.start(1)
    slot = listener.pool.roster.members["acceptor-1"].slot
    assert slot is not None
    pid = slot.pid
    os.kill(pid, signal.SIGKILL)
    listener.turn_until(lambda: "acceptor_died" in journal.names() and listener.healthy())
    (died,) = [event for event in journal.events() if event["event"] == "acceptor_died"]

    assert (pid, "killed(SIGKILL)", "GET / HTTP/1.1") == (died["pid"], died["reason"], died["last_request"])
    assert 2 == listener.scoreboard.totals().requests
    assert 1 == listener.pool.describe()[0]["restarts"]
    assert [("ready", "acceptor-1")] == listener.heard


@pytest.mark.parametrize(("is_fallback", "level"), [(True, "warning"), (False, "info")])
def test_an_engine_is_logged_once_for_all(
    listener: Listener, journal: Journal, is_fallback: bool, level: str
) -> None:
    """Loudly when it stands in for a better one; each acceptor's is told to who asks."""
    engine = {"name": "python", "loop": "asyncio", "reason": "of a test", "is_fallback": is_fallback}

    def tell_and_serve(brief: AcceptorBrief) -> int:
        brief.channel.send("engine", **engine)
        return serve(brief)

    listener.body = tell_and_serve
    for number in (1, 2):
        listener.start(number)
    told = [event for event in journal.events() if event["event"] == "engine"]

    assert [(level, "python", "asyncio", "of a test")] == [
        (event["level"], event["name"], event["loop"], event["reason"]) for event in told
    ]
    assert [engine, engine] == [row["engine"] for row in listener.pool.describe()]


def test_a_first_start_that_fails_is_told_and_forgotten(listener: Listener) -> None:
    """The report is the acceptor's own, and no slot stays taken."""

    def fail(brief: AcceptorBrief) -> int:
        brief.channel.send("boot_failed", report="no module named app")
        return 3

    listener.body = fail
    listener.pool.start(1)
    listener.turn_until(lambda: len(listener.heard) == 2)

    assert [("failed boot", "no module named app"), ("not started", "acceptor-1")] == listener.heard
    assert {} == listener.pool.roster.members
    assert [] == list(listener.scoreboard.used_slots())


def test_a_start_without_a_process_takes_no_slot(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the kernel gives no process, over and over, the slots are all there when it does again."""

    def refuse(*_arguments: object, **_fields: object) -> Process:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(acceptorpool, "fork", refuse)
        for _ in range(SLOTS + 1):
            listener.pool.start(1)

    assert SLOTS + 1 == len(listener.heard)
    assert [] == list(listener.scoreboard.used_slots())
    listener.start(1)


def test_a_late_heartbeat_takes_newcomers_away(listener: Listener, journal: Journal) -> None:
    """A suspect gets no newcomers, and is healthy again when its loop turns."""
    listener.start(1)
    slot = listener.pool.roster.members["acceptor-1"].slot
    assert slot is not None
    slot.beat(time.monotonic_ns() - 2_000_000_000)
    listener.pool.check_heartbeats()

    assert set() == listener.healthy()
    slot.beat(time.monotonic_ns())
    listener.pool.check_heartbeats()
    assert {1} == listener.healthy()
    assert ["acceptor_suspect", "acceptor_recovered"] == journal.names()[-2:]


def test_a_hung_acceptor_is_killed_by_its_cause(listener: Listener, journal: Journal) -> None:
    """Past all stages it is killed, and the reason is not the weapon."""

    def ignore_everything(brief: AcceptorBrief) -> int:
        for ignored in (DUMP_SIGNAL, signal.SIGTERM):
            signal.signal(ignored, signal.SIG_IGN)
        return serve(brief)

    listener.body = ignore_everything
    listener.start(1)
    member = listener.pool.roster.members["acceptor-1"]
    assert member.slot is not None
    listener.body = serve
    for _ in range(4):
        member.slot.beat(1)
        listener.pool.check_heartbeats()
    listener.turn_until(lambda: "acceptor_died" in journal.names() and listener.healthy())
    (died,) = [event for event in journal.events() if event["event"] == "acceptor_died"]

    assert "hung" == died["reason"]


def test_a_stop_while_an_acceptor_starts(listener: Listener) -> None:
    """One that has not said ready is asked to leave with the others, and stays on the roster until it has."""
    listener.body = lambda _brief: signal.pause() or 0
    listener.pool.start(1)
    listener.pool.stop()
    listener.turn_until(lambda: listener.pool.finished)

    assert [] == list(listener.scoreboard.used_slots())
    assert [] == listener.heard


def test_a_termination_that_comes_after_the_stop(listener: Listener) -> None:
    """A replacement that becomes ready while the tree ends takes nobody off the roster before its time."""
    for _ in range(2):
        listener.pool.start(1)
    listener.turn_until(lambda: len(listener.heard) == 2)
    listener.pool.stop()
    listener.pool.terminate(listener.pool.roster.members["acceptor-1"])
    listener.turn_until(lambda: listener.pool.finished)

    assert [] == list(listener.scoreboard.used_slots())


def test_wishes_are_passed_on(listener: Listener) -> None:
    """An acceptor may ask to be recycled, and that the server stops."""

    def wish(brief: AcceptorBrief) -> int:
        brief.channel.send("recycle", cause="max_requests")
        brief.channel.send("stop_server", cause="hook")
        return serve(brief)

    listener.body = wish
    listener.pool.start(1)
    listener.turn_until(lambda: len(listener.heard) == 3)

    assert {("recycle", "acceptor-1"), ("stop_server", "acceptor-1"), ("ready", "acceptor-1")} == set(
        listener.heard
    )
