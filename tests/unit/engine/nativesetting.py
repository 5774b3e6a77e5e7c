"""One native wire on its loop, for the tests of what it is made of."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import Awaitable, Callable

from rocket_sup.accesslog import AccessLog
from rocket_sup.config import Config, LogConfig
from rocket_sup.engine.contract import Wire, WireBrief
from rocket_sup.engine.native import NativeEngine, load
from rocket_sup.request import Request
from rocket_sup.router import Router
from rocket_sup.scoreboard import Slot
from tests.unit.conftest import PATIENCE_S, Journal

MODULE, MISSING = load()
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
KINDS = ["epoll on asyncio", "epoll on uvloop"]
if MODULE is not None and MODULE.probe_uring() is None:
    KINDS.append("io_uring on asyncio")


class Setting:
    """One loop with one wire, and what the wire has told."""

    def __init__(self, kind: str, journal: Journal) -> None:
        name, _, loop = kind.partition(" on ")
        config = Config(log=LogConfig(access="json"))
        self._config = dataclasses.replace(config, server=dataclasses.replace(config.server, loop=loop))
        assert MODULE is not None
        self._engine = NativeEngine(MODULE, name, self._config, reason="tested")
        self._journal = journal
        # In one turn: a loop that is not ours has two callbacks of ours, for what is ready and what is left.
        self.batches = 4 if loop == "uvloop" else 1
        self.loop = self._engine.new_loop()
        self.wire: Wire
        self.places: Slot | None = None
        self.closed = 0
        self.stopped = 0
        self._sockets: list[socket.socket] = []

    def run(
        self,
        check: Callable[[], Awaitable[None]],
        router: Router | None = None,
        access_log: AccessLog | None = None,
        limits: dict[str, int] | None = None,
    ) -> None:
        """Make the wire, run a check and stop."""
        router = router or make_router()
        router.freeze()
        config = dataclasses.replace(
            self._config, limits=dataclasses.replace(self._config.limits, **(limits or {}))
        )
        self.wire = self._engine.make_wire(
            WireBrief(
                router=router,
                config=config,
                loop=self.loop,
                log=self._journal.log,
                access_log=access_log,
                on_closed=self._on_closed,
                on_stop_accepting=self._on_stop_accepting,
                places=self.places,
            )
        )
        self.wire.is_telling = True
        self.wire.start()

        async def body() -> None:
            await asyncio.wait_for(check(), PATIENCE_S)

        try:
            self.loop.run_until_complete(body())
        finally:
            self.wire.abort_all()
            self.wire.stop()

    def open(self) -> socket.socket:
        """Open a connection and return the client's end."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self.keep(theirs)
        self.wire.open(ours)
        return theirs

    def keep(self, client: socket.socket) -> None:
        """Close it after the test."""
        self._sockets.append(client)

    async def ask(self, client: socket.socket, data: bytes = GET) -> bytes:
        """Send a request and return what comes at once."""
        client.send(data)
        return await self.loop.sock_recv(client, 65536)

    async def turn_until(self, condition: Callable[[], object]) -> None:
        """Let the loop turn; the check around it has a time limit."""
        while not condition():  # noqa: ASYNC110 - any condition: there is no event to wait for
            await asyncio.sleep(0.001)

    def close(self) -> None:
        """Give back what is open."""
        for client in self._sockets:
            client.close()
        self.loop.close()

    def _on_closed(self) -> None:
        self.closed += 1

    def _on_stop_accepting(self) -> None:
        self.stopped += 1


def make_router() -> Router:
    """One route for each kind of handler."""
    app = Router()
    app.get("/")(lambda request: "ok")

    @app.get("/thread", blocking=True)
    def blocking(request: Request) -> str:
        return "from a thread"

    @app.get("/later")
    async def later(request: Request) -> str:
        await asyncio.sleep(0)
        return "later"

    return app
