"""Serve a TCP handler on a loop in a thread, and talk to it by socket."""

from __future__ import annotations

import asyncio
import gc
import queue
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import pytest
import uvloop

from rocket_sup.config import Config
from rocket_sup.engine import native
from rocket_sup.tcp import Connection, Limits, TcpServer, new_loop

LOOPS = ("asyncio", "uvloop", "epoll", "io_uring")
PATIENCE_S = 20.0  # only a test that fails waits this long
T = TypeVar("T")
Handler = Callable[[Connection], Awaitable[object]]


def require(name: str) -> None:
    """Skip the test where there is no such loop."""
    module, missing = native.load()
    if name in ("epoll", "io_uring") and module is None:
        pytest.skip(missing)
    if name == "io_uring" and module is not None and (refusal := module.probe_uring()) is not None:
        pytest.skip(f"io_uring cannot be used here: {refusal}")


def make_loop(name: str, config: Config | None = None) -> asyncio.AbstractEventLoop:
    """Make a loop on which raw connections are served one way or another."""
    if name == "uvloop":
        return uvloop.new_event_loop()
    return new_loop("python" if name == "asyncio" else name, config)


class Site:
    """A handler that is served.

    Attributes:
        told: what handlers put there for the test.
        failures: what was reported to the loop's exception handler.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop
        self.server: TcpServer
        self.told: queue.Queue[Any] = queue.Queue()
        self.failures: list[dict[str, Any]] = []
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._clients = ExitStack()

    def connect(self, *, receive_buffer: int = 0) -> socket.socket:
        """Open a connection, which the site closes."""
        client = self._clients.enter_context(socket.socket())
        client.settimeout(PATIENCE_S)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(self.server.addresses[0])
        return client

    def next(self) -> Any:
        """Wait for what a handler tells."""
        return self.told.get(timeout=PATIENCE_S)

    def call(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do something on the loop."""

        async def run() -> T:
            return await act()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(PATIENCE_S)

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds; it is asked on the loop."""

        async def holds() -> bool:
            return bool(condition())

        deadline = time.monotonic() + PATIENCE_S
        while not self.call(holds):
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.002)  # between looks at a condition that the loop does not tell of

    def run(self, loop_name: str, handler: Handler, limits: Limits | None, config: Config | None) -> None:
        """Serve until `stop`; the thread's function. The loop is made here: a ring belongs to one thread."""
        try:
            self.loop = make_loop(loop_name, config)
            self.loop.set_exception_handler(lambda _, context: self.failures.append(context))
            try:
                self.loop.run_until_complete(self._serve(handler, limits))
            finally:
                self.loop.close()
        finally:
            self._ready.set()
            self._ended.set()

    def wait_until_ready(self) -> None:
        """Wait until it listens."""
        assert self._ready.wait(PATIENCE_S)
        assert hasattr(self, "server"), "the site did not start"

    def stop(self) -> None:
        """Close the server and all clients."""
        if not self._ended.is_set():
            self.loop.call_soon_threadsafe(self._stop.set)

    def wait_until_closed(self) -> None:
        """Wait until the loop is closed."""
        assert self._ended.wait(PATIENCE_S)

    def close_clients(self) -> None:
        """Close what `connect` opened."""
        self._clients.close()

    async def _serve(self, handler: Handler, limits: Limits | None) -> None:
        async with TcpServer(handler, limits=limits) as self.server:
            self.server.listen(socket.create_server(("127.0.0.1", 0), backlog=1024))
            self._ready.set()
            await self._stop.wait()
        assert self.server.connection_count() == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}


@contextmanager
def serve(
    loop_name: str, handler: Handler, limits: Limits | None = None, config: Config | None = None
) -> Iterator[Site]:
    """Serve until the block ends; nothing is left of it then."""
    require(loop_name)
    site = Site()
    thread = threading.Thread(target=site.run, args=(loop_name, handler, limits, config), name="site")
    thread.start()
    try:
        site.wait_until_ready()
        yield site
    finally:
        site.stop()
        thread.join(PATIENCE_S)
        site.close_clients()
        assert not thread.is_alive()
    gc.collect()


def read_all(client: socket.socket) -> bytes:
    """Receive until the end."""
    pieces = []
    while piece := client.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def read_exactly(client: socket.socket, count: int) -> bytes:
    """Receive so many bytes."""
    received = bytearray()
    while len(received) < count:
        piece = client.recv(min(count - len(received), 1 << 16))
        assert piece, f"the end after {len(received)} of {count} bytes"
        received += piece
    return bytes(received)


def reset(client: socket.socket) -> None:
    """Close a client so that the server gets a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


async def echo(connection: Connection) -> None:
    """Send back what comes."""
    while data := await connection.read():
        connection.write(data)
        await connection.flush()
