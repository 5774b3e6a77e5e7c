"""Framing of answers in pieces, on a conduit that is not there; tests/conformance has the real ones."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Iterator

import pytest

from rocket_sup.errors import LocalProtocolError, TransportError
from rocket_sup.flow import Flow
from rocket_sup.response import Answer, Response, answer_from
from rocket_sup.sources import FileSource, FileSpan
from rocket_sup.streaming import GATHERED, Noticing, send_answer, stream_answer
from tests.unit.fakeconduit import FakeConduit, make_request, run, turns

HEAD = b"HTTP/1.1 200 OK\r\nDate: today\r\nContent-Type: application/octet-stream\r\n"


def sent(response: object, line: str = "GET / HTTP/1.1", *, keep_alive: bool = True) -> FakeConduit:
    """Send an answer."""
    conduit = FakeConduit()
    conduit.keep_alive = keep_alive

    async def check() -> None:
        await stream_answer(make_request(line), answer_from(response), conduit)

    run(check())
    conduit.close()
    return conduit


@pytest.mark.parametrize(
    ("response", "line", "wire", "finished"),
    [
        (
            Response.stream([b"ab", "c"]),
            "GET / HTTP/1.1",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            (200, 3, True),
        ),
        (
            Response.stream([b"ab", "c"], length=3),
            "GET / HTTP/1.1",
            HEAD + b"Content-Length: 3\r\n\r\nabc",
            (200, 3, True),
        ),
        (
            Response.stream([b"abc"], length=3),
            "GET / HTTP/1.0",
            HEAD + b"Content-Length: 3\r\nConnection: keep-alive\r\n\r\nabc",
            (200, 3, True),
        ),
        (
            Response.stream([b"abc"]),
            "GET / HTTP/1.0",
            HEAD + b"Connection: close\r\n\r\nabc",
            (200, 3, False),
        ),
        (Response.stream([b"abc"]), "HEAD / HTTP/1.1", HEAD + b"\r\n", (200, 0, True)),
        (
            Response.stream([b"abc"], length=3),
            "HEAD / HTTP/1.1",
            HEAD + b"Content-Length: 3\r\n\r\n",
            (200, 0, True),
        ),
        (
            Response.stream([b"abc"], 204, length=3),
            "GET / HTTP/1.1",
            b"HTTP/1.1 204 No Content\r\nDate: today\r\n\r\n",
            (204, 0, True),
        ),
        (
            Response.stream([], 200, [("Date", "then"), ("Connection", "close")], trailers={"X": "1"}),
            "GET / HTTP/1.1",
            b"HTTP/1.1 200 OK\r\nDate: then\r\nContent-Type: application/octet-stream\r\n"
            b"Transfer-Encoding: chunked\r\nTrailer: X\r\nConnection: close\r\n\r\n0\r\nX: 1\r\n\r\n",
            (200, 0, False),
        ),
    ],
)
def test_framing(response: Response, line: str, wire: bytes, finished: tuple[int, int, bool]) -> None:
    """By version, method, status and what is known of the length; one write, while nobody waits."""
    conduit = sent(response, line)

    assert conduit.wire == wire
    assert conduit.finished == finished
    assert len(conduit.written) == 1


def test_a_connection_that_ends_says_so() -> None:
    """The conduit knows."""
    conduit = sent(Response.stream([b"a"], length=1), keep_alive=False)

    assert conduit.wire == HEAD + b"Content-Length: 1\r\nConnection: close\r\n\r\na"
    assert conduit.finished == (200, 1, False)


def test_small_pieces_leave_together() -> None:
    """One write for as many as are worth it."""
    conduit = sent(Response.stream([b"x"] * (3 * GATHERED)))

    assert 3 <= len(conduit.written) <= 4


def test_a_producer_is_made_to_wait() -> None:
    """For room."""

    async def check() -> None:
        made: list[int] = []

        def pieces() -> Iterator[bytes]:
            for number in range(4):
                made.append(number)
                yield b"x" * GATHERED

        conduit = FakeConduit(has_room=False)
        answer = answer_from(pieces())
        sending = asyncio.ensure_future(stream_answer(make_request(), answer, conduit))
        await turns()
        assert len(made) == 1
        assert conduit.receiver is not None
        for expected in (2, 3, 4):
            conduit.receiver.on_room()
            await turns()
            assert len(made) == expected
        conduit.receiver.on_room()
        await sending

        assert conduit.finished == (200, 4 * GATHERED, True)

    run(check())


def test_parts_of_a_file() -> None:
    """Small ones are read, and sent with what stands before them."""
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789" * 10_000)
        file.flush()
        parts = [b"<", FileSpan(1, 3), b"|", FileSpan(5, 50_000), b">"]
        source = FileSource.of_parts(os.dup(file.fileno()), parts)
        conduit = sent(Response(source))

        assert conduit.wire == HEAD + b"Content-Length: 50006\r\n\r\n<123|[5+50000]>"
        assert conduit.finished == (200, 50006, True)
        assert source.fd == -1
        short = FileSource(os.dup(file.fileno()), 99_999, 5)
        with pytest.raises(LocalProtocolError, match="4 bytes early"):
            sent(Response(short))
        assert short.fd == -1


def test_a_file_is_let_go_only_when_the_conduit_knows() -> None:
    """Its client has left: the connection is cut before the descriptor is closed."""

    async def check() -> None:
        with tempfile.TemporaryFile() as file:
            source = FileSource(os.dup(file.fileno()), 0, 1_000_000)
        fd = source.fd
        conduit = FakeConduit(has_room=False)
        was_open: list[bool] = []
        conduit.abort = lambda error=None: was_open.append(source.fd == fd)  # type: ignore[method-assign]
        sending = asyncio.ensure_future(stream_answer(make_request(), answer_from(Response(source)), conduit))
        await turns()
        assert conduit.receiver is not None
        conduit.receiver.on_left()
        await sending

        assert was_open == [True]
        assert source.fd == -1

    run(check())


@pytest.mark.parametrize("keep_alive", [True, False])
def test_a_client_that_leaves_cancels_where_it_stays_otherwise(keep_alive: bool) -> None:
    """A half-close of a connection that ends anyway means nothing."""

    async def check() -> None:
        ends: list[str] = []

        async def pieces() -> AsyncIterator[bytes]:
            try:
                yield b"a"
                await asyncio.get_running_loop().create_future()
            finally:
                ends.append("over")

        conduit = FakeConduit()
        conduit.keep_alive = keep_alive
        sending = asyncio.ensure_future(stream_answer(make_request(), answer_from(pieces()), conduit))
        await turns()
        assert conduit.receiver is not None
        conduit.receiver.on_left()
        await turns()

        assert sending.done() == (ends == ["over"]) == keep_alive
        if keep_alive:
            assert (sending.result(), sending.cancelled()) == (None, False)
            assert conduit.aborted is not None
        else:
            sending.cancel()
            await asyncio.wait([sending])
            assert sending.cancelled()
        assert conduit.finished is None

    run(check())


@pytest.mark.parametrize("kind", ["stream", "file"])
def test_a_client_that_left_before_is_not_answered(kind: str) -> None:
    """Nothing is made, and nothing else may be said in its place."""

    async def check() -> None:
        with tempfile.TemporaryFile() as file:
            source = FileSource(os.dup(file.fileno()), 0, 1_000_000)
        made: list[str] = []

        async def pieces() -> AsyncIterator[bytes]:
            made.append("a")
            yield b"a"

        conduit = FakeConduit(has_room=False)
        flow = Flow(conduit)
        flow.on_left()
        body: object = Response(source) if kind == "file" else pieces()
        await asyncio.ensure_future(send_answer(make_request(), answer_from(body), flow))
        source.close()

        assert isinstance(conduit.aborted, TransportError)
        assert conduit.finished is None
        assert made == []

    run(check())


def test_what_gives_no_pieces_is_no_source() -> None:
    """An answer made by hand."""

    async def check() -> None:
        answer = Answer(200)
        answer.source = 7
        with pytest.raises(LocalProtocolError, match="no content in pieces"):
            await stream_answer(make_request(), answer, FakeConduit())

    run(check())


def test_a_producer_with_its_own_ways_of_closing() -> None:
    """Closed by a coroutine, by a function, or by nothing."""
    closed: list[str] = []

    class Source:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a"])

    class Closing(Source):
        def close(self) -> None:
            closed.append("function")

    class ClosingLater(Source):
        async def close(self) -> None:
            closed.append("coroutine")

    for source in (Source(), Closing(), ClosingLater()):
        assert sent(Response.stream(source)).finished == (200, 1, True)

    assert closed == ["function", "coroutine"]


@pytest.mark.parametrize("fails", [False, True])
def test_waiting_is_noticed(fails: bool) -> None:
    """Once, and only if it comes to that; results and exceptions pass through."""

    async def check() -> None:
        noticed: list[str] = []
        loop = asyncio.get_running_loop()
        gates = [loop.create_future() for _ in range(2)]

        async def work() -> str:
            for gate in gates:
                await gate
            if fails:
                raise KeyError("why")
            return "done"

        async def notice(awaitable: Awaitable[object]) -> object:
            return await Noticing(awaitable, lambda: noticed.append("waits"))

        assert await notice(asyncio.sleep(0, "soon")) == "soon"
        assert noticed == ["waits"]
        noticed.clear()
        waiting = asyncio.ensure_future(notice(work()))
        await turns()
        assert noticed == ["waits"]
        for gate in gates:
            gate.set_result(None)
            await turns()

        assert noticed == ["waits"]
        assert (type(waiting.exception()) is KeyError) == fails
        assert fails or waiting.result() == "done"
        noticed.clear()
        assert fails or await notice(work()) == "done"
        assert noticed == []

    run(check())


def test_what_waits_can_be_cancelled() -> None:
    """The exception gets to where it waits."""

    async def check() -> None:
        ends: list[str] = []

        async def work() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise

        async def notice() -> None:
            await Noticing(work(), lambda: None)

        waiting = asyncio.ensure_future(notice())
        await turns()
        waiting.cancel()
        await asyncio.wait([waiting])

        assert ends == ["cancelled"]
        assert waiting.cancelled()

    run(check())
