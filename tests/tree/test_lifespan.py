"""What an application does at its start and at its end, in whole processes."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.faults.tree import Tree
from tests.tree.conftest import MakeTree, ask

pytestmark = pytest.mark.slow

HOOKS = """
import asyncio, os
from rocket_sup import Router

app = Router()
state = {}

@app.on_startup
async def connect():
    await asyncio.sleep(0)
    state["database"] = "open"

@app.on_shutdown
def disconnect():
    print("database closed", os.getpid(), flush=True)

@app.get("/")
def root(request):
    return state["database"]
"""

FAILS = """
async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    raise ConnectionError("the database is not there")
"""

FAILS_BY_ITS_WORD = """
import traceback

async def app(scope, receive, send):
    await receive()
    try:
        connect()
    except ConnectionError:
        await send({"type": "lifespan.startup.failed", "message": traceback.format_exc()})

def connect():
    raise ConnectionError("the database is not there")
"""

WORKS_ON = """
import asyncio, os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if os.path.exists("worked"):
            print("ended", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"soon"})
    while not os.path.exists("go"):
        await asyncio.sleep(0.01)
    open("worked", "w").close()
    print("worked, then", flush=True)
"""

SLOW_TO_END = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        import asyncio
        await asyncio.get_running_loop().create_future()
"""


def tree_of(make_tree: MakeTree, source: str) -> Tree:
    """A tree of two acceptors that serve an application, not started."""
    tree = make_tree(start=False)
    Path(tree.directory, "app.py").write_text(source)
    return tree


def test_own_hooks_run_around_the_requests(make_tree: MakeTree) -> None:
    """In each acceptor: before it says ready, and when its connections are gone."""
    tree = tree_of(make_tree, HOOKS)
    tree.start()
    assert ask(tree, "/").endswith(b"open")

    assert tree.process is not None
    tree.process.terminate()

    assert tree.process.wait(20) == 0
    assert tree.log().count("database closed") == 2


@pytest.mark.parametrize("source", [FAILS, FAILS_BY_ITS_WORD, HOOKS.replace('"open"', "1 / 0")])
def test_a_start_that_fails_is_a_failed_boot(make_tree: MakeTree, source: str) -> None:
    """As an application that cannot be imported: its traceback, exit status 3, and no restarts."""
    tree = tree_of(make_tree, source)
    tree.start(ready=False)

    assert tree.process is not None
    assert tree.process.wait(20) == 3
    log = tree.log()
    assert "Traceback (most recent call last)" in log
    assert "app.py" in log
    assert "the database is not there" in log or "division by zero" in log
    assert " ready" not in log
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", tree.port), 1)


def test_a_lifespan_may_be_demanded(make_tree: MakeTree) -> None:
    """An application that does not know it is served, unless it is."""
    tree = tree_of(
        make_tree,
        'async def app(scope, receive, send):\n    assert scope["type"] == "http"\n'
        '    await send({"type": "http.response.start", "status": 200})\n'
        '    await send({"type": "http.response.body", "body": b"served"})\n',
    )
    tree.start()
    assert ask(tree, "/").endswith(b"served")
    assert tree.process is not None
    tree.process.terminate()
    assert tree.process.wait(20) == 0

    tree.write_config(lifespan="on")
    tree.start(ready=False)

    assert tree.process.wait(20) == 3
    assert "AssertionError" in tree.log()


def test_work_behind_an_answer_is_waited_for(make_tree: MakeTree) -> None:
    """Also when its connection is long gone; then the application ends."""
    tree = tree_of(make_tree, WORKS_ON)
    tree.start()
    assert ask(tree, "/").endswith(b"soon")
    assert tree.process is not None
    tree.process.terminate()
    tree.wait(lambda: "stopping" in tree.log(), "the tree stops")

    Path(tree.directory, "go").touch()

    assert tree.process.wait(20) == 0
    assert "worked, then ended" in " ".join(tree.log().splitlines())


def test_an_end_that_takes_too_long_is_cut(make_tree: MakeTree) -> None:
    """A little longer than the drain; the log says so, and nobody had to kill anybody."""
    tree = make_tree(start=False, timeouts={"drain": 0.2})
    Path(tree.directory, "app.py").write_text(SLOW_TO_END)
    tree.start()
    assert tree.process is not None

    tree.process.terminate()

    assert tree.process.wait(20) == 0
    assert "shutdown_failed" in tree.log()
    assert "SIGKILL" not in tree.log()
