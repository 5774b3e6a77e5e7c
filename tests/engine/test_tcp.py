"""Connections below HTTP on every loop that can serve them: reading, writing, many at a time, and misuse."""

from __future__ import annotations

import asyncio
import contextvars
import random
import selectors
import socket
from collections.abc import Callable

import pytest

from rocket_sup.tcp import Connection
from tests.engine.tcpsite import Site, echo, read_all, read_exactly, serve

Serve = Callable[..., Site]


def pump(client: socket.socket, data: bytes) -> bytes:
    """Send and receive at the same time, as echoes of this size need it; give what came back."""
    received = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ | selectors.EVENT_WRITE)
        client.setblocking(False)
        sent = 0
        while len(received) < len(data):
            events = selector.select(20)
            assert events, f"nothing moves after {sent} sent and {len(received)} received"
            for _, mask in events:
                if mask & selectors.EVENT_WRITE:
                    sent += client.send(memoryview(data)[sent : sent + 65536])
                    if sent == len(data):
                        selector.modify(client, selectors.EVENT_READ)
                if mask & selectors.EVENT_READ:
                    received += client.recv(65536)
    client.settimeout(20)
    return bytes(received)


def test_an_echo_to_the_end(served: Serve) -> None:
    """What comes goes back; after the client's end the handler's return is the server's."""
    client = served(echo).connect()
    for text in (b"hello", b"x", b"hello again" * 100):
        client.sendall(text)
        assert text == read_exactly(client, len(text))
    client.shutdown(socket.SHUT_WR)

    assert client.recv(1) == b""


def test_bytes_in_any_cut_arrive_in_order(served: Serve) -> None:
    """However the client's writes are cut, reads give the same bytes, at least one each."""
    dice = random.Random(1)
    text = dice.randbytes(20_000)

    async def collect(connection: Connection) -> None:
        reads = []
        while data := await connection.read():
            reads.append(data)
        site.told.put(reads)

    site = served(collect)
    client = site.connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    left = text
    while left:
        count = dice.choice([1, 2, 7, 100, 3000])
        client.sendall(left[:count])
        left = left[count:]
    client.shutdown(socket.SHUT_WR)
    reads = site.next()

    assert all(type(read) is bytes for read in reads)
    assert text == b"".join(reads)


def test_a_read_may_be_limited(served: Serve) -> None:
    """A limit cuts; what is beyond it comes with the next read."""

    async def handler(connection: Connection) -> None:
        assert await connection.read(1) == b"0"
        first = await connection.read(3)
        reads = [first]
        while data := await connection.read(3):
            reads.append(data)
        site.told.put(reads)

    site = served(handler)
    client = site.connect()
    client.sendall(b"0123456789")
    client.shutdown(socket.SHUT_WR)
    reads = site.next()

    assert b"123456789" == b"".join(reads)
    assert all(1 <= len(read) <= 3 for read in reads)


@pytest.mark.slow
def test_ten_megabytes_there_and_back(served: Serve) -> None:
    """Much more than any buffer holds, in both directions at once."""
    data = random.Random(2).randbytes(10 << 20)
    client = served(echo).connect()

    assert data == pump(client, data)
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""


def test_writes_of_one_step_leave_together(served: Serve) -> None:
    """What is staged is sent when the handler waits, without a flush, and in order."""

    async def handler(connection: Connection) -> None:
        for number in range(100):
            connection.write(b"%d," % number)
        connection.write(bytearray(b"array,"))
        connection.write(memoryview(b"-view-")[1:5])
        connection.write(b"")
        await connection.read()

    client = served(handler).connect()
    expected = b"".join(b"%d," % number for number in range(100)) + b"array,view"

    assert expected == read_exactly(client, len(expected))


@pytest.mark.slow
def test_a_client_that_does_not_read_stops_its_handler(served: Serve) -> None:
    """A flush waits until the socket took everything; nothing is lost when the client reads at last."""
    piece, count = bytes(range(256)) * 256, 1000
    flushed = 0

    async def handler(connection: Connection) -> None:
        nonlocal flushed
        for _ in range(count):
            connection.write(piece)
            await connection.flush()
            flushed += 1

    site = served(handler)
    client = site.connect(receive_buffer=4096)
    other = site.connect()
    read_exactly(other, len(piece) * count)  # the loop had time enough for the first one, too

    assert flushed < 2 * count
    assert piece * count == read_all(client)


@pytest.mark.slow
def test_a_handler_that_does_not_read_stops_its_client(served: Serve) -> None:
    """With too much unread nothing more is received; nothing is lost when the handler reads at last."""
    total = 64 << 20
    go = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await go.wait()
        received = 0
        while data := await connection.read():
            received += len(data)
        site.told.put(received)

    site = served(handler, unread=65536)
    client = site.connect()
    client.setblocking(False)
    sent, chunk = 0, bytes(1 << 16)
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_WRITE)
        while sent < total and selector.select(0.3):
            sent += client.send(chunk)

    assert sent < total
    site.loop.call_soon_threadsafe(go.set)
    client.settimeout(20)
    client.sendall(bytes(100))
    client.shutdown(socket.SHUT_WR)
    assert sent + 100 == site.next()


def test_too_much_staged_is_an_error(served: Serve) -> None:
    """A handler that never flushes is told before it takes all memory; one write may be of any size."""

    async def handler(connection: Connection) -> None:
        connection.write(bytes(5000))
        with pytest.raises(BufferError, match="flush first"):
            connection.write(b"x")
        await connection.flush()
        connection.write(b"x")

    client = served(handler, unsent=4096).connect()

    assert 5001 == len(read_all(client))


@pytest.mark.slow
def test_five_hundred_at_a_time(served: Serve) -> None:
    """Many connections do not mix, and each ends by itself."""
    site = served(echo)
    clients = [site.connect() for _ in range(500)]
    for round_ in range(3):
        for number, client in enumerate(clients):
            client.sendall(b"%d of round %d" % (number, round_))
        for number, client in enumerate(clients):
            expected = b"%d of round %d" % (number, round_)
            assert expected == read_exactly(client, len(expected))
    assert 500 == site.server.connection_count()
    for client in clients:
        client.close()

    site.wait_until(lambda: site.server.connection_count() == 0)
    assert site.failures == []


def test_one_too_many_waits_for_a_place(served: Serve) -> None:
    """At the limit newcomers wait in the kernel's queue; one that leaves makes room."""
    site = served(echo, connections=2)
    first, second, third = site.connect(), site.connect(), site.connect()
    for client in (first, second):
        client.sendall(b"in")
        assert read_exactly(client, 2) == b"in"
    third.sendall(b"at last")
    assert 2 == site.server.connection_count()
    first.close()

    assert read_exactly(third, 7) == b"at last"
    second.sendall(b"still")
    assert read_exactly(second, 5) == b"still"


def test_a_handed_in_socket_is_served(served: Serve) -> None:
    """Any stream socket will do; a client without an address is an empty one."""

    async def handler(connection: Connection) -> None:
        site.told.put((connection.client, connection.is_open, connection.idle_s))
        await echo(connection)

    site = served(handler, idle_s=30)
    ours, theirs = socket.socketpair()

    async def hand_in() -> None:
        site.server.open(theirs)

    with ours:
        site.call(hand_in)
        ours.sendall(b"hello")
        assert ("", True, 30.0) == site.next()
        assert read_exactly(ours, 5) == b"hello"

    client = site.connect()
    assert client.getsockname() == site.next()[0]


def test_one_reader_at_a_time(served: Serve) -> None:
    """A second read beside one that waits is an error, and the first still gets its bytes."""

    async def handler(connection: Connection) -> None:
        first = asyncio.ensure_future(connection.read())
        await asyncio.sleep(0)
        for second in (connection.read(), connection.read_view()):
            with pytest.raises(RuntimeError, match="one at a time"):
                await second
        connection.write(b"ready")
        site.told.put(await first)

    site = served(handler)
    client = site.connect()
    assert read_exactly(client, 5) == b"ready"
    client.sendall(b"for the first")

    assert site.next() == b"for the first"


def test_reading_and_writing_go_side_by_side(served: Serve) -> None:
    """A task may read while others write and flush."""

    async def handler(connection: Connection) -> None:
        async def write(letter: bytes) -> None:
            for _ in range(50):
                connection.write(letter)
                await connection.flush()
                await asyncio.sleep(0)

        async def read() -> bytes:
            return await connection.read()

        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read())
            for letter in (b"a", b"b", b"c"):
                group.create_task(write(letter))
        site.told.put(reading.result())

    site = served(handler)
    client = site.connect()
    client.sendall(b"go")
    received = read_all(client)

    assert site.next() == b"go"
    assert sorted(received) == sorted(b"abc" * 50)


def test_a_cancelled_read_loses_nothing(served: Serve) -> None:
    """A read that was given up, by a timeout or a cancellation, leaves the bytes to the next."""

    async def handler(connection: Connection) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await connection.read()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.read(), 0.01)
        reading = asyncio.ensure_future(connection.read())
        await asyncio.sleep(0)
        reading.cancel("not now")
        with pytest.raises(asyncio.CancelledError, match="not now"):
            await reading
        assert not connection.has_timed_out
        connection.write(b"ready")
        site.told.put(await asyncio.wait_for(connection.read(), 20))

    site = served(handler)
    client = site.connect()
    assert read_exactly(client, 5) == b"ready"
    client.sendall(b"all of it")

    assert site.next() == b"all of it"


def test_a_cancelled_flush_sends_on(served: Serve) -> None:
    """Giving up the wait does not take back what is staged."""

    async def handler(connection: Connection) -> None:
        connection.write(bytes(16 << 20))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await connection.flush()
        site.told.put("gave up")
        await connection.flush()
        connection.write(b"x")

    site = served(handler)
    client = site.connect(receive_buffer=4096)
    assert site.next() == "gave up"

    assert (16 << 20) + 1 == len(read_all(client))


def test_a_handler_is_one_task_in_one_context(served: Serve) -> None:
    """It is the current task before and after each wait, its variables are its own, and timeouts work."""
    variable = contextvars.ContextVar("variable", default=0)

    async def handler(connection: Connection) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert variable.get() == 0
        variable.set(number := int(await connection.read(1)))
        while data := await connection.read():
            assert task is asyncio.current_task()
            assert loop is asyncio.get_running_loop()
            assert number == variable.get()
            async with asyncio.timeout(20):
                await asyncio.sleep(0)
                connection.write(data)
                await connection.flush()

    site = served(handler)
    clients = [site.connect() for _ in range(3)]
    for number, client in enumerate(clients, 1):
        client.sendall(b"%d" % number)
    for _ in range(3):
        for client in clients:
            client.sendall(b"x")
            assert read_exactly(client, 1) == b"x"

    assert site.failures == []


def test_misuse_is_an_error(served: Serve) -> None:
    """What makes no sense is refused, and the connection can be used on."""

    async def handler(connection: Connection) -> None:
        for limit in (0, -1):
            with pytest.raises(ValueError, match="at least 1"):
                await connection.read(limit)
        for data in ("text", 5, None, [1]):
            with pytest.raises(TypeError):
                connection.write(data)  # type: ignore[arg-type]
        for seconds in (-1, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="idle_s"):
                connection.idle_s = seconds
        connection.idle_s = 7.5
        assert connection.idle_s == 7.5
        connection.write_eof()
        connection.write_eof()
        with pytest.raises(RuntimeError, match="write after write_eof"):
            connection.write(b"x")
        await connection.flush()
        site.told.put(await connection.read())

    site = served(handler)
    client = site.connect()
    assert read_all(client) == b""
    client.sendall(b"still read")

    assert site.next() == b"still read"


def test_a_handler_that_fails_is_reported_and_cut(served: Serve) -> None:
    """Its client can tell the failure from an end; the report names the handler, the error and the client."""

    async def handler(connection: Connection) -> None:
        await connection.read()
        connection.write(b"half of an ans")
        raise ConnectionRefusedError("the database is down")

    site = served(handler)
    client = site.connect()
    client.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        read_all(client)

    (failure,) = site.failures
    assert "handler" in failure["message"]
    assert client.getsockname() == failure["client"]
    assert str(failure["exception"]) == "the database is down"


@pytest.mark.parametrize("name", ["epoll", "io_uring"])
def test_no_turn_of_the_loop_while_bytes_come(name: str) -> None:
    """On the native loops a waiting handler goes on at once, however many exchanges there are."""
    with serve(name, echo) as site:
        client = site.connect()
        client.sendall(b"x")
        assert read_exactly(client, 1) == b"x"
        turns = 0
        turn = site.loop._run_once

        def count(turn: Callable[[], None] = turn) -> None:
            nonlocal turns
            turns += 1
            turn()

        site.loop._run_once = count
        for _ in range(100):
            client.sendall(b"x")
            assert read_exactly(client, 1) == b"x"

        assert turns <= 1
