"""Ranges: any field gives parts that exist, never more bytes than there are, or none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.http.ranges import (
    MAX_RANGES,
    Span,
    UnsatisfiableError,
    coalesced,
    content_range,
    multipart,
    multipart_type,
    select,
    unsatisfied_range,
)


@pytest.mark.parametrize(
    ("field", "spans"),
    [
        # the examples of RFC 9110 §14.1.2, of 10000 bytes
        ("bytes=0-499", [(0, 500)]),
        ("bytes=500-999", [(500, 500)]),
        ("bytes=-500", [(9500, 500)]),
        ("bytes=9500-", [(9500, 500)]),
        ("bytes=0-0,-1", [(0, 1), (9999, 1)]),
        ("bytes= 0-999, 4500-5499, -1000", [(0, 1000), (4500, 1000), (9000, 1000)]),
        ("bytes=500-600,601-999", [(500, 500)]),
        ("bytes=500-700,601-999", [(500, 500)]),
        # letter case, empty elements, blanks
        ("Bytes=0-0", [(0, 1)]),
        ("bytes = ,0-0 ,,", [(0, 1)]),
        # the order asked for, unless some became one
        ("bytes=5000-5000,0-0", [(5000, 1), (0, 1)]),
        ("bytes=5000-5000,0-0,0-0", [(0, 1), (5000, 1)]),
        # beyond the end
        ("bytes=9999-20000", [(9999, 1)]),
        ("bytes=-20000", [(0, 10000)]),
        ("bytes=0-0,10000-", [(0, 1)]),
        (f"bytes=0-{'9' * 5000}", [(0, 10000)]),
        (f"bytes={'0' * 5000}1-1", [(1, 1)]),
    ],
)
def test_rfc9110_14_1_2_byte_ranges(field: str, spans: list[tuple[int, int]]) -> None:
    """What is asked for, as far as it exists."""
    assert [Span(*each) for each in spans] == select(field, 10000)


@pytest.mark.parametrize(
    "field",
    [
        *("", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=1", "bytes=2-1", "bytes=a-b", "bytes=1-2-3"),
        *("bytes=--1", "bytes=+1-2", "bytes=1 - 2", "lines=0-1", "bytes=0-1;2-3", "bytes=\u0661-\u0662"),
        *("bytes=0-1,x", f"bytes={','.join(['0-0'] * (MAX_RANGES + 1))}"),
    ],
)
def test_what_is_malformed_or_excessive_is_ignored(field: str) -> None:
    """The whole is always a right answer."""
    assert select(field, 10000) is None


@pytest.mark.parametrize(
    "field", ["bytes=10000-", "bytes=-0", "bytes=10000-10001,20000-", f"bytes={'9' * 99}-"]
)
def test_rfc9110_15_5_17_what_does_not_exist(field: str) -> None:
    """None of the parts: 416."""
    with pytest.raises(UnsatisfiableError):
        select(field, 10000)


def test_of_nothing_there_is_no_part() -> None:
    """An empty representation is sent whole."""
    assert select("bytes=0-", 0) is None
    assert select("bytes=-1", 0) is None


specs = st.one_of(
    st.builds("{}-{}".format, st.integers(0, 3000), st.integers(0, 3000)),
    st.builds("{}-".format, st.integers(0, 3000)),
    st.builds("-{}".format, st.integers(0, 3000)),
    st.text("0123456789-, ", max_size=9),
)


@given(st.lists(specs, max_size=40), st.integers(0, 2500))
def test_parts_exist_and_never_exceed_the_whole(listed: list[str], size: int) -> None:
    """However the field is made: inside the whole, apart from each other, few."""
    try:
        spans = select(f"bytes={','.join(listed)}", size)
    except UnsatisfiableError:
        return
    if spans is None:
        return
    taken: set[int] = set()
    for span in spans:
        part = set(range(span.offset, span.end))

        assert 0 <= span.offset < span.end <= size
        assert not taken & part
        taken |= part
    assert 1 <= len(spans) <= MAX_RANGES


@given(st.text())
def test_any_field_is_judged(field: str) -> None:
    """Nothing a client sends raises anything else."""
    try:
        select(field, 100)
    except UnsatisfiableError:
        pass


def test_near_parts_become_one() -> None:
    """A gap shorter than the lines between two parts is sent as well."""
    assert [Span(0, 60)] == coalesced([Span(50, 10), Span(0, 10)])
    assert [Span(0, 10), Span(500, 10)] == coalesced([Span(0, 10), Span(500, 10)])


def test_fields() -> None:
    """As RFC 9110 §14.4 and §14.6 show them."""
    assert "bytes 42-1233/1234" == content_range(Span(42, 1192), 1234)
    assert "bytes */1234" == unsatisfied_range(1234)
    assert "multipart/byteranges; boundary=b" == multipart_type("b")


def test_what_stands_around_parts() -> None:
    """A boundary line before each, one behind the last; a type if there is one."""
    parts, last = multipart([Span(0, 1), Span(5, 2)], size=9, media_type="a/b", boundary="X")
    bare, _ = multipart([Span(0, 1)], size=9, media_type="", boundary="X")

    assert (b"--X\r\nContent-Type: a/b\r\nContent-Range: bytes 0-0/9\r\n\r\n", Span(0, 1)) == parts[0]
    assert (b"\r\n--X\r\nContent-Type: a/b\r\nContent-Range: bytes 5-6/9\r\n\r\n", Span(5, 2)) == parts[1]
    assert b"\r\n--X--\r\n" == last
    assert b"--X\r\nContent-Range: bytes 0-0/9\r\n\r\n" == bare[0][0]
