"""Conversations in a whole tree: counted, told to end by a reload, lost with nothing but their acceptor."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.faults.tree import Tree
from tests.tree.conftest import MakeTree

pytestmark = pytest.mark.slow


Dial = Callable[[Tree], ClientConnection]


@pytest.fixture
def dial() -> Iterator[Dial]:
    """Give a function that opens a conversation, which ends with the test."""
    with ExitStack() as stack:

        def open_one(tree: Tree) -> ClientConnection:
            address = f"ws://127.0.0.1:{tree.port}/ws"
            return stack.enter_context(connect(address, proxy=None, open_timeout=20, close_timeout=20))

        yield open_one


def counts(tree: Tree) -> tuple[int, int]:
    """WebSockets, and requests in flight, of all acceptors."""
    acceptors = tree.status()["acceptors"]
    return tuple(sum(each.get(key, 0) for each in acceptors) for key in ("websockets", "in_flight"))  # type: ignore[return-value]


def pid_of(client: ClientConnection) -> int:
    """The acceptor that serves a conversation."""
    client.send("?")
    return int(str(client.recv(20)).split()[0])


def test_conversations_are_counted_apart(make_tree: MakeTree, dial: Dial) -> None:
    """They are no requests in flight, and nothing is counted once they are over."""
    tree = make_tree()
    clients = [dial(tree) for _ in range(3)]
    tree.wait(lambda: counts(tree) == (3, 0), "three conversations")
    for client in clients:
        client.close()
    tree.wait(lambda: counts(tree) == (0, 0), "none")


def test_a_reload_tells_every_client_to_come_again(make_tree: MakeTree, dial: Dial) -> None:
    """1012, at once; a new acceptor has the next conversation, and the old one leaves in time."""
    tree = make_tree()
    clients = [dial(tree) for _ in range(4)]
    before = {pid_of(client) for client in clients}
    tree.order({"command": "reload"})
    for client in clients:
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(20)
        assert closed.value.rcvd is not None
        assert 1012 == closed.value.rcvd.code
    tree.wait(tree.is_healthy, "the old ones have left")

    assert pid_of(dial(tree)) not in before


def test_a_killed_acceptor_takes_its_conversations_with_it(make_tree: MakeTree, dial: Dial) -> None:
    """Its clients see the end of the connection; those of others go on; the count is right again."""
    tree = make_tree()
    clients = [dial(tree) for _ in range(8)]
    pids = [pid_of(client) for client in clients]
    os.kill(pids[0], signal.SIGKILL)
    for client, pid in zip(clients, pids, strict=True):
        if pid == pids[0]:
            with pytest.raises(ConnectionClosed):
                client.recv(20)
        else:
            assert pid == pid_of(client)
            client.close()
    tree.wait(lambda: counts(tree) == (0, 0), "none")
    tree.wait(tree.is_healthy, "it was replaced")
