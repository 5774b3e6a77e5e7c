"""`wsgi.input`: like a file, however the content is cut."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.adapters.wsgi_input import Content


def content(*pieces: bytes) -> Content:
    """A file of pieces."""
    left = iter(pieces)
    return Content(lambda: next(left, b""))


CALLS = st.one_of(
    st.tuples(st.just("read"), st.integers(0, 9)),
    st.tuples(st.just("readline"), st.integers(-1, 9)),
    st.tuples(st.just("readlines"), st.integers(-1, 9)),
)


@given(
    st.lists(st.text("ab\n", min_size=1, max_size=6).map(str.encode)),
    st.lists(CALLS, max_size=12),
)
def test_it_reads_as_a_file_in_memory_does(pieces: list[bytes], calls: list[tuple[str, int]]) -> None:
    """Any cutting, any calls, the same results, and the same rest."""
    file, expected = content(*pieces), io.BytesIO(b"".join(pieces))
    for name, size in calls:
        assert getattr(expected, name)(size) == getattr(file, name)(size)

    assert expected.read() == file.read()
    assert file.read() == b""


def test_lines_can_be_iterated() -> None:
    """As the validator of the standard library insists."""
    assert list(content(b"a\nb", b"c\n", b"d")) == [b"a\n", b"bc\n", b"d"]


def test_none_means_everything() -> None:
    """As -1 does."""
    assert content(b"a", b"b").read(None) == b"ab"
    assert content(b"a", b"\nb").readline(None) == b"a\n"
    assert content(b"a\n", b"b").readlines(None) == [b"a\n", b"b"]


def test_what_is_there_can_be_read_without_waiting_for_more() -> None:
    """One piece at most."""
    file = content(b"abc", b"d")

    assert file.read1(2) == b"ab"
    assert file.read1() == b"c"
    assert file.read1(0) == b""
    assert file.read1(9) == b"d"
    assert file.read1() == b""


def test_the_end_is_asked_for_once() -> None:
    """Whoever has it may be gone afterwards."""
    asked: list[int] = []

    def take() -> bytes:
        asked.append(1)
        return b""

    file = Content(take)

    assert file.read(1) == file.read() == file.readline() == b""
    assert len(asked) == 1


def test_a_failure_goes_through() -> None:
    """Half of the content is not taken for all of it."""

    def fail() -> bytes:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        Content(fail).read()
