"""ASGI applications on every engine, over real sockets; the events themselves are tested in tests/unit."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from rocket_sup.adapters.asgi import asgi_router
from rocket_sup.adapters.recognition import prepare
from rocket_sup.router import Router
from tests.conformance.server import Answer, Client, Server, chunked, get, post, request

Serve = Callable[..., Server]
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}


def body(content: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answer at once."""
    await send(START)
    await send(body(b"hello"))


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the content, piece by piece."""
    await send(START)
    while True:
        event = await receive()
        assert event["type"] == "http.request"
        await send(body(event["body"], more=True))
        if not event["more_body"]:
            await send(body())
            return


def read_head(client: Client, status: int = 200) -> Answer:
    """Read the head of an answer."""
    head = client._read_head()
    assert head.status == status
    return head


def take(client: Client, size: int) -> bytes:
    """Read so many bytes."""
    return client._take(size)


def read_line(client: Client) -> bytes:
    """Read up to the next CRLF."""
    line = b""
    while not line.endswith(b"\r\n"):
        line += take(client, 1)
    return line[:-2]


def read_chunks(client: Client, *, is_whole: bool = False) -> bytes:
    """Read an answer in chunks, and return its content.

    Args:
        is_whole: its head is still to be read.
    """
    if is_whole:
        read_head(client)
    content = b""
    while size := int(read_line(client), 16):
        content += take(client, size)
        assert read_line(client) == b""
    assert read_line(client) == b""
    return content


def read_until_cut(client: Client) -> bytes:
    """Read what comes before the connection ends, well or badly."""
    received = b""
    try:
        while piece := client.socket.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


@pytest.fixture
def talk(serve: Serve) -> Callable[..., Client]:
    """Serve an application, and connect to it."""

    def start(app: Callable[..., Awaitable[None]], **sections: Any) -> Client:
        return serve(asgi_router(app, lifespan="off"), **sections).connect()

    return start


def test_a_whole_answer(talk: Any) -> None:
    """Framed by us, on a connection that is kept; HEAD and pipelined requests, too."""
    client = talk(hello)

    for _ in range(2):
        answer = client.send(get()).read()
        assert (answer.status, answer.body) == (200, b"hello")
        assert answer.get("content-type") == "text/plain"
        assert answer.get("content-length") == "5"
        assert answer.get("date")
    client.send(get() * 3)
    assert [client.read().body for _ in range(3)] == [b"hello"] * 3
    head = client.send(request("HEAD / HTTP/1.1")).read(to="HEAD")
    assert head.get("content-length") == "5"
    client.send(request("GET / HTTP/1.0"))
    assert client.read().get("connection") == "close"
    client.expect_end()


@pytest.mark.parametrize(
    "line", ["GET /a%20b/%C3%A9?x=%20 HTTP/1.1", "PROPFIND * HTTP/1.1", "OPTIONS * HTTP/1.1"]
)
def test_the_scope_of_a_request(talk: Any, line: str) -> None:
    """Any method, any path: the application decides."""
    scopes = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await hello(scope, receive, send)

    client = talk(app)
    client.send(request(line, "X-One: 1", "x-ONE:  two "))
    status = client.read().status

    if line.startswith("PROPFIND"):
        assert status == 400
        return
    (scope,) = scopes
    assert scope["type"] == "http"
    assert scope["method"] == line.split()[0]
    assert scope["http_version"] == "1.1"
    assert scope["headers"] == [(b"host", b"example.test"), (b"x-one", b"1"), (b"x-one", b"two")]
    assert scope["client"] == client.socket.getsockname()
    if line.startswith("GET"):
        assert scope["path"] == "/a b/é"
        assert scope["raw_path"] == b"/a%20b/%C3%A9"
        assert scope["query_string"] == b"x=%20"


def test_a_method_nobody_knows(talk: Any) -> None:
    """It is the application's business."""
    assert talk(hello).send(request("FLY / HTTP/1.1")).read().status == 200


def test_content_is_received_whole_or_in_pieces(talk: Any) -> None:
    """With a length and in chunks; then the connection goes on."""
    client = talk(echo)

    client.send(post("/", b"abc"))
    assert read_chunks(client, is_whole=True) == b"abc"
    client.send(chunked("/", b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"))
    assert read_chunks(client, is_whole=True) == b"abc"
    client.send(get())
    assert read_chunks(client, is_whole=True) == b""


def test_content_and_answer_flow_at_once(talk: Any) -> None:
    """What was received is answered before the rest was sent."""
    client = talk(echo)

    client.send(request("POST / HTTP/1.1", "Content-Length: 6")).send(b"abc")
    read_head(client)
    assert read_line(client) == b"3"
    assert take(client, 5) == b"abc\r\n"
    client.send(b"def")
    assert read_chunks(client) == b"def"


def test_content_of_a_megabyte_comes_back(talk: Any) -> None:
    """While both sides are held back and let go."""
    client = talk(echo, server={"max_body": 2_000_000})
    content = os.urandom(1_000_000)

    sending = threading.Thread(target=client.send, args=(post("/", content),))
    sending.start()
    received = read_chunks(client, is_whole=True)
    sending.join()

    assert received == content


def test_continue_is_sent_when_the_application_receives(talk: Any) -> None:
    """Not before; and not at all when it does not."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/take":
            await receive()
        await hello(scope, receive, send)

    client = talk(app)
    client.send(request("POST /take HTTP/1.1", "Content-Length: 3", "Expect: 100-continue"))
    assert client.read_informational().status == 100
    client.send(b"abc")
    assert client.read().status == 200
    client.send(request("POST /leave HTTP/1.1", "Content-Length: 3", "Expect: 100-continue"))
    assert client.read().status == 200


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [START],
        [START, START],
        [body(b"x")],
        [{**START, "headers": [(b"a", b"b\r\nc: d")]}],
        [{"type": "no"}],
    ],
)
def test_an_application_that_misbehaves(serve: Serve, messages: list[dict[str, Any]]) -> None:
    """500 and a line in the log, whatever it has sent so far; the connection goes on."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    server = serve(asgi_router(app))
    client = server.connect()

    for _ in range(2):
        assert client.send(get()).read().status == 500
    assert [event["event"] for event in server.events()].count("handler_failed") == 2


def test_a_failure_in_the_midst_of_an_answer_cuts_it(serve: Serve) -> None:
    """So that it cannot look whole."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"begun", more=True))
        raise ValueError("on purpose")

    server = serve(asgi_router(app))

    received = read_until_cut(server.connect().send(get()))

    assert not received.endswith(b"0\r\n\r\n")
    server.wait_until(lambda: not server.wire.connection_count())
    (event,) = [event for event in server.events() if event["event"] == "handler_failed"]
    assert event["error"] == "ValueError: on purpose"


def test_an_answer_of_the_wrong_length_is_cut(serve: Serve) -> None:
    """Too short is as bad as too long."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [(b"content-length", b"5")]})
        await send(body(b"abc", more=True))
        await send(body())

    server = serve(asgi_router(app))

    received = read_until_cut(server.connect().send(get()))

    assert received == b"" or received.endswith(b"\r\n\r\nabc")
    server.wait_until(lambda: not server.wire.connection_count())


def test_work_behind_the_answer(serve: Serve) -> None:
    """The client has its answer, and the connection serves on, while the application goes on."""
    done = asyncio.Event()
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await hello(scope, receive, send)
        if scope["path"] == "/work":
            await done.wait()
            ended.append(True)
        else:
            done.set()

    server = serve(asgi_router(app))
    client = server.connect()

    assert client.send(get("/work")).read().body == b"hello"
    assert ended == []
    assert client.send(get("/")).read().body == b"hello"
    server.wait_until(lambda: ended)


def test_a_failure_of_work_behind_the_answer(serve: Serve) -> None:
    """The answer was given; the failure is in the log, and the connection goes on."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await hello(scope, receive, send)
        if scope["path"] == "/later":
            await asyncio.sleep(0)
        raise ValueError("late")

    server = serve(asgi_router(app))
    client = server.connect()

    for path in ("/", "/later"):
        assert client.send(get(path)).read().body == b"hello"
    server.wait_until(lambda: [event["event"] for event in server.events()].count("handler_failed") == 2)
    assert client.send(get()).read().body == b"hello"


def test_a_client_that_leaves_is_told_of(serve: Serve) -> None:
    """By an event to who receives, by an OSError to who sends; and nobody is cancelled."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.request"
        await send(START)
        await send(body(b"begun", more=True))
        seen.append((await receive())["type"])
        try:
            while True:
                await send(body(b"x" * 65536, more=True))
                await asyncio.sleep(0)
        except OSError:
            await asyncio.sleep(0)
            seen.append("OSError")

    server = serve(asgi_router(app))
    client = server.connect()
    read_head(client.send(get()))
    client.close()

    server.wait_until(lambda: len(seen) == 2)

    assert seen == ["http.disconnect", "OSError"]
    server.wait_until(lambda: not server.wire.connection_count())
    assert "handler_failed" not in [event["event"] for event in server.events()]


def test_a_client_that_does_not_read_holds_the_application_back(serve: Serve) -> None:
    """Memory stays flat; when it reads, everything comes."""
    sent = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [(b"content-length", b"32000000")]})
        for _ in range(32):
            await send(body(b"x" * 1_000_000, more=True))
            sent.append(1)
        await send(body())

    server = serve(asgi_router(app))
    client = server.connect()
    read_head(client.send(get()))
    server.wait_until(lambda: sent)
    assert len(sent) < 24
    left = 32_000_000 - len(client._received)
    while left:
        left -= len(client.socket.recv(1_000_000))
    server.wait_until(lambda: len(sent) == 32)


def test_several_pieces_have_one_framing(talk: Any) -> None:
    """Chunks; or, for HTTP/1.0, the end of the connection."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"one", more=True))
        await asyncio.sleep(0)
        await send(body(b"two"))

    client = talk(app)
    assert read_chunks(client.send(get()), is_whole=True) == b"onetwo"
    read_head(client.send(request("GET / HTTP/1.0")))
    assert client.read_rest() == b"onetwo"


def test_early_hints_and_trailers(talk: Any) -> None:
    """Before the answer, and behind it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert {"http.response.early_hint", "http.response.trailers"} <= scope["extensions"].keys()
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
        await send({**START, "trailers": True})
        await send(body(b"ok"))
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})

    client = talk(app)
    client.send(get("/", "TE: trailers"))

    hint = read_head(client, 103)
    assert hint.get("link") == "</a.css>; rel=preload"
    read_head(client)
    assert take(client, len(b"2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n")) == b"2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n"


def test_files_are_sent_by_the_server(talk: Any, tmp_path: Path) -> None:
    """By path, or from a descriptor, alone or between other content."""
    path = tmp_path / "file"
    content = os.urandom(300_000)
    path.write_bytes(content)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        if scope["path"] == "/path":
            await send({"type": "http.response.pathsend", "path": str(path)})
            return
        with path.open("rb") as file:
            part = {"type": "http.response.zerocopysend", "file": file}
            await send({**part, "offset": 1, "count": 200_000, "more_body": True})
            await send(body(b"and", more=True))
            await send({**part, "offset": 5, "count": 5})

    client = talk(app)

    for _ in range(2):
        assert client.send(get("/path")).read().body == content
        parts = content[1:200_001] + b"and" + content[5:10]
        assert read_chunks(client.send(get("/parts")), is_whole=True) == parts
    assert client.send(request("HEAD /path HTTP/1.1")).read(to="HEAD").get("content-length") == "300000"


def test_content_over_the_limit(talk: Any) -> None:
    """A length that says so is refused before the application is called; chunks when they are too many."""
    calls = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope["path"])
        while (event := await receive())["type"] == "http.request" and event["more_body"]:
            pass
        await hello(scope, receive, send)

    client = talk(app, server={"max_body": 10})
    assert client.send(post("/length", b"x" * 11)).read().status == 413
    assert calls == []


def test_chunks_over_the_limit(serve: Serve) -> None:
    """The client is told, though the application only hears that it has left."""
    events = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (event := await receive())["type"] == "http.request" and event["more_body"]:
            pass
        events.append(event["type"])

    server = serve(asgi_router(app), server={"max_body": 10})
    client = server.connect()
    client.send(chunked("/", b"5\r\nabcde\r\n6\r\nabcdef\r\n0\r\n\r\n"))

    assert client.read().status == 413
    client.expect_end()
    server.wait_until(lambda: events == ["http.disconnect"])


def test_the_application_closes_the_connection(talk: Any) -> None:
    """By saying so; other fields of the connection are ours."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"connection", b"close"), (b"transfer-encoding", b"chunked"), (b"x", b"y")]
        await send({**START, "headers": headers})
        await send(body(b"bye"))

    client = talk(app)
    answer = client.send(get()).read()

    assert answer.get("connection") == "close"
    assert answer.get("transfer-encoding") is None
    assert answer.get("x") == "y"
    client.expect_end()


def test_each_request_has_a_context_of_its_own(talk: Any) -> None:
    """A context variable of one is not seen by the next."""
    seen = []
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(variable.get())
        variable.set(1)
        await asyncio.sleep(0)
        assert variable.get() == 1
        await hello(scope, receive, send)

    client = talk(app)
    for _ in range(3):
        client.send(get()).read()

    assert seen == [0, 0, 0]


def test_timeouts_find_their_task(talk: Any) -> None:
    """Of asyncio, from the first step on."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            await hello(scope, receive, send)

    assert talk(app).send(get()).read().body == b"hello"


def test_an_application_that_is_too_slow(serve: Serve) -> None:
    """503 at the handlers' deadline; it is told, and what it comes to then goes nowhere."""
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            while (await receive())["type"] != "http.disconnect":
                pass
            ended.append(True)
        await hello(scope, receive, send)

    server = serve(asgi_router(app), timeouts={"handler": 0.2})
    client = server.connect()

    assert client.send(get("/slow")).read().status == 503
    server.wait_until(lambda: ended)
    assert server.connect().send(get()).read().body == b"hello"
    assert "handler_failed" not in [event["event"] for event in server.events()]


# --- WebSockets


def upgrade(target: str = "/", *fields: str) -> bytes:
    """Ask for a WebSocket."""
    return get(
        target,
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *fields,
    )


def frame(opcode: int, payload: bytes) -> bytes:
    """Write a short frame as a client does, under a mask of zeros."""
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def read_frame(client: Client) -> tuple[int, bytes]:
    """Read a short frame of the server."""
    head = take(client, 2)
    return head[0] & 0x0F, take(client, head[1])


async def conversation(scope: Any, receive: Any, send: Any) -> None:
    """Send back what comes, until the client says goodbye."""
    assert scope["type"] == "websocket"
    assert (await receive())["type"] == "websocket.connect"
    subprotocol = scope["subprotocols"][0] if scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": [(b"x-one", b"1")]})
    while (event := await receive())["type"] == "websocket.receive":
        if event.get("text") == "bye":
            await send({"type": "websocket.close", "code": 3001, "reason": "asked"})
        else:
            await send({**event, "type": "websocket.send"})
    scope["state"]["ended"].append((event["code"], event["reason"]))


def test_a_conversation(serve: Serve) -> None:
    """Text and bytes, in both directions, to the client's goodbye."""
    ended: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["ended"] = ended
        await conversation(scope, receive, send)

    server = serve(asgi_router(app))
    client = server.connect()
    answer = read_head(client.send(upgrade("/", "Sec-WebSocket-Protocol: one, two")), 101)

    assert answer.get("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert answer.get("sec-websocket-protocol") == "one"
    assert answer.get("x-one") == "1"
    for kind, content in ((1, "é".encode()), (2, b"\0")):
        client.send(frame(kind, content))
        assert read_frame(client) == (kind, content)
    client.send(frame(8, (3000).to_bytes(2, "big") + b"done"))
    assert read_frame(client)[0] == 8
    client.expect_end()
    server.wait_until(lambda: ended == [(3000, "done")])


def test_the_application_says_goodbye(serve: Serve) -> None:
    """With a code and a reason; the connection is closed when the client has answered."""
    ended: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["ended"] = ended
        await conversation(scope, receive, send)

    client = serve(asgi_router(app)).connect()
    read_head(client.send(upgrade()), 101)
    client.send(frame(1, b"bye"))

    assert read_frame(client) == (8, (3001).to_bytes(2, "big") + b"asked")
    client.send(frame(8, (3001).to_bytes(2, "big")))
    client.expect_end()


def test_a_client_that_vanishes_from_a_conversation(serve: Serve) -> None:
    """The application hears 1006, and what it sends is an OSError."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        seen.append((await receive())["code"])
        try:
            await send({"type": "websocket.send", "text": "x"})
        except OSError:
            seen.append("OSError")

    server = serve(asgi_router(app))
    client = server.connect()
    read_head(client.send(upgrade()), 101)
    client.close()

    server.wait_until(lambda: seen == [1006, "OSError"])


@pytest.mark.parametrize("path", ["/close", "/deny", "/fail", "/return"])
def test_a_handshake_that_is_refused(talk: Any, path: str) -> None:
    """By 403, by the application's own answer, or because it failed."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert "websocket.http.response" in scope["extensions"]
        await receive()
        if scope["path"] == "/close":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["path"] == "/deny":
            denial = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x", b"y")]}
            await send(denial)
            await send({"type": "websocket.http.response.body", "body": b"who", "more_body": True})
            await send({"type": "websocket.http.response.body", "body": b"?"})
        elif scope["path"] == "/fail":
            raise ValueError("on purpose")

    answer = talk(app).send(upgrade(path)).read()

    expected = {"/close": 403, "/deny": 401, "/fail": 500, "/return": 500}
    assert answer.status == expected[path]
    if path == "/deny":
        assert (answer.body, answer.get("x")) == (b"who?", "y")


def test_a_failure_in_a_conversation(talk: Any) -> None:
    """It ends with 1011."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        raise ValueError("on purpose")

    client = talk(app)
    read_head(client.send(upgrade()), 101)

    kind, content = read_frame(client)
    assert (kind, int.from_bytes(content[:2], "big")) == (8, 1011)


# --- mounted


async def show(scope: Any, receive: Any, send: Any) -> None:
    """Say where it is mounted, and what was asked for."""
    await send(START)
    await send(body(f"{scope['root_path']} {scope['path']}".encode()))


def wsgi_show(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The same for WSGI."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode("latin-1")]


def test_mounted_applications(serve: Serve) -> None:
    """Routes first, then the longest prefix, for any method; and what is below no prefix is not found."""
    app, inner = Router(), Router()
    app.get("/old/own")(lambda request: "own")
    app.mount("/old", show)
    app.mount("/old/wsgi", wsgi_show)
    app.mount("/in", inner)
    inner.get("/items/:id")(lambda request: request.path_params["id"])
    client = serve(prepare(app)).connect()

    for line, status, content in (
        ("GET /old/own", 200, b"own"),
        ("POST /old/own", 200, b"/old /old/own"),
        ("GET /old/x%20y", 200, b"/old /old/x y"),
        ("FLY /old", 200, b"/old /old"),
        ("GET /old/wsgi/x", 200, b"/old/wsgi /x"),
        ("GET /in/items/7", 200, b"7"),
        ("GET /older", 404, None),
        ("FLY /", 501, None),
    ):
        answer = client.send(request(f"{line} HTTP/1.1")).read()
        assert (line, answer.status) == (line, status)
        assert content in (None, answer.body)
