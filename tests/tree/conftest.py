"""A running server for each test that asks for one, ended with everything it started."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.tree import Tree

MakeTree = Callable[..., Tree]


@pytest.fixture
def make_tree() -> Iterator[MakeTree]:
    """Give a function that starts a tree of the misbehaving application; options are TOML sections."""
    trees: list[Tree] = []

    def make(*, start: bool = True, more: str = "", **options: dict[str, Any]) -> Tree:
        tree = Tree(options={"server": {"num_acceptors": 2}, **options})
        trees.append(tree)
        shutil.copy(Path(__file__).with_name("application.py"), Path(tree.directory, "app.py"))
        if more:
            with Path(tree.directory, "rocket.toml").open("a") as file:
                file.write(more)
        if start:
            tree.start()
        return tree

    yield make
    for tree in trees:
        tree.close()
        if tree.process is not None:
            tree.process.wait()


@contextmanager
def blocked_acceptor(tree: Tree) -> Iterator[socket.socket]:
    """Block the loop of one acceptor by a handler that never returns; gives the connection it came on."""
    with socket.create_connection(("127.0.0.1", tree.port)) as sock:
        sock.sendall(b"GET /block HTTP/1.1\r\nHost: test\r\n\r\n")
        tree.wait(Path(tree.directory, "blocked").exists, "the handler blocks its loop")
        yield sock


def is_under_way(tree: Tree) -> bool:
    """Whether the handler of exactly one request is waiting: an accepted connection alone does not say so."""
    return 1 == sum(acceptor["in_flight"] for acceptor in tree.status()["acceptors"])


def ask(tree: Tree, path: str = "/pid", *, timeout_s: float = 10.0) -> bytes:
    """Send one GET on a connection of its own and return the whole answer; empty when it was cut."""
    with socket.create_connection(("127.0.0.1", tree.port), timeout=timeout_s) as sock:
        return ask_on(sock, path)


def ask_on(sock: socket.socket, path: str = "/pid") -> bytes:
    """Send one last GET on a connection and return all that comes until its end."""
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
    received = b""
    try:
        while piece := sock.recv(65536):
            received += piece
    except ConnectionResetError:
        pass  # the acceptor was killed: what came until then is the answer
    return received


def pid_of(answer: bytes) -> int:
    """Read the process id out of an answer of /pid."""
    return int(answer.rpartition(b"\r\n\r\n")[2])
