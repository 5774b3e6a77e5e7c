"""Answers as a test reads them: any cutting, every framing."""

from __future__ import annotations

import pytest

from rocket_sup.testing.answers import AnswerParser

ANSWER = b"HTTP/1.1 200 Fine\r\nContent-Length: 3\r\nX: 1\r\nX: 2\r\n\r\nabc"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"


def parse(*received: bytes, method: str = "GET") -> AnswerParser:
    """A parser that was fed."""
    parser = AnswerParser(method)
    for data in received:
        parser.feed(data)
    return parser


@pytest.mark.parametrize("sent", [ANSWER, CHUNKED, b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER])
def test_an_answer_is_read_however_it_is_cut(sent: bytes) -> None:
    """Byte by byte, too."""
    for parser in (parse(sent), parse(*(bytes([byte]) for byte in sent))):
        assert parser.answer is not None
        assert (parser.answer.status, parser.take()) == (200, b"abc")
        assert parser.is_complete
        assert parser.keeps


def test_what_an_answer_says() -> None:
    """Reason, version, repeated fields, interim answers."""
    answer = parse(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + ANSWER).answer

    assert answer is not None
    assert (answer.reason, answer.http_version, answer.informational) == ("Fine", "1.1", (103,))
    assert answer.headers.items() == [("Content-Length", "3"), ("X", "1"), ("X", "2")]
    assert "200 Fine" in repr(answer)


@pytest.mark.parametrize(
    ("sent", "method", "keeps"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", True),
        (b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n", "GET", False),
    ],
)
def test_answers_without_content_are_complete(sent: bytes, method: str, keeps: bool) -> None:
    """Whatever their fields say."""
    parser = parse(sent, method=method)

    assert parser.is_complete
    assert parser.keeps == keeps


def test_the_end_of_the_connection_may_be_the_end_of_an_answer() -> None:
    """When nothing else says so."""
    parser = parse(b"HTTP/1.0 200 OK\r\n\r\nabc", b"")

    assert (parser.take(), parser.is_complete, parser.keeps) == (b"abc", True, False)


@pytest.mark.parametrize(
    "received",
    [(b"",), (b"HTTP/1.1 20", b""), (ANSWER[:-1], b""), (CHUNKED[:-5], b""), (b"nonsense\r\n\r\n",)],
)
def test_what_is_no_whole_answer_fails_the_test(received: tuple[bytes, ...]) -> None:
    """With what there was."""
    with pytest.raises(AssertionError):
        parse(*received)


def test_what_follows_an_upgrade_is_kept() -> None:
    """It is no HTTP."""
    parser = parse(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nrest")

    assert parser.is_complete
    assert parser.rest == b"rest"
