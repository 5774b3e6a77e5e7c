"""The machine that reads answers: any cut gives the same, and nothing grows without bound."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.client.answer_reader import AnswerReader, Reading
from rocket_sup.client.errors import BodyTooLarge, Disconnected, IncompleteBody, ProtocolError
from rocket_sup.client.settings import Limits

LIMITS = Limits(max_head=300, max_fields=8)
ANSWERS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", b"hello world"),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    "none": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n",
        b"hello world",
    ),
    "informational": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"ok",
    ),
}


def reader(max_body: int | None = None, method: str = "GET") -> AnswerReader:
    """A machine that waits for an answer."""
    made = AnswerReader(LIMITS)
    made.expect(method, max_body)
    return made


@pytest.mark.parametrize("name", ANSWERS)
@given(cuts=st.sets(st.integers(1, 150)))
def test_any_cut_gives_the_same(name: str, cuts: set[int]) -> None:
    """Head, content and trailers do not depend on how the bytes came."""
    wire, content = ANSWERS[name]
    found = reader()

    places = [0, *sorted(cut for cut in cuts if cut < len(wire)), len(wire)]
    for start, end in pairwise(places):
        assert found.state is not Reading.DONE
        found.feed(wire[start:end])

    assert found.state is Reading.DONE
    assert content == found.take()
    assert not found.has_excess
    assert (name == "informational") == found.has_continue
    assert ([("X", "y")] if name == "chunks" else []) == (found.trailers.items() if found.trailers else [])


@pytest.mark.parametrize("name", ANSWERS)
def test_what_comes_behind_is_excess(name: str) -> None:
    """In the same bytes or later: nothing was asked."""
    wire, content = ANSWERS[name]
    together, later = reader(), reader()

    together.feed(wire + b"HTTP/1.1 200 OK\r\n")
    later.feed(wire)
    later.feed(b"x")

    assert (Reading.DONE, content, True) == (together.state, together.take(), together.has_excess)
    assert later.has_excess


def test_one_answer_after_the_other() -> None:
    """Nothing of the first is left for the second."""
    found = reader()
    found.feed(ANSWERS["chunks"][0])
    found.take()
    found.expect("HEAD", None)
    found.feed(ANSWERS["length"][0][:-11])

    assert (Reading.DONE, b"", None) == (found.state, found.take(), found.trailers)


def test_content_until_the_end() -> None:
    """Without a length, the end of the connection is the end of the content."""
    found = reader()
    found.feed(b"HTTP/1.1 200 OK\r\n\r\nab")
    found.feed(b"c")
    assert found.state is Reading.CONTENT
    found.end()

    assert (Reading.DONE, b"abc") == (found.state, found.take())


def test_another_protocol() -> None:
    """After 101 bytes are no HTTP any more."""
    found = reader()
    found.feed(b"HTTP/1.1 101 Switching Protocols\r\n\r\nab")
    found.feed(b"c")

    assert (Reading.TUNNEL, b"abc") == (found.state, found.take())


@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        (b"", Disconnected),
        (b"HTTP/1.1 200", ProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", IncompleteBody),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", IncompleteBody),
    ],
)
def test_an_end_that_comes_too_early(wire: bytes, kind: type[Exception]) -> None:
    """It is told what is missing."""
    found = reader()
    if wire:
        found.feed(wire)

    with pytest.raises(kind):
        found.end()


@pytest.mark.parametrize(
    "wire",
    [
        b"SSH-2.0-OpenSSH",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 9 + b"\r\n",
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_server_that_breaks_the_rules(wire: bytes, size: int) -> None:
    """Endless heads, endless 1xx, broken chunks, too many trailers: an error at the limit."""
    found = reader()

    def feed_all() -> None:
        for start in range(0, len(wire), size):
            found.feed(wire[start : start + size])

    with pytest.raises(ProtocolError):
        feed_all()


def test_chunks_that_carry_nothing() -> None:
    """An extension without end is bounded like a head."""
    found = reader()
    found.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;")

    for _ in range(298):
        found.feed(b"a")
    with pytest.raises(ProtocolError, match="without content"):
        found.feed(b"aaa")


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n123456\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n123456",
    ],
)
def test_more_content_than_allowed(wire: bytes) -> None:
    """The limit holds however the content is framed."""
    with pytest.raises(BodyTooLarge):
        reader(max_body=5).feed(wire)


@given(st.binary(max_size=400))
def test_nothing_undocumented_is_raised(wire: bytes) -> None:
    """Whatever a server sends."""
    for start in (b"", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):
        found = reader(max_body=100)
        try:
            found.feed(start + wire)
            found.end()
        except (ProtocolError, BodyTooLarge, Disconnected):
            pass
