"""A wire in the test's own thread: the test runs its loop, as often as it likes, and sees what leaves it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from rocket_sup.config import Config
from rocket_sup.engine.contract import Engine, Wire, WireBrief
from rocket_sup.log import EventLog
from rocket_sup.router import Router

PATIENCE_S = 10.0  # only a test that fails waits this long


class Stage:
    """One loop with one wire; its connections are socket pairs."""

    def __init__(self, engine: Engine, router: Router, log_path: Path) -> None:
        self.log_path = log_path
        self.closed = 0
        self.loop = engine.new_loop()
        self._log = EventLog(level="debug", format="json", file=str(log_path))
        self._clients: list[socket.socket] = []
        router.freeze()
        self.wire: Wire = engine.make_wire(
            WireBrief(
                router=router,
                config=Config(),
                loop=self.loop,
                log=self._log,
                access_log=None,
                on_closed=self._on_closed,
                on_stop_accepting=lambda: None,
            )
        )
        self.wire.is_telling = True
        self.wire.start()

    def open(self) -> socket.socket:
        """Open a connection and return the client's end."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self._clients.append(theirs)
        self.wire.open(ours)
        return theirs

    def run(self, check: Callable[[], Awaitable[Any]]) -> Any:
        """Run something on the loop, for a limited time."""

        async def body() -> Any:
            return await asyncio.wait_for(check(), PATIENCE_S)

        return self.loop.run_until_complete(body())

    def run_until(self, condition: Callable[[], object]) -> None:
        """Let the loop turn until a condition holds."""

        async def turn() -> None:
            while not condition():  # noqa: ASYNC110 - any condition: there is no event to wait for
                await asyncio.sleep(0.001)

        self.run(turn)

    def read(self, client: socket.socket) -> bytes:
        """Let the loop turn until the client has got something, or its end."""
        got: bytes = self.run(lambda: self.loop.sock_recv(client, 65536))
        return got

    def ask(self, client: socket.socket, data: bytes) -> bytes:
        """Send a request and return what comes first."""
        client.send(data)
        return self.read(client)

    def events(self) -> list[dict[str, Any]]:
        """Everything logged so far."""
        return [orjson.loads(line) for line in self.log_path.read_bytes().splitlines()]

    def close(self) -> None:
        """Give back what is open."""
        for client in self._clients:
            client.close()
        with contextlib.suppress(KeyboardInterrupt):
            self.wire.abort_all()
        self.run_until(lambda: not self.wire.connection_count())
        self.wire.stop()
        self.loop.close()
        self._log.close()

    def _on_closed(self) -> None:
        self.closed += 1


@pytest.fixture
def stage(engine: Engine, tmp_path: Path) -> Iterator[Callable[[Router], Stage]]:
    """Give a function that sets a stage for an application."""
    stages: list[Stage] = []

    def make(router: Router) -> Stage:
        stages.append(Stage(engine, router, tmp_path / f"stage-{len(stages)}.log"))
        return stages[-1]

    yield make
    for each in stages:
        each.close()
