"""One limit for all acceptors: exact, crash-proof, and kind to those who wait."""

from __future__ import annotations

import os
import signal
import socket
import threading

import pytest

from tests.faults.tree import Tree
from tests.tree.conftest import MakeTree, ask, ask_on

pytestmark = pytest.mark.slow


def kept(tree: Tree, count: int) -> list[socket.socket]:
    """Open connections that had one answer and are idle now."""
    socks = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", tree.port), timeout=10)
        sock.sendall(b"GET /pid HTTP/1.1\r\nHost: test\r\n\r\n")
        assert b"200 OK" in sock.recv(65536)
        socks.append(sock)
    return socks


def test_at_the_limit_the_longest_idle_connection_makes_room(make_tree: MakeTree) -> None:
    """With overload = "wait" a newcomer is served, and it is the oldest idle one that was closed."""
    tree = make_tree(server={"num_acceptors": 2, "max_connections": 4})
    socks = kept(tree, 4)

    assert b"200 OK" in ask(tree)
    socks[0].settimeout(5)
    assert b"" == socks[0].recv(1)
    tree.wait(lambda: tree.status()["connections"]["now"] <= 3, "the place is free again")
    assert b"200 OK" in ask_on(socks[-1])
    for sock in socks:
        sock.close()


def test_newcomers_wait_while_all_places_are_busy(make_tree: MakeTree) -> None:
    """Busy connections are not closed: whoever comes later is answered when a place is free."""
    tree = make_tree(server={"num_acceptors": 2, "max_connections": 2})
    answers: list[bytes] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(tree, "/wait?s=0.2"))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 10 == sum(b"waited" in answer for answer in answers)
    assert tree.status()["connections"]["peak"] <= 2


def test_busy_kept_connections_share_their_places_with_those_who_wait(make_tree: MakeTree) -> None:
    """A client that never pauses is asked to come back, politely, when somebody waits."""
    tree = make_tree(server={"num_acceptors": 1, "max_connections": 1})
    (sock,) = kept(tree, 1)
    answers: list[bytes] = []
    newcomer = threading.Thread(target=lambda: answers.append(ask(tree)))
    sock.sendall(b"GET /wait?s=0.5 HTTP/1.1\r\nHost: test\r\n\r\n")
    newcomer.start()
    answer = sock.recv(65536)
    newcomer.join()

    assert b"connection: close" in answer.lower()
    assert b"200 OK" in answers[0]
    sock.close()


def test_over_the_limit_clients_are_told_503_and_when_to_retry(make_tree: MakeTree) -> None:
    """With overload = "reject" a client can read its refusal, even while it is still sending."""
    tree = make_tree(server={"max_connections": 2, "overload": "reject", "retry_after": 7})
    socks = kept(tree, 2)
    with socket.create_connection(("127.0.0.1", tree.port), timeout=10) as refused:
        refused.sendall(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50000)
        answer = refused.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 7\r\n" in answer.lower()
    for sock in socks:
        sock.close()


def test_a_killed_acceptor_gives_its_places_back(make_tree: MakeTree) -> None:
    """The places of a dead process are free as soon as it is reaped."""
    tree = make_tree(server={"num_acceptors": 1, "max_connections": 3, "overload": "reject"})
    socks = kept(tree, 3)
    os.kill(tree.status()["acceptors"][0]["pid"], signal.SIGKILL)
    tree.wait(lambda: tree.is_healthy() and tree.status()["connections"]["now"] == 0, "replaced")

    assert b"200 OK" in ask(tree)
    for sock in socks:
        sock.close()


def test_the_limit_can_be_changed_while_clients_wait(make_tree: MakeTree) -> None:
    """A higher max_connections lets those in who wait at once."""
    tree = make_tree(server={"num_acceptors": 1, "max_connections": 1})
    answers: list[bytes] = []
    busy = threading.Thread(target=lambda: answers.append(ask(tree, "/wait?s=3")))
    busy.start()
    tree.wait(lambda: tree.status()["connections"]["now"] == 1, "the only place is taken")
    waiting = threading.Thread(target=lambda: answers.append(ask(tree)))
    waiting.start()
    tree.wait(lambda: tree.status()["connections"]["waiting"] == 1, "somebody waits")

    assert {"ok": True, "max_connections": 2, "was": 1} == tree.order(
        {"command": "max_connections", "limit": 2}
    )
    waiting.join()
    assert 1 == len(answers)
    busy.join()


def test_running_out_of_descriptors_pauses_and_does_not_spin(make_tree: MakeTree) -> None:
    """At EMFILE the acceptor rests, says so once, and serves when descriptors are free again."""
    tree = make_tree(start=False, server={"num_acceptors": 1})
    tree.start(limit_nofile=100)
    socks = [socket.create_connection(("127.0.0.1", tree.port), timeout=10) for _ in range(120)]
    tree.wait(lambda: "accept_paused" in tree.log(), "descriptors are used up")
    (pid,) = (acceptor["pid"] for acceptor in tree.status()["acceptors"])
    before = cpu_ticks(pid)
    tree.wait(lambda: tree.status()["supervisor"]["uptime_s"] > 3, "some time has passed")

    assert cpu_ticks(pid) - before < 30  # 0.3 s of CPU in about two seconds; spinning would take all of them
    for sock in socks:
        sock.close()
    assert b"200 OK" in ask(tree)


def cpu_ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])
