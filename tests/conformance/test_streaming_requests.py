"""Content that is read while it comes, and answers that are made of it meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rocket_sup.errors import RemoteProtocolError, TransportError
from rocket_sup.request import Request
from rocket_sup.response import Response
from rocket_sup.router import Router
from tests.conformance.server import chunked, get, post, request
from tests.conformance.streams import (
    FLAT,
    MIB,
    PLENTY,
    Serve,
    one,
    resident_bytes,
    upload,
    vanish,
)

# -- requests


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
