"""Answers in pieces, as an application gives them and as they are on the wire."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from rocket_sup.accesslog import AccessLog
from rocket_sup.config import Config, LogConfig
from rocket_sup.engine.contract import Engine
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.request import Request
from rocket_sup.response import Response
from rocket_sup.sources import FileSource, FileSpan
from tests.conformance.server import Server, chunked, get, request
from tests.conformance.streams import (
    FLAT,
    MIB,
    PLENTY,
    Producer,
    Serve,
    one,
    read_chunked,
    read_line,
    resident_bytes,
    upload,
    vanish,
)

# -- answers


def letters() -> Iterator[bytes | str]:
    """Bytes, text, and nothing."""
    yield b"a"
    yield ""
    yield "é"
    yield bytearray(b"b")
    yield memoryview(b"c")


async def later_letters() -> AsyncIterator[bytes | str]:
    """The same, waiting in between."""
    for piece in letters():
        await asyncio.sleep(0)
        yield piece


LETTERS = "aébc".encode()


def handlers() -> dict[str, tuple[Callable[[Request], Any], bool]]:
    """Every kind of handler that can give content in pieces, and whether it blocks."""

    async def coroutine(req: Request) -> Any:
        await asyncio.sleep(0)
        return later_letters()

    async def generator_of_a_coroutine(req: Request) -> Any:
        return letters()

    return {
        "generator": (lambda req: letters(), False),
        "iterator": (lambda req: iter([b"a", "é", b"bc"]), False),
        "asynchronous generator": (lambda req: later_letters(), False),
        "coroutine": (coroutine, False),
        "generator of a coroutine": (generator_of_a_coroutine, False),
        "response": (lambda req: Response.stream(letters()), False),
        "list": (lambda req: Response.stream([b"a", "é", b"bc"]), False),
        "tuple": (lambda req: (200, later_letters()), False),
        "thread": (lambda req: letters(), True),
        "response of a thread": (lambda req: Response.stream(letters()), True),
        "asynchronous, of a thread": (lambda req: later_letters(), True),
    }


@pytest.mark.parametrize("kind", handlers())
@pytest.mark.parametrize("stream", [False, True])
def test_an_iterator_is_an_answer_in_chunks(serve: Serve, kind: str, stream: bool) -> None:
    """Whatever gives it; the connection goes on."""
    handler, blocking = handlers()[kind]
    client = serve(one(handler, blocking=blocking, stream=stream)).connect()
    for _ in range(2):
        client.send(get("/") + get("/plain"))
        answer, trailers = read_chunked(client)

        assert (answer.status, answer.body, trailers) == (200, LETTERS, [])
        assert answer.get("content-type") == "application/octet-stream"
        assert answer.get("date") is not None
        assert client.read().body == b"plain"


def test_without_pieces_there_is_an_empty_answer(serve: Serve) -> None:
    """Which is not the end of the connection."""
    client = serve(one(lambda req: iter([]))).connect().send(get("/") + get("/plain"))

    assert read_chunked(client)[0].body == b""
    assert client.read().body == b"plain"


def test_status_and_fields_are_the_response_s(serve: Serve) -> None:
    """As of any response."""
    headers = [("Content-Type", "text/event-stream"), ("Set-Cookie", "a"), ("Set-Cookie", "b")]
    client = serve(one(lambda req: Response.stream(letters(), 206, headers))).connect().send(get("/"))
    answer, _ = read_chunked(client)

    assert answer.status == 206
    assert [field for field in answer.fields if field[0] != "Date"][:3] == headers


@pytest.mark.parametrize("how", ["argument", "field"])
def test_a_known_length_is_announced(serve: Serve, how: str) -> None:
    """Then there are no chunks."""

    def handler(req: Request) -> Response:
        if how == "argument":
            return Response.stream(letters(), length=5)
        return Response.stream(letters(), headers={"Content-Length": "5"})

    client = serve(one(handler)).connect()
    for _ in range(2):
        answer = client.send(get("/")).read()

        assert (answer.body, answer.get("transfer-encoding")) == (LETTERS, None)


def test_http_1_0_is_told_the_end_by_closing(serve: Serve) -> None:
    """Unless the length is known: then the connection may go on."""
    app = one(lambda req: later_letters())
    app.get("/known")(lambda req: Response.stream(letters(), length=5))
    server = serve(app)
    client = server.connect().send(request("GET / HTTP/1.0", "Connection: keep-alive"))
    answer = client._read_head()

    assert (answer.get("transfer-encoding"), answer.get("connection")) == (None, "close")
    assert client.read_rest() == LETTERS
    client = server.connect().send(request("GET /known HTTP/1.0", "Connection: keep-alive") * 2)
    for _ in range(2):
        answer = client.read()
        assert (answer.body, answer.get("connection")) == (LETTERS, "keep-alive")


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_content(serve: Serve, status: int) -> None:
    """The producer is closed and never runs."""
    producer = Producer()
    server = serve(one(lambda req: Response.stream(producer.pieces(), status)))
    client = server.connect().send(get("/") + get("/plain"))

    assert client.read().status == status
    assert client.read().body == b"plain"
    assert producer.made == 0


def test_head_has_no_content(serve: Serve) -> None:
    """Whatever GET would have; the producer never runs."""
    producer = Producer()
    app = one(lambda req: producer.pieces())
    app.get("/known")(lambda req: Response.stream(producer.plain(), length=7))
    client = serve(app).connect()
    client.send(request("HEAD / HTTP/1.1") + request("HEAD /known HTTP/1.1") + get("/plain"))
    unknown = client._read_head()
    known = client.read(to="HEAD")

    assert (unknown.status, unknown.get("content-length")) == (200, None)
    assert known.get("content-length") == "7"
    assert client.read().body == b"plain"
    assert producer.made == 0


@pytest.mark.parametrize("gives", [b"abc", b"abcdefg", b"x" * 100_000])
@pytest.mark.parametrize("blocking", [False, True])
def test_content_of_another_length_is_no_answer(serve: Serve, gives: bytes, blocking: bool) -> None:
    """500 while nothing was sent; then the connection is cut, so that it cannot look whole. It is logged."""

    def pieces() -> Iterator[bytes]:
        yield gives

    async def late() -> AsyncIterator[bytes]:
        await asyncio.sleep(0)
        yield gives

    app = one(lambda req: Response.stream(pieces(), length=5), blocking=blocking)
    app.get("/late")(lambda req: Response.stream(late(), length=5))
    server = serve(app)
    if not blocking:  # where what was given may have been sent before the thread had ended
        assert server.connect().send(get("/")).read().status == 500
    client = server.connect().send(get("/late"))
    try:
        rest = client.read_rest()
    except ConnectionResetError:
        rest = b""

    assert len(rest.partition(b"\r\n\r\n")[2]) < 5
    server.wait_until(lambda: "handler_failed" in [event["event"] for event in server.events()])


def test_a_failure_before_the_first_piece_is_500(serve: Serve) -> None:
    """Also after some pieces that were not sent yet; a client's fault has its status."""

    def fails() -> Iterator[bytes]:
        yield b"a"
        raise RuntimeError("on purpose")

    async def refuses() -> AsyncIterator[bytes]:
        raise RemoteProtocolError("no", status=422)
        yield b""

    app = one(lambda req: fails())
    app.get("/refuses")(lambda req: refuses())
    app.get("/odd")(lambda req: iter([1]))
    client = serve(app).connect()

    assert client.send(get("/")).read().status == 500
    assert client.send(get("/refuses")).read().status == 422
    assert client.send(get("/odd")).read().status == 500


def test_a_failure_later_cuts(serve: Serve) -> None:
    """What was sent does not look whole."""

    async def fails() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.sleep(0)
        raise RuntimeError("on purpose")

    server = serve(one(lambda req: fails()))
    client = server.connect().send(get("/"))
    try:
        rest = client.read_rest()
    except ConnectionResetError:
        rest = b""

    assert not rest.endswith(b"0\r\n\r\n")
    server.wait_until(lambda: "handler_failed" in [event["event"] for event in server.events()])
    server.wait_until(lambda: server.closed == 1)


def test_the_head_and_each_piece_leave_when_the_producer_waits(serve: Serve) -> None:
    """An event stream arrives event by event."""
    gate: list[asyncio.Event] = []

    async def events() -> AsyncIterator[str]:
        gate.append(asyncio.Event())
        for number in range(3):
            await gate[0].wait()
            gate[0].clear()
            yield f"data: {number}\n\n"

    server = serve(one(lambda req: Response.stream(events(), headers={"Content-Type": "text/event-stream"})))
    client = server.connect().send(get("/"))
    assert client._read_head().get("content-type") == "text/event-stream"
    for number in range(3):
        server.call(lambda: gate[0].set())

        assert int(read_line(client), 16) == 9
        assert client._take(11) == b"data: %d\n\n\r\n" % number


def test_trailers_follow_the_content(serve: Serve) -> None:
    """A mapping, named in advance, or a function that is asked when the content is complete."""
    made: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        for piece in (b"ab", b"c"):
            made.append(piece)
            yield piece

    async def soon() -> list[tuple[str, str]]:
        await asyncio.sleep(0)
        return [("X-Size", str(sum(map(len, made)))), ("X-Two", "2")]

    app = one(lambda req: Response.stream(pieces(), trailers={"X-One": "1"}))
    app.get("/function")(lambda req: Response.stream(pieces(), trailers=lambda: {"X-Size": str(len(made))}))
    app.get("/coroutine")(lambda req: Response.stream(pieces(), trailers=soon))
    app.get("/forbidden")(lambda req: Response.stream(pieces(), trailers={"Content-Length": "3"}))
    app.get("/split")(lambda req: Response.stream(pieces(), trailers={"X": "a\r\nY: b"}))
    client = serve(app).connect()
    answer, trailers = read_chunked(client.send(get("/")))

    assert (answer.body, answer.get("trailer"), trailers) == (b"abc", "X-One", [("X-One", "1")])
    made.clear()
    assert read_chunked(client.send(get("/function")))[1] == [("X-Size", "2")]
    made.clear()
    assert read_chunked(client.send(get("/coroutine")))[1] == [("X-Size", "3"), ("X-Two", "2")]
    assert client.send(get("/forbidden")).read().status == 500
    assert client.send(get("/split")).read().status == 500
    assert client.send(request("GET / HTTP/1.0")).read_rest().endswith(b"\r\n\r\nabc")


def test_parts_of_a_file(serve: Serve) -> None:
    """Small ones, large ones, with bytes between; the descriptor is closed when they are sent."""
    data = bytes(range(256)) * 4096
    fds: list[int] = []

    def handler(req: Request) -> Response:
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            fd = os.dup(file.fileno())
        fds.append(fd)
        if req.path == "/":
            return Response(FileSource(fd, 3, 900_000))
        parts = [b"<", FileSpan(0, 10), b"|", FileSpan(100, 500_000), FileSpan(7, 1), b">"]
        return Response(FileSource.of_parts(fd, parts))

    app = one(handler)
    app.get("/parts")(handler)
    server = serve(app)
    client = server.connect()
    for _ in range(2):
        client.send(get("/") + get("/parts") + request("HEAD / HTTP/1.1") + get("/plain"))

        assert client.read().body == data[3:900_003]
        assert client.read().body == b"<" + data[:10] + b"|" + data[100:500_100] + data[7:8] + b">"
        assert client.read(to="HEAD").get("content-length") == "900000"
        assert client.read().body == b"plain"
    assert not [fd for fd in fds if os.path.exists(f"/proc/self/fd/{fd}")]


# -- answers and their clients


@pytest.mark.parametrize("kind", ["pieces", "resting", "plain", "thread"])
def test_a_slow_reader_stops_the_producer(serve: Serve, kind: str) -> None:
    """It makes no more than fits into buffers, until the client reads on."""
    producer = Producer(count=PLENTY // 65536)
    make = {"pieces": producer.pieces, "resting": producer.resting}.get(kind, producer.plain)
    server = serve(one(lambda req: make(), blocking=kind == "thread"))
    client = server.connect().send(get("/"))
    server.wait_until(lambda: server.wire.held_bytes()[1])
    for _ in range(100):  # as many turns as it likes: the kernel takes some MiB, and then no more
        server.call(lambda: None)

    assert 0 < producer.made * 65536 < PLENTY // 2
    assert server.call(server.wire.held_bytes)[1] < 8 * MIB
    received = 0
    memory = resident_bytes()
    while received < PLENTY:
        piece = client.socket.recv(MIB)
        assert piece
        received += len(piece)
    assert resident_bytes() - memory < FLAT
    server.wait_until(lambda: producer.ends == ["complete"])


@pytest.mark.parametrize("kind", ["pieces", "waiting", "plain", "thread"])
@pytest.mark.parametrize("way", ["closes", "resets"])
def test_a_client_that_leaves_ends_the_producer(serve: Serve, kind: str, way: str) -> None:
    """Cancelled where it waits, closed where it does not; and nothing is left that counts."""
    producer = Producer()
    make = {"pieces": producer.pieces, "waiting": producer.waiting}.get(kind, producer.plain)
    server = serve(one(lambda req: make(), blocking=kind == "thread"))
    client = server.connect().send(get("/"))
    client._read_head()
    client._take(1)  # it has begun
    if way == "closes":
        client.close()
    else:
        vanish(client)
    server.wait_until(lambda: producer.ends)

    assert producer.ends[0] in (("cancelled",) if kind == "waiting" else ("cancelled", "closed"))
    server.wait_until(lambda: not server.wire.connection_count() and not server.wire.statistics.in_flight)
    assert server.call(server.wire.held_bytes) == (0, 0)


def test_a_half_close_is_no_leave_where_the_connection_ends_anyway(serve: Serve) -> None:
    """A client that has said `Connection: close` may close its side and go on reading."""
    gate: list[asyncio.Event] = []

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        gate.append(asyncio.Event())
        await gate[0].wait()
        yield b"b"

    server = serve(one(lambda req: pieces()))
    client = server.connect().send(get("/", "Connection: close")).end()
    server.wait_until(lambda: gate)
    client._read_head()
    server.call(lambda: gate[0].set())

    assert client.read_rest() == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"


def test_a_producer_may_clean_up_with_awaits(serve: Serve) -> None:
    """After its client has left."""
    ends: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            await asyncio.sleep(0.01)
            ends.append("clean")

    server = serve(one(lambda req: pieces()))
    client = server.connect().send(get("/"))
    client._read_head()
    client._take(1)
    client.close()
    server.wait_until(lambda: ends == ["clean"])


def test_early_hints_before_the_answer(serve: Serve) -> None:
    """Only to who knows interim answers."""

    async def handler(req: Request) -> object:
        await req.early_hints(["</a.css>; rel=preload; as=style", "</b.js>; rel=preload"])
        await req.early_hints([])
        return "page"

    server = serve(one(handler, stream=True))
    client = server.connect().send(get("/"))
    hints = client._read_head()

    assert (hints.status, hints.reason) == (103, "Early Hints")
    assert hints.fields == [("Link", "</a.css>; rel=preload; as=style"), ("Link", "</b.js>; rel=preload")]
    assert client.read().body == b"page"
    assert server.connect().send(request("GET / HTTP/1.0")).read().body == b"page"


def test_early_hints_come_too_late_in_an_answer(serve: Serve) -> None:
    """They would stand in the middle of it."""

    async def handler(req: Request) -> object:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"a"
            await asyncio.sleep(0)
            await req.early_hints(["</a.css>; rel=preload"])

        return pieces()

    server = serve(one(handler, stream=True))
    client = server.connect().send(get("/"))
    try:
        rest = client.read_rest()
    except ConnectionResetError:
        rest = b""

    assert not re.search(b"103|0\r\n\r\n$", rest)
    server.wait_until(lambda: "handler_failed" in [event["event"] for event in server.events()])


def test_streams_are_counted_and_logged_like_answers(serve: Serve) -> None:
    """When they are complete."""
    server = serve(one(lambda req: letters()))
    client = server.connect()
    for _ in range(3):
        read_chunked(client.send(get("/")))
    server.wait_until(lambda: server.wire.statistics.requests == 3)

    assert server.wire.statistics.statuses[2] == 3
    assert server.wire.statistics.in_flight == 0


def test_the_access_log_has_what_was_sent(engine: Engine, tmp_path: Path) -> None:
    """Bytes of content without its framing, when all of it was written."""

    async def handler(req: Request) -> object:
        return Response.stream([(await req.read()).upper()], 201)

    log = AccessLog(format="json", file=str(tmp_path / "access.log"))
    config = Config(log=LogConfig(access="json"))
    server = Server(upload(handler), config, str(tmp_path / "events.log"), engine, access_log=log)
    server.start()
    try:
        client = server.connect().send(chunked("/", b"3\r\nabc\r\n0\r\n\r\n"))
        assert read_chunked(client)[0].body == b"ABC"
        client.send(request("HEAD /plain HTTP/1.1")).read(to="HEAD")
        server.call(log.flush)
    finally:
        server.stop()
        log.close()
    first, second = [orjson.loads(line) for line in (tmp_path / "access.log").read_bytes().splitlines()]

    assert (first["method"], first["status"], first["bytes"]) == ("POST", 201, 3)
    assert (second["method"], second["status"], second["bytes"]) == ("HEAD", 200, 0)
