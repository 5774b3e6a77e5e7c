"""An application below HTTP in the tree: the wire of an acceptor whose connections are a handler's each.

The tree is the same: sockets, limits, restarts, drains. Between a connected socket and its handler stands
`rocket_sup/tcp.py`, on the loop of the engine that was chosen. A drain leaves handlers until
`timeouts.drain` to end their conversations; then they are cancelled. A conversation counts as one request,
when it is over.
"""

from __future__ import annotations

import asyncio
import socket

from rocket_sup.config import Config
from rocket_sup.engine.contract import Counts, Engine, WireBrief
from rocket_sup.engine.rawloop import new_loop
from rocket_sup.service import Statistics
from rocket_sup.sessions import Sessions
from rocket_sup.tcp import TcpApplication, TcpServer
from rocket_sup.threads import ThreadUse


class TcpEngine:
    """See `contract.Engine`.

    Args:
        engine: the one that was chosen; its name and its reasons are ours.
        application: who is served.
    """

    def __init__(self, engine: Engine, application: TcpApplication, config: Config) -> None:
        self.name = engine.name
        self.reason = engine.reason
        self.is_fallback = engine.is_fallback
        self._engine = engine
        self._application = application
        self._config = config

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Make the loop: asyncio's on a native engine, what `server.loop` says on the portable one."""
        if self.name == "python":
            return self._engine.new_loop()
        return new_loop(self.name, self._config)

    def make_wire(self, brief: WireBrief) -> TcpWire:
        """Make a wire on a loop of `new_loop`."""
        return TcpWire(self._application, brief)


class TcpWire:
    """See `contract.Wire`."""

    doorman = None

    def __init__(self, application: TcpApplication, brief: WireBrief) -> None:
        self.is_draining = False
        self.is_telling = False
        self.sessions = Sessions()
        self._places = brief.places
        self._on_gone = brief.on_closed
        self._server = TcpServer(
            application.handler,
            limits=application.limits,
            loop=brief.loop,
            on_closed=self._on_connection_gone,
        )
        self._statistics = Statistics()

    @property
    def statistics(self) -> Counts:
        """See `Wire`; bytes are not counted."""
        self._statistics.in_flight = self.connection_count()
        return self._statistics

    def start(self) -> None:
        """See `Wire`; deadlines are the connections' own."""

    def stop(self) -> None:
        """See `Wire`; there are no threads."""

    def open(self, sock: socket.socket) -> None:
        """See `Wire`."""
        self._server.open(sock)

    def connection_count(self) -> int:
        """See `Wire`."""
        return self._server.connection_count()

    def thread_use(self) -> ThreadUse:
        """See `Wire`; it has none."""
        return ThreadUse(0)

    def held_bytes(self) -> tuple[int, int]:
        """See `Wire`; what is held is between each connection and its `Limits`."""
        return 0, 0

    def longest_idle_since(self) -> None:
        """See `Wire`; whether a conversation is idle only its handler knows."""

    def close_longest_idle(self) -> bool:
        """See `Wire`; none is idle."""
        return False

    def drain(self) -> None:
        """See `Wire`."""
        self.is_draining = True
        self.sessions.drain()

    def abort_all(self) -> None:
        """See `Wire`."""
        self._server.abort()

    def _on_connection_gone(self) -> None:
        self._statistics.count(200, 0.0)
        if self._places is not None:
            self._places.vacate()
        if self.is_telling:
            self._on_gone()
