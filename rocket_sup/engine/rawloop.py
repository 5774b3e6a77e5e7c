"""Loops for connections below HTTP: which engine serves them, and how a server finds it.

A `RawLoop` is asyncio's own loop with a native reactor as its selector, and knows the raw connections of that
reactor. On any other loop they are served by the portable engine.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any, cast

from rocket_sup.config import Config
from rocket_sup.engine import native
from rocket_sup.engine.choice import choose
from rocket_sup.engine.raw import Limits, RawLink, Streams
from rocket_sup.engine.rawportable import PortableStreams
from rocket_sup.engine.selector import NativeSelector


def new_loop(engine: str = "auto", config: Config | None = None) -> asyncio.AbstractEventLoop:
    """Make a loop whose raw connections an engine serves.

    Args:
        engine: "auto", "epoll", "io_uring" or "python"; io_uring that cannot be used here is epoll.
        config: for the options of `[engine.io_uring]`.

    Raises:
        EngineError: the engine was asked for by name and cannot be had.
        OSError: the kernel gives no more.
    """
    config = config or Config()
    chosen = choose(replace(config, server=replace(config.server, engine=engine, loop="asyncio")))
    module, _ = native.load()
    if chosen.name == "python" or module is None:
        return chosen.new_loop()
    return RawLoop(module, chosen.name, ring=config.engine_io_uring)


def streams_of(loop: asyncio.AbstractEventLoop) -> Streams:
    """Find what serves raw connections on a loop."""
    return loop.streams if isinstance(loop, RawLoop) else PortableStreams(loop)


class RawLoop(asyncio.SelectorEventLoop):
    """A loop on a native reactor.

    Args:
        module: the native module.
        name: "epoll" or "io_uring".
        ring: the options of `[engine.io_uring]`.
    """

    def __init__(self, module: ModuleType, name: str, *, ring: object) -> None:
        reactor = module.Reactor(ring if name == "io_uring" else None)
        self.streams = NativeStreams(module.Tcp(reactor, most_views(name, ring)), name)
        super().__init__(NativeSelector(reactor))
        reactor.attach_loop(self)

    def close(self) -> None:
        """Close the raw connections, and the loop."""
        if not self.is_running():
            self.streams.abandon()
        super().close()


class NativeStreams:
    """See `raw.Streams`.

    Args:
        tcp: the native part.
        name: of the engine.
    """

    def __init__(self, tcp: Any, name: str) -> None:
        self.name = name
        self._tcp = tcp

    async def open(
        self, sock: socket.socket, limits: Limits, *, client: object, on_closed: Callable[[], None]
    ) -> RawLink:
        """See `raw.Streams`."""
        link = self._tcp.open(sock.fileno(), client, limits, on_closed)
        sock.detach()
        return cast(RawLink, link)

    def views_out(self) -> int:
        """Buffers of the reactor that handlers have views of."""
        return cast(int, self._tcp.views_out())

    def abandon(self) -> None:
        """Cut all connections; nobody is told."""
        self._tcp.abandon()


def most_views(name: str, ring: Any) -> int:
    """Say how many buffers of a reactor handlers may hold at a time: a few, and never most of a ring."""
    return min(16, ring.buffers // 4) if name == "io_uring" else 16
