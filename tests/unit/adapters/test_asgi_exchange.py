"""The two channels of an ASGI application: what may be sent when, and what is received."""

from __future__ import annotations

import asyncio
import functools
import os
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from rocket_sup.adapters.asgi_exchange import ClientDisconnected
from rocket_sup.errors import LocalProtocolError, RemoteProtocolError
from tests.unit.adapters.asgistage import START, FakeConduit, request, serve, until


def body(content: Any = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


def start(*headers: tuple[bytes, bytes], status: Any = 200, **more: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def sender(*messages: dict[str, Any]) -> Any:
    """An application that only sends."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


def receiver(into: list[Any], times: int, *, answers: bool = True) -> Any:
    """An application that receives, then answers."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(times):
            into.append(await receive())
        if answers:
            await send(START)
            await send(body(b"ok"))

    return app


# --- sending


@pytest.mark.parametrize("content", [b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_bodies_are_bytes(content: Any) -> None:
    """Whatever object holds them."""
    answer = serve(sender(START, body(content)))

    assert answer is not None
    assert answer.body == b"abc"


def test_missing_keys_have_their_defaults() -> None:
    """No headers, no body, no more of it."""
    answer = serve(sender({"type": "http.response.start", "status": 200}, {"type": "http.response.body"}))

    assert answer is not None
    assert (answer.fields, answer.body) == (b"", b"")


@pytest.mark.parametrize(
    "messages",
    [
        [START, START],
        [body(b"x")],
        [START, body(b"x"), body(b"y")],
        [START, body(b"x"), START],
        [START, body(b"x", more=True), START],
        [START, {"type": "http.response.trailers"}],
        [START, {"type": "websocket.accept"}],
        [START, body(b"x", more=True), {"type": "http.response.pathsend", "path": "/x"}],
        [START, body("text")],
        [START, body(3)],
        [start(status=99)],
        [start(status=101)],
        [start(status=1000)],
        [start(status="200")],
        [start(("a", "b"))],  # type: ignore[arg-type]
        [start((b"content-length", b"2")), body(b"abc")],
        [start((b"content-length", b"4")), body(b"abc")],
    ],
)
def test_misuse_is_refused(messages: list[dict[str, Any]]) -> None:
    """It is the application's fault, and says what it was."""
    with pytest.raises(LocalProtocolError):
        serve(sender(*messages))


def test_what_the_application_says_about_the_connection_is_kept() -> None:
    """It may close it, and date its answer."""
    answer = serve(sender(start((b"connection", b"close"), (b"date", b"now")), body(b"x")))

    assert answer is not None
    assert (answer.closes, answer.has_date, answer.fields) == (True, True, b"date: now\r\n")


def test_a_status_may_be_a_member_of_an_enumeration() -> None:
    """As frameworks have it."""
    answer = serve(sender(start(status=HTTPStatus.NOT_FOUND), body()))

    assert answer is not None
    assert type(answer.status) is int


def test_what_has_no_content_has_a_length() -> None:
    """Of HEAD the one that GET would have; 304 and 204 send nothing, whatever the application does."""
    head = serve(sender(start((b"content-length", b"9")), body()), sent=request("HEAD / HTTP/1.1"))
    made = serve(sender(start(), body(b"four")), sent=request("HEAD / HTTP/1.1"))
    same = serve(sender(start((b"content-length", b"9"), status=304), body()))
    none = serve(sender(start(status=204), body(b"x")))

    assert head is not None
    assert made is not None
    assert same is not None
    assert none is not None
    assert (head.length, head.body) == (9, b"")
    assert made.length == 4
    assert same.status == 304
    assert none.body == b""


@pytest.mark.parametrize(
    ("sent", "messages", "written"),
    [
        (
            request(),
            [start(), body(b"ab", more=True), body(b"", more=True), body(b"c")],
            b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        ),
        (
            request(),
            [start((b"content-length", b"3")), body(b"ab", more=True), body(b"c")],
            b"Content-Length: 3\r\n\r\nabc",
        ),
        (
            request("GET / HTTP/1.0"),
            [start(), body(b"ab", more=True), body()],
            b"Connection: close\r\n\r\nab",
        ),
        (
            request("GET / HTTP/1.0"),
            [start((b"content-length", b"2")), body(b"ab", more=True), body()],
            b"Content-Length: 2\r\nConnection: keep-alive\r\n\r\nab",
        ),
        (request("HEAD / HTTP/1.1"), [start(), body(b"ab", more=True), body(b"c")], b"now\r\n\r\n"),
        (
            request("HEAD / HTTP/1.1"),
            [start((b"content-length", b"3")), body(b"", more=True), body()],
            b"Content-Length: 3\r\n\r\n",
        ),
        (request(), [start(status=204), body(b"", more=True), body()], b"now\r\n\r\n"),
        (
            request(),
            [start((b"connection", b"close")), body(b"a", more=True), body()],
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\na\r\n0\r\n\r\n",
        ),
        (
            request(),
            [start((b"date", b"then")), body(b"a", more=True), body()],
            b"HTTP/1.1 200 OK\r\ndate: then\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        ),
    ],
)
def test_pieces_are_framed(sent: Any, messages: list[dict[str, Any]], written: bytes) -> None:
    """By a length, by chunks, or by the end."""
    conduit = FakeConduit()

    assert serve(sender(*messages), conduit, sent) is None

    assert conduit.written.endswith(written)
    assert conduit.finished is not None


@pytest.mark.parametrize("pieces", [[b"ab", b"cd"], [b"a", b"b"]])
def test_pieces_have_to_be_as_long_as_was_said(pieces: list[bytes]) -> None:
    """Too long and too short; the engine cuts what was begun."""
    conduit = FakeConduit()

    with pytest.raises(LocalProtocolError, match="Content-Length"):
        serve(sender(start((b"content-length", b"3")), body(pieces[0], more=True), body(pieces[1])), conduit)

    assert conduit.finished is None


def test_sending_waits_for_room() -> None:
    """A client that does not read holds its producer back."""
    conduit = FakeConduit()
    conduit.has_room = False
    sent = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for number in range(3):
            await send(body(b"x", more=True))
            sent.append(number)
        await send(body())

    def has_written(pieces: int) -> bool:
        return conduit.written.count(b"\r\nx\r\n") >= pieces

    def has_sent(pieces: int) -> bool:
        return len(sent) >= pieces

    async def watch(conduit: FakeConduit) -> None:
        for goal in (1, 2, 3):
            await until(functools.partial(has_written, goal))
            for _ in range(3):
                await asyncio.sleep(0)
            assert len(sent) == goal - 1
            assert conduit.receiver is not None
            conduit.receiver.on_room()
            await until(functools.partial(has_sent, goal))

    serve(app, conduit, around=watch)

    assert conduit.finished == (200, 3, True)


def test_room_may_come_while_it_is_asked_for() -> None:
    """Then nobody waits."""

    class Hasty(FakeConduit):
        def write(self, data: bytes) -> bool:
            super().write(data)
            assert self.receiver is not None
            self.receiver.on_room()
            return False

    conduit = Hasty()

    serve(sender(START, body(b"a", more=True), body(b"b")), conduit)

    assert conduit.finished == (200, 2, True)


def test_a_client_that_leaves_ends_the_wait_for_room() -> None:
    """And whatever is sent afterwards."""
    conduit = FakeConduit()
    conduit.has_room = False
    failures = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for _ in range(2):
            try:
                await send(body(b"x", more=True))
            except ClientDisconnected as error:
                failures.append(error)

    async def leave(conduit: FakeConduit) -> None:
        await until(lambda: conduit.written)
        assert conduit.receiver is not None
        conduit.receiver.on_gone(None)

    serve(app, conduit, around=leave)

    assert len(failures) == 2
    assert conduit.finished is None


# --- extensions


def test_early_hints_are_interim_answers() -> None:
    """Before the answer, as often as they like; not to HTTP/1.0, which knows none."""
    hint = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>"]}
    expected = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nlink: </b.js>\r\n\r\n"
    modern, old = FakeConduit(), FakeConduit()

    serve(sender(hint, START, hint, body(b"x")), modern)
    serve(sender(hint, START, body(b"x")), old, request("GET / HTTP/1.0"))

    assert modern.written == 2 * expected
    assert old.written == b""


TRAILERS = [
    {"type": "http.response.trailers", "headers": [(b"a", b"1")], "more_trailers": True},
    {"type": "http.response.trailers", "headers": [(b"b", b"2")]},
]


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        (request("GET / HTTP/1.1", "TE: gzip, Trailers"), b"\r\n2\r\nok\r\n0\r\na: 1\r\nb: 2\r\n\r\n"),
        (request("GET / HTTP/1.1", "TE: gzip"), b"Content-Length: 2\r\n\r\nok"),
        (request(), b"Content-Length: 2\r\n\r\nok"),
        (request("GET / HTTP/1.0", "TE: trailers"), b"Content-Length: 2\r\nConnection: keep-alive\r\n\r\nok"),
    ],
)
def test_trailers_are_for_who_reads_them(sent: Any, written: bytes) -> None:
    """They need chunks; who does not ask for them gets the application's own framing."""
    conduit = FakeConduit()

    serve(sender(start((b"content-length", b"2"), trailers=True), body(b"ok"), *TRAILERS), conduit, sent)

    assert conduit.written.endswith(written)
    assert conduit.finished == (200, 2, True)


def test_trailers_that_never_come() -> None:
    """They were promised."""
    with pytest.raises(LocalProtocolError, match="without completing"):
        serve(sender(start(trailers=True), body(b"ok")))


def test_a_file_by_its_path(tmp_path: Path) -> None:
    """The server opens it, and says how long it is."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    conduit = FakeConduit()

    serve(sender(START, {"type": "http.response.pathsend", "path": str(path)}), conduit)

    assert conduit.written.endswith(b"Content-Length: 7\r\n\r\n<file>")
    assert conduit.files == [(0, 7)]
    assert conduit.finished == (200, 7, True)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Nothing was begun."""
    conduit = FakeConduit()

    with pytest.raises(FileNotFoundError):
        serve(sender(START, {"type": "http.response.pathsend", "path": str(tmp_path / "no")}), conduit)

    assert not conduit.is_begun


def test_parts_of_an_open_file(tmp_path: Path) -> None:
    """From where it stands or from an offset, all or some of it, between other pieces."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    conduit = FakeConduit()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        zero_copy = {"type": "http.response.zerocopysend", "more_body": True}
        with path.open("rb") as file:
            os.lseek(file.fileno(), 2, os.SEEK_SET)
            await send(START)
            await send({**zero_copy, "file": file, "count": 3})
            await send({**zero_copy, "file": file.fileno(), "offset": 1, "count": 1})
            await send(body(b"and", more=True))
            await send({**zero_copy, "file": file, "more_body": False})

    serve(app, conduit)

    assert conduit.files == [(2, 3), (1, 1), (5, 5)]
    assert conduit.written.endswith(b"3\r\n<file>\r\n1\r\n<file>\r\n3\r\nand\r\n5\r\n<file>\r\n0\r\n\r\n")


def test_files_wait_for_room(tmp_path: Path) -> None:
    """Nothing may be written behind a file before it is sent."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    conduit = FakeConduit()
    conduit.has_room = False

    async def make_room(conduit: FakeConduit) -> None:
        await until(lambda: conduit.files)
        assert conduit.finished is None
        assert conduit.receiver is not None
        conduit.receiver.on_room()

    serve(sender(START, {"type": "http.response.pathsend", "path": str(path)}), conduit, around=make_room)

    assert conduit.finished == (200, 7, True)


def test_nothing_of_a_file_is_sent_where_there_is_no_content(tmp_path: Path) -> None:
    """HEAD has its length."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    conduit = FakeConduit()

    serve(
        sender(START, {"type": "http.response.pathsend", "path": str(path)}),
        conduit,
        request("HEAD / HTTP/1.1"),
    )

    assert conduit.files == []
    assert conduit.written.endswith(b"Content-Length: 7\r\n\r\n")


def test_debugging_is_not_for_servers() -> None:
    """The event is taken, and forgotten."""
    assert serve(sender({"type": "http.response.debug", "info": {}}, START, body(b"x"))) is not None


# --- receiving


def test_without_content_there_is_one_event() -> None:
    """It comes at once."""
    seen: list[Any] = []

    serve(receiver(seen, 1))

    assert seen == [{"type": "http.request", "body": b"", "more_body": False}]


def test_content_comes_as_it_is_taken() -> None:
    """What has come is one event; the client is held back when nobody takes it."""
    large = b"x" * 40_000
    conduit = FakeConduit(large, large, large)
    seen: list[Any] = []

    serve(receiver(seen, 2), conduit)

    assert [(len(event["body"]), event["more_body"]) for event in seen] == [(80_000, True), (40_000, False)]
    assert conduit.reading == [True, False, True]


def test_after_the_content_receiving_waits_for_the_end() -> None:
    """Several tasks may."""
    conduit = FakeConduit(b"x")
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting = [asyncio.ensure_future(receive()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting.pop().cancel()
        await asyncio.sleep(0)
        assert not waiting[0].done()
        await send(START)
        await send(body(b"ok"))
        seen.append(await waiting[0])
        seen.append(await receive())

    serve(app, conduit)

    assert seen == [{"type": "http.disconnect"}] * 2
    assert conduit.finished == (200, 2, True)


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_client_that_closes_its_side(is_kept: bool) -> None:
    """It has left, unless it had said that it would send nothing more; its answer is written all the same."""
    conduit = FakeConduit()
    conduit.keep_alive = is_kept
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        conduit.receiver.on_left()  # type: ignore[union-attr]
        waiting = asyncio.ensure_future(receive())
        for _ in range(3):
            await asyncio.sleep(0)
        seen.append(waiting.done())
        await send(START)
        await send(body(b"ok"))
        await waiting
        await asyncio.sleep(0)

    serve(app, conduit)

    assert seen == [is_kept]
    assert conduit.finished == (200, 2, is_kept)


def test_a_client_that_is_gone() -> None:
    """Receiving says so, and an application that gives up has not failed."""
    conduit = FakeConduit()
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        conduit.receiver.on_gone(None)  # type: ignore[union-attr]
        seen.append(await receive())

    assert serve(app, conduit) is None
    assert seen == [{"type": "http.disconnect"}]


def test_content_that_will_never_be_whole() -> None:
    """The client is told why; the application that it has left."""
    conduit = FakeConduit(b"x", error=RemoteProtocolError("too much", status=413))
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(await receive())
        await send(START)

    serve(app, conduit)

    assert seen == [{"type": "http.disconnect"}]
    assert conduit.written.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close\r\n" in conduit.written
    assert conduit.finished is not None
    assert conduit.finished[2] is False


def test_content_that_fails_behind_the_beginning_of_the_answer() -> None:
    """What was begun cannot be replaced."""
    conduit = FakeConduit(error=RemoteProtocolError("bad"))
    failures = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"x", more=True))
        assert (await receive())["type"] == "http.disconnect"
        try:
            await send(body(b"y"))
        except OSError as error:
            failures.append(error)

    serve(app, conduit)

    assert len(failures) == 1
    assert conduit.finished is None
