"""Heads of answers: which are believed, and where their content ends."""

from __future__ import annotations

import pytest

from rocket_sup.client.answer_head import AnswerHead, Ending
from rocket_sup.client.errors import ProtocolError


def head(text: str, method: str = "GET") -> AnswerHead:
    """Understand a head that is written with plain line ends."""
    return AnswerHead(text.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n", method, 5)


@pytest.mark.parametrize(
    ("text", "method", "ending", "length", "keeps"),
    [
        ("HTTP/1.1 200 OK\nContent-Length: 5", "GET", Ending.LENGTH, 5, True),
        ("HTTP/1.1 200 OK\ncontent-length: 5, 5\nCONTENT-LENGTH:5", "GET", Ending.LENGTH, 5, True),
        ("HTTP/1.1 200 OK\nContent-Length: 5", "HEAD", Ending.NONE, 5, True),
        ("HTTP/1.1 304 Not Modified\nContent-Length: 5", "GET", Ending.NONE, 5, True),
        ("HTTP/1.1 204 No Content", "GET", Ending.NONE, 0, True),
        ("HTTP/1.1 103 Early Hints\nContent-Length: 5", "GET", Ending.NONE, 5, True),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: Chunked", "GET", Ending.CHUNKED, 0, True),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", "HEAD", Ending.NONE, 0, True),
        ("HTTP/1.1 200 OK", "GET", Ending.CLOSE, 0, False),
        ("HTTP/1.1 200", "GET", Ending.CLOSE, 0, False),
        ("HTTP/1.1 200 OK\nConnection: Keep-Alive, CLOSE\nContent-Length: 0", "GET", Ending.LENGTH, 0, False),
        ("HTTP/1.0 200 OK\nContent-Length: 0", "GET", Ending.LENGTH, 0, False),
        ("HTTP/1.0 200 OK\nContent-Length: 0\nConnection: keep-alive", "GET", Ending.LENGTH, 0, True),
        ("HTTP/1.1 200 OK\nContent-Length: 7", "CONNECT", Ending.NEVER, 7, True),
        ("HTTP/1.1 403 No\nContent-Length: 7", "CONNECT", Ending.LENGTH, 7, True),
        ("HTTP/1.1 101 Switching Protocols", "GET", Ending.NEVER, 0, True),
    ],
)
def test_where_content_ends(text: str, method: str, ending: Ending, length: int, keeps: bool) -> None:
    """The rules of RFC 9112 §6.3, and persistence by §9.3."""
    found = head(text, method)

    assert (ending, length, keeps) == (found.ending, found.length, found.keeps)


@pytest.mark.parametrize(
    "text",
    [
        "HTTP/2 200 OK", "HTTP/1.2 200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 099 OK", "ICY 200 OK", "",
        " HTTP/1.1 200 OK",
        "HTTP/1.1  200 OK", "HTTP/1.1 200 O\x00K", "HTTP/1.1 200 OK\nno colon", "HTTP/1.1 200 OK\nA : b",
        "HTTP/1.1 200 OK\nA: b\n folded", "HTTP/1.1 200 OK\nA: \x01", "HTTP/1.1 200 OK\n: b",
        "HTTP/1.1 200 OK\nContent-Length: -1", "HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2",
        "HTTP/1.1 200 OK\nContent-Length: 1, 2", "HTTP/1.1 200 OK\nContent-Length: 0x1",
        "HTTP/1.1 200 OK\nContent-Length:", "HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length:",
        "HTTP/1.1 200 OK\nContent-Length: 9999999999999999999",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 1",
        "HTTP/1.1 200 OK\nTransfer-Encoding: gzip", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked, chunked",
        "HTTP/1.1 200 OK\nTransfer-Encoding:", "HTTP/1.0 200 OK\nTransfer-Encoding: chunked",
        "HTTP/1.1 200 OK\na: 1\na: 1\na: 1\na: 1\na: 1\na: 1",
    ],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    """Whatever two readers could understand in two ways."""
    with pytest.raises(ProtocolError):
        head(text)


def test_what_is_kept() -> None:
    """Reason, fields and coding, as they came."""
    found = head("HTTP/1.1 200 Très bien\nContent-Encoding: GZIP\ncontent-encoding: br\nX: \xff")

    assert ("Très bien", "HTTP/1.1", "gzip, br") == (found.reason, found.version, found.coding)
    assert b"\r\nContent-Encoding: GZIP\r\ncontent-encoding: br\r\nX: \xff" == found.block
    assert 200 == found.status
