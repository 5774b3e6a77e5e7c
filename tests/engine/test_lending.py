"""Exchanges that are lent, as the engine and its borrower see them: every call, every piece of news."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Callable
from typing import Any

import pytest

from rocket_sup.conduit import Conduit
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.request import Request
from rocket_sup.router import Route, Router
from tests.conformance.server import Server, get


class Borrower:
    """Remembers what it is told, and lets somebody wait for it."""

    def __init__(self, conduit: Conduit) -> None:
        self.conduit = conduit
        self.content = b""
        self.pieces = 0
        self.news: list[str] = []
        self.trailers = b""
        self.error: Exception | None = None
        self._bell = asyncio.Event()
        conduit.attach(self)

    def _hear(self, what: str) -> None:
        self.news.append(what)
        self._bell.set()

    def on_content(self, data: bytes) -> None:
        self.content += data
        self.pieces += 1
        self._bell.set()

    def on_content_end(self, trailers: bytes) -> None:
        self.trailers = trailers
        self._hear("end")

    def on_content_error(self, error: RemoteProtocolError) -> None:
        self.error = error
        self._hear("error")

    def on_room(self) -> None:
        self._hear("room")

    def on_left(self) -> None:
        self._hear("left")

    def on_gone(self, error: Exception | None) -> None:
        self.error = error
        self._hear("gone")

    async def hear(self, what: str) -> None:
        """Wait until this was told."""
        await self.until(lambda: what in self.news)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that was told makes a condition true."""
        while not condition():
            self._bell.clear()
            await self._bell.wait()

    def answer(self, content: bytes, *, status: int = 200) -> None:
        """Write a whole answer."""
        conduit = self.conduit
        keep_alive = conduit.keep_alive
        conduit.begin()
        conduit.write(b"HTTP/1.1 %d Fine\r\nContent-Length: %d\r\n" % (status, len(content)))
        conduit.write(b"\r\n" if keep_alive else b"Connection: close\r\n\r\n")
        conduit.write(content)
        conduit.finish(status, len(content), keep_alive=keep_alive)


def lend(
    handler: Callable[..., Any], *, outlives_client: bool = False, max_body: int | None = None
) -> Router:
    """Make a router whose every request is lent to a handler."""
    router = Router()
    router.sole_route = Route(
        "*", "", handler, takes_conduit=True, outlives_client=outlives_client, max_body=max_body
    )
    return router


def post(content: bytes, *fields: str, length: int | None = None) -> bytes:
    """Write a POST."""
    lines = [
        "POST / HTTP/1.1",
        "Host: a",
        f"Content-Length: {len(content) if length is None else length}",
        *fields,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + content


def chunked(content: bytes) -> bytes:
    """Write a POST whose content is in chunks."""
    return b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + content


async def echo(request: Request, conduit: Conduit) -> None:
    """Answer with the content, when all of it has come."""
    borrower = Borrower(conduit)
    conduit.resume_reading()
    await borrower.until(lambda: bool(borrower.news))
    borrower.answer(borrower.content)


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


@pytest.mark.parametrize(
    ("sent", "content"),
    [
        (post(b"hello"), b"hello"),
        (post(b""), b""),
        (chunked(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), b"abcde"),
        (chunked(b"0\r\n\r\n"), b""),
    ],
)
def test_content_however_it_is_cut(serve: Callable[..., Server], sent: bytes, content: bytes) -> None:
    """Whole, and in two pieces cut anywhere; the next request is found behind it."""
    server = serve(lend(echo))
    client = server.connect()
    for cut in (0, *range(len(sent) - 12, len(sent))):
        if cut:
            client.send(sent[:cut])
            client.expect_silence(0.002)
        client.send(sent[cut:] + post(b"next"))

        assert client.read().body == content
        assert client.read().body == b"next"


def test_trailers_are_told(serve: Callable[..., Server]) -> None:
    """As they were sent."""

    async def handler(request: Request, conduit: Conduit) -> object:
        borrower = Borrower(conduit)
        conduit.resume_reading()
        await borrower.hear("end")
        return borrower.content + borrower.trailers

    client = serve(lend(handler)).connect()
    client.send(chunked(b"1\r\nx\r\n0\r\nA: 1\r\nb:2\r\n\r\n"))

    assert client.read().body == b"x\r\nA: 1\r\nb:2"


def test_nothing_is_delivered_before_it_is_wanted(serve: Callable[..., Server]) -> None:
    """Nor after it is not wanted any more."""
    borrowers: list[Borrower] = []

    async def handler(request: Request, conduit: Conduit) -> None:
        borrower = Borrower(conduit)
        borrowers.append(borrower)
        assert (borrower.content, borrower.news) == (b"", [])
        conduit.resume_reading()
        await borrower.until(lambda: bool(borrower.content))
        conduit.pause_reading()
        before = len(borrower.content)
        await asyncio.sleep(0.05)
        assert len(borrower.content) == before
        assert borrower.news == []
        conduit.resume_reading()
        await borrower.hear("end")
        borrower.answer(b"%d" % len(borrower.content))

    client = serve(lend(handler)).connect()
    client.socket.setblocking(False)
    client.socket.send(post(b"a", length=1_000_001))
    client.socket.setblocking(True)
    client.send(b"b" * 1_000_000)

    assert client.read().body == b"1000001"


def test_100_continue_comes_with_the_first_wish(serve: Callable[..., Server]) -> None:
    """And not before."""
    release: list[Callable[[], None]] = []

    async def handler(request: Request, conduit: Conduit) -> None:
        borrower = Borrower(conduit)
        wanted = asyncio.Event()
        release.append(wanted.set)
        await wanted.wait()
        conduit.resume_reading()
        await borrower.hear("end")
        borrower.answer(borrower.content)

    server = serve(lend(handler))
    client = server.connect()
    client.send(post(b"", "Expect: 100-continue", length=3))
    server.wait_until(lambda: release)
    client.expect_silence(0.02)
    server.call(release[0])

    assert client.read_informational().status == 100
    assert client.send(b"abc").read().body == b"abc"


def test_an_early_answer_to_who_waits_for_100_closes(serve: Callable[..., Server]) -> None:
    """Nobody knows whether the content comes."""

    async def handler(request: Request, conduit: Conduit) -> object:
        return "early"

    client = serve(lend(handler)).connect()
    client.send(post(b"", "Expect: 100-continue", length=3))

    answer = client.read()
    assert (answer.body, answer.get("connection")) == (b"early", "close")
    client.expect_end()


@pytest.mark.parametrize("suspends", [False, True])
def test_little_content_that_nobody_reads_is_forgotten(serve: Callable[..., Server], suspends: bool) -> None:
    """Also what comes after the answer."""

    async def handler(request: Request, conduit: Conduit) -> object:
        if suspends:
            await asyncio.sleep(0)
        if request.method == "GET":
            return "next"
        return "early"

    client = serve(lend(handler)).connect()
    client.send(post(b"abc", length=60_000))
    assert client.read().body == b"early"
    client.send(b"x" * 59_997 + get())

    assert client.read().body == b"next"


def test_much_content_that_nobody_reads_closes(serve: Callable[..., Server]) -> None:
    """After the answer, which says so."""

    async def handler(request: Request, conduit: Conduit) -> object:
        await asyncio.sleep(0)
        return "early"

    client = serve(lend(handler)).connect()
    client.send(post(b"abc", length=70_000))

    assert client.read().get("connection") == "close"
    client.expect_end()


def test_too_much_content(serve: Callable[..., Server]) -> None:
    """Declared: refused before anybody is called; in chunks: told."""
    called: list[str] = []

    async def handler(request: Request, conduit: Conduit) -> None:
        called.append(request.method)
        borrower = Borrower(conduit)
        conduit.resume_reading()
        await borrower.hear("error")
        assert isinstance(borrower.error, RemoteProtocolError)
        raise borrower.error

    server = serve(lend(handler, max_body=4))
    client = server.connect()
    assert client.send(post(b"abcde")).read().status == 413
    assert called == []
    client = server.connect()
    answer = client.send(chunked(b"5\r\nabcde\r\n0\r\n\r\n")).read()

    assert (answer.status, answer.get("connection")) == (413, "close")
    client.expect_end()


def test_content_that_is_cut_short(serve: Callable[..., Server]) -> None:
    """Is told as an error, and can be answered."""

    async def handler(request: Request, conduit: Conduit) -> None:
        borrower = Borrower(conduit)
        conduit.resume_reading()
        await borrower.hear("error")
        assert isinstance(borrower.error, RemoteProtocolError)
        raise borrower.error

    client = serve(lend(handler)).connect()
    client.send(post(b"abc", length=5)).end()

    assert client.read().status == 400
    client.expect_end()


def test_content_that_is_too_slow(serve: Callable[..., Server]) -> None:
    """Is told as an error."""

    async def handler(request: Request, conduit: Conduit) -> None:
        borrower = Borrower(conduit)
        conduit.resume_reading()
        await borrower.hear("error")
        assert isinstance(borrower.error, RemoteProtocolError)
        raise borrower.error

    client = serve(lend(handler), timeouts={"body": 0.2}).connect()
    client.send(post(b"abc", length=5))

    assert client.read().status == 408
    client.expect_end()


def test_a_borrower_who_does_not_begin_is_too_slow(serve: Callable[..., Server]) -> None:
    """The deadline of handlers is his; who has begun has time."""
    fates: list[str] = []

    async def handler(request: Request, conduit: Conduit) -> None:
        borrower = Borrower(conduit)
        if request.path == "/begins":
            conduit.begin()
            conduit.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            await asyncio.sleep(0.8)
            conduit.write(b"ok")
            conduit.finish(200, 2)
            return
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            fates.extend(["cancelled", *borrower.news])
            raise

    server = serve(lend(handler), timeouts={"handler": 0.2})
    assert server.connect().send(get()).read().status == 503
    server.wait_until(lambda: fates == ["cancelled", "gone"])

    assert server.connect().send(get("/begins")).read().body == b"ok"


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
