"""Pages for what went wrong."""

from __future__ import annotations

from typing import cast

import pytest

from rocket_sup.errorpages import ErrorPages
from rocket_sup.errors import LocalProtocolError, RemoteProtocolError
from rocket_sup.request import Request
from rocket_sup.response import Answer, Response

REQUEST = cast("Request", object())


def shown(answer: Answer | None) -> tuple[int, bytes] | None:
    """Status and content."""
    return None if answer is None else (answer.status, answer.body)


def pages(**results: object) -> ErrorPages:
    """Pages that return something: for LookupError (`lookup`) and 404 (`missing`)."""
    made = ErrorPages()
    for name, result in results.items():
        what: int | type[Exception] = {"lookup": LookupError, "missing": 404}[name]
        made.add(what, lambda request, error, result=result: result)  # type: ignore[misc]
    return made


def test_the_nearest_class_comes_before_the_status() -> None:
    """A subclass is its parent's, until it has a page of its own."""
    made = pages(lookup="lookup", missing="missing")
    made.add(KeyError, lambda request, error: "key")

    assert (404, b"lookup") == shown(made.page_of(REQUEST, IndexError(), 404))
    assert (404, b"key") == shown(made.page_of(REQUEST, KeyError(), 404))
    assert (404, b"missing") == shown(made.page_of(REQUEST, ValueError(), 404))
    assert None is made.page_of(REQUEST, ValueError(), 500)
    assert [True, True, False] == [made.expects(each) for each in (KeyError(), IndexError(), ValueError())]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("text", (404, b"text")),
        ({"a": 1}, (404, b'{"a":1}')),
        ((410, "gone"), (410, b"gone")),
        (Response("x", 200), (200, b"x")),
        (Answer(403, b"", b"y"), (403, b"y")),
        (402, (402, b"")),
        (None, (204, b"")),
    ],
)
def test_content_alone_is_answered_with_the_status(result: object, expected: tuple[int, bytes]) -> None:
    """What says a status itself keeps it."""
    assert expected == shown(pages(missing=result).page_of(REQUEST, ValueError(), 404))


def test_what_no_handler_takes() -> None:
    """By its page, which sees the reason; else in one line."""
    made = ErrorPages()
    assert b"404 Not Found: here\n" == made.refuse(REQUEST, 404, "here").body
    seen: list[Exception] = []
    made.add(404, lambda request, error: seen.append(error) or "page")

    assert b"page" == made.refuse(REQUEST, 404, "here").body
    assert b"405 Method Not Allowed: here\n" == made.refuse(REQUEST, 405, "here").body
    assert isinstance(seen[0], RemoteProtocolError)
    assert (404, "here") == (seen[0].status, str(seen[0]))


@pytest.mark.parametrize("what", [200, 399, 600, "404", BaseException, int, None])
def test_only_errors_have_pages(what: object) -> None:
    """A status from 400 to 599, or a class of Exception."""
    with pytest.raises(LocalProtocolError, match="error_page"):
        ErrorPages().add(what, lambda request, error: "")  # type: ignore[arg-type]


def test_one_page_for_each() -> None:
    """And it decides at once."""
    made = pages(missing="one", lookup="one")

    async def page(request: Request, error: Exception) -> str:
        return ""

    with pytest.raises(LocalProtocolError, match="already"):
        made.add(404, lambda request, error: "two")
    with pytest.raises(LocalProtocolError, match="already"):
        made.add(LookupError, lambda request, error: "two")
    with pytest.raises(LocalProtocolError, match="async def"):
        made.add(405, page)
