"""An application served without a tree: behind a wire, on the loop of whoever embeds it.

The wire is the one that serves in production, with its limits, deadlines and refusals; only where connections
come from is somebody else's business. `serve_connection` is the shortest use of it: one accepted socket, one
call.
"""

from __future__ import annotations

import asyncio
import socket
from types import TracebackType
from typing import cast

from rocket_sup.adapters.lifespan import LifespanMode, Lifetime
from rocket_sup.adapters.recognition import Interface, prepare
from rocket_sup.config import Config
from rocket_sup.engine.contract import Engine, Wire, WireBrief
from rocket_sup.engine.portable import PortableEngine
from rocket_sup.log import EventLog
from rocket_sup.proxy import believe_proxies
from rocket_sup.threads import move_to_threads


def serve_connection(
    sock: socket.socket, app: object, *, config: Config | None = None, log: EventLog | None = None
) -> None:
    """Serve one connected socket, and return when it is closed.

    Blocks, on a loop of its own: for a thread, or a process, for each connection. In a running loop,
    `Embedded` does the same for any number of them.

    Args:
        sock: of a client; ours from now on, and closed at the end.
        app: a `Router`, an ASGI or a WSGI application; it is started before and ended after.
        config: limits, timeouts and what else concerns connections.
        log: for failures; None is standard error.

    Raises:
        RouteError: it is no application.
        ApplicationError: it cannot start.
    """

    async def serve() -> None:
        async with Embedded(app, config or Config(), log=log or EventLog(level="warning")) as embedded:
            embedded.open(sock)
            await embedded.wait_until_idle()

    with sock:
        asyncio.run(serve())


class Embedded:
    """A served application; belongs to the loop that runs when it is made. An asynchronous context manager.

    Attributes:
        wire: its connections.
        log: for failures; closed at the end.
        is_accepting: no setup hook has said that no more connections are to come.
    """

    def __init__(
        self,
        app: object,
        config: Config,
        *,
        log: EventLog,
        engine: Engine | None = None,
        server: tuple[str, int] | None = None,
    ) -> None:
        """Adapt an application and make a wire for it.

        Args:
            engine: made the loop; None: the portable one, which any loop suits.
            server: where it is reached.

        Raises:
            RouteError: it is no application.
        """
        options = config.server
        mode = cast("LifespanMode", options.lifespan)
        threads = config.acceptor.threads
        router = prepare(app, Interface(options.interface, options.root_path, mode, server, threads))
        self._hooks = router.hooks
        self._own_hooks = router.hooks.pre_routing.copy()
        believe_proxies(router, config.proxy)
        if config.acceptor.run == "threads":
            move_to_threads(router)
        self.log = log
        self._lifetime = Lifetime(router, self.log)
        engine = engine or PortableEngine("asyncio", reason="embedded")
        self.wire: Wire = engine.make_wire(
            WireBrief(
                router=router,
                config=config,
                loop=asyncio.get_running_loop(),
                log=self.log,
                access_log=None,
                on_closed=self._on_closed,
                on_stop_accepting=self._on_stop_accepting,
            )
        )
        self.is_accepting = True
        self._is_changed = asyncio.Event()

    async def begin(self) -> None:
        """Run what the application does before its first request.

        Raises:
            ApplicationError: it cannot start.
        """
        await self._lifetime.begin()
        self.wire.is_telling = True
        self.wire.start()

    def open(self, sock: socket.socket) -> None:
        """Serve a connected socket, which is the wire's from now on.

        Raises:
            OSError: it cannot be served; it is still the caller's.
        """
        sock.setblocking(False)
        self.wire.open(sock)

    async def wait_until_idle(self) -> None:
        """Wait until no connection is left."""
        while self.wire.connection_count():
            self._is_changed.clear()
            await self._is_changed.wait()

    async def end(self) -> None:
        """Cut what is connected, and run what the application does after its last request."""
        self.wire.abort_all()
        await self.wait_until_idle()
        await self._lifetime.end()
        self.wire.stop()
        self.log.close()
        self._hooks.pre_routing[:] = self._own_hooks  # a router may be embedded again, otherwise

    async def __aenter__(self) -> Embedded:
        await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end()

    def _on_closed(self) -> None:
        self._is_changed.set()

    def _on_stop_accepting(self) -> None:
        self.is_accepting = False
