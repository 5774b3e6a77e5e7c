"""How an application is tested: in this process, on a port, and under the whole tree.

pytest examples/test_hello.py
"""

from __future__ import annotations

import urllib.request

from examples.hello import app
from rocket_sup.testing import TestClient, running_tree, serve


def test_in_this_process() -> None:
    """No port, no thread."""
    with TestClient(app) as client:
        assert client.get("/health").text == "ok"
        answer = client.post("/api/users", json={"name": "Bob"})
        assert answer.status == 201
        assert answer.json() == {"status": "created", "got": {"name": "Bob"}}


def test_on_a_port() -> None:
    """For any client."""
    with serve(app, engine="python", server={"loop": "asyncio"}) as server:
        with urllib.request.urlopen(f"{server.url}/api/users/7") as answer:
            assert answer.read() == b'{"id":"7","name":"Alice"}'
        assert server.failures == []


def test_under_the_tree() -> None:
    """As it is served in production."""
    with running_tree("examples.hello:app", server={"num_acceptors": 2}) as tree:
        with urllib.request.urlopen(f"{tree.url}/health") as answer:
            assert answer.read() == b"ok"
        assert len(tree.status()["acceptors"]) == 2
