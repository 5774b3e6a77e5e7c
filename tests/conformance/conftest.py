"""The server under test, on each engine and each event loop that it supports."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rocket_sup.config import Config
from rocket_sup.engine.contract import Engine
from rocket_sup.engine.native import NativeEngine, load
from rocket_sup.engine.portable import PortableEngine
from rocket_sup.router import Router
from tests.conformance.application import make_router
from tests.conformance.server import Client, Server

ENGINES: dict[str, Callable[[], Engine]] = {
    "python on asyncio": lambda: PortableEngine("asyncio", reason="tested"),
    "python on uvloop": lambda: PortableEngine("uvloop", reason="tested"),
}


def _native(name: str, loop: str) -> Callable[[], Engine]:
    def make() -> Engine:
        module, _ = load()
        assert module is not None
        config = Config(server=dataclasses.replace(Config().server, loop=loop))
        return NativeEngine(module, name, config, reason="tested")

    return make


if (found := load()[0]) is not None:
    ENGINES["epoll on asyncio"] = _native("epoll", "asyncio")
    ENGINES["epoll on uvloop"] = _native("epoll", "uvloop")
    if found.probe_uring() is None:
        ENGINES["io_uring on asyncio"] = _native("io_uring", "asyncio")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, pipe_of_libuv: None) -> Engine:
    """Each engine on each loop in turn: the answers must not depend on them."""
    return ENGINES[request.param]()


@pytest.fixture
def serve(engine: Engine, tmp_path: Path) -> Iterator[Callable[..., Server]]:
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
            engine,
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
