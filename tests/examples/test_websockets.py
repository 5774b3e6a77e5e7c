"""The examples with WebSockets, over real sockets, on every engine."""

from __future__ import annotations

import json

import pytest
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.conformance.conftest import engine  # noqa: F401 - a fixture
from tests.examples.serving import Site
from tests.examples.test_examples import Start, start  # noqa: F401 - a fixture


def dial(site: Site, target: str, **options: object) -> ClientConnection:
    """Open a WebSocket."""
    return connect(f"ws://127.0.0.1:{site.port}{target}", proxy=None, **options)  # type: ignore[arg-type]


def test_echo(start: Start) -> None:  # noqa: F811 - the fixture
    """Text and bytes come back; the page stands on the same path."""
    site, _ = start("websocket_echo")
    assert "<title>echo</title>" in site.get("/echo").text
    with dial(site, "/echo") as client:
        for message in ("hello", b"\x00\xff", "x" * 100_000):
            client.send(message)
            assert message == client.recv()
        client.send("bye")
        with pytest.raises(ConnectionClosedOK) as closed:
            client.recv()
    assert closed.value.rcvd is not None
    assert "as you wish" == closed.value.rcvd.reason


def hear(client: ClientConnection) -> object:
    """The next message."""
    return json.loads(client.recv(10))


def test_chat(start: Start) -> None:  # noqa: F811 - the fixture
    """Everybody hears everybody, in the order in which it was said; a name is taken once."""
    site, _ = start("websocket_chat")
    with dial(site, "/rooms/a?name=alice", subprotocols=["chat.v1"]) as alice:
        assert "chat.v1" == alice.subprotocol
        assert {"joined": "alice"} == hear(alice)
        with pytest.raises(InvalidStatus) as refused:
            dial(site, "/rooms/a?name=alice")
        assert 409 == refused.value.response.status_code
        with dial(site, "/rooms/a?name=bob") as bob:
            assert {"joined": "bob"} == hear(alice) == hear(bob)
            bob.send("hello")
            assert {"from": "bob", "text": "hello"} == hear(alice) == hear(bob)
        assert {"left": "bob"} == hear(alice)
