"""Functions around handlers: forms, order, what is made of answers, and what fails."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Generator
from typing import Any, cast

import pytest

from rocket_sup.errors import LocalProtocolError
from rocket_sup.middleware import CallNext, Middleware, check_middleware, response_from, surround
from rocket_sup.request import Request
from rocket_sup.response import Answer, Response, answer_from

REQUEST = cast("Request", object())
Steps = Generator[None, Response, object]


def plain(request: Request) -> str:
    """A handler."""
    return "plain"


async def soon(request: Request, *conduit: object) -> str:
    """Another."""
    return f"soon{len(conduit)}"


def fail(request: Request) -> str:
    """A third."""
    raise ValueError("handler")


def through(request: Request) -> Steps:
    """Change nothing."""
    yield


async def pass_on(request: Request, call_next: CallNext) -> Response:
    """Change nothing."""
    return await call_next(request)


def run(handler: Any, *middleware: Middleware, conduit: tuple[object, ...] = ()) -> object:
    """The content that comes out."""
    is_async = inspect.iscoroutinefunction(handler)
    made, waits, _ = surround(handler, middleware, is_async=is_async, blocking=False)
    result = made(REQUEST, *conduit)
    if inspect.isawaitable(result):
        result = asyncio.run(_awaited(result))
    else:
        assert not waits
    return cast("Response", result).body


async def _awaited(result: Any) -> object:
    return await result


def test_generators_leave_handlers_as_they_are() -> None:
    """A coroutine among them makes all a coroutine; the name stays."""
    kept, is_async, blocking = surround(plain, [through, through], is_async=False, blocking=True)
    assert (False, True, "plain") == (is_async, blocking, kept.__name__)
    assert plain is inspect.unwrap(kept)

    made, is_async, blocking = surround(plain, [through, pass_on], is_async=False, blocking=True)
    assert (True, False, True) == (is_async, blocking, inspect.iscoroutinefunction(made))


@pytest.mark.parametrize("middleware", [[through], [pass_on], [through, pass_on], [pass_on, through]])
def test_every_combination_gives_the_answer(middleware: list[Middleware]) -> None:
    """Plain, plain with a coroutine, coroutine, coroutine with a conduit."""
    assert "plain" == run(plain, *middleware)
    assert "soon0" == run(lambda request: soon(request), *middleware)
    assert "soon0" == run(soon, *middleware)
    assert "soon1" == run(soon, *middleware, conduit=("conduit",))


def test_a_generator_ends_in_every_way() -> None:
    """What it returns replaces the answer, before or after the handler; nothing leaves it."""

    def early(request: Request) -> Steps:
        if request is REQUEST:
            return "early"
        yield

    def late(request: Request) -> Steps:
        response = yield
        return f"{response.body}, late"

    def rescue(request: Request) -> Steps:
        try:
            yield
        except ValueError as error:
            return f"rescued {error}"
        return None

    assert "early" == run(fail, early)
    assert "plain, late" == run(plain, late)
    assert "rescued handler" == run(fail, rescue)
    assert "rescued handler" == run(fail, rescue, pass_on)
    assert "plain" == run(plain, rescue)


def test_what_a_generator_does_not_answer_goes_on() -> None:
    """An exception that it only looked at, and one that is not the application's to answer."""
    seen: list[BaseException] = []

    def look(request: Request) -> Steps:
        try:
            yield
        except BaseException as error:
            seen.append(error)
        return "answer" if isinstance(seen[0], asyncio.CancelledError) else None

    def cancelled(request: Request) -> str:
        raise asyncio.CancelledError

    with pytest.raises(ValueError, match="handler"):
        run(fail, look)
    assert ["handler"] == [str(each) for each in seen]
    seen.clear()
    with pytest.raises(asyncio.CancelledError):
        run(cancelled, look)


def test_a_generator_yields_once() -> None:
    """After an answer and after an exception; it is closed."""
    closed: list[str] = []

    def again(request: Request) -> Steps:
        try:
            try:
                yield
            except ValueError:
                pass
            yield
        finally:
            closed.append("closed")

    for handler in (plain, fail):
        with pytest.raises(LocalProtocolError, match="again yields more than once"):
            run(handler, again)
    assert ["closed"] * 2 == closed


def test_other_forms_are_refused() -> None:
    """At registration."""
    check_middleware(through)
    check_middleware(pass_on)
    with pytest.raises(LocalProtocolError, match="plain"):
        check_middleware(plain)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="yields once"):
        check_middleware(object())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("result", "status", "body"),
    [
        ("a", 200, "a"),
        ({"a": 1}, 200, {"a": 1}),
        (None, 204, None),
        (404, 404, None),
        (True, 200, True),
        ((201, "a"), 201, "a"),
        ((201, "a", {"X": "1"}), 201, "a"),
        (Response("a", 202), 202, "a"),
        (Answer(200, b"X: 1\r\n", b"a"), 200, b"a"),
        (Answer(304, b"X: 1\r\n"), 304, None),
    ],
)
def test_results_become_responses(result: object, status: int, body: object) -> None:
    """The same as what would have been answered."""
    response = response_from(result)

    assert (status, body) == (response.status, response.body)
    if isinstance(result, Answer):
        answer = answer_from(response)
        assert (result.body, True) == (answer.body, result.fields in answer.fields)


def test_what_an_answer_says_survives() -> None:
    """The length announced to HEAD, and that the connection ends."""
    announced = Answer(200, b"A: 1\r\nB: 2\r\n")
    announced.length = 7
    announced.closes = True
    answer = answer_from(response_from(announced))

    assert (7, True, b"A: 1\r\nB: 2\r\n") == (answer.length, answer.closes, answer.fields)
