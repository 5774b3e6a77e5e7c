"""The second opinion: agreement on ends, and nothing else, is what is asked for."""

from __future__ import annotations

import pytest

from rocket_sup.http.witness import Witness

LENGTH = b"\r\nHost: a\r\nContent-Length: 3"
CHUNKED = b"\r\nHost: a\r\nTransfer-Encoding: chunked"


def test_it_agrees_to_whole_messages_one_after_the_other() -> None:
    """Also after one that ends the connection: when that ends is not its question."""
    witness = Witness()
    for fields in (LENGTH, LENGTH + b"\r\nConnection: close", LENGTH, LENGTH + b"\r\nConnection: upgrade"):
        assert witness.agrees_on_whole("1.1", fields, b"abc")
    assert witness.agrees_on_whole("1.0", LENGTH, b"abc")


@pytest.mark.parametrize("content", [b"ab", b"abcd", b"abcPOST / HTTP/1.1\r\n\r\n", b""])
def test_it_disagrees_when_it_sees_another_end(content: bytes) -> None:
    """Too early and too late; after that it can be asked about the next message."""
    witness = Witness()

    assert not witness.agrees_on_whole("1.1", LENGTH, content)
    assert witness.agrees_on_whole("1.1", LENGTH, b"abc")


def test_a_head_that_announces_nothing_is_a_disagreement() -> None:
    """It is only shown heads that do."""
    assert not Witness().agrees_on_head("1.1", b"\r\nHost: a")


def test_chunks_are_followed_piece_by_piece() -> None:
    """The end must come with the last piece."""
    witness = Witness()

    assert witness.agrees_on_head("1.1", CHUNKED)
    assert witness.agrees_on_piece(b"3\r\nab", is_last=False)
    assert witness.agrees_on_piece(memoryview(b"c\r\n0\r\n\r\n"), is_last=True)
    assert witness.agrees_on_head("1.1", CHUNKED)
    assert not witness.agrees_on_piece(b"0\r\n\r\n", is_last=False)


@pytest.mark.parametrize("name", [b"Upgrade", b"upgrade", b"UPGRADE", b"uPgRaDe"])
def test_an_upgrade_does_not_end_the_message(name: bytes) -> None:
    """llhttp would take it for the end of HTTP."""
    fields = LENGTH + b"\r\nConnection: upgrade\r\n" + name + b": websocket"

    assert Witness().agrees_on_whole("1.1", fields, b"abc")


def test_a_refusal_to_judge_is_no_disagreement() -> None:
    """llhttp knows no blanks in extensions; it says nothing about this message and judges the next."""
    witness = Witness()

    assert witness.agrees_on_head("1.1", CHUNKED)
    assert witness.agrees_on_piece(b"1;\ta = b\r\na\r\n", is_last=False)
    assert witness.agrees_on_piece(b"0\r\n\r\n", is_last=True)
    assert not witness.agrees_on_whole("1.1", LENGTH, b"ab")
