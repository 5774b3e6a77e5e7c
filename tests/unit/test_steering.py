"""The steering program: which socket it picks, and what the kernel does with it."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from rocket_sup import steering
from rocket_sup.steering import Instruction, attach, program

SOCKETS = 4
NEWCOMERS = 80


@pytest.fixture
def group() -> Iterator[list[socket.socket]]:
    """Four listening sockets that share a port."""
    sockets: list[socket.socket] = []
    address = ("127.0.0.1", 0)
    for _ in range(SOCKETS):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.listen(NEWCOMERS)
        sock.setblocking(False)
        address = sock.getsockname()
        sockets.append(sock)
    yield sockets
    for sock in sockets:
        sock.close()


def run(code: list[Instruction], chance: int) -> int:
    """Interpret the few instructions that the programs use; `chance` is what the kernel's random gives."""
    accumulator, position = 0, 0
    while True:
        operation, jump_true, jump_false, operand = code[position]
        position += 1
        if operation == steering._LOAD_WORD_ABSOLUTE:
            assert steering._ANCILLARY_RANDOM == operand
            accumulator = chance
        elif operation == steering._MODULO:
            accumulator %= operand
        elif operation == steering._JUMP_EQUAL:
            position += jump_true if accumulator == operand else jump_false
        else:
            assert steering._RETURN == operation
            return operand


def queued(group: list[socket.socket]) -> list[int]:
    """Connect many times, and count on which socket each newcomer landed."""
    clients = [socket.create_connection(group[0].getsockname()) for _ in range(NEWCOMERS)]
    counts = []
    for sock in group:
        accepted = 0
        while True:
            try:
                sock.accept()[0].close()
            except BlockingIOError:
                break
            accepted += 1
        counts.append(accepted)
    for client in clients:
        client.close()
    return counts


@pytest.mark.parametrize("healthy", [[0], [3], [0, 1], [1, 3], [0, 2, 3], list(range(300)), [7, 250]])
def test_every_healthy_socket_is_picked_equally_often(healthy: list[int]) -> None:
    """All random numbers map onto the healthy positions, each the same number of times."""
    code = program(healthy)
    picked = Counter(run(code, chance) for chance in range(3 * len(healthy)))

    assert dict.fromkeys(healthy, 3) == picked


def test_nobody_healthy_is_no_program() -> None:
    """A program must pick somebody: with no healthy socket there is none."""
    with pytest.raises(ValueError, match="at least one healthy socket"):
        program([])


def test_newcomers_land_on_healthy_sockets_only(group: list[socket.socket]) -> None:
    """The kernel gives every new connection to one of the healthy sockets, and uses all of those."""
    attach(group[0].fileno(), program([1, 3]))
    counts = queued(group)

    assert (0, 0) == (counts[0], counts[2])
    assert NEWCOMERS == counts[1] + counts[3]
    assert min(counts[1], counts[3]) > 0


def test_a_new_program_takes_the_place_of_the_old(group: list[socket.socket]) -> None:
    """A change of who is healthy counts from the next connection on, whichever socket it is attached by."""
    attach(group[0].fileno(), program([1, 3]))
    attach(group[2].fileno(), program([2]))

    assert [0, 0, NEWCOMERS, 0] == queued(group)


def test_a_later_socket_joins_at_the_end(group: list[socket.socket]) -> None:
    """Positions are in the order of listening: a socket added later is the next position."""
    with socket.socket() as late:
        late.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        late.bind(group[0].getsockname())
        late.listen(NEWCOMERS)
        late.setblocking(False)
        attach(group[0].fileno(), program([SOCKETS]))

        assert [0, 0, 0, 0, NEWCOMERS] == queued([*group, late])


def test_what_is_queued_stays_where_it_is(group: list[socket.socket]) -> None:
    """Steering concerns newcomers: a connection that waits on a socket is still accepted from it."""
    attach(group[0].fileno(), program([1]))
    with socket.create_connection(group[0].getsockname()):
        attach(group[0].fileno(), program([2]))
        accepted, _ = group[1].accept()
        accepted.close()


def test_the_kernel_refuses_what_is_no_group() -> None:
    """A socket that cannot be steered is an OSError, and stays open."""
    left, right = socket.socketpair()
    with left, right:
        with pytest.raises(OSError, match=r"."):
            attach(left.fileno(), [])

        assert left.fileno() >= 0
        left.send(b"x")


def test_the_kernel_refuses_a_program_that_is_too_long(group: list[socket.socket]) -> None:
    """The kernel takes 4096 instructions: a group so large that it needs more is refused, not cut."""
    with pytest.raises(OSError, match="Invalid argument"):
        attach(group[0].fileno(), program(list(range(3000))))
