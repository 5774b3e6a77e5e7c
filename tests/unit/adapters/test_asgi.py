"""How an ASGI application is run, and what it is told about a request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from rocket_sup.adapters.asgi import asgi_router
from rocket_sup.adapters.asgi_exchange import ClientDisconnected
from rocket_sup.errors import LocalProtocolError
from rocket_sup.http.forwarded import Origin
from tests.unit.adapters.asgistage import PEER, START, FakeConduit, request, serve

BODY = {"type": "http.response.body", "body": b"hello"}


def scope_of(sent: Any = None, **options: Any) -> dict[str, Any]:
    seen: list[dict[str, Any]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.append(scope)
        await send(START)
        await send(BODY)

    serve(app, sent=sent, **options)
    return seen[0]


def test_the_scope_is_complete() -> None:
    """Every key of the specification has its type."""
    sent = request("GET /caf%C3%A9/x%2Fy?a=%20b HTTP/1.1", "X-One: 1", "x-one:  2 ", "X: \xe9")

    scope = scope_of(sent, server=("127.0.0.1", 80))

    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/café/x/y",
        "raw_path": b"/caf%C3%A9/x%2Fy",
        "query_string": b"a=%20b",
        "root_path": "",
        "headers": [(b"host", b"a.example"), (b"x-one", b"1"), (b"x-one", b"2"), (b"x", b"\xe9")],
        "client": ("192.0.2.7", 4711),
        "server": ("127.0.0.1", 80),
        "state": {},
        "extensions": {
            "http.response.trailers": {},
            "http.response.early_hint": {},
            "http.response.pathsend": {},
            "http.response.zerocopysend": {},
        },
    }


@pytest.mark.parametrize(("method", "version"), [("GET", "2.3"), ("HEAD", "2.3"), ("POST", "2.4")])
def test_who_may_have_content_need_not_listen(method: str, version: str) -> None:
    """Frameworks that listen while they answer would swallow it."""
    assert scope_of(request(f"{method} / HTTP/1.1"))["asgi"]["spec_version"] == version


@pytest.mark.parametrize(
    ("client", "expected"),
    [(PEER, PEER), (("::1", 5, 0, 0), ("::1", 5)), ("", None), ("/run/peer", None)],
)
def test_the_client_is_a_host_and_a_port(client: Any, expected: Any) -> None:
    """Over a Unix socket nobody knows who it is."""
    assert scope_of(request(client=client))["client"] == expected


def test_a_root_path_is_put_before_what_a_proxy_has_cut() -> None:
    """The path is what the outside calls it, and begins with the root path."""
    scope = scope_of(request("GET /a%20b HTTP/1.1"), root_path="/api")

    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/api", "/api/a b", b"/api/a%20b")


def test_a_prefix_is_in_the_path_already() -> None:
    """Where it is mounted is its root path; both together are, too."""
    scope = scope_of(request("GET /old/x HTTP/1.1"), prefix="/old")
    both = scope_of(request("GET /old/x HTTP/1.1"), prefix="/old", root_path="/api")

    assert (scope["root_path"], scope["path"]) == ("/old", "/old/x")
    assert (both["root_path"], both["path"]) == ("/api/old", "/api/old/x")


@pytest.mark.parametrize(
    ("origin", "scheme", "host"),
    [
        (Origin(scheme="https", host="outside.example"), "https", b"outside.example"),
        (Origin(scheme="http"), "http", b"a.example"),
        (Origin(), "http", b"a.example"),
    ],
)
def test_trusted_proxies_are_believed(origin: Origin, scheme: str, host: bytes) -> None:
    """About the scheme and the host that the client sees."""
    sent = request()
    sent.forwarded = origin

    scope = scope_of(sent)

    assert scope["scheme"] == scheme
    assert dict(scope["headers"])[b"host"] == host


def test_state_is_copied() -> None:
    """What a request puts into it is its own."""
    states = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        scope["state"]["seen"] = True
        states.append(scope["state"])
        await send(START)
        await send(BODY)

    route = asgi_router(app).sole_route
    assert route is not None
    for _ in range(2):
        asyncio.run(route.handler(request(), FakeConduit()))  # type: ignore[call-arg,arg-type]

    assert states[0] is not states[1]


def test_a_whole_answer_is_returned() -> None:
    """The engine writes it like any other; the conduit was not asked for anything."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(BODY)

    conduit = FakeConduit()

    answer = serve(app, conduit)

    assert answer is not None
    assert (answer.status, answer.fields, answer.body) == (200, b"content-type: text/plain\r\n", b"hello")
    assert conduit.receiver is None
    assert not conduit.is_begun


def test_any_awaitable_will_do() -> None:
    """A callable that returns a future, or an object of its own, is an application, too."""

    class Later:
        def __init__(self, send: Any) -> None:
            self.send = send

        def __await__(self) -> Any:
            yield from self.send(START).__await__()
            yield from asyncio.sleep(0).__await__()
            yield from self.send(BODY).__await__()

    def app(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        return Later(send)

    answer = serve(app)

    assert answer is not None
    assert answer.body == b"hello"


def test_an_answer_does_not_wait_for_the_work_behind_it() -> None:
    """It is written when the application suspends; the rest is background work."""
    conduit = FakeConduit()
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(BODY)
        assert conduit.finished is None
        await asyncio.sleep(0)
        seen.append(conduit.finished)

    answer = serve(app, conduit)

    assert answer is None
    assert seen == [(200, 5, True)]
    assert conduit.written == (
        b"HTTP/1.1 200 OK\r\nDate: now\r\ncontent-type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
    )


def test_an_answer_of_another_task_leaves_at_once() -> None:
    """Nobody looks at it before the application itself goes on."""
    conduit = FakeConduit()
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def answer() -> None:
            await send(START)
            await send(BODY)
            seen.append(conduit.finished)

        await asyncio.ensure_future(answer())

    serve(app, conduit)

    assert seen == [(200, 5, True)]


def test_a_failure_after_the_answer_does_not_take_it_back() -> None:
    """It is written, and the failure is for the log."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(BODY)
        raise ValueError("in the background")

    conduit = FakeConduit()

    with pytest.raises(ValueError, match="in the background"):
        serve(app, conduit)

    assert conduit.finished == (200, 5, True)


def test_a_failure_before_the_answer_is_the_engines() -> None:
    """Nothing was written, so that it can say 500."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await asyncio.sleep(0)
        raise ValueError("early")

    conduit = FakeConduit()

    with pytest.raises(ValueError, match="early"):
        serve(app, conduit)

    assert not conduit.is_begun


@pytest.mark.parametrize("messages", [[], [START]])
def test_an_application_that_returns_too_early(messages: list[Any]) -> None:
    """It has to answer."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    with pytest.raises(LocalProtocolError, match="returned without"):
        serve(app)


def test_what_only_says_that_the_client_has_left_is_no_failure() -> None:
    """It is swallowed, also in a group and behind an error of a framework."""

    def app_of(wrap: Any) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send({**BODY, "more_body": True})
            conduit.receiver.on_gone(None)  # type: ignore[union-attr]
            try:
                await send(BODY)
            except OSError as error:
                raise wrap(error) from None

        return app

    def hidden(error: OSError) -> Exception:
        return RuntimeError("client disconnected")

    for wrap in (lambda error: error, lambda error: ExceptionGroup("of tasks", [error]), hidden):
        conduit = FakeConduit()
        assert serve(app_of(wrap), conduit) is None


def test_a_group_with_a_failure_is_a_failure() -> None:
    """One of them says more than that the client has left."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ExceptionGroup("of tasks", [ClientDisconnected(), ValueError("worse")])

    with pytest.raises(ExceptionGroup):
        serve(app)


def test_cancellation_reaches_the_application() -> None:
    """As in any coroutine; what it catches it may go on from."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            await asyncio.sleep(0)
            await send(START)
            await send(BODY)

    route = asgi_router(app).sole_route
    assert route is not None

    async def run() -> Any:
        task = asyncio.ensure_future(route.handler(request(), FakeConduit()))  # type: ignore[call-arg,arg-type]
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(run()).body == b"hello"
    assert seen == ["cancelled"]


def test_a_coroutine_that_is_dropped_is_closed() -> None:
    """Its `finally` runs."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("closed")

    route = asgi_router(app).sole_route
    assert route is not None

    async def run() -> None:
        running = route.handler(request(), FakeConduit())  # type: ignore[call-arg,arg-type]
        running.send(None)  # type: ignore[attr-defined]
        running.close()  # type: ignore[attr-defined]

    asyncio.run(run())
    assert seen == ["closed"]


def test_lifespan_can_be_switched_off() -> None:
    """Then the application never hears of it."""

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    assert len(asgi_router(app).hooks.lives) == 1
    assert asgi_router(app, lifespan="off").hooks.lives == []
