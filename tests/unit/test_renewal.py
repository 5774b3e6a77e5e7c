"""Renewal: whoever is replaced leaves when the successor is ready, and a failure leaves the old in place."""

from __future__ import annotations

from typing import Any

import pytest

from rocket_sup.config import Config
from rocket_sup.renewal import Edition, Renewal
from rocket_sup.roster import Member, Roster
from tests.unit.conftest import Journal

OLD, NEW = Edition(Config(), 1), Edition(Config(), 2)


class Scene:
    """A renewal with a roster, and what it asked for, in order."""

    def __init__(self, journal: Journal, numbers: tuple[int, ...]) -> None:
        self.journal = journal
        self.roster = Roster()
        self.asked: list[tuple[str, Any]] = []
        self.answers: dict[object, dict[str, object]] = {}
        self.editions = 0
        for number in numbers:
            self.enlist(number)
        self.renewal = Renewal(
            OLD,
            roster=self.roster,
            log=journal.log,
            start=lambda number: self.asked.append(("start", number)),
            terminate=self.terminate,
            answer=self.answer,
            on_edition=self.on_edition,
        )

    def enlist(self, number: int, birth: int = 1) -> Member:
        child_id = f"acceptor-{number}" if birth == 1 else f"acceptor-{number}.{birth}"
        self.roster.members[child_id] = Member(child_id, number, 1)
        return self.roster.members[child_id]

    def terminate(self, member: Member) -> None:
        member.is_leaving = True
        self.asked.append(("terminate", member.child_id))

    def answer(self, token: object, *, ok: bool, **fields: object) -> None:
        assert token not in self.answers, "answered twice"
        self.answers[token] = {"ok": ok, **fields}

    def on_edition(self) -> None:
        self.editions += 1


@pytest.fixture
def scene(journal: Journal) -> Scene:
    """Acceptors 1 and 2, both of the old edition."""
    return Scene(journal, (1, 2))


def test_a_reload_replaces_one_after_the_other(scene: Scene) -> None:
    """Start one, wait for its ready, let the old one leave, go on; the answer comes at the end."""
    scene.renewal.reload(NEW, "token")

    assert [("start", 1)] == scene.asked
    assert NEW == scene.renewal.edition
    scene.renewal.on_ready(scene.enlist(1, 2))
    assert [("terminate", "acceptor-1"), ("start", 2)] == scene.asked[1:]
    assert {} == scene.answers
    scene.renewal.on_ready(scene.enlist(2, 2))
    assert [("terminate", "acceptor-2")] == scene.asked[3:]
    assert {"token": {"ok": True, "replaced": [1, 2], "generation": 2}} == scene.answers
    assert ["reload_started", "rollout_done"] == scene.journal.names()


def test_a_reload_that_does_not_start_changes_nothing(scene: Scene) -> None:
    """The old acceptors serve on, the old edition is back for their restarts, and the report is passed on."""
    scene.renewal.reload(NEW, "token")
    failed = scene.roster.members.pop(scene.enlist(1, 2).child_id)
    scene.renewal.on_not_started(failed, "SyntaxError")

    assert [("start", 1)] == scene.asked
    assert OLD == scene.renewal.edition
    assert 2 == scene.editions
    assert (False, "SyntaxError") == (scene.answers["token"]["ok"], scene.answers["token"]["report"])
    assert ["reload_started", "rollout_failed"] == scene.journal.names()


def test_a_reload_after_a_failed_one(scene: Scene) -> None:
    """The next attempt begins from the first number again."""
    scene.renewal.reload(NEW, "first")
    scene.renewal.on_not_started(scene.roster.members.pop(scene.enlist(1, 2).child_id), "")
    scene.renewal.reload(Edition(Config(), 3), "second")

    assert ("start", 1) == scene.asked[-1]
    assert 3 == scene.renewal.edition.generation


def test_leaving_acceptors_are_not_replaced(scene: Scene) -> None:
    """What was scaled away is not brought back by a reload."""
    scene.roster.members["acceptor-2"].is_leaving = True
    scene.renewal.reload(NEW, "token")
    scene.renewal.on_ready(scene.enlist(1, 2))

    assert [1] == scene.answers["token"]["replaced"]


@pytest.mark.parametrize("name", ["acceptor-2", "acceptor-2.7"])
def test_a_restart_replaces_one(scene: Scene, name: str) -> None:
    """One acceptor is replaced, named with or without its birth; the edition stays."""
    scene.renewal.restart(name, "token")
    scene.renewal.on_ready(scene.enlist(2, 2))

    assert [("start", 2), ("terminate", "acceptor-2")] == scene.asked
    assert {"ok": True, "replaced": [2], "generation": 1} == scene.answers["token"]
    assert 0 == scene.editions


@pytest.mark.parametrize("name", ["acceptor-3", "acceptor", "", "acceptor-2x"])
def test_a_restart_of_nobody_is_refused(scene: Scene, name: str) -> None:
    """The answer lists who there is."""
    scene.renewal.restart(name, "token")

    assert [] == scene.asked
    error = f"no acceptor {name!r}; there are: acceptor-1, acceptor-2"
    assert {"ok": False, "error": error} == scene.answers["token"]


def test_a_failed_restart_keeps_the_edition(scene: Scene) -> None:
    """Only a reload brings a new edition, so only a failed reload takes one back."""
    scene.renewal.restart("acceptor-1", "token")
    scene.renewal.on_not_started(scene.roster.members.pop(scene.enlist(1, 2).child_id), "")

    assert OLD == scene.renewal.edition
    assert 0 == scene.editions
    assert not scene.answers["token"]["ok"]


def test_recycling_answers_nobody(scene: Scene) -> None:
    """An acceptor that asked for a successor gets one, once, and nobody waits for an answer."""
    for _ in range(3):
        scene.renewal.recycle(1, "max_requests")
    scene.renewal.on_ready(scene.enlist(1, 2))

    assert [("start", 1), ("terminate", "acceptor-1")] == scene.asked
    assert {} == scene.answers


def test_orders_wait_for_each_other(scene: Scene) -> None:
    """A restart during a reload comes after it."""
    scene.renewal.reload(NEW, "reload")
    scene.renewal.restart("acceptor-1", "restart")
    scene.renewal.on_ready(scene.enlist(1, 2))
    scene.renewal.on_ready(scene.enlist(2, 2))

    assert ["reload"] == list(scene.answers)
    assert ("start", 1) == scene.asked[-1]
    scene.renewal.on_ready(scene.enlist(1, 3))
    assert ["reload", "restart"] == list(scene.answers)


def test_an_acceptor_of_another_number_is_no_successor(scene: Scene) -> None:
    """One that was added by scaling, and says ready during a rollout, ends nobody's service."""
    scene.renewal.restart("acceptor-1", "token")
    scene.renewal.on_ready(scene.enlist(3))
    scene.renewal.on_not_started(Member("acceptor-4", 4, 1), "")

    assert [("start", 1)] == scene.asked
    assert {} == scene.answers
