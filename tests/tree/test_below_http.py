"""An application below HTTP in a tree: the same limits, the same restarts."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.faults.tree import Tree
from tests.tree.conftest import MakeTree

ECHO = """
import os
from rocket_sup.tcp import Connection, TcpApplication

async def talk(connection: Connection) -> None:
    connection.write(b"%d\\n" % os.getpid())
    await connection.flush()
    while data := await connection.read():
        connection.write(data)
        await connection.flush()

app = TcpApplication(talk)
"""


@pytest.fixture
def tree(make_tree: MakeTree) -> Tree:
    """A tree of two acceptors whose connections are echoed."""
    tree = make_tree(start=False)
    Path(tree.directory, "app.py").write_text(ECHO)
    tree.write_config(max_connections=3)
    tree.start()
    return tree


def meet(tree: Tree) -> tuple[socket.socket, int]:
    """Connect; the connection, and the process that serves it."""
    sock = socket.create_connection(("127.0.0.1", tree.port), 10)
    with sock.makefile("rb") as lines:
        return sock, int(lines.readline())


@pytest.mark.slow
def test_connections_are_served_counted_and_limited(tree: Tree) -> None:
    """The fourth waits until one of three leaves."""
    met = [meet(tree) for _ in range(3)]
    for sock, _ in met:
        sock.sendall(b"hello")
        assert sock.recv(100) == b"hello"
    assert tree.status()["connections"]["now"] == 3
    with socket.create_connection(("127.0.0.1", tree.port), 10) as fourth:
        fourth.settimeout(0.3)
        with pytest.raises(TimeoutError):
            fourth.recv(100)
        met[0][0].close()
        fourth.settimeout(10)
        assert fourth.recv(100).strip().isdigit()
    for sock, _ in met[1:]:
        sock.close()
    tree.wait(lambda: tree.status()["connections"]["now"] == 0, "nobody is connected")


@pytest.mark.slow
def test_a_killed_acceptor_is_replaced(tree: Tree) -> None:
    """Its conversations end, and the next one is served."""
    sock, pid = meet(tree)
    os.kill(pid, signal.SIGKILL)
    with sock:
        try:
            assert sock.recv(100) == b""
        except ConnectionResetError:
            pass  # as good an end as any, for one that was killed
    again, other = meet(tree)
    again.close()

    assert other != pid
    tree.wait(tree.is_healthy, "whole again")


@pytest.mark.slow
def test_a_drain_leaves_conversations_their_time_and_no_more(tree: Tree) -> None:
    """At the deadline they are cut, and the tree has left."""
    tree.write_config(max_connections=3)
    sock, _ = meet(tree)
    os.kill(tree.supervisor, signal.SIGTERM)
    sock.sendall(b"still here")

    assert sock.recv(100) == b"still here"
    assert tree.wait_exit(20) == 0
    sock.close()
