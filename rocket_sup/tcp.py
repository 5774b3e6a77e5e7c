"""TCP below HTTP: a coroutine for each connection, on the same reactors that serve HTTP.

    async def echo(connection):
        while data := await connection.read():
            connection.write(data)
            await connection.flush()

    serve(echo, port=7000)

`docs/tcp.md` tells what is guaranteed and where the limits are. What a connection is stands in
`rocket_sup/engine/raw.py`; here are the server that gives each its handler, and what cuts a stream of bytes
into pieces.
"""

from __future__ import annotations

import asyncio
import errno
import math
import signal
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, cast

from rocket_sup.application import BelowHttp
from rocket_sup.engine.raw import Connection, Limits, RawLink
from rocket_sup.engine.rawloop import new_loop, streams_of
from rocket_sup.log import EventLog

__all__ = [
    "Connection",
    "IncompleteError",
    "Limits",
    "PieceError",
    "Pieces",
    "TcpApplication",
    "TcpServer",
    "TooLongError",
    "new_loop",
    "serve",
]

Handler = Callable[[Connection], Awaitable[object]]

_BACKLOG: Final = 4096
_BATCH: Final = 64  # connections taken in one turn of the loop before others get theirs
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_EXHAUSTED_PAUSE_S: Final = 0.25
_FAREWELL_S: Final = 1.0  # what cancelled handlers may take to end


class TcpApplication(BelowHttp):
    """What `rocket-sup module:app` serves below HTTP, in every acceptor of a tree.

    Attributes:
        handler: called with each connection; when it returns, the connection is closed.
        limits: of connections; how many there may be at once is `server.max_connections`.
    """

    def __init__(self, handler: Handler, *, limits: Limits | None = None) -> None:
        self.handler = handler
        self.limits = limits or Limits()


def serve(
    handler: Handler,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    engine: str = "auto",
    limits: Limits | None = None,
    drain_s: float = 5.0,
) -> None:
    """Serve until SIGINT or SIGTERM; one process, one loop, from the main thread.

    Args:
        handler: called with each connection; when it returns, the connection is closed.
        host: an address of this machine; "::1" and the like for IPv6.
        port: 0 takes a free one; the log says which.
        engine: "auto", "epoll", "io_uring" or "python".
        limits: of connections.
        drain_s: how long handlers may go on after the signal.

    Raises:
        OSError: it cannot listen there.
        EngineError: the engine cannot be had.
    """
    with asyncio.Runner(loop_factory=partial(new_loop, engine)) as runner:
        runner.run(_serve(handler, host, port, limits=limits, drain_s=drain_s))


async def _serve(handler: Handler, host: str, port: int, *, limits: Limits | None, drain_s: float) -> None:
    log = EventLog()
    loop = asyncio.get_running_loop()
    leaving = asyncio.Event()
    server = TcpServer(handler, limits=limits)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server.listen(socket.create_server((host, port), family=family, backlog=_BACKLOG))
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, leaving.set)
    log.info("tcp_listening", address=server.addresses[0], engine=server.engine)
    await leaving.wait()
    await server.close(drain_s=drain_s)
    log.info("tcp_stopped")


class TcpServer:
    """Connections of one handler, on the running loop.

    On a loop of `new_loop` they are served by its reactor, on any other by the portable engine. What a
    handler raises is reported to the loop's exception handler, and its connection is cut. What is the
    client's doing is not reported: it left, was idle for too long, or sent a piece that was too long.

    Args:
        handler: called with each connection; when it returns, the connection is closed.
        limits: of connections.
        loop: another than the running one.
        on_closed: called when a socket is closed.

    Raises:
        RuntimeError: no loop is running, and none was given.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        limits: Limits | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        on_closed: Callable[[], None] | None = None,
    ) -> None:
        self._handler = handler
        self._limits = limits or Limits()
        self._loop = loop or asyncio.get_running_loop()
        self._tell_closed = on_closed
        self._streams = streams_of(self._loop)
        self._listening: list[socket.socket] = []
        self._is_accepting = True
        self._is_closed = False
        self._retry: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._links: dict[int, RawLink | None] = {}  # of every open socket; None: on its way to be a link
        self._number = 0
        self._gone = asyncio.Event()  # set whenever a socket is closed

    async def __aenter__(self) -> TcpServer:
        """Be closed when the block ends."""
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Close at once."""
        await self.close()

    @property
    def engine(self) -> str:
        """Name the engine that serves: "python", "epoll" or "io_uring"."""
        return self._streams.name

    @property
    def addresses(self) -> list[Any]:  # whatever the sockets' families call an address
        """Where it listens, as the sockets name it."""
        return [sock.getsockname() for sock in self._listening]

    def connection_count(self) -> int:
        """Sockets that are open, those included that only wait for the client's end."""
        return len(self._links)

    def listen(self, sock: socket.socket) -> None:
        """Accept from a listening socket, which is the server's from now on.

        Raises:
            RuntimeError: the server is closed.
        """
        self._check_open()
        sock.setblocking(False)
        self._listening.append(sock)
        if self._is_accepting:
            self._loop.add_reader(sock, self._accept_from, sock)

    def open(self, sock: socket.socket) -> None:
        """Serve a connected socket, which is the server's from now on.

        Raises:
            RuntimeError: the server is closed.
        """
        self._check_open()
        sock.setblocking(False)
        self._number += 1
        self._links[self._number] = None
        task = self._loop.create_task(self._run(sock, self._number))
        self._tasks.add(task)
        task.add_done_callback(partial(self._on_done, sock, self._number))

    def abort(self) -> None:
        """Cancel every handler and close every connection; what is unsent is lost."""
        for task in self._others():
            task.cancel()
        for link in list(self._links.values()):
            if link is not None:
                link.drop()

    async def close(self, *, drain_s: float = 0.0) -> None:
        """Listen no more, let handlers go on for a while, cancel the others, and close everything.

        Args:
            drain_s: seconds for handlers and for clients that still take what was sent; 0: none.
        """
        self._is_closed = True
        self._set_accepting(False)
        for sock in self._listening:
            sock.close()
        self._listening.clear()
        until = self._loop.time() + drain_s
        await self._wait_for_handlers(drain_s)
        for task in self._others():
            task.cancel()
        await self._wait_for_handlers(_FAREWELL_S)
        await self._wait_for_sockets(until)
        for link in list(self._links.values()):
            if link is not None:
                link.drop()
        await self._wait_for_sockets(math.inf)

    async def _wait_for_handlers(self, seconds: float) -> None:
        others = self._others()
        if others and seconds:
            await asyncio.wait(others, timeout=seconds)

    def _others(self) -> set[asyncio.Task[None]]:
        """All handlers but the one that may be calling."""
        return self._tasks - cast(set[asyncio.Task[None]], {asyncio.current_task(self._loop)})

    async def _wait_for_sockets(self, until: float) -> None:
        """Wait until all sockets are closed, but not for ever."""
        try:
            async with asyncio.timeout_at(None if until == math.inf else until):
                while self._links:
                    self._gone.clear()
                    await self._gone.wait()
        except TimeoutError:
            return

    def _check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("the server is closed")

    # --- accepting ---

    def _accept_from(self, listening: socket.socket) -> None:
        for _ in range(_BATCH):
            if len(self._links) >= self._limits.connections:
                self._set_accepting(False)
                return
            try:
                sock, _ = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._set_accepting(False)
                    self._retry = self._loop.call_later(_EXHAUSTED_PAUSE_S, self._set_accepting, True)
                    return
                continue  # one client that left before it was taken
            self.open(sock)

    def _set_accepting(self, is_accepting: bool) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._is_accepting = is_accepting
        for sock in self._listening:
            if is_accepting:
                self._loop.add_reader(sock, self._accept_from, sock)
            else:
                self._loop.remove_reader(sock)

    # --- one connection ---

    async def _run(self, sock: socket.socket, number: int) -> None:
        link = await self._make_link(sock, number)
        if link is None:
            return
        try:
            await self._handler(link)
        except Exception as error:
            self._on_failure(link, error)
        except asyncio.CancelledError:
            link.close()
            raise
        except BaseException:
            link.abort()
            raise
        else:
            link.close()

    async def _make_link(self, sock: socket.socket, number: int) -> RawLink | None:
        try:
            client = sock.getpeername()
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                # What is flushed leaves at once; whoever wants fewer packets flushes less often.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            gone = partial(self._on_closed, number)
            link = await self._streams.open(sock, self._limits, client=client, on_closed=gone)
        except OSError:  # it left already, or there is no memory for it
            sock.close()
            self._on_closed(number)
            return None
        if number in self._links:
            self._links[number] = link
        return link

    def _on_failure(self, link: RawLink, error: Exception) -> None:
        if isinstance(error, TimeoutError) and link.has_timed_out:
            link.close()
            return
        is_clients = isinstance(error, PieceError) or (
            isinstance(error, ConnectionError) and not link.is_open
        )
        link.abort()
        if not is_clients:
            message = f"the TCP handler {getattr(self._handler, '__qualname__', self._handler)} failed"
            self._loop.call_exception_handler({"message": message, "exception": error, "client": link.client})

    def _on_done(self, sock: socket.socket, number: int, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._links.get(number, self) is None:  # cancelled before it had a link
            sock.close()
            self._on_closed(number)

    def _on_closed(self, number: int) -> None:
        self._links.pop(number, None)
        self._gone.set()
        if self._tell_closed is not None:
            self._tell_closed()
        if not self._is_accepting and self._retry is None and not self._is_closed:
            self._set_accepting(True)


class PieceError(Exception):
    """The client's bytes cannot be cut as the handler asks."""


class IncompleteError(PieceError):
    """The client's bytes end within a piece."""


class TooLongError(PieceError):
    """A piece is longer than allowed."""


class Pieces:
    """Cuts what a connection receives: at separators, or by length. It reads ahead.

    Args:
        connection: nobody else reads from it.
        limit: bytes of a piece, separator not counted; nothing beyond it is kept but what came with it.
    """

    def __init__(self, connection: Connection, *, limit: int = 65536) -> None:
        self._connection = connection
        self._limit = limit
        self._received = bytearray()

    async def until(self, separator: bytes, *, limit: int | None = None) -> bytes | None:
        """Wait for a separator and give what comes before it; None when the client has sent its last piece.

        Args:
            separator: at least one byte.
            limit: for this piece, less than for all.

        Raises:
            TooLongError: more than `limit` bytes without a separator.
            IncompleteError: the end came first.
            ConnectionError, TimeoutError, RuntimeError: as of `Connection.read`.
        """
        received, start = self._received, 0
        limit = self._limit if limit is None else limit
        while (found := received.find(separator, start)) < 0:
            start = max(0, len(received) - len(separator) + 1)
            if start > limit:
                raise TooLongError(f"more than {limit} bytes without {separator!r}")
            if not await self._receive():
                if not received:
                    return None
                raise IncompleteError(f"{len(received)} bytes without {separator!r}, then the end")
        if found > limit:
            raise TooLongError(f"{found} bytes before {separator!r}, {limit} allowed")
        return self._cut(found, found + len(separator))

    async def exactly(self, count: int) -> bytes:
        """Wait for so many bytes.

        Raises:
            TooLongError: that is more than `limit`: the client's doing if the number is the client's.
            IncompleteError: the end came first.
            ConnectionError, TimeoutError, RuntimeError: as of `Connection.read`.
        """
        if count > self._limit:
            raise TooLongError(f"a piece of {count} bytes, {self._limit} allowed")
        while len(self._received) < count:
            if not await self._receive():
                raise IncompleteError(f"{len(self._received)} bytes of {count}, then the end")
        return self._cut(count, count)

    async def _receive(self) -> bool:
        chunk = await self._connection.read()
        self._received += chunk
        return bool(chunk)

    def _cut(self, end: int, after: int) -> bytes:
        piece = bytes(self._received[:end])
        del self._received[:after]
        return piece
