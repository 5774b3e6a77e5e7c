"""A handler that reads its content while it comes, as an engine and as an application see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rocket_sup.conduit import Conduit
from rocket_sup.errors import LocalProtocolError
from rocket_sup.flow import Flow
from rocket_sup.request import Request
from rocket_sup.response import Answer
from rocket_sup.router import RouteError, Router, describe, is_coroutine_handler
from rocket_sup.streamed import ContentStream, StreamedRequest, streamed
from tests.unit.fakeconduit import FakeConduit, make_request, run, turns


async def upper(req: Request) -> object:
    """Answer with a stream of the content."""

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in req.stream():
            yield piece.upper()

    return pieces()


def test_a_whole_answer_is_returned_to_the_engine() -> None:
    """Of coroutines, plain functions, and functions in threads."""

    async def soon(req: Request) -> object:
        return 201, await req.read()

    def at_once(req: Request) -> object:
        return 201, b"ab"

    def in_thread(req: Request) -> object:
        return 201, b"".join(req.stream())

    async def check() -> None:
        for handler, blocking in ((soon, False), (at_once, False), (in_thread, True)):
            conduit = FakeConduit()
            serving = asyncio.ensure_future(streamed(handler, blocking=blocking)(make_request(), conduit))
            await turns()
            assert conduit.receiver is not None
            conduit.receiver.on_content(b"a")
            conduit.receiver.on_content(b"b")
            conduit.receiver.on_content_end(b"")
            answer = await serving

            assert isinstance(answer, Answer)
            assert (answer.status, answer.body) == (201, b"ab")
            assert not conduit.is_begun
            conduit.close()

    run(check())


def test_a_stream_is_sent_while_content_comes() -> None:
    """On the same conduit."""

    async def check() -> None:
        conduit = FakeConduit()
        serving = asyncio.ensure_future(streamed(upper, blocking=False)(make_request(), conduit))
        await turns()
        assert conduit.receiver is not None
        conduit.receiver.on_content(b"abc")
        await turns()
        assert conduit.wire.endswith(b"\r\n\r\n3\r\nABC\r\n")
        conduit.receiver.on_content_end(b"")

        assert await serving is None
        assert conduit.finished == (200, 3, True)

    run(check())


def test_an_engine_sees_a_route_that_takes_a_conduit() -> None:
    """And an operator the function that was registered."""
    app = Router()
    app.put("/a", stream=True, max_body=7)(upper)
    app.put("/b", stream=True, blocking=True)(lambda req: None)
    one, two = app.all_routes()

    assert one.takes_conduit
    assert is_coroutine_handler(one.handler)
    assert one.max_body == 7
    assert describe(one.handler) == describe(upper)
    assert (two.takes_conduit, two.is_async, two.blocking) == (True, True, False)
    with pytest.raises(RouteError, match="async def"):
        app.put("/c", stream=True, blocking=True)(upper)


def test_what_was_set_on_the_request_is_found() -> None:
    """By hooks, above all."""

    async def check() -> None:
        request = make_request("GET /a%20b?c=d HTTP/1.0", "X-One: 1", "Content-Type: text/plain")
        request.user: Any = "alice"  # type: ignore[misc]
        mine: Any = StreamedRequest(request, Flow(FakeConduit()))

        assert mine.user == "alice"
        assert (mine.target, mine.path, mine.query_string) == ("/a%20b?c=d", "/a%20b", "c=d")
        assert (mine.method, mine.http_version, mine.path_segments) == ("GET", "1.0", ["a b"])
        assert (mine.headers["x-one"], mine.get_header("X-ONE"), mine.host) == ("1", "1", "a")
        assert mine.fields == request.fields
        assert mine.path_params == {}
        with pytest.raises(AttributeError):
            mine.nothing  # noqa: B018 - not there
        with pytest.raises(LocalProtocolError, match="stream=True"):
            mine.text()
        mine.body = b"abc"
        assert (mine.text(), await mine.read()) == ("abc", b"abc")
        assert not mine.is_disconnected
        await mine.early_hints(["</a>"])

    run(check())


def test_a_thread_s_way_of_reading_would_stop_the_loop() -> None:
    """It is refused there."""

    async def check() -> None:
        stream = ContentStream(Flow(FakeConduit()))
        with pytest.raises(LocalProtocolError, match="async for"):
            next(iter(stream))

    run(check())


@pytest.mark.parametrize("name", ["stream", "trailers", "is_disconnected", "disconnected", "early_hints"])
def test_other_requests_do_not_stream(name: str) -> None:
    """They say what to do."""

    async def check() -> None:
        request = make_request()

        async def use() -> None:
            found = getattr(request, name)
            await (found([]) if name == "early_hints" else found())

        with pytest.raises(LocalProtocolError, match="stream=True"):
            await use()
        assert await request.read() == b""

    run(check())


def test_the_wrapper_is_typed_as_engines_call_it() -> None:
    """A request and a conduit."""

    async def check() -> None:
        conduit: Conduit = FakeConduit()
        answer = await streamed(lambda req: "ok", blocking=False)(make_request(), conduit)

        assert answer is not None
        assert answer.body == b"ok"

    run(check())
