"""The threads of handlers, as the tree shows them, and an application that blocks everywhere."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rocket_sup.testing import RunningTree, running_tree

pytestmark = pytest.mark.slow

PATIENCE_S = 20.0
APPLICATION = """
import time
from pathlib import Path
from rocket_sup import Router

app = Router()

def wait(req):
    Path(req.get_header("x-begun")).touch()
    while not Path(req.get_header("x-release")).exists():
        time.sleep(0.01)
    return "done"

app.get("/blocking", blocking=True)(wait)
app.get("/plain")(wait)
"""


def wait_until(condition: Callable[[], object]) -> None:
    """Ask until a condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"


def ask(tree: RunningTree, path: str, directory: Path, name: str) -> socket.socket:
    """Send a request that waits for a file; give its connection."""
    address = urlsplit(tree.url)
    sock = socket.create_connection((str(address.hostname), address.port or 0), timeout=PATIENCE_S)
    begun, release = directory / name, directory / "release"
    lines = f"GET {path} HTTP/1.1\r\nHost: a\r\nX-Begun: {begun}\r\nX-Release: {release}\r\n"
    sock.sendall(f"{lines}Connection: close\r\n\r\n".encode())
    return sock


@pytest.mark.parametrize(("path", "run"), [("/blocking", "loop"), ("/plain", "threads")])
def test_busy_threads_and_what_waits_for_them_are_shown(tmp_path: Path, path: str, run: str) -> None:
    """Two threads, five calls; the acceptor's loop goes on."""
    (tmp_path / "blocking_app.py").write_text(APPLICATION)
    options = {"server": {"num_acceptors": 1}, "acceptor": {"threads": 2, "run": run}}
    with running_tree("blocking_app:app", app_dir=tmp_path, **options) as tree, ExitStack() as stack:

        def threads() -> dict[str, int]:
            shown: dict[str, int] = tree.status()["acceptors"][0]["threads"]
            return shown

        before = threads()
        socks = [stack.enter_context(ask(tree, path, tmp_path, str(number))) for number in range(5)]
        wait_until(lambda: threads() == {"size": 2, "busy": 2, "queued": 3})
        begun = [number for number in range(5) if (tmp_path / str(number)).exists()]
        table = tree.command("status").decode()
        (tmp_path / "release").touch()
        answers = [b"".join(iter(lambda sock=sock: sock.recv(4096), b"")) for sock in socks]
        wait_until(lambda: threads() == {"size": 2, "busy": 0, "queued": 0})

    assert before == {"size": 2, "busy": 0, "queued": 0}
    assert len(begun) == 2
    assert " 2/2+3 " in table
    assert all(answer.endswith(b"done") for answer in answers)
