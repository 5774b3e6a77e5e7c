"""Addresses, commands in the tree, the control socket, and how a tree ends that cannot begin."""

from __future__ import annotations

import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from tests.faults.tree import free_port
from tests.tree.conftest import MakeTree, ask, ask_on

pytestmark = pytest.mark.slow


def test_several_addresses_of_all_kinds_are_served(make_tree: MakeTree, tmp_path: Path) -> None:
    """IPv4, IPv6 and a Unix socket at once; the socket file has the mode asked for and goes with the tree."""
    port, path = free_port(), tmp_path / "http.sock"
    tree = make_tree(
        server={"bind": [f"127.0.0.1:{port}", f"[::1]:{port}", f"unix:{path}"], "unix_mode": "0660"}
    )
    with (
        socket.create_connection(("127.0.0.1", port)) as four,
        socket.create_connection(("::1", port)) as six,
    ):
        assert b"200 OK" in ask_on(four)
        assert b"200 OK" in ask_on(six)
    with socket.socket(socket.AF_UNIX) as unix:
        unix.connect(str(path))
        assert b"200 OK" in ask_on(unix)

    assert 0o660 == stat.S_IMODE(path.stat().st_mode)
    assert [f"127.0.0.1:{port}", f"[::1]:{port}", f"unix:{path}"] == tree.status()["listener"]["binds"]
    os.kill(tree.supervisor, signal.SIGTERM)
    assert 0 == tree.wait_exit(10)
    assert not path.exists()


def test_an_address_in_use_ends_with_a_clear_line(make_tree: MakeTree) -> None:
    """Another listener on the port is named; no second group is joined by accident."""
    tree = make_tree(start=False)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", tree.port))
        other.listen()
        tree.start(ready=False)
        assert 1 == tree.wait_exit(15)
    assert f"cannot listen on 127.0.0.1:{tree.port}: Address already in use" in tree.log()


def test_an_application_that_cannot_be_imported_is_told_once(make_tree: MakeTree) -> None:
    """Exit status 3, and one traceback that starts at the user's code."""
    tree = make_tree(start=False)
    Path(tree.directory, "app.py").write_text("import no_such_module\n")
    tree.start(ready=False)

    assert 3 == tree.wait_exit(15)
    assert 1 == tree.log().count("ModuleNotFoundError: No module named 'no_such_module'")


def test_an_application_that_ends_its_process_is_no_loop(make_tree: MakeTree) -> None:
    """A module that exits while it is imported ends the tree, with how the process ended."""
    tree = make_tree(start=False)
    Path(tree.directory, "app.py").write_text("import os\nos._exit(9)\n")
    tree.start(ready=False)

    assert 3 == tree.wait_exit(15)
    assert "acceptor-1 ended before it was ready: exit(9)" in tree.log()


def test_a_boot_that_takes_too_long_is_ended(make_tree: MakeTree) -> None:
    """The boot deadline is its own: an import that hangs ends the tree with a reason."""
    tree = make_tree(start=False, acceptor={"boot": 1.0})
    Path(tree.directory, "app.py").write_text("import time\ntime.sleep(60)\n")
    tree.start(ready=False)

    assert 3 == tree.wait_exit(15)
    assert "boot_timeout" in tree.log()


def test_a_wrong_configuration_ends_with_status_78(make_tree: MakeTree) -> None:
    """Every mistake is told, none is started."""
    tree = make_tree(start=False)
    tree.write_config(prot=1, num_acceptors=-4)
    tree.start(ready=False)

    assert 78 == tree.wait_exit(15)
    assert "server.prot" in tree.log()
    assert "server.num_acceptors" in tree.log()


COMMANDS = """
[[children]]
name = "ticker"
command = ["/bin/sh", "-c", "echo ticking; exec sleep 1000"]

[[children]]
name = "once"
command = "true"
restart = "transient"

[[children]]
name = "notifier"
command = ["{python}", "-c", '''
import os, socket, time
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.connect("\\0" + os.environ["NOTIFY_SOCKET"][1:])
sock.send(b"READY=1")
time.sleep(1000)
''']
ready = "notify"
"""


def test_commands_live_in_the_tree_under_the_same_rules(make_tree: MakeTree) -> None:
    """A killed command is restarted, a finished transient one is not, one that notifies is waited for."""
    import sys

    tree = make_tree(more=COMMANDS.format(python=sys.executable))
    children = {child["id"]: child for child in tree.order({"command": "children"})["children"]}

    assert ["listener", "ticker", "once", "notifier"] == list(children)
    ticker = children["ticker"]["pid"]
    os.kill(ticker, signal.SIGKILL)
    tree.wait(
        lambda: tree.order({"command": "children"})["children"][1]["pid"] not in (None, ticker), "restarted"
    )
    assert tree.order({"command": "children", "action": "terminate", "id": "ticker"})["ok"]
    assert tree.order({"command": "children", "action": "start", "id": "ticker"})["ok"]
    assert tree.order({"command": "restart", "id": "notifier"})["ok"]
    assert not tree.order({"command": "children", "action": "delete", "id": "notifier"})["ok"]
    assert not tree.order({"command": "children", "action": "terminate", "id": "listener"})["ok"]
    os.kill(tree.supervisor, signal.SIGTERM)
    assert 0 == tree.wait_exit(15)
    assert {} == tree.members()


def test_commands_end_with_a_killed_supervisor(make_tree: MakeTree) -> None:
    """A command hears SIGTERM when the Supervisor dies in whatever way."""
    tree = make_tree(more='\n[[children]]\nname = "sleeper"\ncommand = "sleep 1000"\n')
    os.kill(tree.supervisor, signal.SIGKILL)
    tree.wait_exit(5)
    tree.start(ready=False)
    tree.wait(lambda: list(tree.members().values()).count("sleep") == 1, "only the new tree's command")


def test_the_control_socket_is_private_and_answers_mistakes(make_tree: MakeTree) -> None:
    """Mode 0600; garbage and unknown commands are answered and do not disturb the tree."""
    tree = make_tree()
    assert 0o600 == stat.S_IMODE(os.stat(tree.control).st_mode)

    assert "unknown command 'dance'" in tree.order({"command": "dance"})["error"]
    assert "integer" in tree.order({"command": "scale", "acceptors": "many"})["error"]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(tree.control)
        sock.sendall(b"not json\n")
        assert b'"ok":false' in sock.recv(65536)
    assert b"200 OK" in ask(tree)
