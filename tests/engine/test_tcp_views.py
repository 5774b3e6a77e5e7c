"""Views of received bytes: right as long as they are held, an error after, and never too many."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import hashlib
import pickle
import random
import socket
import threading
from collections.abc import Callable

import pytest

from rocket_sup.config import Config
from rocket_sup.engine.rawloop import RawLoop
from rocket_sup.tcp import Connection
from tests.engine.tcpsite import Site, read_all, read_exactly, serve

Serve = Callable[..., Site]


def views_out(site: Site) -> int:
    """How many buffers of the reactor handlers have views of; elsewhere there are none to lend."""
    return site.loop.streams.views_out() if isinstance(site.loop, RawLoop) else 0


def test_an_echo_by_views(served: Serve) -> None:
    """A view in a `with` block has the bytes, and is an empty one at the end."""

    async def echo(connection: Connection) -> None:
        while True:
            with await connection.read_view() as view:
                assert view.readonly
                if not view:
                    break
                connection.write(view)
            await connection.flush()

    site = served(echo)
    client = site.connect()
    dice = random.Random(3)
    for count in (1, 100, 5000, 60_000):
        data = dice.randbytes(count)
        client.sendall(data)
        assert data == read_exactly(client, count)
    client.shutdown(socket.SHUT_WR)

    assert client.recv(1) == b""
    site.wait_until(lambda: views_out(site) == 0)


def test_a_view_is_lent_where_it_can_be(served: Serve) -> None:
    """On the native loops a large view is of the reactor's own memory, and is given back by its release."""

    async def handler(connection: Connection) -> None:
        connection.write(b"ready")
        view = await connection.read_view()
        out = views_out(site)
        site.told.put((len(view), out))
        view.release()

    site = served(handler)
    client = site.connect()
    assert read_exactly(client, 5) == b"ready"
    client.sendall(bytes(5000))
    length, out = site.next()

    assert length <= 5000
    assert out == isinstance(site.loop, RawLoop)
    site.wait_until(lambda: views_out(site) == 0)


def test_a_returned_view_cannot_be_used(served: Serve) -> None:
    """After its release every use raises ValueError; a slice lives until its own release."""

    async def handler(connection: Connection) -> None:
        with await connection.read_view() as view:
            whole, part = bytes(view), view[2:5]
        for use in (lambda: view[0], lambda: bytes(view), lambda: len(view), lambda: connection.write(view)):
            with pytest.raises(ValueError, match="released"):
                use()
        view.release()
        # Bytes that are received meanwhile must not appear in the slice.
        connection.write(b"ready")
        more = 0
        while more < 5000:
            more += len(await connection.read())
        site.told.put((whole, bytes(part)))
        part.release()
        with pytest.raises(ValueError, match="released"):
            bytes(part)
        await connection.read()

    site = served(handler)
    client = site.connect()
    client.sendall(b"0123456789" * 200)
    assert read_exactly(client, 5) == b"ready"
    client.sendall(b"?" * 5000)
    whole, part = site.next()

    assert (whole[:10], part) == (b"0123456789", b"234")
    site.wait_until(lambda: views_out(site) == 0)


def test_a_view_whose_memory_is_in_use_is_not_returned(served: Serve) -> None:
    """Releasing a view that something else exports raises BufferError, and changes nothing."""

    async def handler(connection: Connection) -> None:
        view = await connection.read_view()
        text = bytes(view)
        user = pickle.PickleBuffer(view)
        with pytest.raises(BufferError):
            view.release()
        site.told.put(text == bytes(view) == bytes(user.raw()))
        user.release()
        view.release()

    site = served(handler)
    client = site.connect()
    client.sendall(bytes(range(256)) * 20)

    assert site.next()
    gc.collect()
    site.wait_until(lambda: views_out(site) == 0)


def test_too_many_views_are_copies(served: Serve) -> None:
    """When handlers hold all that are lent, the next ones get copies; nobody's bytes change, nobody waits."""
    go = asyncio.Event()
    count = 40

    async def handler(connection: Connection) -> None:
        connection.write(b"ready")
        view = await connection.read_view()
        text = bytes(view)
        site.told.put("held")
        await go.wait()
        with view:
            assert text == bytes(view)
            connection.write(b"right" if len(set(text)) == 1 else b"mixed")

    site = served(handler)
    clients = [site.connect() for _ in range(count)]
    for letter, client in enumerate(clients):
        assert read_exactly(client, 5) == b"ready"
        client.sendall(bytes([letter]) * 2000)
        assert site.next() == "held"
    out = views_out(site)
    site.loop.call_soon_threadsafe(go.set)

    assert [b"right"] * count == [read_all(client) for client in clients]
    assert out == (16 if isinstance(site.loop, RawLoop) else 0)
    site.wait_until(lambda: views_out(site) == 0)
    assert site.failures == []


@pytest.mark.slow
def test_a_ring_that_runs_out_slows_and_loses_nothing() -> None:
    """With four small buffers, one of which a handler may hold, many clients still get all of their bytes."""
    ring = dataclasses.replace(Config().engine_io_uring, entries=4, buffers=4, buffer_size=1024)
    config = dataclasses.replace(Config(), engine_io_uring=ring)
    out = []

    async def echo_by_views(connection: Connection) -> None:
        while True:
            with await connection.read_view() as view:
                if not view:
                    return
                await asyncio.sleep(0)
                out.append(views_out(site))
                connection.write(view)
            await connection.flush()

    with serve("io_uring", echo_by_views, config=config) as site:
        clients = [site.connect() for _ in range(20)]
        texts = [random.Random(number).randbytes(30_000) for number in range(20)]
        for client, text in zip(clients, texts, strict=True):
            client.sendall(text)
        for client, text in zip(clients, texts, strict=True):
            assert text == read_exactly(client, len(text))

    assert max(out) <= 1


def test_a_view_outlives_its_connection_and_its_server(served: Serve) -> None:
    """Held by somebody, it stays right when the handler, the connection and the loop are gone."""
    held = []

    async def handler(connection: Connection) -> None:
        connection.write(b"ready")
        held.append(await connection.read_view())

    site = served(handler)
    client = site.connect()
    assert read_exactly(client, 5) == b"ready"
    client.sendall(b"lasting" * 500)
    assert read_all(client) == b""
    site.close_clients()
    site.stop()
    site.wait_until_closed()
    site.loop = site.server = None  # type: ignore[assignment]
    gc.collect()

    text = bytes(held[0])
    assert text == (b"lasting" * 500)[: len(text)]
    held[0].release()


def test_a_view_can_go_to_another_thread(served: Serve) -> None:
    """Read there without the interpreter's lock, dropped there; meanwhile the loop receives more."""

    async def handler(connection: Connection) -> None:
        connection.write(b"ready")
        digest, count = hashlib.sha256(), 0

        def add(view: memoryview) -> None:
            with view:
                digest.update(view)
            site.told.put(threading.current_thread().name)

        while view := await connection.read_view():
            count += len(view)
            await asyncio.to_thread(add, view)
            del view
        site.told.put((count, digest.hexdigest()))

    site = served(handler)
    client = site.connect()
    assert read_exactly(client, 5) == b"ready"
    data = random.Random(4).randbytes(2_000_000)
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    threads = []
    while isinstance(told := site.next(), str):
        threads.append(told)

    assert (len(data), hashlib.sha256(data).hexdigest()) == told
    assert "site" not in threads
    site.wait_until(lambda: views_out(site) == 0)


def test_a_view_after_a_limited_read_has_the_rest(served: Serve) -> None:
    """Reads and views may be mixed; no byte comes twice or never."""

    async def handler(connection: Connection) -> None:
        text = bytearray(await connection.read(3))
        while view := await connection.read_view():
            with view:
                text += view
            text += await connection.read(2)
        site.told.put(bytes(text))

    site = served(handler)
    client = site.connect()
    data = random.Random(5).randbytes(100_000)
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)

    assert data == site.next()
