"""An application on a real port."""

from __future__ import annotations

import asyncio
import http.client
import socket
import urllib.request

import pytest

from rocket_sup.engine.native import load
from rocket_sup.errors import ApplicationError
from rocket_sup.request import Request
from rocket_sup.router import Router
from rocket_sup.testing import serve

ENGINES = ["python", *(["epoll"] if load()[0] is not None else [])]


def make_app() -> Router:
    """Two routes."""
    app = Router()

    @app.get("/")
    def root(request: Request) -> str:
        return "ok"

    @app.get("/fails")
    def fails(request: Request) -> str:
        raise ValueError("on purpose")

    return app


@pytest.mark.parametrize("engine", ENGINES)
def test_any_client_can_ask(engine: str, pipe_of_libuv: None) -> None:
    """And nothing is left when the block ends."""
    with serve(make_app(), engine=engine) as server:
        with urllib.request.urlopen(server.url) as answer:
            content = answer.read()
        idle = http.client.HTTPConnection(server.host, server.port)
        idle.request("GET", "/fails")
        status = idle.getresponse().status
        failures = server.failures
        connections = server.connection_count()

    idle.close()
    assert (content, status, server.engine) == (b"ok", 500, engine)
    assert "ValueError: on purpose" in failures[0]
    assert connections >= 1
    with socket.create_server((server.host, server.port)):
        pass


def test_a_start_that_fails_fails_here() -> None:
    """And frees the port."""
    app = make_app()
    app.on_startup(lambda: 1 / 0)
    with pytest.raises(ApplicationError, match="ZeroDivisionError"), serve(app):
        raise AssertionError("it was served")


def test_it_can_be_used_inside_a_loop(pipe_of_libuv: None) -> None:
    """It has a thread of its own."""

    async def ask() -> bytes:
        with serve(make_app(), engine="python") as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

    assert asyncio.run(ask()).endswith(b"ok")
