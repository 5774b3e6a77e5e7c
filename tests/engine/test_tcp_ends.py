"""How connections below HTTP end: by either side, in order or not, too late, or with their server."""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable

import pytest

from rocket_sup.tcp import Connection
from tests.engine.tcpsite import Site, echo, read_all, read_exactly, require, reset

Serve = Callable[..., Site]
MUCH = 32 << 20  # bytes that no socket takes at once


def test_after_the_clients_end_it_can_be_answered(served: Serve) -> None:
    """A client that sends its end first still gets everything; reads say so again and again."""

    async def handler(connection: Connection) -> None:
        assert await connection.read() == b"question"
        assert [b"", b"", b""] == [await connection.read() for _ in range(3)]
        assert connection.is_open
        connection.write(b"answer" * 100_000)

    client = served(handler).connect()
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)

    assert b"answer" * 100_000 == read_all(client)


def test_after_our_end_the_client_is_heard(served: Serve) -> None:
    """Our end leaves behind what is staged, and reading goes on."""

    async def handler(connection: Connection) -> None:
        connection.write(b"all I say")
        connection.write_eof()
        while data := await connection.read():
            site.told.put(data)

    site = served(handler)
    client = site.connect()
    assert read_all(client) == b"all I say"
    client.sendall(b"and yet")

    assert site.next() == b"and yet"


@pytest.mark.slow
def test_what_is_staged_leaves_before_the_end(served: Serve) -> None:
    """A handler may write and return: the client gets all of it, however slowly."""

    async def handler(connection: Connection) -> None:
        connection.write(bytes(MUCH))

    client = served(handler).connect(receive_buffer=4096)

    assert MUCH == len(read_all(client))


def test_a_client_can_read_its_answer_while_it_sends(served: Serve) -> None:
    """Closing waits for the client's end: what it sends meanwhile does not reset the connection."""

    async def handler(connection: Connection) -> None:
        await connection.read(1)
        connection.write(b"enough, thank you")

    site = served(handler)
    client = site.connect()
    client.sendall(bytes(1 << 20))
    for _ in range(10):
        client.sendall(bytes(1 << 16))

    assert read_all(client) == b"enough, thank you"
    assert 1 == site.server.connection_count()
    client.close()
    site.wait_until(lambda: site.server.connection_count() == 0)


def test_a_reset_is_an_error_for_whoever_waits(served: Serve) -> None:
    """A waiting read raises ConnectionResetError; so does everything after it."""

    async def handler(connection: Connection) -> None:
        connection.write(b"ready")
        try:
            await connection.read()
        except OSError as error:
            site.told.put((type(error), error.errno, connection.is_open))
        for use in (connection.read, connection.read_view, connection.flush):
            with pytest.raises(ConnectionError):
                await use()
        for act in (lambda: connection.write(b"x"), connection.write_eof):
            with pytest.raises(ConnectionError):
                act()
        connection.close()
        site.told.put("used")

    site = served(handler)
    client = site.connect()
    assert read_exactly(client, 5) == b"ready"
    reset(client)

    assert (ConnectionResetError, errno.ECONNRESET, False) == site.next()
    assert site.next() == "used"
    assert site.failures == []


def test_a_reset_while_nothing_is_taken(served: Serve) -> None:
    """A waiting flush raises too, and a handler that lets it through is not reported."""

    async def handler(connection: Connection) -> None:
        connection.write(bytes(MUCH))
        try:
            await connection.flush()
        finally:
            site.told.put(connection.is_open)

    site = served(handler)
    client = site.connect(receive_buffer=4096)
    client.recv(1)
    reset(client)

    assert not site.next()
    site.wait_until(lambda: site.server.connection_count() == 0)
    assert site.failures == []


def test_writing_to_a_client_that_left(served: Serve) -> None:
    """Sooner or later a write or a flush says that nobody is there."""
    go = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await go.wait()
        try:
            while True:
                connection.write(bytes(1000))
                await connection.flush()
                await asyncio.sleep(0)
        except ConnectionError as error:
            site.told.put(error)

    site = served(handler)
    site.connect().close()
    site.loop.call_soon_threadsafe(go.set)

    assert isinstance(site.next(), ConnectionError)


def test_bytes_before_a_reset_are_read_first(served: Serve) -> None:
    """What had come before the connection broke is not lost."""
    go = asyncio.Event()

    async def handler(connection: Connection) -> None:
        async def read_to_the_error() -> None:
            while True:
                read.append(await connection.read(2))

        read = [await connection.read(1)]
        connection.write(b"ready")
        await connection.flush()
        await go.wait()
        with pytest.raises(ConnectionError):
            await read_to_the_error()
        site.told.put(b"".join(read))

    site = served(handler)
    client = site.connect()
    client.sendall(b"first and last")
    assert read_exactly(client, 5) == b"ready"
    reset(client)
    site.loop.call_soon_threadsafe(go.set)

    assert site.next() == b"first and last"


def test_a_closed_connection_cannot_be_used(served: Serve) -> None:
    """Everything raises ConnectionAbortedError, closing again does nothing; whoever waited is told."""

    async def handler(connection: Connection) -> None:
        reading = asyncio.ensure_future(connection.read())
        await asyncio.sleep(0)
        connection.write(b"bye")
        connection.close()
        with pytest.raises(ConnectionAbortedError, match="closed here"):
            await reading
        for use in (connection.read, connection.read_view, connection.flush):
            with pytest.raises(ConnectionAbortedError):
                await use()
        for act in (lambda: connection.write(b"x"), connection.write_eof):
            with pytest.raises(ConnectionAbortedError):
                act()
        connection.close()
        site.told.put(connection.is_open)

    site = served(handler)
    client = site.connect()

    assert read_all(client) == b"bye"
    assert site.next() is False


def test_an_abort_is_no_regular_end(served: Serve) -> None:
    """The client gets a reset, whoever waited is told, and what was staged is gone."""

    async def handler(connection: Connection) -> None:
        await connection.read(1)  # a cut before the client has connected would be its failure to connect
        connection.write(bytes(MUCH))
        waiting = [asyncio.ensure_future(connection.read()), asyncio.ensure_future(connection.flush())]
        await asyncio.sleep(0)
        connection.abort()
        connection.abort()
        connection.close()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        site.told.put([type(result) for result in results])

    site = served(handler)
    client = site.connect()
    client.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        read_all(client)

    assert [ConnectionAbortedError, ConnectionAbortedError] == site.next()


def test_a_flush_outlives_a_close(served: Serve) -> None:
    """Whoever waited for the socket when the connection was closed learns that everything was taken."""

    async def handler(connection: Connection) -> None:
        connection.write(bytes(MUCH))
        flushing = asyncio.ensure_future(connection.flush())
        await asyncio.sleep(0)
        connection.close()
        site.told.put(await flushing)

    site = served(handler)
    client = site.connect(receive_buffer=4096)

    assert MUCH == len(read_all(client))
    assert site.next() is None


def test_a_silent_client_is_too_late(served: Serve) -> None:
    """A read gives up after `idle_s`; the handler may still say goodbye."""

    async def handler(connection: Connection) -> None:
        with pytest.raises(TimeoutError, match="idle"):
            await connection.read()
        assert connection.has_timed_out
        assert connection.is_open
        connection.write(b"too late")

    client = served(handler, idle_s=0.05).connect()

    assert read_all(client) == b"too late"


def test_an_idle_client_is_not_a_failure(served: Serve) -> None:
    """A handler that lets the timeout through ends quietly, and its client gets a regular end."""

    async def handler(connection: Connection) -> None:
        connection.write(await connection.read())
        connection.idle_s = 0.05
        await echo(connection)

    site = served(handler)
    client = site.connect()
    client.sendall(b"x")

    assert read_all(client) == b"x"
    assert site.failures == []


def test_a_client_that_takes_nothing_is_too_late(served: Serve) -> None:
    """A flush gives up after `idle_s` without a byte taken."""

    async def handler(connection: Connection) -> None:
        await connection.read(1)
        connection.idle_s = 0.05
        connection.write(bytes(MUCH))
        with pytest.raises(TimeoutError, match="idle"):
            await connection.flush()
        site.told.put(connection.has_timed_out)
        connection.abort()

    site = served(handler)
    site.connect(receive_buffer=4096).sendall(b"x")

    assert site.next() is True


def test_a_closed_connections_client_takes_nothing(served: Serve) -> None:
    """After `close_s` without a byte taken the connection is cut."""

    async def handler(connection: Connection) -> None:
        await connection.read(1)
        connection.write(bytes(MUCH))

    site = served(handler, close_s=0.05)
    client = site.connect(receive_buffer=4096)
    client.sendall(b"x")
    client.recv(1)
    site.wait_until(lambda: site.server.connection_count() == 0)

    with pytest.raises(ConnectionResetError):
        read_all(client)


def test_the_server_drains(served: Serve) -> None:
    """Nobody new comes in, who is there may end, and then it is closed."""
    site = served(echo)
    client = site.connect()
    client.sendall(b"x")
    assert read_exactly(client, 1) == b"x"
    address = site.server.addresses[0]
    closing = asyncio.run_coroutine_threadsafe(site.server.close(drain_s=20), site.loop)
    site.wait_until(lambda: not site.server.addresses)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    client.sendall(b"still served")
    assert read_exactly(client, 12) == b"still served"
    client.close()

    closing.result(20)
    with socket.socket() as late, pytest.raises(RuntimeError, match="closed"):
        site.server.listen(late)


def test_the_server_does_not_wait_for_ever(served: Serve) -> None:
    """Handlers that go on are cancelled; what they say then still arrives, and their client gets an end."""

    async def handler(connection: Connection) -> None:
        site.told.put("in")
        try:
            await connection.read()
        finally:
            connection.write(b"the server leaves")

    site = served(handler)
    client = site.connect()
    assert site.next() == "in"
    site.call(lambda: site.server.close(drain_s=0.05))

    assert read_all(client) == b"the server leaves"


@pytest.mark.slow
def test_clients_come_and_go_in_every_state(served: Serve) -> None:
    """Resets, ends and silence mixed; in the end nothing is left, not even the objects."""
    left: list[weakref.ref[object]] = []

    async def handler(connection: Connection) -> None:
        task = asyncio.current_task()
        left.append(weakref.ref(task))
        await echo(connection)

    site = served(handler)
    for number in range(60):
        client = site.connect()
        client.sendall(b"x" * number * 100)
        if number % 3:
            read_exactly(client, number % 7 * 10 if number else 0)
        if number % 4 == 0:
            reset(client)
        elif number % 4 == 1:
            client.shutdown(socket.SHUT_WR)
        elif number % 4 == 2:
            client.close()
    site.wait_until(lambda: site.server.connection_count() <= 30)
    site.close_clients()
    site.wait_until(lambda: site.server.connection_count() == 0)

    assert site.failures == []

    def is_nothing_left() -> bool:
        gc.collect()
        return not any(each() for each in left)

    site.wait_until(is_nothing_left)
    assert left


# Who is started in the background of a shell ignores SIGINT, and so do its children: the handler is put back.
WAITING = """
import asyncio, signal, sys
from functools import partial
from rocket_sup.tcp import new_loop

signal.signal(signal.SIGINT, signal.default_int_handler)

async def wait():
    print("waiting", flush=True)
    await asyncio.Event().wait()

with asyncio.Runner(loop_factory=partial(new_loop, sys.argv[1])) as runner:
    runner.run(wait())
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["epoll", "io_uring"])
def test_an_interrupt_ends_a_loop_that_waits(name: str) -> None:
    """Python's own handler of SIGINT is called although nothing happens on any descriptor."""
    require(name)
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "waiting\n", process.stderr.read()
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=20)
        finally:
            process.kill()

    assert "KeyboardInterrupt" in stderr
    assert -signal.SIGINT == process.returncode
