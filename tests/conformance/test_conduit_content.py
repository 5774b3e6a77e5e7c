"""Content on its way through a conduit: when it comes, what is told of it, and what may be too slow."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from tests.conformance.lent import LENT, Serve, Stage, Taker, echo
from tests.conformance.server import chunked, get, post, request


@pytest.mark.parametrize("size", [1, 5, 65536, 1_000_000])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_content_comes_decoded(serve: Serve, size: int, framing: str) -> None:
    """In either framing, however it is cut, and followed by its end."""
    content = (b"0123456789" * (size // 10 + 1))[:size]
    stage = Stage(echo, max_body=1_000_000)
    client = serve(stage.router).connect()
    if framing == "length":
        message = post("/lent", content)
    else:
        half = size // 2
        pieces = [piece for piece in (content[:half], content[half:]) if piece]
        raw = b"".join(b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        message = chunked("/lent", raw + b"0\r\nX-Sum: 1\r\nX-Two: 2\r\n\r\n")
    for _ in range(2):
        client.send(message + get("/"))

        assert client.read().body == content
        assert client.read().body == b"ok"
    assert stage.told == [("end", b"" if framing == "length" else b"\r\nX-Sum: 1\r\nX-Two: 2")]


def test_content_may_come_byte_by_byte(serve: Serve) -> None:
    """A chunked message arrives one byte at a time."""
    client = serve(Stage(echo).router).connect()
    for byte in chunked("/lent", b"3\r\nabc\r\n1\r\nd\r\n0\r\nX: 1\r\n\r\n"):
        client.send(bytes([byte]))

    assert client.read().body == b"abcd"


def test_the_handler_is_called_before_the_content(serve: Serve) -> None:
    """And may answer without it; little of it is forgotten, and the connection goes on."""

    async def script(taker: Taker) -> object:
        return "early"

    stage = Stage(script)
    client = serve(stage.router).connect()
    client.send(request("POST /lent HTTP/1.1", "Content-Length: 5"))
    answer = client.read()

    assert (answer.body, answer.get("connection")) == (b"early", None)
    client.send(b"abcde" + get("/"))
    assert client.read().body == b"ok"
    assert stage.takers[0].content == b""


@pytest.mark.parametrize(
    "message",
    [
        request("POST /lent HTTP/1.1", "Content-Length: 1000000"),
        request("POST /lent HTTP/1.1", "Transfer-Encoding: chunked"),
        request("POST /lent HTTP/1.1", "Content-Length: 5", "Expect: 100-continue"),
    ],
)
def test_content_that_is_much_or_unsure_closes(serve: Serve, message: bytes) -> None:
    """The answer says so."""

    async def script(taker: Taker) -> object:
        return "early"

    client = serve(Stage(script, max_body=1_000_000).router).connect()
    answer = client.send(message).read()

    assert (answer.body, answer.get("connection")) == (b"early", "close")
    client.expect_end()


def test_nothing_comes_before_it_is_wanted(serve: Serve) -> None:
    """The engine holds it, and stops reading the client."""
    stage = Stage(lambda taker: asyncio.get_running_loop().create_future())
    server = serve(stage.router, server={"max_body": 1 << 30})
    client = server.connect()
    client.send(request("POST /lent HTTP/1.1", f"Content-Length: {1 << 30}"))
    client.socket.setblocking(False)
    sent = 0
    try:
        while True:
            sent += client.socket.send(b"x" * 65536)
            assert sent < 1 << 28, "the server reads what nobody wants"
    except BlockingIOError:
        pass
    server.wait_until(lambda: stage.takers)

    assert stage.takers[0].content == b""
    assert stage.told == []
    assert server.call(server.wire.held_bytes)[0] < 2_000_000


def test_reading_pauses_and_goes_on(serve: Serve) -> None:
    """Nothing comes while it is paused; then everything does, in order."""
    sizes: list[int] = []

    async def script(taker: Taker) -> object:
        conduit = taker.conduit
        conduit.resume_reading()
        while not taker.told:
            await taker.until(lambda: taker.told or taker.content)
            conduit.pause_reading()
            size = len(taker.content)
            for _ in range(3):
                await asyncio.sleep(0)
            sizes.append(len(taker.content) - size)
            seen = len(taker.content)
            conduit.resume_reading()
            await taker.until(lambda seen=seen: taker.told or len(taker.content) > seen)
        taker.answer(b"%d" % len(taker.content))
        return None

    client = serve(Stage(script).router).connect()
    client.send(post("/lent", b"x" * 1_000_000))

    assert client.read().body == b"1000000"
    assert set(sizes) == {0}


def test_continue_is_said_when_content_is_wanted(serve: Serve) -> None:
    """Not before, and not behind an answer that was begun."""
    gate: list[asyncio.Event] = []

    async def script(taker: Taker) -> object:
        gate.append(asyncio.Event())
        await gate[0].wait()
        return await taker.whole()

    server = serve(Stage(script).router)
    client = server.connect()
    client.send(request("POST /lent HTTP/1.1", "Content-Length: 5", "Expect: 100-continue"))
    server.wait_until(lambda: gate)
    client.expect_silence(0.05)
    server.call(lambda: gate[0].set())

    assert client.read_informational().status == 100
    assert client.send(b"abcde").read().body == b"abcde"


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (b"zz\r\n", 400),
        (b"5\r\nabcdeX", 400),
        (b"b\r\n01234567890", 413),
        (b"2\r\nab\r\n0\r\n: x\r\n\r\n", 400),
    ],
)
def test_broken_content_is_told(serve: Serve, rest: bytes, status: int) -> None:
    """The handler may answer; then the connection is closed."""

    async def script(taker: Taker) -> object:
        await taker.whole()
        return 599, repr(taker.told)

    stage = Stage(script, max_body=10)
    client = serve(stage.router).connect()
    answer = client.send(chunked("/lent", rest)).read()

    assert (answer.status, answer.get("connection")) == (599, "close")
    assert answer.body == repr([("error", status)]).encode()
    client.expect_end()


def test_content_cut_short_is_told(serve: Serve) -> None:
    """The client ends in the middle; it may still read."""

    async def script(taker: Taker) -> object:
        await taker.whole()
        return 400, repr(taker.told)

    for message in (post("/lent", b"abc")[:-1], chunked("/lent", b"3\r\nab")):
        answer = serve(Stage(script).router).connect().send(message).end().read()

        assert (answer.status, answer.get("connection")) == (400, "close")
        assert answer.body == b"[('error', 400)]"


def test_slow_content_is_told(serve: Serve) -> None:
    """The deadline of content runs while it is wanted."""

    async def script(taker: Taker) -> object:
        await taker.whole()
        return 408, repr(taker.told)

    client = serve(Stage(script).router, timeouts={"body": 0.3}).connect()
    answer = client.send(request("POST /lent HTTP/1.1", "Content-Length: 5", content=b"a")).read()

    assert (answer.status, answer.body) == (408, b"[('error', 408)]")
    client.expect_end()


def test_a_client_that_drips_keeps_the_least_rate(serve: Serve) -> None:
    """A byte now and then is no progress for long."""

    async def script(taker: Taker) -> object:
        taker.conduit.resume_reading()
        while not taker.told:  # by pieces, pausing in between
            size = len(taker.content)
            await taker.until(lambda size=size: taker.told or len(taker.content) > size)
            taker.conduit.pause_reading()
            taker.conduit.resume_reading()
        return 408, repr(taker.told)

    client = serve(Stage(script).router, timeouts={"body": 0.4, "body_min_rate": 1000}).connect()
    client.send(request("POST /lent HTTP/1.1", "Content-Length: 5000"))
    client.socket.settimeout(0.05)
    for _ in range(200):
        client.send(b"x")
        try:
            if client.socket.recv(1, socket.MSG_PEEK):
                break
        except TimeoutError:
            continue
    client.socket.settimeout(10)

    assert client.read().status == 408


def test_a_handler_that_does_not_begin_is_too_slow(serve: Serve) -> None:
    """503, and it is cancelled and told; begun, it may take its time."""
    stage = Stage(lambda taker: asyncio.get_running_loop().create_future())
    server = serve(stage.router, timeouts={"handler": 0.3})
    client = server.connect()
    answer = client.send(LENT).read()

    assert (answer.status, answer.get("connection")) == (503, "close")
    server.wait_until(lambda: stage.fates == ["cancelled", "over"])
    assert stage.told == [("gone", "TimeoutError")]


def test_begun_there_is_no_deadline_for_the_handler(serve: Serve) -> None:
    """The rest may come whenever it comes."""

    async def script(taker: Taker) -> object:
        taker.conduit.begin()
        taker.conduit.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na")
        await asyncio.sleep(0.8)
        taker.conduit.write(b"bc")
        taker.conduit.finish(200, 3)
        return None

    client = serve(Stage(script).router, timeouts={"handler": 0.3}).connect()

    assert client.send(LENT).read().body == b"abc"


def test_a_client_that_still_sends_does_not_use_up_the_handlers_time(serve: Serve) -> None:
    """While content is waited for, it is the client who is slow."""
    sizes = [10_000] * 9

    async def script(taker: Taker) -> object:
        taker.conduit.resume_reading()
        while len(taker.content) < sum(sizes):
            taker.changed.clear()
            await taker.changed.wait()
        return str(len(taker.content))

    client = serve(Stage(script).router, timeouts={"handler": 0.3}).connect()
    client.send(b"POST /lent HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % sum(sizes))
    for size in sizes:
        time.sleep(0.1)  # slowness itself is what is tested
        client.send(b"x" * size)

    assert client.read().body == str(sum(sizes)).encode()
