"""The way in of one acceptor: real sockets and a real scoreboard, in front of a wire that only counts.

What several acceptors do to each other shows in whole processes: tests/tree/test_admission.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rocket_sup import scoreboard as board
from rocket_sup.admission import Admission, AdmissionRules
from rocket_sup.engine.contract import Accepted, Stop
from rocket_sup.scoreboard import Scoreboard, Slot, SlotState
from tests.unit.conftest import PATIENCE_S, Journal

LIMIT = 300  # nobody gets there


class CountingWire:
    """Holds the sockets it is given until it is told to close them."""

    doorman: FakeDoorman | None = None

    def __init__(self) -> None:
        self.is_draining = False
        self.is_telling = False
        self.held: list[socket.socket] = []
        self.refusal: OSError | None = None
        self.asked_to_close = 0
        self.idle_since: float | None = None

    def open(self, sock: socket.socket) -> None:
        """Hold it."""
        if self.refusal is not None:
            raise self.refusal
        self.held.append(sock)

    def longest_idle_since(self) -> float | None:
        """As set by the test."""
        return self.idle_since

    def close_longest_idle(self) -> bool:
        """Note it."""
        self.asked_to_close += 1
        return True


class DoormanWire(CountingWire):
    """Takes connections by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.doorman = FakeDoorman(self)


class FakeDoorman:
    """What a doorman is, in a few lines of Python."""

    def __init__(self, wire: CountingWire) -> None:
        self.loop: asyncio.AbstractEventLoop
        self.slot: Slot
        self.stuck: list[Accepted] = []
        self.before_stuck: Callable[[], object] = lambda: None
        self._wire = wire

    def watch(self, listening_fd: int, on_stuck: Callable[[int, Accepted], None]) -> None:
        """Look at it in every turn of the loop."""
        self.loop.add_reader(listening_fd, self._turn, listening_fd, on_stuck)

    def unwatch(self, listening_fd: int) -> None:
        """Look at it no more."""
        self.loop.remove_reader(listening_fd)

    def accept(self, listening_fd: int, most: int) -> Accepted:
        """Take what is there."""
        with contextlib.closing(socket.socket(fileno=os.dup(listening_fd))) as listening:
            for taken in range(most):
                stop, number = self._accept_one(listening)
                if stop is not None:
                    return Accepted(taken, stop, number)
        return Accepted(most, Stop.ENOUGH)

    def _accept_one(self, listening: socket.socket) -> tuple[Stop | None, int]:
        if not self.slot.try_claim():
            return Stop.FULL, 0
        try:
            sock, _ = listening.accept()
        except OSError as error:
            self.slot.unclaim()
            return (Stop.EMPTY, 0) if error.errno == errno.EAGAIN else (Stop.FAILED, error.errno or 0)
        self.slot.occupy()
        try:
            self._wire.open(sock)
        except OSError as error:
            sock.close()
            self.slot.vacate()
            return Stop.UNOPENED, error.errno or 0
        return None, 0

    def _turn(self, listening_fd: int, on_stuck: Callable[[int, Accepted], None]) -> None:
        accepted = self.accept(listening_fd, 64)
        if accepted.stop not in (Stop.EMPTY, Stop.ENOUGH):
            self.stuck.append(accepted)
            self.before_stuck()
            on_stuck(listening_fd, accepted)


class Gate:
    """One acceptor's admission with everything around it."""

    def __init__(self, wire: CountingWire, journal: Journal, *, must_reject: bool = False) -> None:
        self.wire = wire
        self.loop = asyncio.new_event_loop()
        self.board = Scoreboard(2, max_connections=LIMIT)
        self.slot = self._new_slot(1)
        if wire.doorman is not None:
            wire.doorman.loop, wire.doorman.slot = self.loop, self.slot
        self.clients: list[socket.socket] = []
        listening = socket.create_server(("127.0.0.1", 0), backlog=200)
        listening.setblocking(False)
        self.address = listening.getsockname()
        self.admission = Admission(
            self.loop,
            wire,  # type: ignore[arg-type]  # the part that admission uses
            scoreboard=self.board,
            slot=self.slot,
            rules=AdmissionRules(must_reject, 7),
            log=journal.log,
        )
        self.admission.open((listening.detach(),))

    def _new_slot(self, number: int) -> Slot:
        slot = self.board.allocate(number=number, generation=1)
        assert slot is not None
        slot.state = SlotState.READY
        return slot

    def sibling(self) -> Slot:
        """Another acceptor's slot."""
        return self._new_slot(2)

    def knock(self, count: int = 1) -> None:
        """Connect."""
        self.clients += [socket.create_connection(self.address, timeout=PATIENCE_S) for _ in range(count)]

    def turn_until(self, condition: Callable[[], object]) -> None:
        """Let the loop turn until something is so."""

        async def turn() -> None:
            while not condition():  # noqa: ASYNC110 - any condition: there is no event to wait for
                await asyncio.sleep(0.001)

        self.loop.run_until_complete(asyncio.wait_for(turn(), PATIENCE_S))

    def leave(self) -> None:
        """One connection ends."""
        self.wire.held.pop().close()
        self.slot.vacate()
        if self.wire.is_telling:
            self.admission.on_connection_closed()

    def places(self) -> tuple[int, int]:
        """Places claimed, and connections."""
        return self.board.claimed(), self.board.connections()

    def close(self) -> None:
        """Close everything."""
        self.admission.close()
        for sock in [*self.wire.held, *self.clients]:
            sock.close()
        self.loop.close()
        for bell in self.board.doorbells:
            os.close(bell)


@pytest.fixture(params=[CountingWire, DoormanWire])
def gate(request: pytest.FixtureRequest, journal: Journal) -> Iterator[Gate]:
    """An admission in front of each kind of wire."""
    gate = Gate(request.param(), journal)
    yield gate
    gate.close()


def test_newcomers_are_opened_and_counted(gate: Gate) -> None:
    """Each has a place while it is there, and nobody else has one."""
    gate.knock(70)  # more than one batch
    gate.turn_until(lambda: len(gate.wire.held) == 70)

    assert (70, 70) == gate.places()
    gate.leave()
    assert (69, 69) == gate.places()
    assert 70 == gate.board.peak()


def test_at_the_limit_newcomers_wait_in_the_queue(gate: Gate) -> None:
    """And are let in as soon as somebody leaves."""
    gate.board.max_connections = 2
    gate.knock(3)
    assert not gate.wire.is_telling
    gate.turn_until(lambda: gate.slot.read(board.WAITING))

    assert (2, 2) == gate.places()
    assert gate.wire.is_telling
    gate.leave()
    gate.turn_until(lambda: len(gate.wire.held) == 2 and not gate.slot.read(board.WAITING))
    assert (2, 2) == gate.places()
    assert not gate.wire.is_telling


def test_whoever_waits_has_an_idle_connection_closed(gate: Gate) -> None:
    """Our own, when it has been idle for longer than all others."""
    gate.board.max_connections = 1
    gate.wire.idle_since = 5.0
    gate.knock(2)
    gate.turn_until(lambda: gate.wire.asked_to_close)

    assert gate.slot.read(board.WAITING)
    gate.leave()


def test_the_longest_idle_connection_of_a_sibling_is_asked_for(gate: Gate) -> None:
    """By a mark in its slot and a ring at its door."""
    sibling = gate.sibling()
    sibling.write(board.LONGEST_IDLE, 1)
    gate.wire.idle_since = 5.0
    gate.board.max_connections = 1
    gate.knock(2)
    gate.turn_until(lambda: sibling.read(board.EVICT))

    assert gate.wire.asked_to_close == 0


def test_a_ring_says_that_somebody_waits(gate: Gate) -> None:
    """Nobody is kept alive meanwhile, and who is to go goes."""
    sibling = gate.sibling()
    sibling.write(board.WAITING, 1)
    gate.slot.write(board.EVICT, 1)
    gate.board.ring(gate.slot.index)
    gate.turn_until(lambda: gate.wire.asked_to_close)

    assert gate.wire.is_draining
    assert gate.slot.read(board.EVICT) == 0
    sibling.write(board.WAITING, 0)
    gate.admission.review()
    assert not gate.wire.is_draining


def test_a_closed_gate_takes_what_is_queued_and_no_more(gate: Gate) -> None:
    """Those who knocked before are served."""
    gate.knock(5)
    gate.admission.close()
    gate.admission.close()

    assert 5 == len(gate.wire.held)
    with pytest.raises(ConnectionError):
        gate.knock()
    read_end, write_end = os.pipe()
    gate.admission.adopt(3, [read_end])
    with pytest.raises(BrokenPipeError):
        os.write(write_end, b"x")
    os.close(write_end)


def test_another_numbers_sockets_are_emptied_until_their_owner_is_back(gate: Gate) -> None:
    """Their descriptors are ours meanwhile."""
    other = socket.create_server(("127.0.0.1", 0))
    other.setblocking(False)
    client = socket.create_connection(other.getsockname())
    copy = os.dup(other.fileno())
    gate.admission.adopt(2, [copy])
    gate.turn_until(lambda: gate.wire.held)
    gate.admission.release(2)

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(copy)
    other.close()
    client.close()


def test_a_connection_that_cannot_be_opened_gives_its_place_back(gate: Gate, journal: Journal) -> None:
    """It is closed, and the log says why; the next one is served."""
    gate.wire.refusal = OSError(errno.ENOMEM, "no memory")
    gate.knock()
    gate.turn_until(lambda: "connection_not_opened" in journal.names())

    assert (0, 0) == gate.places()
    assert b"" == gate.clients[0].recv(1)
    gate.wire.refusal = None
    gate.knock()
    gate.turn_until(lambda: gate.wire.held)


def test_a_newcomer_who_left_again_holds_up_nobody(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is taken as if nothing had been."""
    accept = socket.socket.accept
    failures = [errno.ECONNABORTED]

    def fail_once(self: socket.socket) -> Any:
        if failures:
            raise OSError(failures.pop(), "aborted")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", fail_once)
    gate.knock()
    gate.turn_until(lambda: gate.wire.held)

    assert (1, 1) == gate.places()
    assert not gate.wire.is_telling


def test_a_place_that_comes_free_while_the_doorman_asks_is_taken(journal: Journal) -> None:
    """Nobody waits for it, and nobody is closed."""
    wire = DoormanWire()
    gate = Gate(wire, journal)
    gate.board.max_connections = 1
    assert wire.doorman is not None
    gate.knock(2)
    wire.doorman.before_stuck = lambda: setattr(gate.board, "max_connections", 3)
    gate.turn_until(lambda: len(wire.held) == 2)

    assert [Accepted(1, Stop.FULL)] == wire.doorman.stuck
    assert (2, 2) == gate.places()
    assert not gate.slot.read(board.WAITING)
    assert not wire.is_telling
    gate.close()


@pytest.mark.parametrize("wire", [CountingWire, DoormanWire])
def test_accepting_pauses_when_descriptors_run_out(
    wire: type[CountingWire], journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of spinning; the log says so once, and it goes on by itself."""
    gate = Gate(wire(), journal)
    failures = [errno.EMFILE]
    accept = socket.socket.accept

    def fail(self: socket.socket) -> Any:
        if failures:
            raise OSError(failures[0], "Too many open files")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", fail)
    gate.knock()
    gate.turn_until(lambda: "accept_paused" in journal.names())
    assert (0, 0) == gate.places()
    failures.clear()
    gate.turn_until(lambda: gate.wire.held)

    assert ["accept_paused"] == journal.names()
    gate.close()


@pytest.mark.parametrize("wire", [CountingWire, DoormanWire])
def test_over_the_limit_clients_can_be_told(wire: type[CountingWire], journal: Journal) -> None:
    """With 503, while the others are served."""
    gate = Gate(wire(), journal, must_reject=True)
    gate.board.max_connections = 1
    gate.knock(2)
    gate.turn_until(lambda: gate.wire.held)
    refused = [client for client in gate.clients if client.getsockname() != gate.wire.held[0].getpeername()]
    gate.loop.run_until_complete(asyncio.sleep(0))

    assert (1, 1) == gate.places()
    assert refused[0].recv(65536).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    for client in gate.clients:
        client.close()
    gate.turn_until(lambda: not gate.loop._selector.get_map().keys() - gate_fds(gate))  # type: ignore[attr-defined]
    gate.close()


def gate_fds(gate: Gate) -> set[int]:
    """The descriptors that a loop watches while nobody is being refused."""
    return {*gate.admission._listening, *gate.board.doorbells, gate.loop._ssock.fileno()}  # type: ignore[attr-defined]
