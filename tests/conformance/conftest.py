"""The server under test, on each event loop that it supports."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from rocket_sup.config import Config
from rocket_sup.router import Router
from tests.conformance.application import make_router
from tests.conformance.server import Client, Server

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session", autouse=True)
def pipe_of_libuv() -> None:
    """Have libuv open the pipe that it keeps for signals as long as the process lives."""
    uvloop.new_event_loop().close()


@pytest.fixture(params=sorted(LOOPS))
def loop_factory(request: pytest.FixtureRequest) -> Any:
    """Each loop in turn: the answers must not depend on it."""
    return LOOPS[request.param]


@pytest.fixture
def serve(loop_factory: Any, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Give a function that starts a server, with settings like `timeouts={"head": 0.3}`."""
    servers: list[Server] = []

    def start(router: Router | None = None, *, unix: bool = False, **sections: dict[str, Any]) -> Server:
        config = Config()
        for name, values in sections.items():
            section = dataclasses.replace(getattr(config, name), **values)
            config = dataclasses.replace(config, **{name: section})
        server = Server(
            router or make_router(),
            config,
            str(tmp_path / f"events-{len(servers)}.log"),
            loop_factory,
            unix_path=str(tmp_path / "server.sock") if unix else None,
        )
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    """A server with default settings."""
    return serve()


@pytest.fixture
def client(server: Server) -> Client:
    """A connection to it."""
    return server.connect()
