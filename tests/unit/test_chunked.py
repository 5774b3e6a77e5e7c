"""Chunked content is decoded the same however it is cut, and strictly."""

from __future__ import annotations

from itertools import pairwise

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.config import LimitsConfig
from rocket_sup.errors import LocalProtocolError, RemoteProtocolError
from rocket_sup.http.chunked import ChunkedContent, ChunkState

LIMITS = LimitsConfig(chunk_extensions=60, trailers=60, headers=4)
MAX_BODY = 200

extensions = st.sampled_from(
    [b"", b";a", b";a=b", b';a="b;\\"\xff"', b" ; a = b", b";", b';a="', b" ", b";a\x00"]
)
sizes = st.sampled_from([b"%x", b"%X", b"0%x", b"%x ", b"+%x", b"0x%x", b"%d"])
ends = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b""])
chunks = st.builds(
    lambda data, size, extension, e1, e2: size % len(data) + extension + e1 + data + e2,
    st.binary(min_size=1, max_size=20),
    sizes,
    extensions,
    ends,
    ends,
)
trailers = st.sampled_from([b"", b"X: a\r\n", b"X: a\r\nY:\r\n", b"X : a\r\n", b" X: a\r\n", b"X: a\n"])
contents = st.builds(
    lambda pieces, trailer, end, rest: b"".join(pieces) + b"0\r\n" + trailer + end + rest,
    st.lists(chunks, max_size=5),
    trailers,
    ends,
    st.binary(max_size=5),
)
valid_chunks = st.builds(
    lambda data, extension: b"%x%b\r\n%b\r\n" % (len(data), extension, data),
    st.binary(min_size=1, max_size=20),
    st.sampled_from([b"", b";a", b";a=b", b';a="b;\\"c"']),
)
valid = st.builds(
    lambda pieces, trailer: b"".join(pieces) + b"0\r\n" + trailer + b"\r\n",
    st.lists(valid_chunks, max_size=5),
    st.sampled_from([b"", b"X: a\r\n", b"X: a\r\nY:\r\n"]),
)


def decode(data: bytes, cuts: list[int]) -> tuple[object, bytes | None]:
    """Feed pieces; return where the content ended (-1: not yet; a status: refused), and the content."""
    machine = ChunkedContent(LIMITS, MAX_BODY)
    positions = [0, *sorted({min(cut, len(data)) for cut in cuts} | {len(data)})]
    try:
        for start, stop in pairwise(positions):
            end = machine.feed(data[start:stop])
            if end >= 0:
                return start + end, bytes(machine.content)
    except RemoteProtocolError as error:
        return f"refused {error.status}", None
    return -1, bytes(machine.content)


@given(st.one_of(contents, valid), st.lists(st.integers(0, 200), max_size=8))
def test_cuts_change_nothing(data: bytes, cuts: list[int]) -> None:
    """End, content and refusal are the same for any way of cutting."""
    assert decode(data, cuts) == decode(data, [])


@given(st.one_of(contents, valid))
def test_byte_by_byte_changes_nothing(data: bytes) -> None:
    """Every position is a cut."""
    assert decode(data, list(range(len(data)))) == decode(data, [])


@given(valid, st.binary(max_size=10), st.integers(0, 5))
def test_the_end_is_found_from_any_start(data: bytes, rest: bytes, start: int) -> None:
    """Bytes before and after the content belong to others."""
    machine = ChunkedContent(LIMITS, MAX_BODY)

    assert machine.feed(b"x" * start + data + rest, start) == start + len(data)
    assert machine.state is ChunkState.DONE


@given(valid)
def test_llhttp_decodes_the_same(data: bytes) -> None:
    """Content and end."""
    body: list[bytes] = []
    ends: list[bool] = []

    class Seen:
        def on_body(self, piece: bytes) -> None:
            body.append(piece)

        def on_message_complete(self) -> None:
            ends.append(True)

    parser = httptools.HttpRequestParser(Seen())
    parser.feed_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + data[:-1])
    assert ends == []
    parser.feed_data(data[-1:])

    assert decode(data, []) == (len(data), b"".join(body))
    assert ends == [True]


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=3))
def test_no_input_raises_anything_undocumented(data: bytes, cuts: list[int]) -> None:
    """Refusals have a status."""
    assert decode(data, cuts)[0] == -1 or isinstance(decode(data, cuts)[0], int | str)


def test_states_follow_one_another() -> None:
    """Each piece of a message leads to the next state; after the last there is none."""
    machine = ChunkedContent(LIMITS, MAX_BODY)
    states = []
    for piece in (b"3", b"\r\n", b"ab", b"c", b"\r", b"\n", b"0\r\n", b"X: 1\r\n", b"\r\n"):
        machine.feed(piece)
        states.append(machine.state.name)

    assert states == ["SIZE", "DATA", "DATA", "DATA_END", "DATA_END", "SIZE", "TRAILERS", "TRAILERS", "DONE"]
    assert machine.content == b"abc"
    with pytest.raises(LocalProtocolError):
        machine.feed(b"")


@pytest.mark.parametrize("raw", [b"0" * 17, b"1;" + b"a" * 80, b"0\r\nX: " + b"a" * 80])
def test_a_line_without_an_end_is_bounded(raw: bytes) -> None:
    """What is held to find its end is no more than the limit."""
    machine = ChunkedContent(LIMITS, MAX_BODY)

    fed = 0

    def feed_all() -> None:
        nonlocal fed
        for byte in raw * 6:
            machine.feed(bytes([byte]))
            fed += 1

    with pytest.raises(RemoteProtocolError):
        feed_all()
    assert fed <= 2 * LIMITS.trailers


def test_content_over_the_limit_is_refused_before_its_data() -> None:
    """Each chunk is judged by its size line."""
    machine = ChunkedContent(LIMITS, 5)
    machine.feed(b"3\r\nabc\r\n")

    with pytest.raises(RemoteProtocolError) as caught:
        machine.feed(b"3\r\n")
    assert caught.value.status == 413


def test_content_may_be_taken_as_it_comes() -> None:
    """It still counts against the limit; the trailers stay."""
    machine = ChunkedContent(LIMITS, 8)
    machine.feed(b"3\r\nab")
    assert (machine.take(), machine.take()) == (b"ab", b"")
    machine.feed(b"c\r\n5\r\nd")
    assert machine.take() == b"cd"
    assert machine.feed(b"efgh\r\n0\r\nX: 1\r\nY:\r\n\r\nGET") == 21

    assert (machine.take(), machine.trailers) == (b"efgh", b"\r\nX: 1\r\nY:")
    machine = ChunkedContent(LIMITS, 5)
    machine.feed(b"3\r\nabc\r\n")
    machine.take()
    with pytest.raises(RemoteProtocolError, match="larger than 5"):
        machine.feed(b"3\r\n")
