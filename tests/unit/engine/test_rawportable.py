"""Connections below HTTP on asyncio, without a server: a pair of sockets and a loop."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from rocket_sup.engine import rawportable
from rocket_sup.engine.raw import Limits
from rocket_sup.engine.rawportable import PortableConnection, PortableStreams

MUCH = 16 << 20  # bytes that no socket takes at once


class Client:
    """The other end, and what the connection told.

    Attributes:
        closed: set when the connection's socket is closed.
    """

    def __init__(self, sock: socket.socket, connection: PortableConnection, closed: asyncio.Event) -> None:
        self.sock = sock
        self.connection = connection
        self.closed = closed

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def receive(self, count: int = 1 << 20) -> bytes:
        """Receive what is there."""
        return await asyncio.get_running_loop().sock_recv(self.sock, count)

    async def receive_all(self) -> bytes:
        """Receive until the end."""
        received = bytearray()
        while data := await self.receive():
            received += data
        return bytes(received)


@asynccontextmanager
async def open_pair(**limits: float) -> AsyncIterator[tuple[PortableConnection, Client]]:
    """Open a connection over TCP; both ends are closed when the block ends."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # so that the kernel does not hold MUCH
        client.connect(listening.getsockname())
        sock, _ = listening.accept()
    for each in (client, sock):
        each.setblocking(False)
    closed = asyncio.Event()
    streams = PortableStreams(loop)
    connection = await streams.open(sock, Limits(**limits), client="c", on_closed=closed.set)  # type: ignore[arg-type]
    try:
        yield connection, Client(client, connection, closed)
    finally:
        client.close()
        connection.abort()
        await asyncio.wait_for(closed.wait(), 10)


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test's coroutine; nothing may be reported to the loop."""
    problems: list[object] = []

    async def body() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        await test()

    asyncio.run(body())
    gc.collect()
    assert problems == []


def test_bytes_there_and_back() -> None:
    """Reads give what came, limited or not; views are read-only; flushes are done when all is taken."""

    async def test() -> None:
        async with open_pair() as (connection, client):
            assert (connection.client, connection.is_open, connection.has_timed_out) == ("c", True, False)
            await client.send(b"hello")
            assert await connection.read() == b"hello"
            await client.send(b"abcdef")
            assert await connection.read(2) == b"ab"
            with await connection.read_view() as view:
                assert view == b"cdef"
                assert view.readonly
            connection.write(b"x")
            connection.write(bytearray(b"y"))
            connection.write(memoryview(b"z"))
            await connection.flush()
            assert await client.receive() == b"xyz"
            with pytest.raises(ValueError, match="at least 1"):
                await connection.read(0)
            with pytest.raises(TypeError):
                connection.write(5)  # type: ignore[arg-type]

    run(test)


def test_what_is_staged_is_sent_without_a_flush() -> None:
    """In the next turn of the loop, and before an end that was asked for."""

    async def test() -> None:
        async with open_pair() as (connection, client):
            connection.write(b"by itself")
            assert await client.receive() == b"by itself"
            connection.write(b"last")
            connection.write_eof()
            connection.write_eof()
            with pytest.raises(RuntimeError, match="write_eof"):
                connection.write(b"x")
            assert await client.receive_all() == b"last"
            await client.send(b"still read")
            assert await connection.read() == b"still read"

    run(test)


def test_reading_rests_while_too_much_is_unread() -> None:
    """The transport is paused at the limit, and goes on when the handler has read."""

    async def test() -> None:
        async with open_pair(unread=1000) as (connection, client):
            sending = asyncio.create_task(client.send(bytes(MUCH)))
            while connection._is_reading:  # noqa: ASYNC110 - a transport that rests tells nobody
                await asyncio.sleep(0)
            assert not sending.done()
            received = 0
            while received < MUCH:
                received += len(await connection.read())
            await sending

    run(test)


def test_a_second_reader_is_refused() -> None:
    """One read at a time; cancelled, it makes room for the next and leaves the bytes."""

    async def test() -> None:
        async with open_pair() as (connection, client):
            first = asyncio.create_task(connection.read())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="one at a time"):
                await connection.read()
            first.cancel()
            await asyncio.wait([first])
            await client.send(b"kept")
            assert await connection.read() == b"kept"

    run(test)


def test_too_much_staged_is_refused() -> None:
    """Counted with what the transport holds."""

    async def test() -> None:
        async with open_pair(unsent=10) as (connection, client):
            connection.write(bytes(MUCH))
            with pytest.raises(BufferError, match="flush first"):
                connection.write(b"x")
            flushing = asyncio.create_task(connection.flush())
            received = 0
            while received < MUCH:
                received += len(await client.receive())
            await flushing
            connection.write(b"x")
            assert await client.receive() == b"x"

    run(test)


def test_the_clients_end_is_no_break() -> None:
    """Reads say b"" from then on, and writing goes on."""

    async def test() -> None:
        async with open_pair() as (connection, client):
            await client.send(b"bye")
            client.sock.shutdown(socket.SHUT_WR)
            assert await connection.read() == b"bye"
            assert await connection.read() == b""
            assert await connection.read_view() == b""
            connection.write(b"answer")
            connection.close()
            assert await client.receive_all() == b"answer"
            await asyncio.wait_for(client.closed.wait(), 10)

    run(test)


def test_a_reset_is_told_to_all_who_wait() -> None:
    """And raised by all that is tried after it, each time as a new error."""

    async def test() -> None:
        async with open_pair() as (connection, client):
            connection.write(bytes(MUCH))
            waiting = [asyncio.create_task(connection.read()), asyncio.create_task(connection.flush())]
            await asyncio.sleep(0)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, rawportable._RESET)
            client.sock.close()
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert [ConnectionResetError] * 2 == [type(result) for result in results]
            assert not connection.is_open
            for use in (connection.read, connection.flush):
                with pytest.raises(ConnectionResetError):
                    await use()
            for act in (connection.write_eof, lambda: connection.write(b"x")):
                with pytest.raises(ConnectionResetError):
                    act()
            connection.close()

    run(test)


def test_closed_here() -> None:
    """Whoever reads is told, flushes end well, and then everything is refused."""

    async def test() -> None:
        async with open_pair() as (connection, client):
            connection.write(bytes(MUCH))
            reading = asyncio.create_task(connection.read())
            flushing = asyncio.create_task(connection.flush())
            await asyncio.sleep(0)
            connection.close()
            connection.close()
            assert not connection.is_open
            with pytest.raises(ConnectionAbortedError, match="closed here"):
                await reading
            with pytest.raises(ConnectionAbortedError):
                connection.write(b"x")
            assert MUCH == len(await client.receive_all())
            await flushing
            await client.send(b"forgotten")
            client.sock.close()
            await asyncio.wait_for(client.closed.wait(), 10)

    run(test)


@pytest.mark.parametrize("has_unsent", [True, False])
def test_dropped_by_the_server(has_unsent: bool) -> None:
    """At once: an end for who has everything, a reset for who has not."""

    async def test() -> None:
        async with open_pair() as (connection, client):
            flushing = None
            if has_unsent:
                connection.write(bytes(MUCH))
                flushing = asyncio.create_task(connection.flush())
                await asyncio.sleep(0)
            connection.drop()
            await asyncio.wait_for(client.closed.wait(), 10)
            if flushing is not None:
                with pytest.raises(ConnectionAbortedError):
                    await flushing
                with pytest.raises(ConnectionResetError):
                    await client.receive_all()
            else:
                assert await client.receive_all() == b""
            connection.abort()

    run(test)


def test_a_silent_client_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed, the connection waits for the client's end, longer while it sends, but not for ever."""
    monkeypatch.setattr(rawportable, "LINGER_QUIET_S", 0.02)
    monkeypatch.setattr(rawportable, "LINGER_TOTAL_S", 0.05)

    async def test() -> None:
        async with open_pair() as (connection, client):
            connection.close()
            while not client.closed.is_set():
                try:
                    client.sock.send(b"noise")
                except ConnectionError:
                    break
                await asyncio.sleep(0.001)
            await asyncio.wait_for(client.closed.wait(), 10)
        async with open_pair() as (connection, client):
            connection.close()
            await asyncio.wait_for(client.closed.wait(), 10)

    run(test)


def test_a_client_that_takes_nothing_after_the_close_is_cut() -> None:
    """Looked at every `close_s`: cut when nothing was taken since the last look."""

    async def test() -> None:
        async with open_pair(close_s=1000) as (connection, client):
            connection.write(bytes(MUCH))
            connection.close()
            before = connection._unsent()
            while connection._unsent() == before:
                await client.receive(1 << 16)
            connection._on_unsent()
            await client.receive(1 << 16)
            assert not client.closed.is_set()
            connection._expect_progress()
            connection._on_unsent()
            await asyncio.wait_for(client.closed.wait(), 10)
            with pytest.raises(ConnectionResetError):
                await client.receive_all()

        async with open_pair(close_s=0.01) as (connection, client):
            connection.write(bytes(MUCH))
            connection.close()
            await asyncio.wait_for(client.closed.wait(), 10)

    run(test)


def test_patience() -> None:
    """Reads and flushes give up after `idle_s`; taking some of it is no idling."""

    async def test() -> None:
        async with open_pair(idle_s=0.02) as (connection, client):
            assert connection.idle_s == 0.02
            with pytest.raises(TimeoutError, match="idle"):
                await connection.read()
            assert connection.has_timed_out
            assert connection.is_open
            connection.write(bytes(MUCH))
            with pytest.raises(TimeoutError, match="idle"):
                await connection.flush()
            connection.idle_s = 10
            with pytest.raises(ValueError, match="idle_s"):
                connection.idle_s = -1
            assert MUCH == len(await _receive(client, MUCH))
            await connection.flush()

    run(test)


async def _receive(client: Client, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        received += await client.receive()
    return bytes(received)


def test_a_client_that_left_before_anybody_looked() -> None:
    """An end that cannot be sent is the end of the connection, and closing it is no error."""

    async def test() -> None:
        async with open_pair() as (connection, client):
            await client.send(b"x")
            client.sock.shutdown(socket.SHUT_WR)
            assert await connection.read() == b"x"
            assert await connection.read() == b""
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, rawportable._RESET)
            client.sock.close()
            connection.close()
            await asyncio.wait_for(client.closed.wait(), 10)

    run(test)


def test_a_connection_that_is_gone_before_it_is_watched() -> None:
    """Whoever opened it is told all the same, once."""

    async def test() -> None:
        async with open_pair() as (connection, client):
            connection.abort()
            await asyncio.wait_for(client.closed.wait(), 10)
            told: list[int] = []
            connection.watch(lambda: told.append(1))
            connection.connection_lost(None)
            assert told == [1]

    run(test)
