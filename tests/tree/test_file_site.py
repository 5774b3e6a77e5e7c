"""A directory instead of an application: `rocket-sup serve DIR` is the whole tree."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.tree.conftest import MakeTree, ask

pytestmark = pytest.mark.slow


def test_a_directory_is_served_by_the_tree(make_tree: MakeTree, tmp_path: Path) -> None:
    """Options of its section count, and an acceptor that dies is replaced."""
    (tmp_path / "index.html").write_text("<p>home")
    (tmp_path / "large.bin").write_bytes(b"x" * 1_000_000)
    tree = make_tree(
        server={"handler": ""},
        files={"directory": str(tmp_path), "spa": True, "cache_control": "no-cache"},
    )
    home = ask(tree, "/users/7")

    assert home.startswith(b"HTTP/1.1 200 OK\r\n")
    assert home.endswith(b"\r\n\r\n<p>home")
    assert b"\r\nCache-Control: no-cache\r\n" in home
    assert ask(tree, "/large.bin").endswith(b"\r\n\r\n" + b"x" * 1_000_000)
    assert ask(tree, "/../app.py").startswith(b"HTTP/1.1 404 ")
    before = {acceptor["pid"] for acceptor in tree.status()["acceptors"]}
    os.kill(min(before), signal.SIGKILL)
    tree.wait(
        lambda: tree.is_healthy() and {each["pid"] for each in tree.status()["acceptors"]} != before,
        "the acceptor is replaced",
    )
    assert ask(tree, "/").endswith(b"<p>home")


def test_a_directory_that_is_not_there_is_no_start(make_tree: MakeTree) -> None:
    """The operator's mistake: 78, with a sentence."""
    tree = make_tree(start=False, server={"handler": ""}, files={"directory": "/nowhere"})
    tree.start(ready=False)

    assert 78 == tree.wait_exit(15)
    assert '"/nowhere" is not a directory' in tree.log()
