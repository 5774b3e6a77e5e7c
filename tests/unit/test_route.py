"""One route, and what it is called through."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
from collections.abc import Generator
from typing import Any, cast

import pytest

from rocket_sup.middleware import CallNext
from rocket_sup.pattern import RouteError
from rocket_sup.request import Request
from rocket_sup.response import Response
from rocket_sup.route import Route, check_method, describe, is_coroutine_handler

REQUEST = cast("Request", object())
Steps = Generator[None, Response, object]


def plain(request: Request) -> str:
    """A handler."""
    return "plain"


def marked(mark: str) -> Any:
    """A middleware that leaves a mark."""

    def mark_it(request: Request) -> Steps:
        response = yield
        return f"{mark}({response.body})"

    return mark_it


async def pass_on(request: Request, call_next: CallNext) -> Response:
    """A middleware that waits."""
    return await call_next(request)


def test_what_surrounds_later_is_outside() -> None:
    """As with a router that is mounted in another; the endpoint stays."""
    route = Route("GET", "/", plain)
    inner = copy.copy(route)
    inner.surround([marked("a"), marked("b")])
    inner.surround([marked("c")])

    assert "c(a(b(plain)))" == cast("Response", inner.handler(REQUEST)).body
    assert plain is inner.endpoint is route.handler


def test_a_coroutine_around_changes_the_kind() -> None:
    """A blocking handler is no longer run in a thread as a whole; nothing around changes nothing."""
    route = Route("GET", "/", plain, blocking=True)
    route.surround([])
    assert (plain, True, False) == (route.handler, route.blocking, route.is_async)

    route.surround([pass_on])

    assert (False, True) == (route.blocking, route.is_async)
    answer = cast("Response", asyncio.run(cast("Any", route.handler(REQUEST))))
    assert "plain" == answer.body


def test_a_stream_is_still_one() -> None:
    """The middleware is between the handler and what reads for it."""
    route = Route("POST", "/", plain, stream=True)
    route.surround([marked("a")])

    assert (True, True, False) == (route.takes_conduit, route.is_async, route.blocking)
    assert plain is inspect.unwrap(route.handler)


def test_what_cannot_be_a_route() -> None:
    """Said when it is registered."""

    async def soon(request: Request) -> str:
        return ""

    with pytest.raises(RouteError, match="cannot be called"):
        Route("GET", "/", "handler")  # type: ignore[arg-type]
    with pytest.raises(RouteError, match="async def"):
        Route("GET", "/", soon, blocking=True)
    with pytest.raises(RouteError, match="max_body"):
        Route("GET", "/", plain, max_body=-1)
    for name in ("A B", "", None):
        with pytest.raises(RouteError, match="token"):
            check_method(name)  # type: ignore[arg-type]
    with pytest.raises(RouteError, match="case-sensitive"):
        check_method("get")


def test_what_is_shown() -> None:
    """Method, pattern and function."""
    assert f"<Route GET /a {describe(plain)}>" == repr(Route("GET", "/a", plain))
    assert not is_coroutine_handler(plain)


def test_partials_are_what_is_inside() -> None:
    """Also for their kind."""

    async def soon(request: Request, more: str) -> str:
        return more

    made = functools.partial(soon, more="x")
    assert is_coroutine_handler(made)
    assert describe(soon) == describe(made)
