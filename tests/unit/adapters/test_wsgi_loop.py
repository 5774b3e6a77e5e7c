"""A WSGI application called on the event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from rocket_sup.adapters.wsgi_environ import Environs
from rocket_sup.adapters.wsgi_files import FileWrapper
from rocket_sup.adapters.wsgi_loop import WHOLE_BYTES, call_on_loop
from rocket_sup.config import LimitsConfig
from rocket_sup.errors import LocalProtocolError
from rocket_sup.http.framing import parse_head
from rocket_sup.request import Request
from rocket_sup.response import Answer
from rocket_sup.sources import FileSource, Stream

Start = Callable[..., Callable[[bytes], object]]
OK = "200 OK"


def answer_of(
    app: Callable[[dict[str, Any], Start], Iterable[bytes]],
    *,
    method: str = "GET",
    fields: str = "",
    body: bytes = b"",
) -> Answer:
    """What an application answers."""
    environs = Environs(root_path="", server=("a", 80), is_threaded=False, wrapper=FileWrapper)
    head = parse_head(f"{method} / HTTP/1.1\r\nHost: a{fields}\r\n\r\n".encode(), 0, LimitsConfig())
    assert head is not None
    request = Request(head, ("::1", 1))
    request.body = body
    return call_on_loop(app, environs)(request)


def pieces_of(answer: Answer) -> list[bytes]:
    """The pieces of an answer, pulled one by one, and closed."""
    assert isinstance(answer.source, Stream)
    pieces: Any = answer.source.pieces
    try:
        return list(pieces)
    finally:
        pieces.close()


class Pieces:
    """An iterable that knows whether it was closed."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = iter(pieces)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces

    def close(self) -> None:
        self.closed += 1


def giving(result: Iterable[bytes], *headers: tuple[str, str]) -> Callable[..., Iterable[bytes]]:
    """An application that gives an iterable."""

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        start(OK, list(headers))
        return result

    return app


def test_a_list_of_one_piece_is_an_answer() -> None:
    """The usual case."""
    answer = answer_of(giving([b"ok"], ("Content-Type", "a/b")))

    assert (answer.status, answer.fields, answer.body) == (200, b"Content-Type: a/b\r\n", b"ok")
    assert answer.source is None


def test_content_is_whole_and_its_length_known() -> None:
    """Chunks are undone before the application sees them."""

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        start(OK, [])
        coding = environ.get("HTTP_TRANSFER_ENCODING", "none")
        return [environ["wsgi.input"].read() + environ["CONTENT_LENGTH"].encode() + coding.encode()]

    answer = answer_of(app, method="POST", fields="\r\nTransfer-Encoding: chunked", body=b"abc")

    assert answer.body == b"abc3none"


def test_pieces_of_a_promised_length_are_put_together() -> None:
    """Frameworks give iterators of one piece; it is closed before the answer leaves."""
    result = Pieces(b"", b"abc", b"de")
    answer = answer_of(giving(result, ("Content-Length", "5")))

    assert answer.body == b"abcde"
    assert result.closed == 1


def test_pieces_of_an_unknown_length_are_pulled() -> None:
    """And closed at their end, once."""
    result = Pieces(b"abc", b"", b"de")
    answer = answer_of(giving(result))

    assert answer.length == -1
    assert result.closed == 0
    assert pieces_of(answer) == [b"abc", b"de"]
    assert result.closed == 1


def test_a_large_answer_is_pulled_with_its_length() -> None:
    """It is not put together."""
    result = Pieces(b"a" * WHOLE_BYTES, b"b")
    answer = answer_of(giving(result, ("Content-Length", str(WHOLE_BYTES + 1))))

    assert answer.length == WHOLE_BYTES + 1
    assert [len(piece) for piece in pieces_of(answer)] == [WHOLE_BYTES, 1]


def test_an_answer_nobody_wants_any_more_is_closed() -> None:
    """Also when no piece was pulled."""
    result = Pieces(b"abc", b"de")
    answer = answer_of(giving(result))
    answer.source.pieces.close()  # type: ignore[attr-defined]

    assert result.closed == 1


def test_start_response_may_come_with_the_first_piece() -> None:
    """Of a generator it does."""

    def app(environ: dict[str, Any], start: Start) -> Iterator[bytes]:
        start(OK, [])
        yield b"ab"
        yield b"c"

    answer = answer_of(app)

    assert pieces_of(answer) == [b"ab", b"c"]


def test_what_was_written_comes_first() -> None:
    """It can only be collected."""

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        write = start(OK, [])
        write(b"ab")
        write(b"c")
        return [b"d"]

    assert pieces_of(answer_of(app)) == [b"abc", b"d"]


@pytest.mark.parametrize("result", [[], (), [b""], Pieces()])
def test_no_content_is_an_answer_too(result: Iterable[bytes]) -> None:
    """However it is said."""
    answer = answer_of(giving(result))

    assert (answer.status, answer.body, answer.source) == (200, b"", None)


@pytest.mark.parametrize(
    ("result", "length", "expected"),
    [([b"abc"], None, 3), ([], 7, 7), (Pieces(b"ab", b"c"), 3, 3), (Pieces(b"abc"), 3, 3)],
)
def test_head_is_told_the_length(result: Iterable[bytes], length: int | None, expected: int) -> None:
    """As far as it is known."""
    headers = [("Content-Length", str(length))] if length is not None else []
    answer = answer_of(giving(result, *headers), method="HEAD")

    assert answer.source is None
    assert answer.length == expected


def test_head_is_not_told_a_length_that_nobody_knows() -> None:
    """The first piece's is not the answer's."""
    assert answer_of(giving(Pieces(b"ab", b"c")), method="HEAD").length == -1


def test_a_status_without_content_has_none() -> None:
    """The iterable is closed all the same."""
    result = Pieces(b"abc", b"de")

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        start("304 Not Modified", [])
        return result

    answer = answer_of(app)

    assert (answer.status, answer.source, result.closed) == (304, None, 1)


@pytest.mark.parametrize(
    ("result", "promised"),
    [
        ([b"abc"], 2),
        ([b"abc"], 4),
        (Pieces(b"ab", b"cd"), 3),
        (Pieces(b"ab", b"cd"), 5),
        ([], 1),
    ],
)
def test_a_promised_length_is_kept(result: Iterable[bytes], promised: int) -> None:
    """Else nothing is sent."""
    with pytest.raises(LocalProtocolError, match="Content-Length"):
        answer_of(giving(result, ("Content-Length", str(promised))))


@pytest.mark.parametrize("promised", [WHOLE_BYTES + 3, WHOLE_BYTES + 9])
def test_a_large_answer_breaks_off_where_its_promise_is_broken(promised: int) -> None:
    """The message must not look whole."""
    result = Pieces(b"a" * WHOLE_BYTES, b"bcdef")
    with pytest.raises(LocalProtocolError, match="Content-Length"):
        pieces_of(answer_of(giving(result, ("Content-Length", str(promised)))))

    assert result.closed == 1


def test_what_an_application_raises_goes_on() -> None:
    """And its iterable is closed."""

    class Failing(Pieces):
        def __iter__(self) -> Iterator[bytes]:
            yield b""
            raise ValueError("broken")

    result = Failing()
    with pytest.raises(ValueError, match="broken"):
        answer_of(giving(result))

    assert result.closed == 1


def test_text_is_not_content() -> None:
    """PEP 3333 wants bytes."""
    with pytest.raises(LocalProtocolError, match="str"):
        answer_of(giving(["text"]))  # type: ignore[list-item]
    with pytest.raises(LocalProtocolError, match="start_response"):
        answer_of(lambda environ, start: [b"x"])


def test_a_file_is_left_to_the_engine(tmp_path: Path) -> None:
    """And the application's own is closed."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    file = path.open("rb")
    answer = answer_of(giving(FileWrapper(file), ("Content-Length", "4")))

    assert isinstance(answer.source, FileSource)
    assert answer.length == answer.source.length == 4
    assert file.closed


def test_an_application_stays_in_one_context() -> None:
    """What it sets while it is called it can reset when its last piece was pulled."""
    variable: ContextVar[str] = ContextVar("variable", default="outside")

    def app(environ: dict[str, Any], start: Start) -> Iterator[bytes]:
        start(OK, [])
        token = variable.set("inside")

        def pieces() -> Iterator[bytes]:
            yield variable.get().encode()
            yield variable.get().encode()
            variable.reset(token)

        return pieces()

    assert pieces_of(answer_of(app)) == [b"inside", b"inside"]
    assert variable.get() == "outside"
