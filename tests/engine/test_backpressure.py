"""A client that does not read for a while is served on when it has read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rocket_sup.request import Request
from rocket_sup.router import Router
from tests.conformance.server import Server, get

LARGE = 60_000  # below what ends a batch, so that a handler is begun behind it


def test_after_a_handler_that_waited_behind_unread_bytes_the_next_request_is_read(
    serve: Callable[..., Server],
) -> None:
    """The client reads while the handler waits: nothing but the handler's end could resume the reading."""
    app = Router()
    gates: list[asyncio.Event] = []

    @app.get("/large")
    def large(request: Request) -> bytes:
        return b"x" * LARGE

    @app.get("/wait")
    async def wait(request: Request) -> str:
        gates.append(asyncio.Event())
        await gates[-1].wait()
        return "waited"

    server = serve(app, unix=True)
    client = server.connect()
    asked = 0
    is_blocked = False
    while not is_blocked:  # until the kernel takes no more
        asked += 1
        client.send(get("/large") + get("/wait"))
        server.wait_until(lambda: len(gates) == asked)  # noqa: B023 - called before it changes
        is_blocked = server.call(lambda: server.wire.held_bytes()[1] > 0)
        if not is_blocked:
            server.call(lambda: gates[-1].set())
    for _ in range(asked - 1):
        assert [LARGE, 6] == [len(client.read().body), len(client.read().body)]
    assert len(client.read().body) == LARGE
    server.wait_until(lambda: server.wire.held_bytes() == (0, 0))
    server.call(lambda: gates[-1].set())

    assert client.read().body == b"waited"
    assert len(client.send(get("/large")).read().body) == LARGE
