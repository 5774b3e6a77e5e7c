"""The shell over real processes: random short lives of children, compared with the plain model of OTP.

Each story draws how children behave and what is asked of the supervisor. The processes are real; the order in
which their ends arrive is the machine's. Whatever the shell tells the policy is told to the model too, and
both must say the same at every turn.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from rocket_sup.actions import Action, Answer, Cause
from rocket_sup.channel import Channel, Message
from rocket_sup.policy import ChildState, Policy
from rocket_sup.poller import Poller
from rocket_sup.process import Process, fork
from rocket_sup.shell import ProcessTree
from rocket_sup.spec import (
    BRUTAL_KILL,
    ChildSpec,
    ExitKind,
    ExitReason,
    Restart,
    Strategy,
    SupervisorFlags,
)
from tests.model.otp_model import Model
from tests.model.test_supervision_model import SHOWN_AS, plain
from tests.unit.conftest import Journal

TurnUntil = Callable[[Callable[[], object]], None]
BEHAVIOURS = (
    "serves",  # says ready, leaves when asked
    "serves, will not leave",
    "exit 0",
    "exit 3",
    "killed",
    "ready, exit 0",
    "ready, exit 3",
    "ready, killed",
    "never ready",
    "says why",  # that it cannot start
    "cannot be forked",
)
BOOT_S, SHUTDOWN_S = 0.03, 0.03


def behave(behaviour: str, channel: Channel) -> int:
    """Live a child's life."""
    if "will not leave" in behaviour:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if behaviour.startswith(("serves", "ready")):
        channel.send("ready")
    if behaviour == "says why":
        channel.send("boot_failed", report="no such module")
        return 3
    if behaviour.startswith("serves") or behaviour == "never ready":
        while True:
            signal.pause()
    if behaviour.endswith("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    return 3 if behaviour.endswith("3") else 0


class WatchedPolicy(Policy):
    """A policy whose every word is compared with the model's."""

    def __init__(self, flags: SupervisorFlags, specs: list[ChildSpec]) -> None:
        super().__init__(flags, specs, random=lambda: 0.5)
        self.model = Model(flags, specs)

    def _same(self, actions: list[Action], expected: list[tuple[object, ...]]) -> list[Action]:
        shown = [(status.id, SHOWN_AS[status.state]) for status in self.which_children()]
        known = [
            (child.id, child.doing or {None: "stopped", "restarting": "restarting"}.get(child.pid, "running"))
            for child in self.model.children
        ]

        assert expected == [plain(action) for action in actions]
        assert known == shown
        return actions

    def boot(self, now: float) -> list[Action]:
        self.model.now = now
        return self._same(super().boot(now), self.model.boot())

    def on_started(self, child_id: str, pid: int, now: float) -> list[Action]:
        self.model.now = now
        return self._same(super().on_started(child_id, pid, now), self.model.on_ready(child_id))

    def on_exit(self, child_id: str, reason: ExitReason, now: float) -> list[Action]:
        self.model.now = now
        return self._same(super().on_exit(child_id, reason, now), self.model.on_exit(child_id, str(reason)))

    def on_time(self, now: float) -> list[Action]:
        self.model.now = now
        return self._same(super().on_time(now), self.model.on_time())

    def stop(self, now: float) -> list[Action]:
        self.model.now = now
        return self._same(super().stop(now), self.model.stop())

    def call(self, name: str, argument: Any, now: float, token: object) -> list[Action]:
        """Make one of the four calls."""
        self.model.now = now
        actions: list[Action] = getattr(self, name)(argument, now, token=token)
        return self._same(actions, self.model.call(getattr(self.model, name), token, argument))


class Nursery:
    """A launcher of misbehaving children, and the tree over them."""

    def __init__(
        self, poller: Poller, journal: Journal, policy: Policy, lives: dict[str, list[str]] | None = None
    ) -> None:
        self.poller = poller
        self.policy = policy
        self.lives = lives or {}
        self.replies: dict[object, str] = {}
        self.orphans: list[int] = []
        self.messages: list[Message] = []
        self.gone: list[tuple[str, ExitReason]] = []
        self.asked: list[str] = []
        self.tree = ProcessTree(
            policy,
            self,
            poller=poller,
            log=journal.log,
            on_reply=self.on_reply,
            on_orphan=self.orphans.append,
        )

    def launch(self, child_id: str) -> Process:
        lives = self.lives.get(child_id, ["serves"])
        behaviour = lives.pop(0) if len(lives) > 1 else lives[0]
        if behaviour == "cannot be forked":
            raise OSError(11, "Resource temporarily unavailable")
        ours, theirs = Channel.pair()
        process = fork(lambda: behave(behaviour, theirs), keep=[theirs.fileno()], name=child_id)
        process.channel = ours
        theirs.close()
        return process

    def on_message(self, _child_id: str, message: Message, _fds: list[int]) -> None:
        self.messages.append(message)

    def on_gone(self, child_id: str, _process: Process, reason: ExitReason) -> None:
        self.gone.append((child_id, reason))

    def ask_to_stop(self, child_id: str, process: Process) -> None:
        self.asked.append(child_id)
        process.signal(signal.SIGTERM)

    def on_reply(self, token: object, result: str) -> None:
        assert token not in self.replies, "answered twice"
        self.replies[token] = result

    def boot(self) -> None:
        self.tree.perform(self.policy.boot(time.monotonic()))

    def turn(self) -> None:
        """Wait for the next event, or the next deadline, as the Supervisor does."""
        deadline = self.policy.next_deadline()
        self.poller.run_once(min(time.monotonic() + 5, deadline if deadline is not None else 1e18))
        self.tree.run_due()

    def turn_until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            self.turn()

    def states(self) -> dict[str, ChildState]:
        return {status.id: status.state for status in self.policy.which_children()}

    def is_settled(self) -> bool:
        """Nothing is on its way by itself."""
        return self.tree.finished is not None or all(
            state in (ChildState.RUNNING, ChildState.STOPPED) for state in self.states().values()
        )

    def end(self) -> None:
        self.tree.perform(self.policy.stop(time.monotonic()))
        self.turn_until(lambda: self.tree.finished)
        assert {} == self.tree.running


@dataclass(frozen=True)
class Story:
    """What a test draws."""

    flags: SupervisorFlags
    specs: list[ChildSpec]
    lives: dict[str, list[str]]
    calls: list[tuple[str, str]]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """A short story of one to three children and up to four calls."""
    ids = ("a", "b", "c")[: draw(st.integers(1, 3))]
    specs = [
        ChildSpec(
            child_id,
            restart=draw(st.sampled_from(Restart)),
            shutdown=draw(st.sampled_from([0.1, SHUTDOWN_S, BRUTAL_KILL])),
            boot_deadline_s=BOOT_S,
        )
        for child_id in ids
    ]
    lives = {
        child_id: [*draw(st.lists(st.sampled_from(BEHAVIOURS), max_size=2)), "serves"]
        for child_id in (*ids, "n")
    }
    calls = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["start_child", "terminate_child", "restart_child", "delete_child", "wait"]),
                st.sampled_from([*ids, "n"]),
            ),
            max_size=4,
        )
    )
    flags = SupervisorFlags(
        draw(st.sampled_from(Strategy)), max_restarts=draw(st.sampled_from([0, 2, 20])), max_seconds=60.0
    )
    return Story(flags, specs, lives, calls)


@pytest.mark.slow
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=stories())
def test_real_processes_and_the_model_tell_the_same_story(
    poller: Poller, journal: Journal, story: Story
) -> None:
    """Any behaviours, any calls: the same children in the same states, one reply a call, and nothing left."""
    policy = WatchedPolicy(story.flags, story.specs)
    nursery = Nursery(poller, journal, policy, {key: list(value) for key, value in story.lives.items()})
    nursery.boot()
    tokens = 0
    for name, child_id in story.calls:
        if name == "wait":
            nursery.turn_until(nursery.is_settled)
            continue
        argument = (
            replace(story.specs[0], id=child_id, restart=Restart.TRANSIENT)
            if name == "start_child"
            else child_id
        )
        nursery.tree.perform(policy.call(name, argument, time.monotonic(), tokens))
        tokens += 1
    nursery.turn_until(nursery.is_settled)

    for status in policy.which_children():
        process = nursery.tree.running.get(status.id)
        assert (status.pid if status.state is ChildState.RUNNING else None) == (process and process.pid)
    nursery.end()
    assert set(range(tokens)) == nursery.replies.keys()
    assert nursery.tree.finished is not None
    assert nursery.tree.finished.cause in (
        Cause.STOPPED,
        Cause.START_ERROR,
        Cause.REACHED_MAX_RESTART_INTENSITY,
    )


@pytest.fixture
def make(poller: Poller, journal: Journal) -> Iterator[Callable[..., Nursery]]:
    """Make a nursery of children a, b, … with these lives; all are ended after the test."""
    made: list[Nursery] = []

    def make(*lives: list[str], flags: SupervisorFlags = SupervisorFlags(), **spec: Any) -> Nursery:  # noqa: B008
        ids = "abc"[: len(lives)]
        policy = Policy(flags, [ChildSpec(child_id, **spec) for child_id in ids])
        made.append(Nursery(poller, journal, policy, dict(zip(ids, lives, strict=True))))
        return made[-1]

    yield make
    for nursery in made:
        nursery.end()


Make = Callable[..., Nursery]


def test_children_start_in_order_and_end_in_reverse(make: Make, journal: Journal) -> None:
    """Each waits for the one before; at the end the last is asked first."""
    nursery = make(["serves"], ["serves"], ["serves"])
    nursery.boot()
    nursery.turn_until(nursery.is_settled)
    nursery.turn_until(lambda: journal.names().count("supervisor_progress") == 3)
    nursery.end()

    assert ["a", "b", "c"] == [event["id"] for event in journal.events()]
    assert ["c", "b", "a"] == nursery.asked
    assert [ExitKind.SHUTDOWN] * 3 == [reason.kind for _, reason in nursery.gone]
    assert nursery.tree.finished is not None
    assert Cause.STOPPED is nursery.tree.finished.cause


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        ("exit 0", ExitReason(ExitKind.NORMAL)),
        ("exit 3", ExitReason(ExitKind.EXIT, code=3)),
        ("killed", ExitReason(ExitKind.KILLED, signal="SIGKILL")),
        ("says why", ExitReason(ExitKind.BOOT_FAILED, code=3, detail="no such module")),
        (
            "cannot be forked",
            ExitReason(ExitKind.BOOT_FAILED, detail="[Errno 11] Resource temporarily unavailable"),
        ),
    ],
)
def test_a_first_start_that_fails_ends_the_tree(make: Make, behaviour: str, expected: ExitReason) -> None:
    """The reason of the one that failed is the tree's, and those before it are ended."""
    nursery = make(["serves"], [behaviour])
    nursery.boot()
    nursery.turn_until(lambda: nursery.tree.finished)

    assert nursery.tree.finished is not None
    assert (Cause.START_ERROR, "b", expected) == (
        nursery.tree.finished.cause, nursery.tree.finished.child_id, nursery.tree.finished.reason,
    )  # fmt: skip
    assert ["a"] == nursery.asked


def test_a_child_that_is_never_ready_is_killed(make: Make) -> None:
    """Past its boot deadline it is killed, and the reason says so."""
    nursery = make(["never ready"], boot_deadline_s=BOOT_S)
    nursery.boot()
    nursery.turn_until(lambda: nursery.tree.finished)

    assert nursery.tree.finished is not None
    assert ExitKind.BOOT_TIMEOUT is nursery.tree.finished.reason.kind


def test_a_child_that_will_not_leave_is_killed(make: Make) -> None:
    """Past its shutdown time it is killed."""
    nursery = make(["serves, will not leave"], shutdown=SHUTDOWN_S)
    nursery.boot()
    nursery.turn_until(nursery.is_settled)
    nursery.end()

    assert [("a", ExitReason(ExitKind.KILLED, signal="SIGKILL"))] == nursery.gone


def test_a_child_that_dies_comes_back(make: Make) -> None:
    """A permanent child has another pid after its death, and its former channel is closed."""
    nursery = make(["ready, exit 3", "serves"])
    nursery.boot()
    nursery.turn_until(lambda: nursery.gone and nursery.is_settled())

    assert [("a", ExitReason(ExitKind.EXIT, code=3))] == nursery.gone
    assert 1 == nursery.policy.which_children()[0].restarts


def test_children_that_die_together_come_back_together(make: Make) -> None:
    """Several deaths in one turn of the loop, with channels at their end, are several restarts."""
    nursery = make(["serves"], ["serves"], ["serves"], flags=SupervisorFlags(max_restarts=100))
    nursery.boot()
    nursery.turn_until(nursery.is_settled)
    for deaths in (3, 6, 9, 12, 15):
        pids = [process.pid for process in nursery.tree.running.values()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        nursery.turn_until(lambda n=deaths: len(nursery.gone) == n and nursery.is_settled())

    assert 15 == len(nursery.gone)
    assert [5, 5, 5] == [status.restarts for status in nursery.policy.which_children()]


def test_a_child_that_falls_too_often_ends_the_tree(make: Make) -> None:
    """Past the intensity the tree gives up, and names the offender."""
    nursery = make(["ready, killed"], flags=SupervisorFlags(max_restarts=2, max_seconds=60))
    nursery.boot()
    nursery.turn_until(lambda: nursery.tree.finished)

    assert nursery.tree.finished is not None
    assert (Cause.REACHED_MAX_RESTART_INTENSITY, "a") == (
        nursery.tree.finished.cause, nursery.tree.finished.child_id,
    )  # fmt: skip
    assert 3 == len(nursery.gone)


def test_a_kill_with_a_cause_is_told_by_its_cause(make: Make, journal: Journal) -> None:
    """A child killed for a reason ends for that reason; the first cause counts."""
    nursery = make(["serves"])
    nursery.boot()
    nursery.turn_until(nursery.is_settled)
    nursery.tree.kill("a", because=ExitKind.HUNG)
    nursery.tree.kill("a", because=ExitKind.OOM)
    nursery.tree.kill("nobody", because=None)
    nursery.turn_until(lambda: nursery.gone and nursery.is_settled())

    assert [("a", ExitReason(ExitKind.HUNG, signal="SIGKILL"))] == nursery.gone
    assert "hung" in [event.get("reason") for event in journal.events()]


def test_readiness_said_twice_is_said_once(make: Make, journal: Journal) -> None:
    """A command may tell READY=1 again, as after a reload of its own; one that is gone says nothing."""
    nursery = make(["serves"])
    nursery.boot()
    nursery.turn_until(nursery.is_settled)
    nursery.tree.child_is_ready("a")
    nursery.tree.child_is_ready("nobody")

    assert {"a": ChildState.RUNNING} == nursery.states()
    assert 1 == journal.names().count("supervisor_progress")


def test_the_last_words_of_a_child_are_heard(make: Make) -> None:
    """What stood in the channel when a child died reaches the launcher before the policy decides."""
    nursery = make(["ready, exit 0"], restart=Restart.TEMPORARY)
    nursery.boot()
    (process,) = nursery.tree.running.values()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    nursery.tree.reap()

    assert [{"type": "ready"}] == nursery.messages
    assert [("a", ExitReason(ExitKind.NORMAL))] == nursery.gone


def test_a_channel_that_is_closed_early_is_no_end(make: Make, poller: Poller) -> None:
    """A child that closes its channel lives on; its end comes with SIGCHLD."""
    nursery = make(["serves"])
    nursery.boot()
    nursery.turn_until(nursery.is_settled)
    process = nursery.tree.running["a"]
    assert process.channel is not None
    process.channel._sock.shutdown(2)
    nursery.turn_until(lambda: process.channel is None)

    assert {"a": ChildState.RUNNING} == nursery.states()


def test_replies_reach_who_asked(make: Make) -> None:
    """A call is answered under its token when its work is done."""
    nursery = make(["serves"])
    nursery.boot()
    nursery.turn_until(nursery.is_settled)
    nursery.tree.perform(nursery.policy.terminate_child("a", time.monotonic(), token="t"))

    assert {} == nursery.replies
    nursery.turn_until(lambda: nursery.replies)
    assert {"t": Answer.OK} == nursery.replies
    assert {} == nursery.tree.running


def test_a_stranger_that_ends_is_an_orphan(make: Make) -> None:
    """A child of this process that the tree did not start is reaped and told by its pid."""
    nursery = make(["serves"])
    nursery.boot()
    stranger = fork(lambda: 0, keep=(), name="stranger")
    nursery.turn_until(lambda: nursery.orphans)
    stranger.close()

    assert [stranger.pid] == nursery.orphans
    assert not Path(f"/proc/{stranger.pid}").exists()
