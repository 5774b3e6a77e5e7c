"""The conduit: what whoever takes an exchange over is promised by every engine (`rocket_sup/conduit.py`)."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import tempfile

import pytest

from rocket_sup.conduit import Conduit
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.request import Request
from rocket_sup.router import Route, Router
from tests.conformance.lent import LENT, Serve, Stage, Taker, echo
from tests.conformance.server import Client, chunked, get, post, request


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
