"""Reload, scale, recycle, restart: a tree changes while it serves."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.tree.conftest import MakeTree, ask, is_under_way
from tests.tree.test_death import acceptor_pids

pytestmark = pytest.mark.slow


def change_code(directory: str, old: str, new: str) -> None:
    path = Path(directory, "app.py")
    path.write_text(path.read_text().replace(old, new))


def test_a_reload_brings_up_new_code(make_tree: MakeTree) -> None:
    """New acceptors are ready before the old ones leave; the answer says which generation serves."""
    tree = make_tree()
    before = acceptor_pids(tree)
    change_code(tree.directory, "return str(os.getpid())", 'return "new"')

    assert {"ok": True, "replaced": [1, 2], "generation": 2, "needs_restart": []} == tree.order(
        {"command": "reload"}
    )
    tree.wait(tree.is_healthy, "the old ones have left")

    assert ask(tree).endswith(b"new")
    assert not before & acceptor_pids(tree)


def test_an_idle_client_gets_one_more_answer_after_a_reload(make_tree: MakeTree) -> None:
    """The old acceptor answers a kept connection once more, saying that it will close."""
    tree = make_tree()
    with socket.create_connection(("127.0.0.1", tree.port)) as kept:
        kept.sendall(b"GET /pid HTTP/1.1\r\nHost: test\r\n\r\n")
        kept.recv(65536)
        tree.order({"command": "reload"})
        tree.wait(
            lambda: any(acceptor["state"] == "draining" for acceptor in tree.status()["acceptors"]),
            "draining",
        )
        kept.sendall(b"GET /pid HTTP/1.1\r\nHost: test\r\n\r\n")
        answer = kept.recv(65536)

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in answer.lower()


def test_code_that_does_not_start_leaves_the_old_serving(make_tree: MakeTree) -> None:
    """A reload onto broken code is answered with the traceback, and nobody is replaced."""
    tree = make_tree()
    before = acceptor_pids(tree)
    change_code(tree.directory, "app = Router()", "raise RuntimeError('broken deploy')")

    answer = tree.order({"command": "reload"})

    assert not answer["ok"]
    assert "RuntimeError: broken deploy" in answer["report"]
    assert before == acceptor_pids(tree)
    assert b"200 OK" in ask(tree)


def test_a_crash_while_the_code_on_disk_is_broken_takes_nobody_else_down(make_tree: MakeTree) -> None:
    """Replacements fail and are tried again ever more slowly, and come up when the code is mended."""
    tree = make_tree(server={"num_acceptors": 4}, supervisor={"backoff_initial": 0.2})
    change_code(tree.directory, "app = Router()", "app = None; raise RuntimeError('broken')")
    for acceptor in tree.status()["acceptors"][1:]:
        os.kill(acceptor["pid"], signal.SIGKILL)
    tree.wait(
        lambda: tree.log().count("RuntimeError: broken") >= 12, "three replacements failed again and again"
    )

    assert b"200 OK" in ask(tree)
    change_code(tree.directory, "app = None; raise RuntimeError('broken')", "app = Router()")
    tree.wait(tree.is_healthy, "the replacement is up")


def test_a_wrong_configuration_changes_nothing(make_tree: MakeTree) -> None:
    """A reload with a mistake in rocket.toml names it and goes on with the old configuration."""
    tree = make_tree()
    before = acceptor_pids(tree)
    tree.write_config(max_connectoins=5)

    answer = tree.order({"command": "reload"})

    assert not answer["ok"]
    assert "max_connectoins" in answer["report"]
    assert "max_connections" in answer["report"]
    assert before == acceptor_pids(tree)


def test_a_reload_takes_new_limits_and_names_what_needs_a_restart(make_tree: MakeTree) -> None:
    """max_connections counts at once; the addresses of a tree are fixed, and the answer says so."""
    tree = make_tree()
    tree.write_config(max_connections=77, backlog=512, num_acceptors=3)

    assert ["server.backlog"] == tree.order({"command": "reload"})["needs_restart"]
    assert 77 == tree.status()["connections"]["max"]
    tree.wait(lambda: len(acceptor_pids(tree)) == 3 and tree.is_healthy(), "three acceptors")


def test_hup_ttin_ttou_and_usr1_do_what_they_do_elsewhere(make_tree: MakeTree) -> None:
    """The signals of gunicorn: reload, one more, one less, reopen logs."""
    tree = make_tree()
    before = acceptor_pids(tree)
    os.kill(tree.supervisor, signal.SIGHUP)
    tree.wait(lambda: tree.is_healthy() and not before & acceptor_pids(tree), "reloaded")
    os.kill(tree.supervisor, signal.SIGTTIN)
    tree.wait(lambda: len(acceptor_pids(tree)) == 3 and tree.is_healthy(), "one more")
    os.kill(tree.supervisor, signal.SIGTTOU)
    tree.wait(lambda: len(acceptor_pids(tree)) == 2 and tree.is_healthy(), "one less")
    os.kill(tree.supervisor, signal.SIGUSR1)

    assert b"200 OK" in ask(tree)


def test_logs_are_opened_again_after_they_were_rotated(make_tree: MakeTree, tmp_path: Path) -> None:
    """USR1 makes every process write to the file that now has the name."""
    events, requests = tmp_path / "events.log", tmp_path / "access.log"
    tree = make_tree(log={"file": str(events), "access": "combined", "access_file": str(requests)})
    ask(tree, "/pid")
    tree.wait(lambda: b"GET /pid" in requests.read_bytes(), "the request is logged")
    events.rename(tmp_path / "events.log.1")
    requests.rename(tmp_path / "access.log.1")
    os.kill(tree.supervisor, signal.SIGUSR1)
    tree.wait(lambda: events.exists() and requests.exists(), "new files")
    ask(tree, "/wait?s=0")
    tree.wait(lambda: b"GET /wait" in requests.read_bytes(), "the request is in the new file")


def test_scaling_down_and_up_loses_nothing(make_tree: MakeTree) -> None:
    """Sockets stay when acceptors go, and are used again when they come back."""
    tree = make_tree(server={"num_acceptors": 4})
    for acceptors in (1, 4, 2):
        assert tree.order({"command": "scale", "acceptors": acceptors})["ok"]
        tree.wait(lambda n=acceptors: len(acceptor_pids(tree)) == n and tree.is_healthy(), f"{acceptors}")
        assert all(b"200 OK" in ask(tree) for _ in range(20))
    assert not tree.order({"command": "scale", "acceptors": 0})["ok"]


def test_an_acceptor_is_recycled_after_its_requests(make_tree: MakeTree) -> None:
    """max_requests replaces an acceptor by a successor that is ready first; no request fails."""
    tree = make_tree(server={"num_acceptors": 1}, acceptor={"max_requests": 10})
    before = acceptor_pids(tree)
    assert all(b"200 OK" in ask(tree) for _ in range(15))
    tree.wait(lambda: tree.is_healthy() and not before & acceptor_pids(tree), "recycled")

    assert "cause=max_requests" in tree.log()


def test_an_acceptor_is_recycled_for_its_memory(make_tree: MakeTree) -> None:
    """max_memory replaces an acceptor that has grown."""
    tree = make_tree(server={"num_acceptors": 1}, acceptor={"max_memory": "150M"})
    before = acceptor_pids(tree)
    for _ in range(3):
        ask(tree, "/hoard")
    tree.wait(lambda: tree.is_healthy() and not before & acceptor_pids(tree), "recycled")

    assert "cause=max_memory" in tree.log()


def test_one_acceptor_is_restarted_on_request(make_tree: MakeTree) -> None:
    """`restart acceptor-2` replaces that one; an unknown name is answered with the known ones."""
    tree = make_tree()
    before = {acceptor["number"]: acceptor["pid"] for acceptor in tree.status()["acceptors"]}
    assert tree.order({"command": "restart", "id": "acceptor-2"})["ok"]
    tree.wait(tree.is_healthy, "the old one has left")
    after = {acceptor["number"]: acceptor["pid"] for acceptor in tree.status()["acceptors"]}

    assert before[1] == after[1]
    assert before[2] != after[2]
    assert "acceptor-1, acceptor-2" in tree.order({"command": "restart", "id": "acceptor-9"})["error"]


def test_term_finishes_requests_and_a_second_one_does_not_wait(make_tree: MakeTree) -> None:
    """SIGTERM drains; SIGTERM twice ends the tree at once."""
    tree = make_tree(timeouts={"drain": 30.0})
    with socket.create_connection(("127.0.0.1", tree.port)) as sock:
        sock.sendall(b"GET /wait?s=1 HTTP/1.1\r\nHost: test\r\n\r\n")
        tree.wait(lambda: is_under_way(tree), "the request is under way")
        os.kill(tree.supervisor, signal.SIGTERM)
        assert b"waited" in sock.recv(65536)
    assert 0 == tree.wait_exit(5)

    tree.start()
    with socket.create_connection(("127.0.0.1", tree.port)) as sock:
        sock.sendall(b"GET /wait?s=60 HTTP/1.1\r\nHost: test\r\n\r\n")
        tree.wait(lambda: is_under_way(tree), "the request is under way")
        os.kill(tree.supervisor, signal.SIGTERM)
        tree.wait(lambda: tree.log().count("stopping why=signal") == 2, "draining again")
        os.kill(tree.supervisor, signal.SIGTERM)
        assert tree.wait_exit(5) is not None
    assert {} == tree.members()
