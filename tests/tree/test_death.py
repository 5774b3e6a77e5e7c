"""Every process of the tree can be killed or frozen at any moment."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import ExitStack

import pytest

from rocket_sup.engine.native import load
from tests.faults.tree import Tree
from tests.tree.conftest import MakeTree, ask, ask_on, blocked_acceptor, is_under_way, pid_of

pytestmark = pytest.mark.slow


def acceptor_pids(tree: Tree) -> set[int]:
    return {acceptor["pid"] for acceptor in tree.status()["acceptors"]}


def test_a_killed_acceptor_is_replaced_and_says_what_it_was_doing(make_tree: MakeTree) -> None:
    """SIGKILL in the middle of a request costs that request alone; the log names signal and request."""
    tree = make_tree()
    before = acceptor_pids(tree)

    assert b"" == ask(tree, "/die")
    tree.wait(lambda: tree.is_healthy() and len(before & acceptor_pids(tree)) == 1, "one acceptor replaced")

    assert 'reason=killed(SIGKILL) connections=1 last_request="GET /die"' in tree.log()
    assert b"200 OK" in ask(tree)
    tree.wait(lambda: tree.status()["connections"]["now"] == 0, "the counter is back at zero")


@pytest.mark.skipif(load()[0] is None, reason=load()[1])
@pytest.mark.parametrize("target", ["/panic", "/panic-later"])
def test_a_panic_of_the_native_core_ends_its_acceptor_alone(make_tree: MakeTree, target: str) -> None:
    """Nothing of it reaches Python. The log says where it was, in Rust and in Python, for which request."""
    tree = make_tree()
    before = acceptor_pids(tree)

    assert b"" == ask(tree, target)
    tree.wait(lambda: tree.is_healthy() and len(before & acceptor_pids(tree)) == 1, "one acceptor replaced")

    log = tree.log()
    assert f'reason=killed(SIGABRT) connections=1 last_request="GET {target}"' in log
    assert "panicked at rocket-py/src/routing.rs:" in log
    assert "app.py" in log.partition("Fatal Python error: Aborted")[2]
    assert b"200 OK" in ask(tree)


def test_a_queued_connection_survives_the_death_of_its_acceptor(make_tree: MakeTree) -> None:
    """With one acceptor blocked, connections queue on its socket; after SIGKILL all of them are answered."""
    tree = make_tree(server={"num_acceptors": 1}, acceptor={"suspect": 60.0, "hang": 0})
    (pid,) = acceptor_pids(tree)
    with ExitStack() as open_sockets, blocked_acceptor(tree):
        queued = [
            open_sockets.enter_context(socket.create_connection(("127.0.0.1", tree.port))) for _ in range(20)
        ]
        os.kill(pid, signal.SIGKILL)
        answers = [ask_on(sock) for sock in queued]

        assert all(b"200 OK" in answer for answer in answers)
        assert {pid_of(answer) for answer in answers} == acceptor_pids(tree) != {pid}


def test_what_queued_on_a_hung_acceptor_is_adopted_by_its_sibling(make_tree: MakeTree) -> None:
    """A blocked acceptor's queue is emptied by the other one, long before the blocked one is replaced."""
    tree = make_tree(acceptor={"suspect": 0.5, "hang": 0})
    answers: list[bytes] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(tree, timeout_s=20))) for _ in range(20)]
    with blocked_acceptor(tree):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert 20 == sum(b"200 OK" in answer for answer in answers)
        assert 1 == len({pid_of(answer) for answer in answers})
        assert {"ready", "suspect"} == {acceptor["state"] for acceptor in tree.status()["acceptors"]}


def test_a_hung_acceptor_has_its_stacks_dumped_and_is_replaced(make_tree: MakeTree) -> None:
    """A handler that blocks the loop is found by the missing heartbeat; the log shows where it stood."""
    tree = make_tree(acceptor={"suspect": 0.3, "hang": 1.0})
    before = acceptor_pids(tree)
    with blocked_acceptor(tree):
        tree.wait(lambda: tree.is_healthy() and acceptor_pids(tree) != before, "the hung acceptor replaced")

    assert "acceptor_hung" in tree.log()
    assert "app.py" in tree.log()
    assert "in block" in tree.log()
    assert "reason=hung" in tree.log()


def test_a_frozen_acceptor_is_replaced(make_tree: MakeTree) -> None:
    """SIGSTOP, which no process can answer, ends in SIGKILL and a successor."""
    tree = make_tree(acceptor={"suspect": 0.3, "hang": 1.0})
    before = acceptor_pids(tree)
    os.kill(min(before), signal.SIGSTOP)
    tree.wait(lambda: tree.is_healthy() and len(before & acceptor_pids(tree)) == 1, "one acceptor replaced")

    assert b"200 OK" in ask(tree)


def test_acceptors_serve_on_while_a_killed_listener_is_replaced(make_tree: MakeTree) -> None:
    """A kept connection outlives the Listener, gets one more answer, and new acceptors take over."""
    tree = make_tree()
    before, listener = acceptor_pids(tree), tree.status()["listener"]["pid"]
    with socket.create_connection(("127.0.0.1", tree.port)) as kept:
        kept.sendall(b"GET /pid HTTP/1.1\r\nHost: test\r\n\r\n")
        assert b"200 OK" in kept.recv(65536)
        os.kill(listener, signal.SIGKILL)
        tree.wait(
            lambda: (
                tree.status()["listener"]["pid"] not in (None, listener)
                and len({a["pid"] for a in tree.status()["acceptors"] if a["state"] == "ready"} - before) == 2
            ),
            "a new generation is ready",
        )
        assert b"200 OK" in ask_on(kept)
    tree.wait(tree.is_healthy, "the orphans have left")

    assert not before & acceptor_pids(tree)
    tree.wait(lambda: tree.status()["connections"]["now"] == 0, "the counter is back at zero")


def test_an_acceptor_and_its_listener_die_together_and_leave_no_slot(make_tree: MakeTree) -> None:
    """Whether the Listener died before, while or after it buried its acceptor: the slot is cleared."""
    tree = make_tree(supervisor={"max_restarts": 100})
    for _ in range(8):
        status = tree.status()
        os.kill(status["acceptors"][0]["pid"], signal.SIGKILL)
        os.kill(status["listener"]["pid"], signal.SIGKILL)
        tree.wait(
            lambda former=status: (
                tree.is_healthy() and tree.status()["listener"]["pid"] != former["listener"]["pid"]
            ),
            "a new generation, and nobody else",
        )

    assert b"200 OK" in ask(tree)
    tree.wait(lambda: tree.status()["connections"]["now"] == 0, "the counter is back at zero")


def test_a_frozen_listener_is_replaced(make_tree: MakeTree) -> None:
    """The Supervisor finds the missing heartbeat of the Listener; its acceptors serve all the time."""
    tree = make_tree()
    listener = tree.status()["listener"]["pid"]
    os.kill(listener, signal.SIGSTOP)
    tree.wait(
        lambda: tree.status()["listener"]["pid"] not in (None, listener), "a new Listener", timeout_s=20
    )
    tree.wait(tree.is_healthy, "a new generation")

    assert "listener_hung" in tree.log()
    assert b"200 OK" in ask(tree)


def test_the_whole_tree_leaves_when_the_supervisor_is_killed(make_tree: MakeTree) -> None:
    """No orphan stays, the request under way is answered, and a new tree gets the address at once."""
    tree = make_tree()
    with socket.create_connection(("127.0.0.1", tree.port)) as sock:
        sock.sendall(b"GET /wait?s=1 HTTP/1.1\r\nHost: test\r\n\r\n")
        tree.wait(lambda: is_under_way(tree), "the request is under way")
        os.kill(tree.supervisor, signal.SIGKILL)
        tree.wait_exit(5)
        tree.start()
        assert b"waited" in sock.recv(65536)

    assert b"200 OK" in ask(tree)
    tree.wait(lambda: len(tree.members()) == 4, "only the new tree is left")


@pytest.mark.parametrize("name", ["acceptor", "listener"])
def test_a_process_killed_again_and_again_ends_as_the_intensity_says(make_tree: MakeTree, name: str) -> None:
    """More deaths than max_restarts allows within max_seconds end the tree with status 70."""
    tree = make_tree(
        supervisor={"max_restarts": 2, "max_seconds": 60.0}, acceptor={"max_restarts": 2, "max_seconds": 60.0}
    )
    killed: set[int] = set()

    def victims() -> set[int]:
        status = tree.status()
        found = [status["listener"]] if name == "listener" else status["acceptors"]
        return {each["pid"] for each in found} - killed - {None}

    for _ in range(3):
        tree.wait(lambda: tree.is_healthy() and bool(victims()), "healthy again")
        pid = min(victims())
        killed.add(pid)
        os.kill(pid, signal.SIGKILL)

    assert 70 == tree.wait_exit(15)
    assert {} == tree.members()
