"""Exchanges that are lent: how they are answered, and how they end."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Callable

import pytest

from rocket_sup.conduit import Conduit
from rocket_sup.request import Request
from tests.conformance.server import Server, get
from tests.engine.borrower import Borrower, lend


def test_an_answer_in_the_first_step(serve: Callable[..., Server]) -> None:
    """Nothing has to be waited for, and what follows is served."""

    async def handler(request: Request, conduit: Conduit) -> None:
        assert not conduit.is_begun
        Borrower(conduit).answer(request.path.encode())
        assert conduit.is_begun

    server = serve(lend(handler))
    client = server.connect()
    client.send(get("/a") + get("/b"))

    answers = [client.read(), client.read()]
    assert [answer.body for answer in answers] == [b"/a", b"/b"]
    server.wait_until(lambda: server.wire.statistics.requests == 2)
    assert server.wire.statistics.in_flight == 0


def test_an_answer_in_a_later_step(serve: Callable[..., Server]) -> None:
    """With pipelined requests behind it."""

    async def handler(request: Request, conduit: Conduit) -> None:
        borrower = Borrower(conduit)
        await asyncio.sleep(0)
        conduit.begin()
        conduit.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await asyncio.sleep(0.001)
        conduit.write(request.path[1:].encode())
        conduit.finish(200, 2)
        await asyncio.sleep(0)
        assert borrower.news == []

    client = serve(lend(handler)).connect()
    client.send(get("/aa") + get("/bb"))

    assert [client.read().body, client.read().body] == [b"aa", b"bb"]


def test_what_is_returned_without_an_answer_is_the_answer(serve: Callable[..., Server]) -> None:
    """At once or later; so is what is raised."""

    async def handler(request: Request, conduit: Conduit) -> object:
        if request.path != "/now":
            await asyncio.sleep(0)
        if request.path == "/fails":
            raise LookupError("on purpose")
        return {"path": request.path}

    client = serve(lend(handler)).connect()

    assert client.send(get("/now")).read().body == b'{"path":"/now"}'
    assert client.send(get("/later")).read().body == b'{"path":"/later"}'
    assert client.send(get("/fails")).read().status == 500
    assert client.send(get("/now")).read().status == 200


def test_room_is_told_when_all_is_sent(serve: Callable[..., Server]) -> None:
    """To a borrower who was asked to wait; meanwhile little is held."""

    async def handler(request: Request, conduit: Conduit) -> None:
        borrower = Borrower(conduit)
        count, piece = 400, b"x" * 65_537
        conduit.begin()
        conduit.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (count * len(piece)))
        for _ in range(count):
            if not conduit.write(piece):
                assert conduit.unsent > 0
                borrower.news.clear()
                await borrower.hear("room")
                assert conduit.unsent == 0
        conduit.finish(200, count * len(piece))

    server = serve(lend(handler))
    client = server.connect()
    client.send(get())
    server.wait_until(lambda: server.wire.held_bytes()[1] > 0)
    assert server.wire.held_bytes()[1] < 200_000
    assert len(client.read().body) == 400 * 65_537
    assert client.send(get()).read().status == 200


def test_a_client_who_does_not_read_is_cut(serve: Callable[..., Server]) -> None:
    """And the borrower told why."""
    borrowers: list[Borrower] = []

    async def handler(request: Request, conduit: Conduit) -> None:
        borrowers.append(borrower := Borrower(conduit))
        conduit.begin()
        while "gone" not in borrower.news:
            if not conduit.write(b"x" * 60_000):
                borrower.news.clear()
                await borrower.until(lambda: bool(borrower.news))

    server = serve(lend(handler), timeouts={"write": 0.3})
    server.connect().send(get())
    server.wait_until(lambda: borrowers and "gone" in borrowers[0].news)

    assert "not read" in str(borrowers[0].error)


def test_a_file(serve: Callable[..., Server]) -> None:
    """Behind what was written, as far as it was asked for."""
    content = os.urandom(3_000_000)
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()

        async def handler(request: Request, conduit: Conduit) -> None:
            borrower = Borrower(conduit)
            conduit.begin()
            conduit.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2900001\r\n\r\n")
            if not conduit.send_file(file.fileno(), 100_000, 2_900_000):
                await borrower.hear("room")
            conduit.write(b"!")
            conduit.finish(200, 2_900_001)

        server = serve(lend(handler))
        client = server.connect()
        for _ in range(2):
            is_same = client.send(get()).read().body == content[100_000:] + b"!"
            assert is_same


def test_a_file_that_is_shorter_cuts(serve: Callable[..., Server]) -> None:
    """The answer cannot look whole."""
    borrowers: list[Borrower] = []
    with tempfile.TemporaryFile() as file:
        file.write(b"short")
        file.flush()

        async def handler(request: Request, conduit: Conduit) -> None:
            borrowers.append(borrower := Borrower(conduit))
            conduit.begin()
            conduit.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            conduit.send_file(file.fileno(), 0, 10)
            await borrower.hear("gone")

        server = serve(lend(handler))
        client = server.connect()
        client.send(get())
        server.wait_until(lambda: borrowers and "gone" in borrowers[0].news)
        server.wait_until(lambda: server.wire.connection_count() == 0)


def test_a_client_who_leaves(serve: Callable[..., Server]) -> None:
    """Is told of, and the handler is cancelled."""
    borrowers: list[Borrower] = []
    fates: list[str] = []

    async def handler(request: Request, conduit: Conduit) -> None:
        borrowers.append(Borrower(conduit))
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            fates.append("cancelled")
            raise

    server = serve(lend(handler))
    client = server.connect()
    client.send(get())
    server.wait_until(lambda: borrowers)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    server.wait_until(lambda: fates == ["cancelled"])

    assert borrowers[0].news == ["gone"]
    server.wait_until(lambda: server.wire.statistics.in_flight == 0)


def test_a_handler_that_outlives_its_client(serve: Callable[..., Server]) -> None:
    """Is told, runs on, and its failure is logged."""
    borrowers: list[Borrower] = []

    async def handler(request: Request, conduit: Conduit) -> None:
        borrowers.append(borrower := Borrower(conduit))
        await borrower.hear("gone")
        await asyncio.sleep(0)
        conduit.begin()
        assert conduit.write(b"for nobody")
        conduit.finish(200, 0)
        raise LookupError("after all")

    server = serve(lend(handler, outlives_client=True))
    client = server.connect()
    client.send(get())
    server.wait_until(lambda: borrowers)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    server.wait_until(lambda: any(event["event"] == "handler_failed" for event in server.events()))

    assert borrowers[0].news == ["gone"]


@pytest.mark.parametrize("how", ["returns", "raises", "aborts"])
@pytest.mark.parametrize("suspends", [False, True])
def test_an_answer_that_is_not_finished_is_cut(
    serve: Callable[..., Server], how: str, suspends: bool
) -> None:
    """What was sent cannot look whole."""
    borrowers: list[Borrower] = []

    async def handler(request: Request, conduit: Conduit) -> None:
        borrowers.append(borrower := Borrower(conduit))
        conduit.begin()
        conduit.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        if suspends:
            await asyncio.sleep(0.01)
        if how == "raises":
            raise LookupError("on purpose")
        if how == "aborts":
            conduit.abort(OSError("on purpose"))
            if suspends:
                await borrower.hear("gone")

    server = serve(lend(handler))
    client = server.connect()
    client.send(get())
    try:
        rest = client.read_rest()
    except ConnectionResetError:
        rest = b""
    assert b"0\r\n\r\n" not in rest
    server.wait_until(lambda: borrowers and borrowers[0].news == ["gone"])
    if how == "aborts":
        assert str(borrowers[0].error) == "on purpose"
    server.wait_until(lambda: server.wire.connection_count() == 0)
    assert server.wire.statistics.in_flight == 0


def test_an_upgrade(serve: Callable[..., Server]) -> None:
    """Bytes both ways, also those that came with the head; no deadline runs."""

    async def handler(request: Request, conduit: Conduit) -> None:
        borrower = Borrower(conduit)
        conduit.begin()
        conduit.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        conduit.upgrade()
        assert not conduit.keep_alive
        conduit.resume_reading()
        while "left" not in borrower.news:
            await borrower.until(lambda: bool(borrower.content) or "left" in borrower.news)
            conduit.write(borrower.content)
            borrower.content = b""
        conduit.finish(101, 0, keep_alive=False)

    server = serve(lend(handler), timeouts={"handler": 0.2, "idle": 0.2, "body": 0.2})
    client = server.connect()
    client.send(get() + b"with")
    received = b""
    while not received.endswith(b"with"):
        received += client.socket.recv(1000)
    client.expect_silence(0.8)
    client.send(b"more")
    assert client._take(4) == b"more"
    client.end()
    client.expect_end()


def test_a_handler_may_run_on_after_its_answer(serve: Callable[..., Server]) -> None:
    """While the connection serves the next request; a failure is logged."""
    gates: list[Callable[[], None]] = []

    async def handler(request: Request, conduit: Conduit) -> None:
        Borrower(conduit).answer(request.path.encode())
        gate = asyncio.Event()
        gates.append(gate.set)
        await gate.wait()
        raise LookupError(request.path)

    server = serve(lend(handler))
    client = server.connect()
    assert client.send(get("/a")).read().body == b"/a"
    assert client.send(get("/b")).read().body == b"/b"
    assert server.wire.statistics.in_flight == 2
    server.call(lambda: [gate() for gate in gates])
    server.wait_until(lambda: len([e for e in server.events() if e["event"] == "handler_failed"]) == 2)
    assert client.send(get("/c")).read().body == b"/c"


def test_a_draining_wire(serve: Callable[..., Server]) -> None:
    """Keeps no connection, and asks sessions to end."""

    class Talk:
        def on_drain(self) -> None:
            drained.append("told")

    drained: list[str] = []
    gates: list[Callable[[], None]] = []

    async def handler(request: Request, conduit: Conduit) -> None:
        borrower = Borrower(conduit)
        assert conduit.keep_alive
        conduit.sessions.enter(Talk())
        gate = asyncio.Event()
        gates.append(gate.set)
        await gate.wait()
        assert not conduit.keep_alive
        borrower.answer(b"last")

    server = serve(lend(handler))
    client = server.connect()
    client.send(get())
    server.wait_until(lambda: gates)
    server.call(server.wire.drain)
    assert drained == ["told"]
    server.call(gates[0])

    assert client.read().get("connection") == "close"
    client.expect_end()


def test_the_wire_lends_its_threads_and_its_clock(serve: Callable[..., Server]) -> None:
    """For what blocks, and for the head of an answer."""

    async def handler(request: Request, conduit: Conduit) -> object:
        loop = asyncio.get_running_loop()
        return [
            await loop.run_in_executor(conduit.executor, lambda: "in a thread"),
            conduit.date_line.decode(),
        ]

    answer = serve(lend(handler)).connect().send(get()).read()

    assert answer.body.startswith(b'["in a thread","Date: ')
