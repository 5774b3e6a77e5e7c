"""Test an application: in this process without a port, behind a real port, or under the whole tree.

`TestClient` and `AsyncTestClient` speak HTTP to the real wire over a pair of sockets; `serve` gives a URL for
any other client; `running_tree` starts `rocket-sup` itself. What is tested is a `Router`, an ASGI or a WSGI
application, unmodified.
"""

from __future__ import annotations

from rocket_sup.testing.answers import Answer
from rocket_sup.testing.client import AsyncTestClient, TestClient
from rocket_sup.testing.server import RunningServer, serve
from rocket_sup.testing.site import ApplicationFailed
from rocket_sup.testing.tree import RunningTree, running_tree

__all__ = [
    "Answer",
    "ApplicationFailed",
    "AsyncTestClient",
    "RunningServer",
    "RunningTree",
    "TestClient",
    "running_tree",
    "serve",
]
