"""Whatever a handler returns becomes an answer, or is refused before a byte was written."""

from __future__ import annotations

import enum
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from rocket_sup.errors import LocalProtocolError
from rocket_sup.response import Answer, Response, answer_from, call_blocking
from rocket_sup.sources import FileSource, Stream


def shown(answer: Answer) -> tuple[int, bytes, bytes]:
    """What goes onto the wire."""
    return answer.status, answer.fields, answer.body


TEXT = b"Content-Type: text/plain; charset=utf-8\r\n"
JSON = b"Content-Type: application/json\r\n"
BINARY = b"Content-Type: application/octet-stream\r\n"


class Word(str):
    """A string of another class."""


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("a", (200, TEXT, b"a")),
        (Word("a"), (200, TEXT, b"a")),
        (b"a", (200, BINARY, b"a")),
        (bytearray(b"a"), (200, BINARY, b"a")),
        (memoryview(b"a"), (200, BINARY, b"a")),
        ({"a": None}, (200, JSON, b'{"a":null}')),
        ([], (200, JSON, b"[]")),
        (1.5, (200, JSON, b"1.5")),
        (True, (200, JSON, b"true")),
        (404, (404, b"", b"")),
        (None, (204, b"", b"")),
        ((201, "a"), (201, TEXT, b"a")),
        ((200, None), (200, b"", b"")),
        ((204, "a"), (204, b"", b"")),
        ((200, "a", [("X", "1"), ("X", "2")]), (200, b"X: 1\r\nX: 2\r\n" + TEXT, b"a")),
        ((200, "a", {"content-type": "x/y"}), (200, b"content-type: x/y\r\n", b"a")),
        (Response.text("a"), (200, TEXT, b"a")),
        (Response.html("a"), (200, b"Content-Type: text/html; charset=utf-8\r\n", b"a")),
        (Response.json("a"), (200, JSON, b'"a"')),
        (Response.json(None, 201), (201, JSON, b"null")),
        (Response.empty(), (204, b"", b"")),
        (Response.redirect("/a"), (303, b"Location: /a\r\n", b"")),
    ],
)
def test_results_become_answers(result: object, expected: tuple[int, bytes, bytes]) -> None:
    """Type, status and content of each kind."""
    assert shown(answer_from(result)) == expected


class Status(enum.IntEnum):
    """A status with a name."""

    TEAPOT = 418


def test_a_status_may_have_a_name() -> None:
    """`http.HTTPStatus` for example."""
    assert answer_from(Status.TEAPOT).status == 418
    assert answer_from((Status.TEAPOT, "x")).status == 418


@pytest.mark.parametrize(
    "result",
    [
        (200,),
        (200, "a", {}, "b"),
        ("200", "a"),
        (True and 100, "a"),
        (1000, "a"),
        (-1, None),
        99,
        Response("a", headers={"X": "a\r\nY: b"}),
        Response("a", headers={"X": "a\n"}),
        Response("a", headers={"X": "\0"}),
        Response("a", headers={"X": "\u0100"}),
        Response("a", headers={"X": 1}),  # type: ignore[dict-item]
        Response("a", headers={"X Y": "a"}),
        Response("a", headers={"": "a"}),
        Response("a", headers={"X\r\nY": "a"}),
        Response("a", headers={"Transfer-Encoding": "chunked"}),
        Response("a", headers={"Keep-Alive": "timeout=5"}),
        Response("a", headers={"Upgrade": "h2c"}),
    ],
)
def test_what_cannot_go_onto_the_wire_is_refused(result: object) -> None:
    """The application's fault, found before a byte was written."""
    with pytest.raises(LocalProtocolError):
        answer_from(result)


@pytest.mark.parametrize("result", [object(), {"a": object()}, {1, 2}])
def test_what_json_cannot_hold_is_a_type_error(result: object) -> None:
    """As orjson says."""
    with pytest.raises(TypeError):
        answer_from(result)


def test_framing_fields_are_the_connections_own() -> None:
    """Connection: close is a wish, Content-Length counts only where no content is made."""
    closing = answer_from(Response("abc", headers={"Connection": "Close", "Content-Length": "99"}))
    empty = answer_from(Response(None, headers={"Content-Length": "99"}))
    odd = answer_from(Response(None, headers={"Content-Length": "-1"}))

    assert (closing.closes, closing.length, closing.fields) == (True, 3, TEXT)
    assert (empty.closes, empty.length, odd.length) == (False, 99, 0)


def test_a_date_of_the_application_is_noticed() -> None:
    """So that there are not two."""
    assert answer_from(Response("", headers={"date": "x"})).has_date
    assert not answer_from(Response("")).has_date


@pytest.mark.parametrize("location", ["//evil.test", "/\\evil.test", "\\\\evil.test"])
def test_a_redirect_never_begins_with_two_slashes(location: str) -> None:
    """Browsers take that for another host."""
    with pytest.raises(LocalProtocolError):
        Response.redirect(location)


def test_a_redirect_has_a_status_of_redirects() -> None:
    """Any other would not be followed."""
    assert Response.redirect("/", 308).status == 308
    with pytest.raises(LocalProtocolError):
        Response.redirect("/", 200)


def test_a_response_shows_itself() -> None:
    """For those who debug."""
    assert repr(Response("a", 201)) == "<Response 201 Headers([])>"


@pytest.mark.parametrize("location", ["/\t/evil.example/", " //evil.example/", "/a b", "/a\x7f"])
def test_a_redirect_has_no_blanks_that_browsers_drop(location: str) -> None:
    """Without the blank some of these would begin with // and name another host."""
    with pytest.raises(LocalProtocolError, match="blanks or controls"):
        Response.redirect(location)


def test_a_redirect_may_be_given_as_text() -> None:
    """What is not ASCII is percent-encoded as UTF-8; what is encoded already stays as it is."""
    assert Response.redirect("/caf\u00e9?q=%20a#\u00fc").headers["Location"] == "/caf%C3%A9?q=%20a#%C3%BC"


def test_an_upgrade_is_named_where_it_is_required() -> None:
    """426 has to say what would be right, and says so as an option of the connection (RFC 9110 §7.8)."""
    answer = answer_from((426, "no", {"Upgrade": "websocket"}))

    assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in answer.fields
    with pytest.raises(LocalProtocolError):
        answer_from((200, "no", {"Upgrade": "websocket"}))


async def pieces() -> AsyncIterator[bytes]:
    """An asynchronous generator."""
    yield b"a"


def test_iterators_are_sources() -> None:
    """With the fields and the status of a response; a length, if it is known, and no content without."""
    for result, expected in (
        (iter([b"a"]), (200, BINARY, -1)),
        (pieces(), (200, BINARY, -1)),
        ((206, iter([b"a"]), {"Content-Type": "x/y"}), (206, b"Content-Type: x/y\r\n", -1)),
        (Response.stream([b"a"], 201, {"X": "1"}, length=1), (201, b"X: 1\r\n" + BINARY, 1)),
        (Response.stream([b"a"], headers={"Content-Length": "7"}), (200, BINARY, 7)),
        (Response.stream([b"a"], 204), (204, b"", -1)),
    ):
        answer = answer_from(result)

        assert (answer.status, answer.fields, answer.length) == expected
        assert (answer.body, type(answer.source)) == (b"", Stream)


def test_a_file_has_the_length_it_has() -> None:
    """Whatever a field says."""
    with tempfile.TemporaryFile() as file:
        source = FileSource(os.dup(file.fileno()), 0, 5)
        answer = answer_from(Response(source, headers={"Content-Length": "7"}))

        assert (answer.source, answer.length) == (source, 5)
        source.close()


@pytest.mark.parametrize("keywords", [{"length": -1}, {"length": 3, "trailers": {}}])
def test_trailers_and_a_length_exclude_each_other(keywords: dict[str, Any]) -> None:
    """And no length is negative."""
    with pytest.raises(LocalProtocolError, match="length="):
        Response.stream([b"a"], **keywords)


def test_an_answer_stays_what_it_is() -> None:
    """It was made from a result before."""
    answer = Answer(418)

    assert answer_from(answer) is answer


@pytest.mark.parametrize("wrap", [lambda body: body, lambda body: (200, body), Response, Response.stream])
def test_what_a_thread_returns_is_run_in_a_thread(wrap: Callable[[object], object]) -> None:
    """If it is an ordinary iterator; anything else is returned as it is."""
    answer = call_blocking(lambda request: wrap(iter([b"a"])), None)
    assert isinstance(answer, Answer)
    assert isinstance(answer.source, Stream)
    assert answer.source.is_blocking
    answer = call_blocking(lambda request: wrap(pieces()), None)
    assert isinstance(answer, Answer)
    assert isinstance(answer.source, Stream)
    assert not answer.source.is_blocking
    for result in ("text", None, 7, (200, "text"), [b"a"]):
        assert call_blocking(lambda request, result=result: result, None) is result  # type: ignore[misc]
