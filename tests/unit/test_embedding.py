"""An application without a tree: one socket by one call, or many on the loop that runs."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

import rocket_sup
from rocket_sup.config import Config, TimeoutsConfig
from rocket_sup.embedding import Embedded, serve_connection
from rocket_sup.errors import ApplicationError
from rocket_sup.hooks import SetupDecision
from rocket_sup.log import EventLog
from rocket_sup.pattern import RouteError
from rocket_sup.request import Request
from rocket_sup.router import Router

PATIENCE_S = 10.0
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def make_app() -> Router:
    """One route."""
    app = Router()

    @app.get("/")
    def root(request: Request) -> str:
        return "ok"

    return app


def wsgi(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """The same, otherwise."""
    start("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@pytest.mark.parametrize("app", [make_app(), wsgi])
def test_one_socket_is_served_by_one_call(app: object) -> None:
    """Until its client leaves."""
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE_S)
    serving = threading.Thread(target=serve_connection, args=(theirs, app))
    serving.start()
    with ours:
        for _ in range(2):
            ours.sendall(GET)
            received = b""
            while not received.endswith(b"\r\n\r\nok"):
                piece = ours.recv(4096)
                assert piece
                received += piece
    serving.join(PATIENCE_S)

    assert not serving.is_alive()
    assert theirs.fileno() == -1


def test_limits_are_those_of_the_configuration() -> None:
    """A client that says nothing is not waited for for ever."""
    ours, theirs = socket.socketpair()
    with ours:
        serve_connection(theirs, make_app(), config=Config(timeouts=TimeoutsConfig(first_byte=0.05)))

        assert ours.recv(1) == b""


@pytest.mark.parametrize(("app", "error"), [(object(), RouteError), ("start", ApplicationError)])
def test_a_socket_that_cannot_be_served_is_closed(app: object, error: type[Exception]) -> None:
    """Nobody is left waiting."""
    if app == "start":
        app = make_app()
        app.on_startup(lambda: 1 / 0)
    ours, theirs = socket.socketpair()
    with ours:
        with pytest.raises(error):
            serve_connection(theirs, app)

        assert ours.recv(1) == b""


def test_many_are_served_on_the_loop_that_runs() -> None:
    """And cut when it is over."""

    async def run() -> list[bytes]:
        answers = []
        async with Embedded(make_app(), Config(), log=EventLog(level="error")) as embedded:
            for fields in (b"Connection: close\r\n", b""):
                ours, theirs = socket.socketpair()
                embedded.open(theirs)
                reader, writer = await asyncio.open_connection(sock=ours)
                writer.write(GET[:-2] + fields + b"\r\n")
                answers.append(await (reader.read() if fields else reader.readuntil(b"\r\n\r\nok")))
                if fields:
                    await embedded.wait_until_idle()
                    writer.close()
        rest = await reader.read()
        writer.close()
        return [*answers, rest]

    first, second, rest = asyncio.run(run())

    assert first.endswith(b"\r\n\r\nok")
    assert second.endswith(b"\r\n\r\nok")
    assert rest == b""


def test_a_setup_hook_may_want_no_more() -> None:
    """Whoever accepts can ask."""
    app = make_app()
    app.on_connection_setup(lambda client: SetupDecision.STOP_ACCEPTING)

    async def run() -> bool:
        async with Embedded(app, Config(), log=EventLog(level="error")) as embedded:
            ours, theirs = socket.socketpair()
            embedded.open(theirs)
            await embedded.wait_until_idle()
            ours.close()
            return embedded.is_accepting

    assert not asyncio.run(run())


def test_it_has_a_public_name() -> None:
    """Without importing anything else."""
    assert rocket_sup.serve_connection is serve_connection
