"""WebSockets as a client sees them that nobody here has written: `websockets`."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from rocket_sup.websocket import WebSocket
from tests.conformance.server import Server
from tests.conformance.wsclient import Stage

Serve = Callable[..., Server]


def dial(server: Server, **options: object) -> ClientConnection:
    """Connect to the route of a stage."""
    host, port = server.address
    return connect(f"ws://{host}:{port}/ws", proxy=None, **options)  # type: ignore[arg-type]


def test_conversations_at_once(serve: Serve) -> None:
    """Each gets what it has sent, compressed or not, small or large."""
    server = serve(Stage().router)
    failures: list[BaseException] = []

    def talk(number: int) -> None:
        try:
            with dial(server, compression="deflate" if number % 2 else None) as client:
                for size in (0, 10, 1000, 100_000):
                    client.send(text := f"{number} " * (size // 2))
                    assert text == client.recv()
                    client.send(bytes(size))
                    assert bytes(size) == client.recv()
        except BaseException as error:  # told below
            failures.append(error)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == failures


def test_fragments_subprotocol_and_pings(serve: Serve) -> None:
    """What a library does by itself."""
    server = serve(Stage(subprotocols=["two"]).router)
    with dial(server, subprotocols=["one", "two"]) as client:
        assert "two" == client.subprotocol
        client.send(iter(["frag", "men", "ts"]))
        assert "fragments" == client.recv()
        assert client.ping("?").wait(10)


def test_goodbyes(serve: Serve) -> None:
    """Codes and reasons arrive on both sides."""

    async def leave(socket: WebSocket) -> None:
        async for message in socket:
            await socket.close(int(message), "as you wish")

    stage = Stage(leave)
    server = serve(stage.router)
    with dial(server) as client:
        client.send("1000")
        with pytest.raises(ConnectionClosedOK) as ok:
            client.recv()
        assert ok.value.rcvd is not None
        assert (1000, "as you wish") == (ok.value.rcvd.code, ok.value.rcvd.reason)
    with dial(server) as client:
        client.send("4001")
        with pytest.raises(ConnectionClosedError) as failed:
            client.recv()
        assert failed.value.rcvd is not None
        assert 4001 == failed.value.rcvd.code
    with dial(server) as client:
        client.close(3000, "mine")
    server.wait_until(lambda: len(stage.fates) == 3)

    assert (3000, "mine") == (stage.sockets[2].close_code, stage.sockets[2].close_reason)


def test_a_refusal(serve: Serve) -> None:
    """The client sees the answer."""

    async def refuse(socket: WebSocket) -> object:
        return 403, "not you"

    server = serve(Stage(refuse).router)
    with pytest.raises(InvalidStatus) as refused:
        dial(server)

    assert 403 == refused.value.response.status_code
    assert b"not you" == refused.value.response.body
