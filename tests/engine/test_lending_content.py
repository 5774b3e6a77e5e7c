"""Content of exchanges that are lent: wanted, refused, cut short and too slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from rocket_sup.conduit import Conduit
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.request import Request
from tests.conformance.server import Server, get
from tests.engine.borrower import Borrower, chunked, echo, lend, post


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
