"""Acceptors that outlived their Listener: real processes, watched and asked to leave by pidfd."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from rocket_sup import scoreboard as layout
from rocket_sup.orphans import Orphan, Orphans
from rocket_sup.poller import Poller
from rocket_sup.process import fork
from rocket_sup.scoreboard import Scoreboard, SlotState

TurnUntil = Callable[[Callable[[], object]], None]


class Scene:
    """Acceptors in a scoreboard, and who is gone."""

    def __init__(self, poller: Poller) -> None:
        self.poller = poller
        self.board = Scoreboard(8, max_connections=1)
        self.gone: list[int] = []
        self.pids: list[int] = []

    def acceptor(self, number: int, *, ignores: bool = False) -> int:
        """Start a process that serves a number, and does nothing."""
        slot = self.board.allocate(number=number, generation=1)
        assert slot is not None

        def body() -> int:
            if ignores:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            slot.state = SlotState.READY
            while True:
                signal.pause()

        process = fork(body, keep=(), name="orphan")
        slot.write(layout.PID, process.pid)
        process.close()
        while slot.state is not SlotState.READY:
            os.sched_yield()
        self.pids.append(process.pid)
        return process.pid

    def take_over(self) -> Orphans:
        """What the next Listener finds."""
        return Orphans(self.board, self.poller, self.on_gone)

    def on_gone(self, orphan: Orphan) -> None:
        self.gone.append(orphan.number)

    def reap(self, pid: int) -> int:
        """Be the Supervisor."""
        self.pids.remove(pid)
        return os.waitpid(pid, 0)[1]


@pytest.fixture
def scene(poller: Poller, turn_until: TurnUntil) -> Iterator[Scene]:
    """A scene whose processes are ended, and whose watches are taken off."""
    scene = Scene(poller)
    orphans: list[Orphans] = []
    take_over = scene.take_over
    scene.take_over = lambda: orphans.append(take_over()) or orphans[-1]  # type: ignore[method-assign, func-returns-value]
    yield scene
    for pid in scene.pids:
        os.kill(pid, signal.SIGKILL)
    turn_until(lambda: not any(map(len, orphans)))
    for pid in scene.pids:
        os.waitpid(pid, 0)
    for bell in scene.board.doorbells:
        os.close(bell)


def test_all_acceptors_of_the_board_are_taken(scene: Scene) -> None:
    """Whoever is in the scoreboard when a Listener starts is an orphan; those it starts itself are not."""
    assert 0 == len(scene.take_over())
    scene.acceptor(1)
    scene.acceptor(2)
    orphans = scene.take_over()
    scene.acceptor(3)

    assert 2 == len(orphans)
    assert {1, 2} == orphans.numbers() == orphans.healthy_numbers(60.0)


def test_who_is_healthy(scene: Scene) -> None:
    """Healthy is who is ready, has a fresh heartbeat and was not asked to leave."""
    for number in (1, 2, 3, 4):
        scene.acceptor(number, ignores=True)
    orphans = scene.take_over()
    scene.board.slot(0).state = SlotState.DRAINING
    scene.board.slot(1).beat(time.monotonic_ns() - 61_000_000_000)
    orphans.ask_to_leave({3}, signum=signal.SIGTERM, within_s=60)

    assert {4} == orphans.healthy_numbers(60.0)
    assert {1, 2, 3, 4} == orphans.numbers()


def test_an_end_is_heard(scene: Scene, turn_until: TurnUntil) -> None:
    """An orphan that ended is told of once, before anybody reaps it."""
    pid = scene.acceptor(2)
    orphans = scene.take_over()
    os.kill(pid, signal.SIGKILL)
    turn_until(lambda: scene.gone)

    assert [2] == scene.gone
    assert (0, set()) == (len(orphans), orphans.numbers())
    assert signal.SIGKILL == scene.reap(pid)


def test_only_those_of_a_number_are_asked(scene: Scene, turn_until: TurnUntil) -> None:
    """Those whose successor is ready get the signal, the others serve on."""
    asked = scene.acceptor(1)
    scene.acceptor(2)
    orphans = scene.take_over()
    orphans.ask_to_leave({1, 7}, signum=signal.SIGQUIT, within_s=60)
    turn_until(lambda: scene.gone)

    assert [1] == scene.gone
    assert signal.SIGQUIT == scene.reap(asked) & 0x7F
    assert {2} == orphans.healthy_numbers(60.0)


def test_who_was_asked_is_asked_again_only_when_all_are(scene: Scene, turn_until: TurnUntil) -> None:
    """A number asked twice keeps its deadline; when the tree stops, all are asked, with the new deadline."""
    pid = scene.acceptor(1, ignores=True)
    orphans = scene.take_over()
    orphans.ask_to_leave({1}, signum=signal.SIGTERM, within_s=-1)
    orphans.ask_to_leave({1}, signum=signal.SIGKILL, within_s=60)
    scene.poller.run_once(time.monotonic())

    assert [] == scene.gone, "the second request came through"
    orphans.ask_to_leave(None, signum=signal.SIGINT, within_s=60)
    turn_until(lambda: scene.gone)
    assert signal.SIGINT == scene.reap(pid) & 0x7F


def test_those_who_stay_too_long_are_killed(scene: Scene, turn_until: TurnUntil) -> None:
    """One that does not leave by its deadline is killed; one that has time, or was not asked, is not."""
    late = scene.acceptor(1, ignores=True)
    scene.acceptor(2, ignores=True)
    scene.acceptor(3)
    orphans = scene.take_over()
    orphans.ask_to_leave({1}, signum=signal.SIGTERM, within_s=0)
    orphans.ask_to_leave({2}, signum=signal.SIGTERM, within_s=60)
    orphans.kill_overdue(hang_s=60.0)
    turn_until(lambda: scene.gone)

    assert [1] == scene.gone
    assert signal.SIGKILL == scene.reap(late)


@pytest.mark.parametrize(("hang_s", "expected"), [(30.0, [1]), (0.0, [])])
def test_hung_orphans_are_killed(
    scene: Scene, turn_until: TurnUntil, hang_s: float, expected: list[int]
) -> None:
    """A heartbeat that old costs the process, unless the deadline is switched off."""
    scene.acceptor(1)
    scene.acceptor(2)
    orphans = scene.take_over()
    scene.board.slot(0).beat(time.monotonic_ns() - 31_000_000_000)
    orphans.kill_overdue(hang_s=hang_s)
    if expected:
        turn_until(lambda: scene.gone)
    else:
        scene.poller.run_once(time.monotonic())

    assert expected == scene.gone


def test_a_slot_without_a_process_is_left_alone(scene: Scene) -> None:
    """The former Listener died while it forked: a process may yet come, and if none does the Supervisor
    clears it."""
    scene.board.allocate(number=1, generation=1)

    assert 0 == len(scene.take_over())
    assert 1 == len(list(scene.board.used_slots()))


def test_a_slot_of_a_dead_process_is_left_to_its_reaper(scene: Scene) -> None:
    """A process that was reaped is nobody's orphan; the Supervisor clears its slot with the totals."""
    slot = scene.board.allocate(number=1, generation=1)
    assert slot is not None
    process = fork(lambda: 0, keep=(), name="dead")
    os.waitpid(process.pid, 0)
    process.close()
    slot.write(layout.PID, process.pid)

    assert 0 == len(scene.take_over())
    assert [slot.index] == [used.index for used in scene.board.used_slots()]


def test_a_number_that_was_reused_meanwhile_is_not_taken(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Supervisor reaps an orphan and clears its slot while it is being opened: nobody is held."""
    slot = scene.board.allocate(number=1, generation=1)
    assert slot is not None
    slot.write(layout.PID, os.getpid())
    opened = os.pidfd_open

    def clear_meanwhile(pid: int) -> int:
        slot.clear()
        return opened(pid)

    monkeypatch.setattr(os, "pidfd_open", clear_meanwhile)

    assert 0 == len(scene.take_over())


def test_a_signal_to_one_that_is_gone_is_no_error(scene: Scene) -> None:
    """Between two turns of the loop an orphan may be gone, and even reaped."""
    pid = scene.acceptor(1)
    orphans = scene.take_over()
    os.kill(pid, signal.SIGKILL)
    scene.reap(pid)
    orphans.ask_to_leave(None, signum=signal.SIGTERM, within_s=0)
    orphans.kill_overdue(hang_s=1.0)

    assert 1 == len(orphans)
