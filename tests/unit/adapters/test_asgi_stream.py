"""An answer in pieces, on the conduit; its framing is compared in test_asgi_exchange.py."""

from __future__ import annotations

from typing import cast

import pytest

from rocket_sup.adapters.asgi_fields import judge
from rocket_sup.adapters.asgi_stream import StreamedAnswer
from rocket_sup.conduit import Conduit
from rocket_sup.errors import LocalProtocolError
from tests.unit.adapters.asgistage import FakeConduit, request


def begun(conduit: FakeConduit, line: str = "GET / HTTP/1.1", *, length: int | None = None) -> StreamedAnswer:
    pairs = [] if length is None else [(b"content-length", b"%d" % length)]
    fields = judge(pairs)
    return StreamedAnswer(request(line), cast("Conduit", conduit), 200, fields, has_trailers=False)


def test_the_head_waits_for_the_first_piece() -> None:
    """Both leave in one packet."""
    conduit = FakeConduit()
    answer = begun(conduit)

    assert conduit.is_begun
    assert conduit.written == b""
    answer.write(b"x")
    assert conduit.written.endswith(b"\r\n\r\n1\r\nx\r\n")


def test_an_empty_piece_sends_the_head() -> None:
    """Whoever sends one wants it to leave; and it is no last chunk."""
    conduit = FakeConduit()
    answer = begun(conduit)

    answer.write(b"")
    assert conduit.written.endswith(b"chunked\r\n\r\n")
    answer.write(b"")
    answer.end()
    assert conduit.written.endswith(b"chunked\r\n\r\n0\r\n\r\n")


def test_an_answer_without_a_piece_has_a_head() -> None:
    """With its end."""
    chunked, sized = FakeConduit(), FakeConduit()

    begun(chunked).end()
    begun(sized, length=0).end()

    assert chunked.written.endswith(b"chunked\r\n\r\n0\r\n\r\n")
    assert sized.written.endswith(b"Content-Length: 0\r\n\r\n")


def test_a_connection_that_was_to_be_closed_says_so() -> None:
    """The conduit knows."""
    conduit = FakeConduit()
    conduit.keep_alive = False

    begun(conduit).end()

    assert b"Connection: close\r\n" in conduit.written
    assert conduit.finished == (200, 0, False)


def test_files_are_counted_and_framed() -> None:
    """An empty one is nothing."""
    conduit = FakeConduit()
    answer = begun(conduit)

    answer.write_file(0, 0, 0)
    answer.end_file(0)
    answer.write_file(0, 5, 16)
    answer.end_file(16)
    answer.end()

    assert conduit.written.endswith(b"chunked\r\n\r\n10\r\n<file>\r\n0\r\n\r\n")
    assert conduit.files == [(5, 16)]
    assert conduit.finished == (200, 16, True)


def test_files_count_against_the_length() -> None:
    """As any content."""
    conduit = FakeConduit()
    answer = begun(conduit, length=3)

    with pytest.raises(LocalProtocolError, match="1 bytes longer"):
        answer.write_file(0, 0, 4)
    assert conduit.files == []


def test_an_answer_that_ends_too_early() -> None:
    """It is not finished."""
    conduit = FakeConduit()
    answer = begun(conduit, length=3)
    answer.write(b"x")

    with pytest.raises(LocalProtocolError, match="2 bytes shorter"):
        answer.end()
    assert conduit.finished is None
