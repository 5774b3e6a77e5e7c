"""The server below HTTP, on the portable engine, and pieces of a stream."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rocket_sup import tcp
from rocket_sup.tcp import Connection, IncompleteError, Limits, Pieces, TcpServer, TooLongError

Test = Callable[[], Awaitable[None]]


async def echo(connection: Connection) -> None:
    """Send back what comes."""
    while data := await connection.read():
        connection.write(data)


class Client:
    """One client of a server."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    async def say(self, data: bytes) -> bytes:
        """Send, and receive what comes."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.sock, data)
        return await loop.sock_recv(self.sock, 1 << 16)

    async def hear(self) -> bytes:
        """Receive what comes."""
        return await asyncio.get_running_loop().sock_recv(self.sock, 1 << 16)


@asynccontextmanager
async def connected(server: TcpServer, count: int = 1) -> AsyncIterator[list[Client]]:
    """Open connections to a server."""
    clients = []
    try:
        for _ in range(count):
            sock = socket.socket()
            clients.append(Client(sock))
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, server.addresses[0])
        yield clients
    finally:
        for client in clients:
            client.sock.close()


async def until(condition: Callable[[], object]) -> None:
    """Turn the loop until a condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.001)


def run(test: Test) -> list[dict[str, Any]]:
    """Run a test's coroutine; give what was reported to the loop."""
    reported: list[dict[str, Any]] = []

    async def body() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        await test()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(body())
    gc.collect()
    return reported


def listening() -> socket.socket:
    """Listen on a free port."""
    return socket.create_server(("127.0.0.1", 0))


def test_it_serves_and_closes() -> None:
    """A block around the server closes everything at its end; then it takes nothing any more."""

    async def test() -> None:
        async with TcpServer(echo) as server:
            assert server.engine == "python"
            server.listen(listening())
            async with connected(server) as [client]:
                assert await client.say(b"hello") == b"hello"
                assert server.connection_count() == 1
                await server.close()
                assert await client.hear() == b""
            assert server.connection_count() == 0
            assert server.addresses == []
            with listening() as other, socket.socket() as sock:
                for take in (server.listen, server.open):
                    with pytest.raises(RuntimeError, match="closed"):
                        take(other if take == server.listen else sock)

    assert run(test) == []


def test_it_needs_a_loop() -> None:
    """Made outside of one, it would not know where to serve."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        TcpServer(echo)


def test_connections_over_the_limit_wait() -> None:
    """Accepting rests at the limit, and goes on when one is gone; a listener added meanwhile rests too."""

    async def test() -> None:
        async with TcpServer(echo, limits=Limits(connections=1)) as server:
            server.listen(listening())
            async with connected(server, 2) as [first, second]:
                assert await first.say(b"1") == b"1"
                await until(lambda: not server._is_accepting)
                server.listen(listening())
                first.sock.close()
                assert await second.say(b"2") == b"2"
                second.sock.close()
                await until(lambda: server._is_accepting)

    assert run(test) == []


class Listening(socket.socket):
    """Fails to accept as it is told."""

    failures: Iterable[int] = ()

    def accept(self) -> Any:
        """Accept, or fail."""
        for number in self.failures:
            raise OSError(number, os.strerror(number))
        return super().accept()


def test_newcomers_that_fail_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that left is skipped; without descriptors accepting rests for a moment."""
    monkeypatch.setattr(tcp, "_EXHAUSTED_PAUSE_S", 0.01)

    async def test() -> None:
        sock = Listening()
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        sock.failures = iter([errno.ECONNABORTED, errno.EMFILE])
        async with TcpServer(echo) as server:
            server.listen(sock)
            async with connected(server) as [client]:
                assert await client.say(b"x") == b"x"
                assert server._is_accepting
                monkeypatch.setattr(tcp, "_EXHAUSTED_PAUSE_S", 1000)
                sock.failures = iter([errno.EMFILE])
                async with connected(server):
                    await until(lambda: server._retry is not None)
                    await server.close()

    assert run(test) == []


def test_a_socket_that_is_gone_is_forgotten() -> None:
    """A client that left before its turn, or a task that is cancelled before its first step."""

    async def test() -> None:
        async with TcpServer(echo) as server:
            server.open(socket.socket())
            await until(lambda: server.connection_count() == 0)
            ours, theirs = socket.socketpair()
            with ours:
                server.open(theirs)
                await server.close()
                assert theirs.fileno() == -1
            assert server.connection_count() == 0

    assert run(test) == []


@pytest.mark.parametrize(
    ("error", "is_reported"),
    [
        (ZeroDivisionError("mine"), True),
        (ConnectionRefusedError("the database's"), True),
        (TimeoutError("the database's"), True),
        (IncompleteError("the client's"), False),
        (TooLongError("the client's"), False),
    ],
)
def test_failures_are_reported_unless_they_are_the_clients(error: Exception, is_reported: bool) -> None:
    """The connection is cut in any case."""

    async def fail(connection: Connection) -> None:
        await connection.read()
        raise error

    async def test() -> None:
        async with TcpServer(fail) as server:
            server.listen(listening())
            async with connected(server) as [client]:
                with pytest.raises(ConnectionResetError):
                    await client.say(b"x")

    reported = run(test)

    assert is_reported == bool(reported)
    for context in reported:
        assert context["exception"] is error
        assert "fail" in context["message"]


def test_a_client_that_left_or_idles_is_no_failure() -> None:
    """Errors of the connection itself end the handler quietly; one that idles gets an end."""

    async def test() -> None:
        async with TcpServer(echo, limits=Limits(idle_s=0.02)) as server:
            server.listen(listening())
            async with connected(server) as [client]:
                assert await client.hear() == b""

        async def write(connection: Connection) -> None:
            await connection.read()
            connection.write(bytes(32 << 20))
            await connection.flush()

        async with TcpServer(write) as server:
            server.listen(listening())
            async with connected(server) as [client]:
                await client.say(b"x")
            await until(lambda: server.connection_count() == 0)

    assert run(test) == []


def test_an_interrupt_goes_through() -> None:
    """What is for the whole process is not kept by one connection."""

    async def interrupt(connection: Connection) -> None:
        raise SystemExit(3)

    async def test() -> None:
        async with TcpServer(interrupt) as server:
            server.listen(listening())
            async with connected(server):
                await asyncio.Event().wait()

    with pytest.raises(SystemExit, match="3"):
        asyncio.run(test())


async def stay(connection: Connection) -> None:
    """Echo, and say goodbye."""
    try:
        await echo(connection)
    finally:
        connection.write(b"bye")


def test_draining() -> None:
    """Who was there before may go on and end by itself; nobody new comes in."""

    async def test() -> None:
        async with TcpServer(stay) as server:
            server.listen(listening())
            async with connected(server, 2) as [first, second]:
                for client in (first, second):
                    assert await client.say(b"x") == b"x"
                closing = asyncio.create_task(server.close(drain_s=1000))
                await until(lambda: not server.addresses)
                assert await second.say(b"y") == b"y"
                for client in (first, second):
                    client.sock.shutdown(socket.SHUT_WR)
                    assert await client.hear() == b"bye"
                await closing

    assert run(test) == []


def test_draining_ends() -> None:
    """Who does not end in time is cancelled, and may say so."""

    async def test() -> None:
        async with TcpServer(stay) as server:
            server.listen(listening())
            async with connected(server) as [client]:
                assert await client.say(b"x") == b"x"
                await server.close(drain_s=0.01)
                assert await client.hear() == b"bye"

    assert run(test) == []


def test_a_handler_may_close_its_server() -> None:
    """It is not cancelled by itself, and ends with everything else."""

    async def test() -> None:
        async def stop(connection: Connection) -> None:
            await connection.read()
            await server.close()
            ended.set()

        ended = asyncio.Event()
        server = TcpServer(stop)
        server.listen(listening())
        async with connected(server) as [client]:
            await asyncio.get_running_loop().sock_sendall(client.sock, b"x")
            assert await client.hear() == b""
            await ended.wait()
            await until(lambda: not server._tasks)

    assert run(test) == []


class Script:
    """A connection whose client says these things, then ends."""

    def __init__(self, *says: bytes) -> None:
        self.says = list(says)

    async def read(self) -> bytes:
        """Give the next."""
        return self.says.pop(0) if self.says else b""


def pieces(*says: bytes, limit: int = 10) -> Pieces:
    """Cut a script."""
    connection: Any = Script(*says)
    return Pieces(connection, limit=limit)


def test_pieces_by_separator() -> None:
    """Whatever the cuts, also within the separator; nothing after the last piece."""

    async def test() -> None:
        for says in ([b"one\r\ntwo\r\n\r\n"], [b"on", b"e\r", b"\ntw", b"o", b"\r\n\r", b"\n"]):
            cut = pieces(*says)
            assert [b"one", b"two", b"", None, None] == [await cut.until(b"\r\n") for _ in range(5)]

    run(test)


def test_pieces_by_length() -> None:
    """Mixed with separators, none at all included."""

    async def test() -> None:
        cut = pieces(b"3:abc", b"4:de", b"fg")
        assert await cut.until(b":") == b"3"
        assert await cut.exactly(3) == b"abc"
        assert await cut.exactly(0) == b""
        assert await cut.until(b":") == b"4"
        assert await cut.exactly(4) == b"defg"
        assert await cut.until(b":") is None

    run(test)


@pytest.mark.parametrize(
    ("says", "is_refused"),
    [
        ([b"0123456789\n"], False),
        ([b"0123456789", b"\n"], False),
        ([b"0123456789x\n"], True),
        ([b"0123456789x"], True),
        ([b"01234", b"56789", b"x", b"\n"], True),
    ],
)
def test_pieces_have_a_limit(says: list[bytes], is_refused: bool) -> None:
    """The separator is not counted; nobody is waited for beyond it."""

    async def test() -> None:
        cut = pieces(*says)
        if is_refused:
            with pytest.raises(TooLongError, match="10"):
                await cut.until(b"\n")
        else:
            assert await cut.until(b"\n") == b"0123456789"
        with pytest.raises(TooLongError, match="11 bytes, 10 allowed"):
            await cut.exactly(11)

    run(test)


def test_a_piece_may_have_a_limit_of_its_own() -> None:
    """For a short line before long content."""

    async def test() -> None:
        cut = pieces(b"12\n0123456789345\n")
        assert await cut.until(b"\n", limit=2) == b"12"
        assert await cut.exactly(10) == b"0123456789"
        with pytest.raises(TooLongError, match="3 bytes before"):
            await cut.until(b"\n", limit=2)

    run(test)


def test_pieces_that_end_early() -> None:
    """The client's end within a piece is no piece."""

    async def test() -> None:
        with pytest.raises(IncompleteError, match="2 bytes without"):
            await pieces(b"ab").until(b"\n")
        with pytest.raises(IncompleteError, match="2 bytes of 3"):
            await pieces(b"ab").exactly(3)

    run(test)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["python", "auto"])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_process_of_its_own(engine: str, signum: signal.Signals) -> None:
    """`serve` says where it listens, serves, and ends well when it is told to; IPv6 is an address, too."""
    code = (
        "from rocket_sup.tcp import serve\n"
        "from tests.unit.test_tcp import echo\n"
        f"serve(echo, '::1', engine={engine!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "tcp_listening" in line, line + process.stderr.read()
        port = int(line.split("::1")[1].split(",")[1])
        with socket.create_connection(("::1", port), timeout=10) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"
        process.send_signal(signum)
        left = process.stderr.read()
        assert process.wait(10) == 0, left
    finally:
        process.kill()
        process.wait()
        process.stderr.close()

    assert "tcp_stopped" in left
    assert "Traceback" not in left
