"""Functions around handlers: what happens before each of them and after.

There are two forms. A coroutine function calls on itself:

    @app.middleware
    async def timed(request, call_next):
        response = await call_next(request)
        response.headers["Server-Timing"] = ...
        return response

A generator yields where the handler's turn is. It does not wait for anything, and so leaves plain handlers
plain and blocking ones in their thread:

    @app.middleware
    def tagged(request):
        response = yield
        response.headers["X-Request-Id"] = ...

The first that is registered is the outermost. Handlers are wrapped once, when the application is frozen: an
application without middleware pays nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, cast

from rocket_sup.errors import LocalProtocolError
from rocket_sup.http.headers import Headers
from rocket_sup.response import Answer, Response

if TYPE_CHECKING:
    from rocket_sup.request import Request

CallNext = Callable[["Request"], Awaitable[Response]]
AsyncMiddleware = Callable[["Request", CallNext], Awaitable[object]]
Steps = Generator[None, Response, object]
StepMiddleware = Callable[["Request"], Steps]
Middleware = AsyncMiddleware | StepMiddleware

# What is wrapped takes the request, and a conduit where the route does: Any stands for both.
_Handler = Callable[..., Any]
_Inner = Callable[..., "Response | Awaitable[Response]"]


def check_middleware(function: Middleware) -> None:
    """Refuse what has neither form.

    Raises:
        LocalProtocolError: it is no coroutine function and no generator.
    """
    if not inspect.iscoroutinefunction(function) and not inspect.isgeneratorfunction(function):
        name = getattr(function, "__qualname__", repr(function))
        raise LocalProtocolError(
            f"middleware {name}: 'async def' with (request, call_next), or a generator of (request) that"
            " yields once"
        )


def surround(
    handler: _Handler, middleware: Sequence[Middleware], *, is_async: bool, blocking: bool
) -> tuple[_Handler, bool, bool]:
    """Put functions around a handler.

    Args:
        middleware: the outermost first.
        is_async: the handler is a coroutine function.
        blocking: it runs in a thread.

    Returns: the handler to call, and the two flags for it.
    """
    waits = any(inspect.iscoroutinefunction(each) for each in middleware)
    inner = _async_base(handler) if is_async else _base(handler)
    if blocking and waits:
        inner = _in_thread(inner)
    for function in reversed(middleware):
        if inspect.iscoroutinefunction(function):
            inner = _around(cast(AsyncMiddleware, function), inner)
        else:
            inner = _between(cast(StepMiddleware, function), inner)
    if is_async or waits:
        return _as_coroutine(handler, inner), True, False
    return _as_plain(handler, inner), False, blocking


def response_from(result: object) -> Response:
    """Make of what a handler returned the response that a middleware may change."""
    if isinstance(result, Response):
        return result
    if isinstance(result, Answer):
        return _response_of(result)
    if isinstance(result, tuple) and 2 <= len(result) <= 3:
        return Response(result[1], result[0], result[2] if len(result) == 3 else None)
    if isinstance(result, int) and not isinstance(result, bool):
        return Response(None, result)
    return Response(result, 204 if result is None else 200)


def _response_of(answer: Answer) -> Response:
    headers = Headers.from_block(b"\r\n" + answer.fields.removesuffix(b"\r\n")) if answer.fields else None
    body = answer.source if answer.source is not None else answer.body or None
    response = Response(body, answer.status, headers)
    if body is None and answer.length:
        response.headers["Content-Length"] = str(answer.length)  # of an answer to HEAD
    if answer.closes:
        response.headers["Connection"] = "close"
    return response


# The innermost: a handler, made to give responses. A plain one may return an awaitable.


def _base(handler: _Handler) -> _Inner:
    def base(*arguments: object) -> Response | Awaitable[Response]:
        result = handler(*arguments)
        return _response_later(result) if inspect.isawaitable(result) else response_from(result)

    return base


def _async_base(handler: _Handler) -> _Inner:
    async def base(*arguments: object) -> Response:
        return response_from(await handler(*arguments))

    return base


async def _response_later(result: Awaitable[object]) -> Response:
    return response_from(await result)


def _in_thread(inner: _Inner) -> _Inner:
    """Call a blocking handler below a coroutine, in the threads of the event loop."""

    async def in_thread(*arguments: object) -> Response:
        context = contextvars.copy_context()
        response = await asyncio.get_running_loop().run_in_executor(None, context.run, inner, *arguments)
        return await _settled(response)

    return in_thread


async def _settled(response: Response | Awaitable[Response]) -> Response:
    return response if isinstance(response, Response) else await response


# One around another.


def _around(function: AsyncMiddleware, inner: _Inner) -> _Inner:
    async def around(request: Request, *conduit: object) -> Response:
        async def call_next(request: Request) -> Response:
            return await _settled(inner(request, *conduit))

        return response_from(await function(request, call_next))

    return around


def _between(function: StepMiddleware, inner: _Inner) -> _Inner:
    def between(request: Request, *conduit: object) -> Response | Awaitable[Response]:
        steps = function(request)
        try:
            next(steps)
        except StopIteration as end:
            return response_from(end.value)  # the handler has no turn
        try:
            response = inner(request, *conduit)
        except BaseException as error:
            return _raised(steps, error)
        return _given(steps, response) if isinstance(response, Response) else later(steps, response)

    async def later(steps: Steps, awaited: Awaitable[Response]) -> Response:
        try:
            response = await awaited
        except BaseException as error:
            return _raised(steps, error)
        return _given(steps, response)

    return between


def _given(steps: Steps, response: Response) -> Response:
    """Let a generator have the response; what it returns replaces it."""
    try:
        steps.send(response)
    except StopIteration as end:
        return response if end.value is None else response_from(end.value)
    raise _yielded_twice(steps)


def _raised(steps: Steps, error: BaseException) -> Response:
    """Let a generator have the exception; what it returns is answered instead."""
    try:
        steps.throw(error)
    except StopIteration as end:
        if end.value is None or not isinstance(error, Exception):
            raise error from None
        return response_from(end.value)
    raise _yielded_twice(steps)


def _yielded_twice(steps: Steps) -> LocalProtocolError:
    steps.close()
    name = getattr(steps, "__qualname__", "")
    return LocalProtocolError(f"middleware {name} yields more than once")


# What is registered instead of the handler: named like it, for conflicts and logs.


def _as_plain(handler: _Handler, inner: _Inner) -> _Handler:
    @functools.wraps(handler, updated=())
    def surrounded(*arguments: object) -> object:
        return inner(*arguments)

    return surrounded


def _as_coroutine(handler: _Handler, inner: _Inner) -> _Handler:
    @functools.wraps(handler, updated=())
    async def surrounded(*arguments: object) -> Response:
        return await _settled(inner(*arguments))

    return surrounded
