"""The clients: an application of each kind, in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import pytest

from rocket_sup.errors import ApplicationError, WebSocketClosed
from rocket_sup.request import Request
from rocket_sup.response import Response
from rocket_sup.router import Router
from rocket_sup.testing import ApplicationFailed, AsyncTestClient, TestClient
from rocket_sup.websocket import WebSocket


def make_app() -> Router:
    """Some routes."""
    app = Router()

    @app.get("/hello/:name")
    def hello(request: Request) -> str:
        return f"hello {request.path_params['name']}"

    @app.route("/see", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def see(request: Request) -> dict[str, Any]:
        return {
            "method": request.method,
            "target": request.target,
            "type": request.get_header("content-type"),
            "host": request.host,
            "x": request.get_header("x-one"),
            "body": request.body.decode(),
        }

    @app.get("/fails")
    def fails(request: Request) -> str:
        raise ValueError("on purpose")

    @app.get("/thread", blocking=True)
    def thread(request: Request) -> str:
        return str(threading.current_thread() is threading.main_thread())

    @app.get("/later")
    async def later(request: Request) -> str:
        await asyncio.sleep(0)
        return "later"

    @app.get("/pieces")
    async def pieces(request: Request) -> Response:
        async def make() -> AsyncIterator[bytes]:
            for number in range(3):
                await asyncio.sleep(0)
                yield b"%d" % number

        return Response.stream(make())

    @app.get("/close")
    def close(request: Request) -> Response:
        return Response("bye", headers={"Connection": "close"})

    @app.websocket("/ws")
    async def echo(socket: WebSocket) -> None:
        async for message in socket:
            await socket.send(message)

    return app


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A client of them."""
    with TestClient(make_app(), headers={"X-One": "1"}) as client:
        yield client


def test_a_request_and_its_answer(client: TestClient) -> None:
    """By the names that other clients have for it."""
    answer = client.get("/hello/you")

    assert (answer.status, answer.status_code, answer.text) == (200, 200, "hello you")
    assert answer.is_success
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
def test_each_method_has_its_name(client: TestClient, method: str) -> None:
    """And the fields of every request."""
    seen = getattr(client, method)("/see").json()

    assert (seen["method"], seen["x"], seen["host"]) == (method.upper(), "1", "testserver")


def test_head_has_no_content(client: TestClient) -> None:
    """And the connection goes on."""
    answer = client.head("/hello/you")

    assert (answer.headers["content-length"], answer.content) == ("9", b"")
    assert client.get("/hello/me").text == "hello me"


@pytest.mark.parametrize(
    ("parts", "kind", "body"),
    [
        ({"content": b"abc"}, None, "abc"),
        ({"content": "abc"}, None, "abc"),
        ({"content": iter([b"a", b"", b"bc"])}, None, "abc"),
        ({"json": {"a": 1}}, "application/json", '{"a":1}'),
        ({"form": {"a": "1 2", "b": ["3", "4"]}}, "application/x-www-form-urlencoded", "a=1+2&b=3&b=4"),
    ],
)
def test_content_in_any_form(client: TestClient, parts: Any, kind: str | None, body: str) -> None:
    """With the type that belongs to it."""
    seen = client.post("/see?q=1", params={"r": "2"}, **parts).json()

    assert (seen["type"], seen["body"], seen["target"]) == (kind, body, "/see?q=1&r=2")


def test_a_handler_in_a_thread_and_one_that_waits(client: TestClient) -> None:
    """As in production."""
    assert client.get("/thread").text == "False"
    assert client.get("/later").text == "later"


def test_a_connection_that_is_closed_is_replaced(client: TestClient) -> None:
    """The next request has another."""
    assert [client.get("/close").text for _ in range(2)] == ["bye", "bye"]


def test_what_a_handler_raises_fails_the_test(client: TestClient) -> None:
    """With its traceback; the next request is served."""
    with pytest.raises(ApplicationFailed, match="ValueError: on purpose"):
        client.get("/fails")

    assert client.get("/later").text == "later"


def test_what_a_handler_raises_may_be_an_answer() -> None:
    """As clients see it."""
    with TestClient(make_app(), raise_failures=False) as client:
        assert client.get("/fails").status == 500


def test_an_answer_in_pieces(client: TestClient) -> None:
    """As it comes, or whole."""
    with client.stream("GET", "/pieces") as (head, pieces):
        content = list(pieces)

    assert head.status == 200
    assert b"".join(content) == b"012"
    assert client.get("/pieces").text == "012"


def test_an_answer_that_is_not_read_to_its_end(client: TestClient) -> None:
    """Costs its connection, and nothing else."""
    with client.stream("GET", "/pieces") as (_, pieces):
        next(pieces)

    assert client.get("/later").text == "later"


def test_a_websocket(client: TestClient) -> None:
    """Text and bytes, and the end."""
    with client.websocket_connect("/ws") as socket:
        socket.send("hello")
        socket.send(b"x" * 70_000)
        text, content = socket.receive(), socket.receive()
        socket.close()
        with pytest.raises(WebSocketClosed, match="1000"):
            socket.receive()

    assert (text, content) == ("hello", b"x" * 70_000)


def test_a_refused_websocket_says_why(client: TestClient) -> None:
    """With the answer."""
    with pytest.raises(AssertionError, match="404"), client.websocket_connect("/nowhere"):
        raise AssertionError("it was opened")


def test_limits_are_those_of_the_server() -> None:
    """Options are written as in rocket.toml."""
    with TestClient(make_app(), server={"max_body": 2}) as client:
        assert client.post("/see", content=b"abc").status == 413


def test_startup_and_shutdown_run() -> None:
    """Around all requests; a start that fails fails the test."""
    app = make_app()
    moments: list[str] = []
    app.on_startup(lambda: moments.append("up"))
    app.on_shutdown(lambda: moments.append("down"))
    with TestClient(app) as client:
        client.get("/later")
        moments.append("asked")

    assert moments == ["up", "asked", "down"]

    broken = Router()
    broken.on_startup(lambda: 1 / 0)
    with pytest.raises(ApplicationError, match="ZeroDivisionError"), TestClient(broken):
        raise AssertionError("it was started")


def test_a_wsgi_application() -> None:
    """In its threads."""

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [])
        return [environ["REQUEST_METHOD"].encode(), environ["wsgi.input"].read()]

    with TestClient(app) as client:
        assert client.post("/", content=iter([b"a", b"b"])).text == "POSTab"


def test_an_asgi_application() -> None:
    """With its lifespan."""
    seen: list[str] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.append(scope["type"])
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    with TestClient(app) as client:
        assert client.get("/a%20b").text == "/a b"

    assert seen == ["lifespan", "http"]


def test_a_client_is_a_context_manager() -> None:
    """Else nobody would end the application."""
    client = TestClient(make_app())
    with pytest.raises(RuntimeError, match="context manager"):
        client.get("/")
    client._runner.close()


def test_in_a_loop_the_other_client_serves() -> None:
    """Several requests at once, each on a connection of its own."""

    async def ask() -> list[str]:
        async with AsyncTestClient(make_app()) as client:
            answers = await asyncio.gather(*(client.get("/later") for _ in range(5)))
            async with client.websocket_connect("/ws") as socket:
                await socket.send("x")
                answer = await socket.receive()
            return [*(answer.text for answer in answers), str(answer)]

    assert asyncio.run(ask()) == [*["later"] * 5, "x"]


def test_what_is_raised_while_nobody_waits_is_raised_at_the_end() -> None:
    """It is not lost."""
    app = Router()

    @app.on_connection_teardown
    def fail(client: object, error: object) -> None:
        raise ValueError("at the end")

    @app.get("/")
    def root(request: Request) -> str:
        return "ok"

    with pytest.raises(ApplicationFailed, match="at the end"), TestClient(app) as client:
        client.get("/")
