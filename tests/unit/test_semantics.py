"""Answers on the wire: dates, heads, and which statuses have content."""

from __future__ import annotations

import datetime
import email.utils

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.http.semantics import (
    CLOSE,
    PERSIST,
    REASONS,
    Heads,
    has_content,
    http_date,
    serialise,
    status_line,
)


@given(st.integers(0, 253402300799))
def test_dates_are_imf_fixdate(seconds: int) -> None:
    """As the standard library writes them, in any locale."""
    assert http_date(seconds) == email.utils.formatdate(seconds, usegmt=True)


def test_the_example_of_the_rfc() -> None:
    """RFC 9110 §5.6.7."""
    wall = datetime.datetime(1994, 11, 6, 8, 49, 37, tzinfo=datetime.UTC).timestamp()

    assert http_date(wall) == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_every_status_line_has_its_reason_or_its_blank() -> None:
    """RFC 9112 §4: the blank before an empty reason stays."""
    assert status_line(413) == b"HTTP/1.1 413 Content Too Large\r\n"
    assert status_line(299) == b"HTTP/1.1 299 \r\n"
    assert all(
        status_line(code).endswith(f"{code} {reason}\r\n".encode()) for code, reason in REASONS.items()
    )


def test_statuses_without_content() -> None:
    """RFC 9110 §6.4.1."""
    assert [status for status in range(100, 600) if not has_content(status)] == [*range(100, 200), 204, 304]


@pytest.mark.parametrize(
    ("status", "is_head", "expected"),
    [
        (200, False, b"HTTP/1.1 200 OK\r\nD: 1\r\nX: 2\r\nContent-Length: 3\r\n\r\nabc"),
        (200, True, b"HTTP/1.1 200 OK\r\nD: 1\r\nX: 2\r\nContent-Length: 3\r\n\r\n"),
        (204, False, b"HTTP/1.1 204 No Content\r\nD: 1\r\nX: 2\r\n\r\n"),
        (304, False, b"HTTP/1.1 304 Not Modified\r\nD: 1\r\nX: 2\r\n\r\n"),
        (304, True, b"HTTP/1.1 304 Not Modified\r\nD: 1\r\nX: 2\r\n\r\n"),
    ],
)
def test_content_and_its_length_follow_status_and_method(status: int, is_head: bool, expected: bytes) -> None:
    """Whatever the handler gave."""
    answer = serialise(
        status, b"D: 1\r\n", b"X: 2\r\n", b"abc", connection=PERSIST, is_head=is_head, length=3
    )

    assert answer == expected


def test_the_connection_field_is_last() -> None:
    """And there only when it says something."""
    answer = serialise(200, b"", b"", b"", connection=CLOSE, is_head=False, length=0)

    assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def make_heads() -> Heads:
    """Heads for text and JSON, at a known time."""
    heads = Heads({str: (b"text/plain", str.encode), dict: (b"application/json", orjson.dumps)})  # type: ignore[dict-item]
    heads.refresh(100.0, 784111777.25)
    return heads


def test_what_is_written_expires_with_its_second() -> None:
    """A quarter of it was over."""
    heads = make_heads()

    assert heads.expires == 100.75
    assert heads.date_line == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


@pytest.mark.parametrize("body", ["", "ok", "é" * 10, "x" * 300, "x" * 5000])
def test_a_ready_answer_is_the_one_that_serialise_writes(body: str) -> None:
    """The short way and the long way give the same bytes."""
    heads = make_heads()
    content = body.encode()
    fields = b"Content-Type: text/plain\r\n"

    for _ in range(2):
        assert heads.persistent_answer(str, body) == serialise(
            200, heads.date_line, fields, content, connection=PERSIST, is_head=False, length=len(content)
        )


def test_ready_answers_are_bounded_and_go_with_their_second() -> None:
    """Memory does not follow what handlers return."""
    heads = make_heads()
    for n in range(1000):
        heads.persistent_answer(str, str(n))
    heads.persistent_answer(str, "x" * 1000)

    assert 0 < len(heads.ready) <= 64
    heads.refresh(101.0, 784111778.0)
    assert heads.ready == {}


def test_other_types_have_no_ready_way() -> None:
    """They are judged one by one."""
    assert make_heads().persistent_answer(int, 5) is None
