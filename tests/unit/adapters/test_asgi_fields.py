"""Header fields of ASGI applications."""

from __future__ import annotations

from typing import Any

import pytest

from rocket_sup.adapters.asgi_fields import Fields, judge
from rocket_sup.errors import LocalProtocolError

Pairs = list[tuple[bytes, bytes]]


def judged(*pairs: tuple[bytes, bytes]) -> Fields:
    """What becomes of some pairs."""
    return judge(pairs)


def test_fields_keep_their_order_and_case() -> None:
    """They go out as they came."""
    fields = judged((b"b", b"1"), (b"A", b"\xe9"), (b"b", b""))

    assert fields.lines == b"b: 1\r\nA: \xe9\r\nb: \r\n"
    assert fields.is_plain


def test_no_fields() -> None:
    """An empty section is one."""
    assert judged().lines == b""


@pytest.mark.parametrize(
    "pairs",
    [
        [(b"a", b"b\r\nc: d")],
        [(b"a: b\r\nc", b"d")],
        [(b"a", b"b\nc: d")],
        [(b"a", b"b\rc")],
        [(b"a", b"b\0")],
        [(b"a b", b"c")],
        [(b"", b"c")],
        [(b"a", b"b\r\n")],
        [(b"a\r\n", b"b"), (b"c", b"d")],
        [("a", "b")],
        [(b"a", 1)],
        [(b"a",)],
        [b"ab", b"cd", None],
        None,
        3,
    ],
)
def test_what_cannot_be_sent_is_refused(pairs: Any) -> None:
    """Nobody splits an answer through a value; and what are no pairs of bytes."""
    with pytest.raises(LocalProtocolError):
        judge(pairs)


def test_a_section_that_was_refused_is_refused_when_a_look_alike_is_known() -> None:
    """Two fields and one that contains a line end make the same block."""
    judge([(b"a", b"b"), (b"c", b"d")])

    with pytest.raises(LocalProtocolError):
        judge([(b"a", b"b\r\nc: d")])


def test_framing_is_taken_out() -> None:
    """It is the connection's; what it says is kept."""
    fields = judged(
        (b"Content-Length", b"12"),
        (b"x", b"y"),
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"upgrade, Close"),
        (b"keep-alive", b"5"),
        (b"upgrade", b"h2c"),
        (b"DATE", b"now"),
    )

    assert fields.lines == b"x: y\r\nDATE: now\r\n"
    assert (fields.length, fields.closes, fields.has_date, fields.is_plain) == (12, True, True, False)


def test_a_value_that_looks_like_framing_is_left_alone() -> None:
    """Names decide, at the beginning of a line."""
    fields = judged((b"x", b"content-length: 3"), (b"x-content-length", b"4"))

    assert fields.is_plain
    assert fields.lines == b"x: content-length: 3\r\nx-content-length: 4\r\n"


@pytest.mark.parametrize("value", [b"", b"+1", b"-1", b"1,1", b"a", b"9" * 19])
def test_a_length_that_is_none(value: bytes) -> None:
    """It would be sent, and the client would not understand it."""
    with pytest.raises(LocalProtocolError, match="content-length"):
        judged((b"content-length", value))


def test_lengths_that_differ() -> None:
    """One of them is wrong; the same twice is once."""
    assert judged((b"content-length", b"1"), (b"content-length", b"1")).length == 1
    with pytest.raises(LocalProtocolError, match="content-length"):
        judged((b"content-length", b"1"), (b"content-length", b"2"))


def test_what_comes_again_is_known() -> None:
    """The same object, as long as there is room; lists will do, too."""
    first = judge([(b"a", b"b")])

    assert judge(iter([[b"a", b"b"]])) is first  # type: ignore[list-item]
    long = judge([(b"a", b"b" * 2000)])
    assert judge([(b"a", b"b" * 2000)]) is not long
    for number in range(1000):
        judge([(b"n", b"%d" % number)])
    assert judge([(b"a", b"b")]) is not first


def test_a_length_can_be_added() -> None:
    """For a file whose size the application did not say."""
    fields = judged((b"a", b"b"))

    assert fields.with_length(7).length == 7
    assert fields.length == -1
