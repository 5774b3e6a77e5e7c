"""The conduit: what whoever takes an exchange over is promised by every engine (`rocket_sup/conduit.py`)."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import tempfile
import time
from collections.abc import Callable
from typing import Any

import pytest

from rocket_sup.conduit import Conduit
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.request import Request
from rocket_sup.router import Route, Router
from tests.conformance.server import Client, Server, chunked, get, post, request

Serve = Callable[..., Server]
Script = Callable[["Taker"], Any]


class Taker:
    """Notes everything that the conduit says; what it does is up to the test's script."""

    def __init__(self, request: Request, conduit: Conduit) -> None:
        self.request = request
        self.conduit = conduit
        self.told: list[object] = []
        self.content = b""
        self.changed = asyncio.Event()
        conduit.attach(self)

    def on_content(self, data: bytes) -> None:
        """Keep it."""
        assert type(data) is bytes
        assert data
        self.content += data
        self.changed.set()

    def on_content_end(self, trailers: bytes) -> None:
        """Note it."""
        self._note(("end", trailers))

    def on_content_error(self, error: RemoteProtocolError) -> None:
        """Note it."""
        self._note(("error", error.status))

    def on_room(self) -> None:
        """Note it."""
        self._note("room")

    def on_left(self) -> None:
        """Note it."""
        self._note("left")

    def on_gone(self, error: Exception | None) -> None:
        """Note it."""
        self._note(("gone", type(error).__name__ if error is not None else None))

    def _note(self, what: object) -> None:
        self.told.append(what)
        self.changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something that was told makes a condition true."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def whole(self) -> bytes:
        """Read all content."""
        self.conduit.resume_reading()
        await self.until(lambda: self.told)
        return self.content

    def answer(self, body: bytes, status: int = 200, *, keep_alive: bool = True) -> None:
        """Send a whole answer."""
        keep_alive = keep_alive and self.conduit.keep_alive
        close = b"" if keep_alive else b"Connection: close\r\n"
        self.conduit.begin()
        self.conduit.write(
            b"HTTP/1.1 %d X\r\n%bContent-Length: %d\r\n%b\r\n%b"
            % (status, self.conduit.date_line, len(body), close, body)
        )
        self.conduit.finish(status, len(body), keep_alive=keep_alive)


class Stage:
    """An application with one route that takes its conduit, and what happened there."""

    def __init__(self, script: Script, *, outlives_client: bool = False, max_body: int | None = None) -> None:
        self.takers: list[Taker] = []
        self.fates: list[str] = []

        async def handler(request: Request, conduit: Conduit) -> object:
            taker = Taker(request, conduit)
            self.takers.append(taker)
            try:
                return await script(taker)
            except asyncio.CancelledError:
                self.fates.append("cancelled")
                raise
            finally:
                self.fates.append("over")

        self.router = Router()
        self.router.get("/")(lambda request: "ok")
        for method in ("GET", "POST"):
            route = Route(
                method,
                "/lent",
                handler,  # type: ignore[arg-type]
                takes_conduit=True,
                outlives_client=outlives_client,
                max_body=max_body,
            )
            self.router.add_route(route)

    @property
    def told(self) -> list[object]:
        """What the last taker was told."""
        return self.takers[-1].told


async def echo(taker: Taker) -> object:
    """Answer with the content when it is whole."""
    content = await taker.whole()
    taker.answer(content)
    return None


LENT = get("/lent")


def test_an_answer_of_its_own(serve: Serve) -> None:
    """What is written is sent as it is, and the connection goes on."""
    stage = Stage(echo)
    client = serve(stage.router).connect()
    for _ in range(3):
        client.send(LENT + get("/"))
        answer = client.read()

        assert (answer.status, answer.body, answer.get("connection")) == (200, b"", None)
        assert answer.get("date") is not None
        assert client.read().body == b"ok"
    assert stage.told == [("end", b"")]


def test_what_is_returned_is_the_answer(serve: Serve) -> None:
    """As of any handler, while nothing was begun."""

    async def script(taker: Taker) -> object:
        return 201, {"made": True}

    stage = Stage(script)
    client = serve(stage.router).connect()
    client.send(LENT + LENT + get("/"))

    assert [client.read().body for _ in range(3)] == [b'{"made":true}', b'{"made":true}', b"ok"]


def test_what_is_raised_is_answered(serve: Serve) -> None:
    """While nothing was begun: by the status of a client's fault, else 500 and a line in the log."""
    errors = [RemoteProtocolError("no", status=422), RuntimeError("on purpose")]

    async def script(taker: Taker) -> object:
        raise errors.pop(0)

    server = serve(Stage(script).router)
    client = server.connect()

    assert client.send(LENT).read().status == 422
    assert client.send(LENT).read().status == 500
    assert [event["event"] for event in server.events()].count("handler_failed") == 1


@pytest.mark.parametrize("ending", ["raises", "returns"])
def test_begun_and_not_finished_is_cut(serve: Serve, ending: str) -> None:
    """So that what was sent cannot look whole; an exception is logged."""

    async def script(taker: Taker) -> object:
        taker.conduit.begin()
        taker.conduit.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        if ending == "raises":
            raise RuntimeError("on purpose")
        return "this goes nowhere"

    server = serve(Stage(script).router)
    client = server.connect().send(LENT)
    try:
        rest = client.read_rest()
    except ConnectionResetError:
        rest = b""

    assert b"nowhere" not in rest
    server.wait_until(lambda: server.closed == 1)
    assert ("handler_failed" in [event["event"] for event in server.events()]) == (ending == "raises")


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


def test_room_is_told_when_all_is_sent(serve: Serve) -> None:
    """A slow client is waited for; what was written arrives whole."""
    size, pieces = 200_000, 60

    async def script(taker: Taker) -> object:
        conduit = taker.conduit
        conduit.begin()
        conduit.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size * pieces))
        for number in range(pieces):
            taker.told.clear()
            if not conduit.write(bytes([number]) * size):
                assert conduit.unsent > 0
                await taker.until(lambda: "room" in taker.told)
            assert conduit.unsent == 0
        conduit.finish(200, size * pieces)
        return None

    stage = Stage(script)
    server = serve(stage.router)
    client = server.connect().send(LENT)
    server.wait_until(lambda: stage.takers and stage.takers[0].conduit.unsent)
    answer = client.read()

    assert answer.body == b"".join(bytes([number]) * size for number in range(pieces))
    assert server.wire.statistics.bytes_sent > size * pieces


def test_a_client_that_does_not_read_is_cut(serve: Serve) -> None:
    """By the deadline of writing; whoever waits for room is told that it is gone."""

    async def script(taker: Taker) -> object:
        taker.conduit.begin()
        taker.conduit.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 50_000_000)
        await taker.until(lambda: "room" in taker.told)
        return None

    stage = Stage(script)
    server = serve(stage.router, timeouts={"write": 0.3})
    server.connect().send(LENT)
    server.wait_until(lambda: stage.fates == ["cancelled", "over"])

    assert stage.told == [("gone", "TransportError")]
    assert server.closed == 1


@pytest.mark.parametrize("count", [1, 1000, 3_000_000])
def test_files_are_sent(serve: Serve, count: int) -> None:
    """A part of a file between bytes; the descriptor stays open."""
    data = bytes(range(256)) * (count // 256 + 2)

    async def script(taker: Taker) -> object:
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            conduit = taker.conduit
            conduit.begin()
            conduit.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n<" % (count + 2))
            if not conduit.send_file(file.fileno(), 7, count):
                await taker.until(lambda: "room" in taker.told)
            conduit.write(b">")
            conduit.finish(200, count + 2)
            os.fstat(file.fileno())
        return None

    client = serve(Stage(script).router).connect()
    for _ in range(2):
        client.send(LENT + get("/"))

        assert client.read().body == b"<" + data[7 : 7 + count] + b">"
        assert client.read().body == b"ok"


def test_a_file_that_is_shorter_cuts(serve: Serve) -> None:
    """What was announced cannot be sent."""

    async def script(taker: Taker) -> object:
        with tempfile.TemporaryFile() as file:
            file.write(b"abc")
            file.flush()
            taker.conduit.begin()
            taker.conduit.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            taker.conduit.send_file(file.fileno(), 0, 10)
            await taker.until(lambda: taker.told)
        return None

    stage = Stage(script)
    server = serve(stage.router)
    server.connect().send(LENT)
    server.wait_until(lambda: server.closed == 1 and "over" in stage.fates)

    assert [kind for kind, _ in stage.told if kind == "gone"] == ["gone"]


def test_upgraded_bytes_come_as_they_are(serve: Serve) -> None:
    """Also those behind the head; the client's end is told, and finishing closes."""

    async def script(taker: Taker) -> object:
        conduit = taker.conduit
        conduit.begin()
        conduit.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
        conduit.upgrade()
        assert not conduit.keep_alive
        conduit.resume_reading()
        await taker.until(lambda: "left" in taker.told)
        conduit.write(b"<" + taker.content + b">")
        conduit.finish(101, len(taker.content))
        return None

    stage = Stage(script)
    server = serve(stage.router, timeouts={"body": 0.3, "idle": 0.3, "handler": 0.3})
    client = server.connect()
    client.send(request("GET /lent HTTP/1.1", "Connection: Upgrade", "Upgrade: x") + b"GET \r\n\r\n\x00")
    assert client._read_head().status == 101
    server.wait_until(lambda: stage.takers[0].content)
    client.expect_silence(0.8)  # no deadline runs
    client.send(b"\xffabc").end()

    assert client.read_rest() == b"<GET \r\n\r\n\x00\xffabc>"
    assert [told for told in stage.told if told != ("end", b"")] == ["left"]  # the request had no content


def test_a_half_closed_client_has_left_and_can_be_answered(serve: Serve) -> None:
    """It closes its side after the whole request."""

    async def script(taker: Taker) -> object:
        await taker.until(lambda: "left" in taker.told)
        return "still there"

    stage = Stage(script)
    client = serve(stage.router).connect().send(LENT)
    answer = client.end().read()

    assert answer.body == b"still there"
    client.expect_end()


@pytest.mark.parametrize("outlives", [False, True])
def test_a_client_that_is_gone_is_told(serve: Serve, outlives: bool) -> None:
    """Its handler is cancelled, unless it outlives the client; nothing it does then has any effect."""

    async def script(taker: Taker) -> object:
        try:
            await taker.until(lambda: outlives and taker.told)
        finally:
            conduit = taker.conduit
            conduit.resume_reading()
            conduit.begin()
            conduit.write(b"x")
            conduit.finish(200, 0)
            conduit.abort()
            assert conduit.unsent == 0
        return "nowhere"

    stage = Stage(script, outlives_client=outlives)
    server = serve(stage.router)
    client = server.connect().send(LENT)
    server.wait_until(lambda: stage.takers)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    server.wait_until(lambda: "over" in stage.fates)

    assert [told[0] for told in stage.told] == ["gone"]
    assert stage.fates == (["over"] if outlives else ["cancelled", "over"])
    server.wait_until(lambda: not server.wire.statistics.in_flight and not server.wire.connection_count())


def test_aborting_cuts(serve: Serve) -> None:
    """Whoever aborts is told that it is gone, with the reason."""

    async def script(taker: Taker) -> object:
        taker.conduit.begin()
        taker.conduit.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        taker.conduit.abort(KeyError("why"))
        await taker.until(lambda: taker.told)
        return None

    stage = Stage(script)
    server = serve(stage.router)
    server.connect().send(LENT)
    server.wait_until(lambda: server.closed == 1 and "over" in stage.fates)

    assert stage.told == [("gone", "KeyError")]


def test_a_finished_exchange_is_over_while_its_handler_goes_on(serve: Serve) -> None:
    """The connection serves the next request, and the handle is dead."""
    gate: list[asyncio.Event] = []

    async def script(taker: Taker) -> object:
        taker.answer(b"first")
        gate.append(asyncio.Event())
        await gate[-1].wait()
        taker.conduit.begin()
        taker.conduit.write(b"this goes nowhere")
        taker.conduit.abort()
        return "neither does this"

    stage = Stage(script)
    server = serve(stage.router)
    client = server.connect()
    for _ in range(2):
        assert client.send(LENT).read().body == b"first"
    server.call(lambda: [event.set() for event in gate])
    server.wait_until(lambda: stage.fates == ["over", "over"])

    assert client.send(get("/")).read().body == b"ok"
    assert server.wire.statistics.in_flight == 0


def test_interim_answers_before_the_answer(serve: Serve) -> None:
    """Written before it is begun."""

    async def script(taker: Taker) -> object:
        taker.conduit.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        assert not taker.conduit.is_begun
        return "after"

    client = serve(Stage(script).router).connect().send(LENT)

    assert client.read_informational().status == 103
    assert client.read().body == b"after"


def test_pipelined_requests_wait_for_their_turn(serve: Serve) -> None:
    """Whatever stands behind the content is served after it, with plain and lent requests mixed."""
    client = serve(Stage(echo).router).connect()
    client.send((post("/lent", b"abc") + get("/") + chunked("/lent", b"1\r\nd\r\n0\r\n\r\n")) * 5)

    assert [client.read().body for _ in range(15)] == [b"abc", b"ok", b"d"] * 5


def test_pipelined_requests_behind_a_client_that_has_ended(serve: Serve) -> None:
    """All are answered."""
    client = serve(Stage(echo).router).connect()
    client.send(post("/lent", b"abc") + LENT + get("/")).end()

    assert [client.read().body for _ in range(3)] == [b"abc", b"", b"ok"]
    client.expect_end()


@pytest.mark.parametrize("fields", [["Connection: close"], []])
def test_closing_is_up_to_both(serve: Serve, fields: list[str]) -> None:
    """The client, or whoever answers, wants the connection to end."""

    async def script(taker: Taker) -> object:
        taker.answer(b"x", keep_alive=bool(fields))
        return None

    client = serve(Stage(script).router).connect().send(get("/lent", *fields))
    answer = client.read()

    assert (answer.body, answer.get("connection")) == (b"x", "close")
    client.expect_end()


def test_a_drain_lets_it_finish_and_closes(serve: Serve) -> None:
    """An exchange that was lent is waited for."""
    gate: list[asyncio.Event] = []

    async def script(taker: Taker) -> object:
        gate.append(asyncio.Event())
        await gate[0].wait()
        taker.answer(b"last")
        return None

    server = serve(Stage(script).router)
    client = server.connect().send(LENT)
    server.wait_until(lambda: gate)
    server.call(server.wire.drain)
    server.call(lambda: gate[0].set())
    answer = client.read()

    assert (answer.body, answer.get("connection")) == (b"last", "close")
    client.expect_end()


def test_declared_content_that_is_too_large_never_gets_there(serve: Serve) -> None:
    """413 before the handler is called."""
    stage = Stage(echo, max_body=4)
    client = serve(stage.router).connect()

    assert client.send(post("/lent", b"abcde")).read().status == 413
    assert stage.takers == []


def test_a_sole_route_serves_everything(serve: Serve) -> None:
    """Every path and method, also one nobody knows."""

    async def handler(request: Request, conduit: Conduit) -> object:
        return f"{request.method} {request.target}"

    router = Router()
    router.sole_route = Route("*", "", handler, takes_conduit=True)  # type: ignore[arg-type]
    client = serve(router).connect()
    for line in ("GET /a?b", "FLY /x", "OPTIONS *", "POST /"):
        client.send(request(f"{line} HTTP/1.1"))

        assert client.read().body == line.encode()


def test_an_answer_is_counted_and_logged_when_it_is_finished(serve: Serve) -> None:
    """As any other."""
    server = serve(Stage(echo).router)
    client: Client = server.connect()
    client.send(post("/lent", b"abc")).read()
    server.wait_until(lambda: server.wire.statistics.requests == 1)

    assert server.wire.statistics.statuses[2] == 1
    assert server.wire.statistics.in_flight == 0
