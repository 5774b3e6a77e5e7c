"""The gate: real sockets, real steering; who is told of what."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from rocket_sup.config import Config
from rocket_sup.gate import Gate
from rocket_sup.roster import Member, Roster
from rocket_sup.scoreboard import Scoreboard, SlotState
from rocket_sup.sockets import Bind, BindError, display
from tests.unit.conftest import Journal

TCP = "127.0.0.1:0"


class Scene:
    """A gate, its roster, and what it said."""

    def __init__(self, journal: Journal) -> None:
        self.board = Scoreboard(8, max_connections=1)
        self.roster = Roster()
        self.to_supervisor: list[dict[str, Any]] = []
        self.to_members: list[tuple[str, str, int, int]] = []  # child, kind, number, descriptors
        self.changes = 0
        self.journal = journal
        self.gate = self.make([])

    def make(self, binds: list[Bind]) -> Gate:
        """A gate of the same surroundings."""
        return Gate(
            binds,
            server=Config().server,
            roster=self.roster,
            log=self.journal.log,
            tell_supervisor=lambda kind, *, fds=(), **fields: self.to_supervisor.append(
                {"type": kind, "fds": list(fds), **fields}
            ),
            tell_member=self.tell_member,
            on_change=self.on_change,
        )

    def tell_member(self, member: Member, kind: str, *, fds: Any = (), **fields: Any) -> None:
        self.to_members.append((member.child_id, kind, fields["number"], len(fds)))

    def on_change(self) -> None:
        self.changes += 1

    def ready(self, *numbers: int) -> None:
        """Have a ready member of each number."""
        for number in numbers:
            slot = self.board.allocate(number=number, generation=1)
            assert slot is not None
            slot.state = SlotState.READY
            self.roster.members[f"acceptor-{number}"] = Member(f"acceptor-{number}", number, 1, slot=slot)

    def landing(self, newcomers: int = 24) -> list[int]:
        """Connect to the first bind, and count on which number's socket the newcomers land."""
        fds = [self.gate.fds_for(number)[0] for number in (1, 2, 3)]
        host, _, port = display(Bind("", True, [fds[0]])).rpartition(":")
        clients = [socket.create_connection((host, int(port))) for _ in range(newcomers)]
        counts = []
        for fd in fds:
            sock, count = socket.socket(fileno=fd), 0
            try:
                while True:
                    sock.accept()[0].close()
                    count += 1
            except BlockingIOError:
                counts.append(count)
            finally:
                sock.detach()
        for client in clients:
            client.close()
        return counts


@pytest.fixture
def scene(journal: Journal) -> Iterator[Scene]:
    """A gate that has opened nothing yet."""
    scene = Scene(journal)
    yield scene
    scene.gate.close()
    for bell in scene.board.doorbells:
        os.close(bell)


def test_opening_tells_the_supervisor_of_every_socket(scene: Scene) -> None:
    """Each address is told with its kind, then all of its sockets, in the order of the addresses."""
    scene.gate.open([TCP, f"unix:@gate-{os.getpid()}"], acceptors=3)
    told = [(message["type"], len(message["fds"])) for message in scene.to_supervisor]

    assert [("bind", 0), ("sockets", 3), ("bind", 0), ("sockets", 1)] == told
    assert [TCP, True] == [scene.to_supervisor[0][key] for key in ("address", "is_steered")]
    assert [0, 1] == [message["bind"] for message in scene.to_supervisor if message["type"] == "sockets"]


def test_descriptors_of_an_acceptor(scene: Scene) -> None:
    """An acceptor has its own socket of a steered address and the shared one of another."""
    scene.gate.open([TCP, f"unix:@gate-{os.getpid()}"], acceptors=2)
    first, second = scene.gate.fds_for(1), scene.gate.fds_for(2)

    assert first[0] != second[0]
    assert first[1] == second[1]


def test_many_sockets_are_handed_over_in_pieces(scene: Scene) -> None:
    """No message carries more descriptors than the kernel allows."""
    scene.gate.open([TCP], acceptors=205)

    assert [200, 5] == [len(m["fds"]) for m in scene.to_supervisor if m["type"] == "sockets"]


def test_a_second_gate_takes_over(scene: Scene) -> None:
    """Sockets of a former Listener are used as they are; only what is missing is bound and told."""
    scene.gate.open([TCP], acceptors=2)
    before = [scene.gate.fds_for(number)[0] for number in (1, 2)]
    bind = Bind(TCP, True, list(before))
    scene.to_supervisor.clear()
    scene.gate = scene.make([bind])
    scene.gate.open([TCP, f"unix:@gate-{os.getpid()}"], acceptors=3)

    assert before == [scene.gate.fds_for(number)[0] for number in (1, 2)]
    assert [("sockets", 0), ("bind", None), ("sockets", 1)] == [
        (message["type"], message.get("bind")) for message in scene.to_supervisor
    ]


def test_an_address_that_cannot_be_used_is_refused(scene: Scene) -> None:
    """The error of the address comes through, and nothing is told."""
    with pytest.raises(BindError, match="unix:/no/such/directory/socket"):
        scene.gate.open(["unix:/no/such/directory/socket"], acceptors=1)
    assert [] == scene.to_supervisor


def test_newcomers_are_steered_to_the_healthy(scene: Scene) -> None:
    """The kernel follows the roster, and orphans of a former Listener count."""
    scene.gate.open([TCP], acceptors=3)
    scene.ready(2)
    scene.gate.steer(set())

    assert [0, 24, 0] == scene.landing()
    scene.gate.steer({3})
    landed = scene.landing()
    assert landed[0] == 0
    assert landed[1] + landed[2] == 24
    assert min(landed[1:]) > 0
    assert {2, 3} == scene.gate.steered


def test_steering_is_changed_only_when_somebody_changed(scene: Scene) -> None:
    """The same set again is not attached, told or logged again."""
    scene.gate.open([TCP], acceptors=2)
    scene.ready(1, 2)
    for _ in range(3):
        scene.gate.steer(set())

    assert 1 == scene.changes
    assert ["steered"] == scene.journal.names()


def test_with_nobody_healthy_everything_stays(scene: Scene) -> None:
    """When the last one is gone, newcomers still queue where they did: a program picks somebody."""
    scene.gate.open([TCP], acceptors=3)
    scene.ready(2)
    scene.gate.steer(set())
    scene.roster.members["acceptor-2"].is_suspect = True
    scene.gate.steer(set())

    assert {2} == scene.gate.steered
    assert [0, 24, 0] == scene.landing()
    assert ("acceptor-2", "adopt", 2, 1) not in scene.to_members


def test_the_queue_of_an_absent_number_is_adopted(scene: Scene) -> None:
    """A healthy sibling gets the sockets of a number nobody serves, and gives them up later."""
    scene.gate.open([TCP, f"unix:@gate-{os.getpid()}"], acceptors=3)
    scene.ready(1, 3)
    scene.gate.steer(set())
    scene.gate.steer(set())

    assert [("acceptor-1", "adopt", 2, 1)] == scene.to_members
    scene.ready(2)
    scene.gate.steer(set())
    assert [("acceptor-1", "release", 2, 0)] == scene.to_members[1:]
    assert set() == scene.roster.members["acceptor-1"].adopted


def test_an_adopter_that_falls_ill_is_relieved(scene: Scene) -> None:
    """The queue passes on to somebody healthy, and the ill one's own queue is adopted too."""
    scene.gate.open([TCP], acceptors=3)
    scene.ready(1, 2)
    scene.gate.steer(set())
    scene.to_members.clear()
    ill = scene.roster.members["acceptor-1"]
    ill.is_suspect = True
    scene.gate.steer(set())

    assert [
        ("acceptor-2", "adopt", 1, 1),
        ("acceptor-1", "release", 3, 0),
        ("acceptor-2", "adopt", 3, 1),
    ] == scene.to_members


def test_a_kernel_that_refuses_is_logged(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steering that fails later does not stop the Listener: it is an error in the log."""
    scene.gate.open([TCP], acceptors=2)
    scene.ready(2)

    def refuse(_bind: Bind, _numbers: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("rocket_sup.gate.steer", refuse)
    scene.gate.steer(set())

    assert ["steering_failed", "steered"] == scene.journal.names()
    assert TCP == scene.journal.events()[0]["bind"]


def test_a_closed_gate_listens_no_more(scene: Scene) -> None:
    """After close the address is free for another tree."""
    scene.gate.open([TCP], acceptors=2)
    address = display(Bind("", True, [scene.gate.fds_for(1)[0]]))
    scene.gate.close()
    with socket.socket() as other:
        host, _, port = address.rpartition(":")
        other.bind((host, int(port)))

    assert () == scene.gate.fds_for(1)
