"""Content in pieces, both ways, as an application sees it and as it is on the wire."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from rocket_sup.accesslog import AccessLog
from rocket_sup.config import Config, LogConfig
from rocket_sup.engine.contract import Engine
from rocket_sup.errors import RemoteProtocolError, TransportError
from rocket_sup.request import Request
from rocket_sup.response import Response
from rocket_sup.router import Router
from rocket_sup.sources import FileSource, FileSpan
from tests.conformance.server import Answer, Client, Server, chunked, get, post, request

Serve = Callable[..., Server]

MIB = 1 << 20
PLENTY = 200 * MIB  # more than any buffer on the way holds
FLAT = 48 * MIB  # that memory may grow by meanwhile, whatever the allocators think


def read_chunked(client: Client) -> tuple[Answer, list[tuple[str, str]]]:
    """Read an answer in chunks; return it with its trailers."""
    answer = client._read_head()
    assert answer.get("transfer-encoding") == "chunked"
    assert answer.get("content-length") is None
    while True:
        size = int(read_line(client), 16)
        if size == 0:
            break
        answer.body += client._take(size)
        assert client._take(2) == b"\r\n"
    trailers = []
    while line := read_line(client):
        name, _, value = line.partition(b": ")
        trailers.append((name.decode(), value.decode()))
    return answer, trailers


def read_line(client: Client) -> bytes:
    """Read up to CRLF."""
    line = b""
    while not line.endswith(b"\r\n"):
        line += client._take(1)
    return line[:-2]


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def vanish(client: Client) -> None:
    """Leave with a reset."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


class Producer:
    """An asynchronous generator's life, noted."""

    def __init__(self, count: int = 1 << 60, size: int = 65536) -> None:
        self.made = 0
        self.ends: list[str] = []
        self._count = count
        self._size = size

    async def pieces(self) -> AsyncIterator[bytes]:
        """Make pieces as fast as they are taken."""
        try:
            while self.made < self._count:
                self.made += 1
                yield bytes([self.made % 256]) * self._size
            self.ends.append("complete")
        except asyncio.CancelledError:
            self.ends.append("cancelled")
            raise
        except GeneratorExit:
            self.ends.append("closed")
            raise

    async def resting(self) -> AsyncIterator[bytes]:
        """The same, giving way before each piece."""
        async for piece in self.pieces():
            await asyncio.sleep(0)
            yield piece[: self._size // 4]
            await asyncio.sleep(0)
            yield piece[self._size // 4 :]

    async def waiting(self) -> AsyncIterator[bytes]:
        """Make one piece, then wait for something that never comes."""
        try:
            yield b"first"
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.ends.append("cancelled")
            raise
        finally:
            self.ends.append("over")

    def plain(self) -> Iterator[bytes]:
        """The same as `pieces`, without a loop."""
        try:
            while self.made < self._count:
                self.made += 1
                yield bytes([self.made % 256]) * self._size
            self.ends.append("complete")
        except GeneratorExit:
            self.ends.append("closed")
            raise


def one(handler: Callable[[Request], Any], *, path: str = "/", method: str = "GET", **options: Any) -> Router:
    """An application with one route, and a plain one beside it."""
    app = Router()
    app.route(path, methods=[method], **options)(handler)
    app.get("/plain")(lambda req: "plain")
    return app


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


# -- requests


def upload(handler: Callable[[Request], Any], **options: Any) -> Router:
    """An application that takes uploads."""
    return one(handler, path="/", method="POST", **{"stream": True, **options})


async def count(req: Request) -> dict[str, Any]:
    """Read the content; tell how much it was."""
    size = 0
    async for piece in req.stream():
        assert type(piece) is bytes
        assert piece
        size += len(piece)
    return {"size": size, "trailers": req.trailers.items()}


def count_in_thread(req: Request) -> dict[str, Any]:
    """The same, in a thread."""
    assert threading.current_thread() is not threading.main_thread()
    return {"size": sum(map(len, req.stream())), "trailers": req.trailers.items()}


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_content_is_read_piece_by_piece(serve: Serve, blocking: bool, size: int) -> None:
    """In either framing, on the loop and in a thread; trailers are there at the end."""
    client = serve(
        upload(count_in_thread if blocking else count, blocking=blocking, max_body=1 << 30)
    ).connect()
    content = b"x" * size
    answer = client.send(post("/", content)).read()
    assert answer.body == b'{"size":%d,"trailers":[]}' % size
    raw = (b"%x\r\n%b\r\n" % (size, content) if size else b"") + b"0\r\nX-Sum: 1\r\nx-two:  2 \r\n\r\n"
    answer = client.send(chunked("/", raw) + get("/plain")).read()

    assert answer.body == b'{"size":%d,"trailers":[["X-Sum","1"],["x-two","2"]]}' % size
    assert client.read().body == b"plain"


def test_the_rest_of_a_request_is_as_ever(serve: Serve) -> None:
    """Fields, parameters, and after `read` also JSON and text."""

    async def handler(req: Request) -> object:
        assert req.get_header("x-one") == req.headers["X-One"] == "1"
        assert (req.method, req.path, req.query_params["b"], req.host) == ("POST", "/7", "c", "example.test")
        assert req.path_params == {"id": "7"}
        with pytest.raises(Exception, match="stream=True"):
            req.body  # noqa: B018 - a property that refuses
        assert await req.read() == await req.read() == req.body
        return {"json": req.json(), "text": req.text(), "client": len(req.client)}

    app = Router()
    app.post("/:id", stream=True)(handler)
    client = serve(app).connect().send(post("/7?b=c", b"[1]", "X-One: 1"))

    assert client.read().body == b'{"json":[1],"text":"[1]","client":2}'


def test_ordinary_routes_do_not_stream(serve: Serve) -> None:
    """They have their content already; asking for pieces is an error of the application, which is told."""

    async def handler(req: Request) -> object:
        assert await req.read() == b"abc"
        return req.stream()

    server = serve(one(handler, method="POST"))

    assert server.connect().send(post("/", b"abc")).read().status == 500
    assert "stream=True" in server.events()[-1]["error"]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (post("/", b"x" * 11), 413),
        (chunked("/", b"b\r\n01234567890\r\n0\r\n\r\n"), 413),
        (chunked("/", b"zz\r\n"), 400),
        (chunked("/", b"3\r\nabcX"), 400),
        (chunked("/", b"0\r\nX : 1\r\n\r\n"), 400),
        (chunked("/", b"0\r\n" + b"X: 1\r\n" * 1000 + b"\r\n"), 431),
    ],
)
@pytest.mark.parametrize("blocking", [False, True])
def test_what_is_wrong_with_content_is_the_answer(
    serve: Serve, message: bytes, status: int, blocking: bool
) -> None:
    """If nobody handles the error, and nothing was begun."""
    handler = count_in_thread if blocking else count
    client = serve(upload(handler, max_body=10, blocking=blocking)).connect()
    answer = client.send(message).read()

    assert (answer.status, answer.get("connection")) == (status, "close")
    client.expect_end()


def test_content_that_comes_too_slowly_is_408(serve: Serve) -> None:
    """As on any route."""
    client = serve(upload(count), timeouts={"body": 0.3}).connect()
    client.send(request("POST / HTTP/1.1", "Content-Length: 5", content=b"a"))

    assert client.read().status == 408


def test_the_application_may_handle_the_error(serve: Serve) -> None:
    """And answer as it likes."""

    async def handler(req: Request) -> object:
        try:
            await req.read()
        except RemoteProtocolError as error:
            return 422, f"{error.status}"
        return 204

    client = serve(upload(handler, max_body=10)).connect()
    answer = client.send(chunked("/", b"b\r\n01234567890\r\n0\r\n\r\n")).read()

    assert (answer.status, answer.body) == (422, b"413")


@pytest.mark.parametrize("answers", ["whole", "stream"])
def test_an_early_answer(serve: Serve, answers: str) -> None:
    """The handler returns after a little of the content; the client gets the answer, and the end."""

    async def handler(req: Request) -> object:
        async for _ in req.stream():
            break
        return (409, "enough") if answers == "whole" else Response.stream(iter([b"enough"]), 409, length=6)

    server = serve(upload(handler, max_body=1 << 30))
    client = server.connect().send(request("POST / HTTP/1.1", f"Content-Length: {PLENTY}") + b"x")
    answer = client.read()

    assert (answer.status, answer.body) == (409, b"enough")
    client.expect_end()


def test_a_slow_handler_stops_the_client(serve: Serve) -> None:
    """Content waits in buffers of a bounded size, and passes through in flat memory."""
    gate: list[asyncio.Event] = []

    async def handler(req: Request) -> object:
        stream = req.stream()
        size = len(await stream.__anext__())
        gate.append(asyncio.Event())
        await gate[0].wait()
        async for piece in stream:
            size += len(piece)
        return str(size)

    server = serve(upload(handler, max_body=1 << 30))
    client = server.connect().send(request("POST / HTTP/1.1", f"Content-Length: {PLENTY}"))
    block = b"x" * MIB
    client.socket.settimeout(0.3)
    sent = 0
    try:
        while sent < PLENTY:
            sent += client.socket.send(block[: PLENTY - sent])
    except TimeoutError:
        pass
    assert sent < PLENTY // 2
    server.wait_until(lambda: gate)
    assert server.call(server.wire.held_bytes)[0] < 8 * MIB
    memory = resident_bytes()
    server.call(lambda: gate[0].set())
    client.socket.settimeout(30)
    while sent < PLENTY:
        sent += client.socket.send(block[: PLENTY - sent])

    assert client.read().body == b"%d" % PLENTY
    assert resident_bytes() - memory < FLAT


def test_a_slow_thread_stops_the_client(serve: Serve) -> None:
    """As a coroutine does."""
    release = threading.Event()

    def handler(req: Request) -> object:
        pieces = iter(req.stream())
        size = len(next(pieces))
        assert release.wait(30)
        return str(size + sum(map(len, pieces)))

    server = serve(upload(handler, blocking=True, max_body=1 << 30))
    client = server.connect().send(request("POST / HTTP/1.1", f"Content-Length: {PLENTY}"))
    block = b"x" * MIB
    client.socket.settimeout(0.3)
    sent = 0
    try:
        while sent < PLENTY:
            sent += client.socket.send(block[: PLENTY - sent])
    except TimeoutError:
        pass
    held = server.call(server.wire.held_bytes)[0]
    release.set()
    assert sent < PLENTY // 2
    assert held < 8 * MIB
    client.socket.settimeout(30)
    while sent < PLENTY:
        sent += client.socket.send(block[: PLENTY - sent])

    assert client.read().body == b"%d" % PLENTY


def test_continue_is_said_when_content_is_asked_for(serve: Serve) -> None:
    """A handler that answers without the content saves it the way."""

    async def handler(req: Request) -> object:
        return await req.read() if req.get_header("x-read") else (403, "no")

    server = serve(upload(handler))
    fields = ("Content-Length: 3", "Expect: 100-continue")
    client = server.connect().send(request("POST / HTTP/1.1", *fields, "X-Read: 1"))
    assert client.read_informational().status == 100
    assert client.send(b"abc").read().body == b"abc"
    answer = client.send(request("POST / HTTP/1.1", *fields)).read()

    assert (answer.status, answer.get("connection")) == (403, "close")


@pytest.mark.parametrize("blocking", [False, True])
def test_content_becomes_the_answer_while_both_flow(serve: Serve, blocking: bool) -> None:
    """What is sent comes back in upper case before the next is sent; on the loop, and in a thread."""

    def handler(req: Request) -> object:
        if blocking:
            return (piece.upper() for piece in req.stream())
        return (piece.upper() async for piece in req.stream())

    client = serve(upload(handler, blocking=blocking)).connect()
    for _ in range(2):
        client.send(request("POST / HTTP/1.1", "Transfer-Encoding: chunked"))
        answer = client._read_head()
        assert (answer.status, answer.get("connection")) == (200, None)
        for word in (b"hello", b"there", b"world"):
            client.send(b"5\r\n%b\r\n" % word)
            assert client._take(10) == b"5\r\n%b\r\n" % word.upper()
        client.send(b"0\r\n\r\n")
        assert client._take(5) == b"0\r\n\r\n"
    assert client.send(get("/plain")).read().body == b"plain"


def test_much_content_becomes_the_answer(serve: Serve) -> None:
    """With a client that writes and reads at once, in flat memory."""

    def handler(req: Request) -> object:
        async def pieces() -> AsyncIterator[bytes]:
            async for piece in req.stream():
                yield piece.upper()

        return Response.stream(pieces(), length=int(req.headers["content-length"]))

    size = 64 * MIB
    client = serve(upload(handler, max_body=1 << 30)).connect()
    client.send(request("POST / HTTP/1.1", f"Content-Length: {size}"))

    def write() -> None:
        block = b"x" * MIB
        for _ in range(size // MIB):
            client.send(block)

    writer = threading.Thread(target=write)
    memory = resident_bytes()
    writer.start()
    try:
        client._read_head()
        received = len(client._received)
        assert client._received == b"X" * received
        while received < size:
            piece = client.socket.recv(MIB)
            assert piece
            assert piece == b"X" * len(piece)
            received += len(piece)
    finally:
        writer.join(20)
    assert resident_bytes() - memory < FLAT


@pytest.mark.parametrize("blocking", [False, True])
def test_an_uploader_that_vanishes_ends_its_handler(serve: Serve, blocking: bool) -> None:
    """A coroutine is cancelled, a thread is told where it reads; nothing is left that counts."""
    ends: list[str] = []
    started = threading.Event()

    async def handler(req: Request) -> object:
        try:
            async for _ in req.stream():
                started.set()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        return 204

    def in_thread(req: Request) -> object:
        try:
            for _ in req.stream():
                started.set()
        except (TransportError, RemoteProtocolError):
            ends.append("told")
            raise
        return 204

    server = serve(upload(in_thread if blocking else handler, blocking=blocking))
    client = server.connect().send(request("POST / HTTP/1.1", "Content-Length: 100000", content=b"x" * 1000))
    assert started.wait(10)
    vanish(client)
    server.wait_until(lambda: ends)

    assert ends == (["told"] if blocking else ["cancelled"])
    server.wait_until(lambda: not server.wire.connection_count() and not server.wire.statistics.in_flight)


def test_a_disconnect_is_noticed(serve: Serve) -> None:
    """By a handler that is busy with something else, once it has read the content."""
    ends: list[bool] = []

    async def handler(req: Request) -> object:
        await req.read()
        assert not req.is_disconnected
        await req.disconnected()
        ends.append(req.is_disconnected)
        return 204

    server = serve(upload(handler))
    client = server.connect().send(post("/", b"abc"))
    client.end()

    assert client.read().status == 204
    assert ends == [True]


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
