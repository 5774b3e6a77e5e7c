"""Middleware, error pages and trailing slashes over a real socket, on every engine."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

from rocket_sup.adapters.recognition import Interface, prepare
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.hooks import Deadlines
from rocket_sup.middleware import CallNext
from rocket_sup.request import Request
from rocket_sup.response import Response
from rocket_sup.router import Router
from rocket_sup.websocket import WebSocket
from tests.conformance.server import Answer, Client, Server
from tests.conformance.wsclient import Socket

Serve = Callable[..., Server]
Steps = Generator[None, Response, object]


def ask(client: Client, target: str, method: str = "GET", *fields: str, body: str = "") -> Answer:
    """Send one request."""
    length = [f"Content-Length: {len(body)}"] if body or method == "POST" else []
    lines = "".join(f"{field}\r\n" for field in ["Host: a", *length, *fields])
    client.send(f"{method} {target} HTTP/1.1\r\n{lines}\r\n{body}".encode())
    return client.read(to=method)


class TeapotError(Exception):
    """Of the application."""


def application(**options: object) -> Router:
    """Handlers of each kind, and what goes wrong."""
    app = Router(**options)  # type: ignore[arg-type]  # the tests name them

    @app.get("/plain")
    def plain(req: Request) -> str:
        return "plain"

    @app.get("/async")
    async def soon(req: Request) -> tuple[int, str, dict[str, str]]:
        return 201, "async", {"X-Own": "1"}

    @app.get("/returns-coroutine")
    def later(req: Request) -> object:
        return soon(req)

    @app.get("/thread", blocking=True)
    def in_thread(req: Request) -> str:
        return str(threading.current_thread().name)

    @app.post("/echo")
    def echo(req: Request) -> bytes:
        return req.body

    @app.get("/fail")
    def fail(req: Request) -> str:
        raise ValueError("broken on purpose")

    @app.get("/teapot")
    async def teapot(req: Request) -> str:
        raise TeapotError("short and stout")

    @app.get("/gone")
    def gone(req: Request) -> str:
        raise RemoteProtocolError("no more", status=410)

    @app.get("/slash/")
    def slash(req: Request) -> str:
        return req.path

    @app.get("/items/:id")
    def item(req: Request) -> dict[str, str]:
        return req.path_params

    return app


# -- middleware


@pytest.fixture(params=["generator", "coroutine"])
def tagged(request: pytest.FixtureRequest, serve: Serve) -> Client:
    """A server whose every answer is tagged, in one way or the other."""
    app = application()
    if request.param == "generator":

        @app.middleware
        def tag(req: Request) -> Steps:
            response = yield
            response.headers["X-Tag"] = req.path

    else:

        @app.middleware
        async def tag_async(req: Request, call_next: CallNext) -> Response:
            response = await call_next(req)
            response.headers["X-Tag"] = req.path
            return response

    return serve(app).connect()


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [
        ("/plain", 200, b"plain"),
        ("/async", 201, b"async"),
        ("/returns-coroutine", 201, b"async"),
        ("/items/7", 200, b'{"id":"7"}'),
        ("/nowhere", 404, b"404 Not Found: nothing is here (RFC 9110 \xc2\xa715.5.5)\n"),
    ],
)
def test_middleware_sees_every_answer(tagged: Client, target: str, status: int, body: bytes) -> None:
    """Also the one for a path without a route; the connection goes on."""
    for _ in range(2):
        answer = ask(tagged, target)
        assert (status, body, target) == (answer.status, answer.body, answer.get("x-tag"))


def test_middleware_is_around_threads_content_head_and_wrong_methods(tagged: Client) -> None:
    """Whatever kind of handler, and none."""
    assert "/thread" == ask(tagged, "/thread").get("x-tag")
    assert (b"x", "/echo") == ((echo := ask(tagged, "/echo", "POST", body="x")).body, echo.get("x-tag"))
    head = ask(tagged, "/plain", "HEAD")
    assert ("5", "/plain") == (head.get("content-length"), head.get("x-tag"))
    wrong = ask(tagged, "/echo")
    assert (405, "OPTIONS, POST", "/echo") == (wrong.status, wrong.get("allow"), wrong.get("x-tag"))
    assert (204, "/echo") == ((asked := ask(tagged, "/echo", "OPTIONS")).status, asked.get("x-tag"))


def test_middleware_nests_in_the_order_of_registration(serve: Serve) -> None:
    """The first is the outermost; a coroutine between generators; context variables reach the handler."""
    app = Router()
    order: list[str] = []
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user")

    @app.middleware
    def first(req: Request) -> Steps:
        order.append("first")
        yield
        order.append("first after")

    @app.middleware
    async def second(req: Request, call_next: CallNext) -> Response:
        order.append("second")
        user.set("alice")
        response = await call_next(req)
        order.append("second after")
        return response

    @app.middleware
    def third(req: Request) -> Steps:
        order.append("third")
        yield
        order.append("third after")

    @app.get("/")
    def handler(req: Request) -> str:
        return user.get()

    @app.get("/thread", blocking=True)
    def in_thread(req: Request) -> list[str]:
        return [user.get(), str(threading.current_thread() is threading.main_thread())]

    client = serve(app).connect()
    assert b"alice" == ask(client, "/").body
    expected = ["first", "second", "third", "third after", "second after", "first after"]
    assert expected == order
    assert b'["alice","False"]' == ask(client, "/thread").body


def test_middleware_may_answer_replace_and_handle(serve: Serve) -> None:
    """Without the handler, instead of its answer, instead of what it raised."""
    app = application()

    @app.middleware
    def judge(req: Request) -> Steps:
        if req.path == "/plain":
            return 403, "not for you"
        try:
            yield
        except TeapotError as error:
            return 418, str(error)
        if req.path == "/async":
            return "instead"
        return None

    client = serve(app).connect()
    assert (403, b"not for you") == ((plain := ask(client, "/plain")).status, plain.body)
    assert (418, b"short and stout") == ((pot := ask(client, "/teapot")).status, pot.body)
    assert (200, b"instead") == ((other := ask(client, "/async")).status, other.body)
    assert 500 == ask(client, "/fail").status


def test_what_middleware_raises_is_a_failure(serve: Serve) -> None:
    """Of the application, as if the handler had raised it."""
    app = application()

    @app.middleware
    def broken(req: Request) -> Steps:
        yield
        yield

    server = serve(app)
    assert 500 == ask(server.connect(), "/plain").status
    assert "handler_failed" in [event["event"] for event in server.events()]


# -- error pages


def paged() -> Router:
    """An application with pages."""
    app = application()

    @app.error_page(404)
    def not_found(req: Request, error: Exception) -> Response:
        return Response.html(f"<h1>{req.path}</h1>", 404)

    @app.error_page(405)
    def wrong_method(req: Request, error: Exception) -> str:
        return "another method, please"

    @app.error_page(500)
    def failed(req: Request, error: Exception) -> dict[str, str]:
        return {"error": type(error).__name__}

    @app.error_page(TeapotError)
    def teapot(req: Request, error: Exception) -> tuple[int, str]:
        return 418, str(error)

    @app.error_page(410)
    def broken(req: Request, error: Exception) -> str:
        raise RuntimeError("the page itself")

    return app


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [
        ("/nowhere", 404, b"<h1>/nowhere</h1>"),
        ("/echo", 405, b"another method, please"),
        ("/fail", 500, b'{"error":"ValueError"}'),
        ("/teapot", 418, b"short and stout"),
        ("/gone", 500, "500 Internal Server Error: the application failed (RFC 9110 §15.6.1)\n".encode()),
    ],
)
def test_error_pages(serve: Serve, target: str, status: int, body: bytes) -> None:
    """By status and by class; a page that fails leaves the answer to the server."""
    answer = ask(serve(paged()).connect(), target)

    assert (status, body) == (answer.status, answer.body)


def test_a_page_for_a_class_is_no_failure(serve: Serve) -> None:
    """What is expected is not logged; what becomes a 500 is, page or not."""
    server = serve(paged())
    client = server.connect()
    ask(client, "/teapot")
    assert [] == [event for event in server.events() if event["event"] == "handler_failed"]

    ask(client, "/fail")

    assert 1 == len([event for event in server.events() if event["event"] == "handler_failed"])


def test_wrong_methods_still_say_which_are_right(serve: Serve) -> None:
    """The page gives the content, the table gives the field."""
    assert "OPTIONS, POST" == ask(serve(paged()).connect(), "/echo").get("allow")


# -- trailing slashes


def test_trailing_slashes_count(serve: Serve) -> None:
    """Unless something else is said."""
    client = serve(application()).connect()

    assert [404, 404, 404] == [ask(client, path).status for path in ("/slash", "/plain/", "/items/7/")]


def test_trailing_slashes_redirect(serve: Serve) -> None:
    """To the one that has a route, with method and query; never to another host."""
    app = application(trailing_slash="redirect")

    @app.get("/**/edit")
    def edit(req: Request) -> str:
        return "edit"

    client = serve(app).connect()
    for path, location in (
        ("/slash", "/slash/"),
        ("/plain/?a=b", "/plain?a=b"),
        ("/items/a%20b/", "/items/a%20b"),
    ):
        answer = ask(client, path)
        assert (308, location) == (answer.status, answer.get("location"))
    assert b"edit" == ask(client, "//evil.example/edit").body
    assert 404 == ask(client, "//evil.example/edit/").status
    assert [404, 404] == [ask(client, path).status for path in ("/", "/nowhere/")]
    assert 405 == ask(client, "/plain/", "POST").status


def test_trailing_slashes_are_ignored(serve: Serve) -> None:
    """Both have the same handler, which sees the path as it was sent."""
    client = serve(application(trailing_slash="ignore")).connect()

    assert b"/slash" == ask(client, "/slash").body
    assert b'{"id":"7"}' == ask(client, "/items/7/").body
    assert (405, "GET, HEAD, OPTIONS") == (
        (wrong := ask(client, "/plain/", "POST")).status,
        wrong.get("allow"),
    )


def test_middleware_of_a_mounted_router_is_its_own(serve: Serve) -> None:
    """Inside that of the outer one, around its routes and its fallback, and nothing else."""
    inner, outer = application(), application()

    @inner.fallback
    def nothing(req: Request) -> tuple[int, str]:
        return 404, "inner"

    def tag(name: str) -> Callable[[Request], Steps]:
        def mark(req: Request) -> Steps:
            response = yield
            response.headers["X-Tag"] = f"{response.headers.get('X-Tag', '')}{name}"

        return mark

    inner.middleware(tag("i"))
    outer.middleware(tag("o"))
    outer.mount("/in", inner)
    client = serve(outer).connect()

    assert "o" == ask(client, "/plain").get("x-tag")
    assert "io" == ask(client, "/in/plain").get("x-tag")
    assert (b"inner", "io") == ((lost := ask(client, "/in/lost")).body, lost.get("x-tag"))


def test_middleware_is_around_streams(serve: Serve) -> None:
    """Content in pieces, both ways: the fields can be changed, the content flows on."""
    app = Router()

    @app.middleware
    def tag(req: Request) -> Steps:
        response = yield
        response.headers["X-Tag"] = "tagged"

    @app.post("/echo", stream=True)
    async def echo(req: Request) -> Response:
        return Response.stream(req.stream(), length=int(req.get_header("content-length", "0")))

    @app.get("/pieces")
    def pieces(req: Request) -> Response:
        return Response.stream(iter([b"a", b"b"]), length=2)

    client = serve(app).connect()
    assert (b"hello", "tagged") == (
        (sent := ask(client, "/echo", "POST", body="hello")).body,
        sent.get("x-tag"),
    )
    assert (b"ab", "tagged") == ((made := ask(client, "/pieces")).body, made.get("x-tag"))


# -- deadlines of one connection


@pytest.mark.slow
def test_a_connection_has_deadlines_of_its_own(serve: Serve) -> None:
    """Given by a setup hook, here to every other connection; the rest is as configured."""
    app = application()
    met: list[object] = []

    @app.on_connection_setup
    def hurry(client: object) -> Deadlines | None:
        met.append(client)
        return Deadlines(idle=0.3) if len(met) % 2 else None

    server = serve(app, timeouts={"idle": 30})
    for _ in range(2):
        hurried, calm = server.connect(), server.connect()
        assert b"plain" == ask(hurried, "/plain").body
        assert b"plain" == ask(calm, "/plain").body
        hurried.expect_end()
        assert b"plain" == ask(calm, "/plain").body
    assert "hook_failed" not in [event["event"] for event in server.events()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("deadlines", "sent", "status"),
    [
        (Deadlines(first_byte=0.3), b"", None),
        (Deadlines(head=0.3), b"GET / HT", 408),
        (Deadlines(body=0.3), b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx", 408),
        (Deadlines(handler=0.3), b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n", 503),
    ],
)
def test_each_deadline_can_be_its_own(
    serve: Serve, deadlines: Deadlines, sent: bytes, status: int | None
) -> None:
    """What it means is what it means in the configuration, which has none here."""
    app = application()
    app.on_connection_setup(lambda client: deadlines)

    @app.get("/never")
    async def never(req: Request) -> None:
        await asyncio.get_running_loop().create_future()

    none = {"first_byte": 0, "head": 0, "body": 0, "handler": 0, "idle": 0}
    client = serve(app, timeouts=none).connect().send(sent)

    if status is not None:
        assert status == client.read().status
    client.expect_end()


def test_draining_reaches_connections_with_deadlines(serve: Serve) -> None:
    """They are as much part of the wire as others."""
    app = application()
    app.on_connection_setup(lambda client: Deadlines(idle=30))
    server = serve(app)
    client = server.connect()
    assert None is ask(client, "/plain").get("connection")

    server.call(server.wire.drain)

    client.expect_end()


# -- middleware around what answers by itself


@pytest.mark.parametrize("form", ["generator", "coroutine"])
def test_middleware_is_around_websockets_and_applications(serve: Serve, form: str) -> None:
    """It lets them through or answers instead; what they have begun goes on as they want it."""
    app = Router()
    seen: list[str] = []

    if form == "generator":

        @app.middleware
        def guard(req: Request) -> Steps:
            if req.get_header("x-key") is None:
                return 403, "no key"
            response = yield
            seen.append(req.path)
            response.headers["X-Tag"] = "tagged"
            return None

    else:

        @app.middleware
        async def guard_async(req: Request, call_next: CallNext) -> object:
            if req.get_header("x-key") is None:
                return 403, "no key"
            response = await call_next(req)
            seen.append(req.path)
            response.headers["X-Tag"] = "tagged"
            return response

    @app.websocket("/ws")
    async def echo(ws: WebSocket) -> None:
        async for message in ws:
            await ws.send(message)

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": scope["path"].encode()})

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["PATH_INFO"].encode()]

    app.mount("/asgi", asgi)
    app.mount("/wsgi", wsgi)
    server = serve(prepare(app, Interface(lifespan="off")))
    client = server.connect()

    assert b"/asgi/x" == ask(client, "/asgi/x", "GET", "X-Key: 1").body
    assert b"/x" == ask(client, "/wsgi/x", "GET", "X-Key: 1").body
    for path in ("/asgi/x", "/wsgi/x", "/ws"):
        assert 403 == ask(server.connect(), path).status
    socket = Socket(server.connect(), "X-Key: 1")
    assert (0x81, b"hello") == socket.send(0x1, b"hello").read()
    socket.send(0x8, b"\x03\xe8")
    assert (1000, "") == socket.read_close()
    server.wait_until(lambda: "/ws" in seen)  # the handler ends after the connection
    assert ["/asgi/x", "/wsgi/x", "/ws"] == seen
    assert [] == [event for event in server.events() if event["event"] == "handler_failed"]
