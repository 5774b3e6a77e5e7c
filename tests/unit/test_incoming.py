"""Content on its way through: the same however it is cut, and nothing is kept of it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.config import LimitsConfig
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.http.framing import RequestHead, parse_head
from rocket_sup.incoming import UNKNOWN, Incoming

LIMITS = LimitsConfig()


def head(*fields: str) -> RequestHead:
    """A head with these fields."""
    lines = "\r\n".join(["POST / HTTP/1.1", "Host: a", *fields, "", ""])
    found = parse_head(lines.encode(), 0, LIMITS)
    assert found is not None
    return found


def feed(incoming: Incoming, data: bytes, cuts: list[int]) -> tuple[bytes, int]:
    """Feed pieces until the content is whole; return it, and how many bytes were its."""
    content, taken = b"", 0
    positions = [0, *sorted({min(cut, len(data)) for cut in cuts} | {len(data)})]
    for start, stop in pairwise(positions):
        piece, end = incoming.feed(data[start:stop])
        content += piece
        taken += end
        if incoming.is_whole:
            break
    return content, taken


cuts = st.lists(st.integers(0, 80), max_size=6)


@given(st.binary(min_size=1, max_size=40), cuts)
def test_content_of_a_length(content: bytes, cuts: list[int]) -> None:
    """Exactly so many bytes, and none of the next request."""
    incoming = Incoming.after(head(f"Content-Length: {len(content)}"), LIMITS, 100)
    assert incoming.remaining == len(content)

    assert feed(incoming, content + b"GET / HTTP/1.1", cuts) == (content, len(content))
    assert (incoming.is_whole, incoming.remaining, incoming.received) == (True, 0, len(content))


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=4), cuts)
def test_content_in_chunks(pieces: list[bytes], cuts: list[int]) -> None:
    """Decoded; the trailers are kept apart."""
    incoming = Incoming.after(head("Transfer-Encoding: chunked"), LIMITS, 100)
    assert incoming.remaining == UNKNOWN
    data = b"".join(b"%x;a\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX: 1\r\ny:\r\n\r\n"

    assert feed(incoming, data + b"GET /", cuts) == (b"".join(pieces), len(data))
    assert (incoming.trailers, incoming.remaining) == (b"\r\nX: 1\r\ny:", 0)


def test_the_limit_counts_what_was_given_out() -> None:
    """Though it is not kept."""
    incoming = Incoming.after(head("Transfer-Encoding: chunked"), LIMITS, 100)
    for _ in range(10):
        assert incoming.feed(b"a\r\n0123456789\r\n")[0] == b"0123456789"
    with pytest.raises(RemoteProtocolError) as caught:
        incoming.feed(b"1\r\na")

    assert caught.value.status == 413


def test_there_may_be_none() -> None:
    """It is whole from the beginning."""
    for incoming in (Incoming(), Incoming.after(head("Content-Length: 0"), LIMITS, 0)):
        assert (incoming.is_whole, incoming.remaining, incoming.trailers) == (True, 0, b"")


@pytest.mark.parametrize("when", ["head", "piece"])
def test_what_the_witness_sees_otherwise_is_refused(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a byte of it is given out."""
    monkeypatch.setattr(f"rocket_sup.http.witness.Witness.agrees_on_{when}", lambda *_, **__: False)
    with pytest.raises(RemoteProtocolError, match="two parsers"):
        Incoming.after(head("Content-Length: 3"), LIMITS, 100).feed(b"abc")
