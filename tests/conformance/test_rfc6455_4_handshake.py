"""RFC 6455 §4: the opening handshake."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from rocket_sup.request import Request
from rocket_sup.response import Response
from rocket_sup.router import Router
from rocket_sup.streamed import StreamedRequest
from rocket_sup.websocket import WebSocket
from tests.conformance.server import Server, get, request
from tests.conformance.wsclient import ACCEPT, KEY, Socket, Stage, handshake

Serve = Callable[..., Server]


def test_4_2_2_the_answer(serve: Serve) -> None:
    """101 with what the client checks, and nothing that frames content."""
    socket = Socket(serve(Stage().router).connect())

    assert "websocket" == socket.answer.get("upgrade")
    assert "Upgrade" == socket.answer.get("connection")
    assert ACCEPT == socket.answer.get("sec-websocket-accept")
    for absent in (
        "content-length",
        "transfer-encoding",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
    ):
        assert socket.answer.get(absent) is None
    assert socket.answer.get("date") is not None


def test_4_1_letter_case_and_other_members(serve: Serve) -> None:
    """As browsers and proxies write it."""
    client = serve(Stage().router).connect()
    client.send(
        request(
            "GET /ws HTTP/1.1",
            "upgrade: WebSocket",
            "connection: keep-alive, UPGRADE",
            f"sec-websocket-key: {KEY}",
            "sec-websocket-version: 13",
        )
    )

    assert 101 == client._read_head().status


def test_4_2_1_frames_behind_the_handshake(serve: Serve) -> None:
    """A client need not wait for the answer to be heard."""
    client = serve(Stage().router).connect()
    client.send(handshake() + b"\x81\x81\x00\x00\x00\x00a")

    assert 101 == client._read_head().status
    assert b"\x81\x01a" == client._take(3)


def test_4_2_1_a_handshake_that_drips(serve: Serve) -> None:
    """However it is cut."""
    client = serve(Stage().router).connect()
    whole = handshake()
    for start in range(0, len(whole), 7):
        client.send(whole[start : start + 7])

    assert 101 == client._read_head().status


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"], 400),
        (
            [
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: AA",
            ],
            400,
        ),
        (
            [
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
                f"Sec-WebSocket-Key: {KEY}",
                f"Sec-WebSocket-Key: {KEY}",
            ],
            400,
        ),
        (
            [
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 8",
                f"Sec-WebSocket-Key: {KEY}",
            ],
            426,
        ),
        (["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}"], 426),
        (["Upgrade: websocket", "Connection: keep-alive"], 426),
        (["Connection: Upgrade", "Upgrade: h2c"], 426),
        ([], 426),
    ],
)
def test_4_2_1_what_is_no_handshake(serve: Serve, fields: list[str], status: int) -> None:
    """The handler is not called, the answer is an ordinary one, and the connection goes on."""
    stage = Stage()
    client = serve(stage.router).connect()
    for _ in range(2):
        client.send(request("GET /ws HTTP/1.1", *fields))
        answer = client.read()

        assert status == answer.status
        if status == 426:
            assert "websocket" == answer.get("upgrade")
            assert "Upgrade" in [value for name, value in answer.fields if name.lower() == "connection"]
    assert [] == stage.fates


def test_4_4_the_version_there_is(serve: Serve) -> None:
    """426 names it."""
    client = serve(Stage().router).connect()
    client.send(handshake("/ws").replace(b"Version: 13", b"Version: 14"))

    assert "13" == client.read().get("sec-websocket-version")


def test_4_2_1_http_1_0(serve: Serve) -> None:
    """There is no upgrade before HTTP/1.1."""
    client = serve(Stage().router).connect()
    client.send(handshake().replace(b"HTTP/1.1", b"HTTP/1.0"))

    assert 426 == client.read().status


def test_4_1_another_method(serve: Serve) -> None:
    """A handshake is a GET."""
    client = serve(Stage().router).connect()
    client.send(handshake().replace(b"GET", b"POST"))
    answer = client.read()

    assert (405, "GET, HEAD, OPTIONS") == (answer.status, answer.get("allow"))


def test_4_2_1_content(serve: Serve) -> None:
    """What follows a handshake are frames; whoever says otherwise is not believed."""
    client = serve(Stage().router).connect()
    client.send(handshake("/ws", "Content-Length: 5") + b"hello")

    assert 400 == client.read().status


def test_4_2_2_subprotocols(serve: Serve) -> None:
    """The best of ours that is offered; none if there is none."""
    server = serve(Stage(subprotocols=["b", "a"]).router)

    assert "b" == Socket(server.connect(), "Sec-WebSocket-Protocol: a, b").answer.get(
        "sec-websocket-protocol"
    )
    assert "a" == Socket(server.connect(), "Sec-WebSocket-Protocol: a").answer.get("sec-websocket-protocol")
    assert Socket(server.connect(), "Sec-WebSocket-Protocol: c").answer.get("sec-websocket-protocol") is None


def test_10_2_origins(serve: Serve) -> None:
    """403 for scripts of others."""
    server = serve(Stage(origins=["https://example.com"]).router)
    client = server.connect()
    client.send(handshake("/ws", "Origin: https://evil.example"))

    assert 403 == client.read().status
    Socket(server.connect(), "Origin: https://example.com")
    Socket(server.connect())


def test_4_2_2_a_refusal_of_the_application(serve: Serve) -> None:
    """Any answer; the connection goes on."""

    async def refuse(socket: WebSocket) -> object:
        return 401, {"who": "are you?"}, {"WWW-Authenticate": "Basic"}

    client = serve(Stage(refuse).router).connect()
    for _ in range(2):
        client.send(handshake())
        answer = client.read()

        assert (401, "Basic", b'{"who":"are you?"}') == (
            answer.status,
            answer.get("www-authenticate"),
            answer.body,
        )


def test_4_2_2_a_handler_that_fails_before_the_answer(serve: Serve) -> None:
    """500, and a line in the log."""

    async def fail(socket: WebSocket) -> object:
        raise ValueError("broken")

    server = serve(Stage(fail).router)
    client = server.connect()
    client.send(handshake())

    assert 500 == client.read().status
    assert "handler_failed" in [event["event"] for event in server.events()]


def test_9110_7_8_other_requests_have_a_route_of_their_own(serve: Serve) -> None:
    """The same path, one connection: plain requests, then a WebSocket."""
    stage = Stage()

    @stage.router.get("/ws")
    def page(request: Request) -> str:
        return f"page {request.method}"

    client = serve(stage.router).connect()
    assert b"page GET" == client.send(get("/ws")).read().body
    assert 200 == client.send(request("HEAD /ws HTTP/1.1")).read(to="HEAD").status
    socket = Socket(client)
    assert (0x81, b"a") == socket.send(1, b"a").read()


def test_middleware_around_conversations(serve: Serve) -> None:
    """It sees the handshake, and may refuse; what it returns after a conversation is nobody's answer."""
    stage = Stage()
    seen: list[str] = []

    @stage.router.middleware
    async def gate(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        seen.append(request.method)
        if request.get_header("x-who") == "nobody":
            return Response("who?", 401)
        return await call_next(request)

    server = serve(stage.router)
    client = server.connect()
    assert 401 == client.send(handshake("/ws", "X-Who: nobody")).read().status
    refused = client.send(get("/ws")).read()
    assert (426, "websocket") == (refused.status, refused.get("upgrade"))
    socket = Socket(client)
    assert (0x81, b"a") == socket.send(1, b"a").read()
    assert (1000, "") == socket.send(8, b"\x03\xe8").read_close()
    server.wait_until(lambda: server.closed)
    assert ["GET", "GET", "GET"] == seen
    assert [] == [event for event in server.events() if event["event"] == "handler_failed"]


def test_a_mounted_websocket(serve: Serve) -> None:
    """With the page behind it, below a prefix, and middleware of its own."""
    inner = Stage()

    @inner.router.get("/ws")
    def page(request: Request) -> str:
        return "page"

    @inner.router.middleware
    async def mark(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers["X-Marks"] = response.headers.get("X-Marks", "") + "x"
        return response

    outer = Router()
    outer.mount("/in", inner.router)
    client = serve(outer).connect()
    answer = client.send(get("/in/ws")).read()
    assert (b"page", "x") == (answer.body, answer.get("x-marks"))
    assert (0x81, b"a") == Socket(client, target="/in/ws").send(1, b"a").read()


def test_a_stream_behind_a_websocket(serve: Serve) -> None:
    """The other route may be of any kind, also one that reads content while it comes."""
    stage = Stage()

    @stage.router.get("/ws", stream=True)
    async def count(request: StreamedRequest) -> str:
        return str(sum([len(piece) async for piece in request.stream()]))

    client = serve(stage.router).connect()
    assert b"5" == client.send(get("/ws", "Content-Length: 5") + b"hello").read().body
    assert (0x81, b"a") == Socket(client).send(1, b"a").read()
