"""What may be said with `start_response`."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from rocket_sup.adapters import wsgi_response
from rocket_sup.adapters.wsgi_response import (
    MAX_KNOWN,
    Starting,
    bare_answer,
    content_of,
    head_of,
    is_sized,
    whole_answer,
)
from rocket_sup.errors import LocalProtocolError


def test_a_head_has_what_was_said() -> None:
    """Status, field lines in order, the promised length apart."""
    head = head_of("201 Created", [("Content-Length", "3"), ("Set-Cookie", "a"), ("set-cookie", "b")])

    assert head.status == 201
    assert head.fields == b"Set-Cookie: a\r\nset-cookie: b\r\n"
    assert head.length == 3
    assert not head.closes
    assert not head.has_date


def test_fields_between_neighbours_are_left_out() -> None:
    """Framing is not the application's; that it wants to close is heard."""
    head = head_of("200 OK", [("Transfer-Encoding", "chunked"), ("Connection", "x, Close"), ("Date", "now")])

    assert head.fields == b"Date: now\r\n"
    assert head.closes
    assert head.has_date


@pytest.mark.parametrize(
    "status", [200, "OK", "99 Low", "100 Continue", "1000 High", "", b"200 OK", "2 0", "²00"]
)
def test_a_status_that_is_none_is_refused(status: object) -> None:
    """Text, three digits, final."""
    with pytest.raises(LocalProtocolError, match="status"):
        head_of(status, [])


@pytest.mark.parametrize(
    "pair",
    [
        ("A B", "c"),
        ("", "c"),
        (b"A", "b"),
        ("A", 1),
        ("A", "b\r\nInjected: c"),
        ("A", "\u20ac"),
        ("A", "b\0"),
        ("A",),
        None,
        ("Content-Length", "-1"),
        ("Content-Length", "1_0"),
        ("Content-Length", "9" * 19),
    ],
)
def test_a_field_that_is_none_is_refused(pair: Any) -> None:
    """Nobody splits an answer through a value."""
    with pytest.raises(LocalProtocolError):
        head_of("200 OK", [pair])


def test_two_lengths_have_to_agree() -> None:
    """Else nobody knows where the content ends."""
    with pytest.raises(LocalProtocolError, match="differ"):
        head_of("200 OK", [("Content-Length", "1"), ("Content-Length", "2")])


def test_pairs_may_be_lists() -> None:
    """Some applications write them so."""
    assert head_of("200 OK", [["A", "b"]]).fields == b"A: b\r\n"


def test_what_is_remembered_is_bounded() -> None:
    """Applications repeat themselves, or they do not."""
    for number in range(2 * MAX_KNOWN):
        head_of("200 OK", [("X", str(number))])

    assert len(wsgi_response._known) <= MAX_KNOWN


def test_start_response_twice_needs_an_excuse() -> None:
    """The excuse is a failure, and only as long as nothing was sent."""
    starting = Starting()
    starting.start_response("200 OK", [])
    with pytest.raises(LocalProtocolError, match="again"):
        starting.start_response("200 OK", [])
    try:
        raise ValueError("broken")
    except ValueError:
        starting.start_response("500 Sorry", [], sys.exc_info())  # type: ignore[arg-type]

    assert starting.said().status == 500


def test_a_failure_after_the_head_was_sent_goes_on() -> None:
    """The application cannot take back what the client has."""
    starting = Starting()
    starting.start_response("200 OK", [])
    starting.is_sent = True
    try:
        raise ValueError("broken")
    except ValueError as error:
        with pytest.raises(ValueError, match="broken"):
            starting.start_response("500 Sorry", [], (ValueError, error, error.__traceback__))

    assert starting.said().status == 200


def test_content_needs_a_head_and_has_to_be_bytes() -> None:
    """Both are the application's fault."""
    with pytest.raises(LocalProtocolError, match="start_response"):
        Starting().said()
    with pytest.raises(LocalProtocolError, match="str"):
        content_of("text")
    with pytest.raises(NotImplementedError):
        Starting().write(b"")

    assert content_of(b"x") == b"x"


def test_a_whole_answer_is_as_long_as_was_promised() -> None:
    """But to HEAD, which gets none of it, and where there is no content."""
    head = head_of("200 OK", [("Content-Length", "3"), ("Connection", "close"), ("Date", "now")])
    with pytest.raises(LocalProtocolError, match="more content"):
        whole_answer(head, b"four", is_head=False)
    with pytest.raises(LocalProtocolError, match="2 bytes"):
        whole_answer(head, b"is", is_head=False)
    answer = whole_answer(head, b"yes", is_head=False)

    assert (answer.body, answer.closes, answer.has_date) == (b"yes", True, True)
    assert whole_answer(head, b"", is_head=True).length == 3
    assert whole_answer(head_of("304 No", [("Content-Length", "3")]), b"", is_head=False).status == 304
    assert bare_answer(head).fields == b"Date: now\r\n"


def test_how_many_pieces_there_are() -> None:
    """A generator does not know."""
    assert is_sized([b"a"], 1)
    assert not is_sized([b"a", b"b"], 1)
    assert not is_sized((piece for piece in [b"a"]), 1)
