"""RFC 9112 §7: chunked content."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from tests.conformance.server import Client, Server, chunked, get

WHOLE = chunked("/echo", b'3;a;b="c;\\"d"\r\nabc\r\n00A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n')


def test_7_1_chunks_are_put_together(client: Client) -> None:
    """Sizes are hexadecimal in either letter case; extensions and trailers change nothing."""
    client.send(WHOLE + get())

    assert client.read().body == b"abc0123456789"
    assert client.read().body == b"ok"


@pytest.mark.parametrize("cut", range(60, len(WHOLE)))
def test_7_1_chunks_may_arrive_in_any_two_pieces(client: Client, cut: int) -> None:
    """Where the network cuts changes nothing."""
    client.send(WHOLE[:cut])
    client.send(WHOLE[cut:] + get())

    assert client.read().body == b"abc0123456789"
    assert client.read().body == b"ok"


def test_7_1_chunks_may_arrive_byte_by_byte(client: Client) -> None:
    """A chunked message arrives one byte at a time."""
    for byte in WHOLE:
        client.send(bytes([byte]))

    assert client.read().body == b"abc0123456789"


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b" 1\r\na\r\n",
        b"1 \r\na\r\n",
        b"1\t\r\na\r\n",
        b"1_0\r\n",
        b"11111111111111111\r\n",
        b"00000000000000001\r\na\r\n",
        b"1\na\r\n",
        b"1\r\na\n",
        b"1\r\nab\r\n",
        b"1\r\na\r\r\n",
        b"1\r\na1\r\nb\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"1;\r\na\r\n",
        b"1; \r\na\r\n",
        b"1;=b\r\na\r\n",
        b"1;a=\r\na\r\n",
        b'1;a="\r\na\r\n',
        b'1;a="b"c\r\na\r\n',
        b"1;a\x00\r\na\r\n",
        b"1;a\nb\r\na\r\n",
        b"1;a\rb\r\na\r\n",
        b"1,a\r\na\r\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\nX : a\r\n\r\n",
        b"0\r\n X: a\r\n\r\n",
        b"0\r\nX: a\r\n b\r\n\r\n",
        b"0\r\nX: a\x00\r\n\r\n",
        b"0\r\n\n",
        b"0\n\r\n",
        b"0\r\n\r0",
        b"\xb2\r\n",
    ],
)
def test_7_1_broken_chunks_are_400(client: Client, raw: bytes) -> None:
    """Every line ends in CRLF, data is followed by exactly CRLF, and a size is only digits."""
    answer = client.send(chunked("/echo", raw)).read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_7_1_a_bare_lf_is_refused_before_the_line_ends(client: Client, cut: int) -> None:
    """The answer does not wait for CRLF."""
    answer = client.send(chunked("/echo", b"1\n")).read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize("raw", [b"1 ;a\r\na\r\n", b"1;\ta = b ; c\r\na\r\n", b'1;a=""\r\na\r\n'])
def test_7_1_1_extensions_with_blanks_around_their_signs(client: Client, raw: bytes) -> None:
    """Bad whitespace that a recipient must parse."""
    answer = client.send(chunked("/echo", raw + b"0\r\n\r\n")).read()

    assert answer.body == b"a"


def test_7_1_1_the_total_of_extensions_is_bounded(serve: Callable[..., Server]) -> None:
    """Many short ones add up."""
    client = serve(limits={"chunk_extensions": 100}).connect()
    fits = client.send(chunked("/length", b"1;abc\r\nx\r\n" * 25 + b"0\r\n\r\n")).read()
    answer = client.send(chunked("/length", b"1;abc\r\nx\r\n" * 26 + b"0\r\n\r\n")).read()

    assert fits.body == b"25"
    assert answer.status == 400
    client.expect_end()


def test_7_1_1_an_extension_that_never_ends_is_refused(client: Client) -> None:
    """The answer comes before the line does."""
    answer = client.send(chunked("/echo", b"1;" + b"a" * 10_000)).read()

    assert answer.status == 400
    client.expect_end()


def test_7_1_2_the_total_of_trailers_is_bounded(serve: Callable[..., Server]) -> None:
    """Also before the last one ends."""
    client = serve(limits={"trailers": 100}).connect()
    answer = client.send(chunked("/echo", b"0\r\n" + b"X: abcde\r\n" * 11)).read()

    assert answer.status == 431
    client.expect_end()


def test_7_1_2_the_number_of_trailers_is_bounded(serve: Callable[..., Server]) -> None:
    """By the same limit as header fields."""
    client = serve(limits={"headers": 5}).connect()
    answer = client.send(chunked("/echo", b"0\r\n" + b"X: a\r\n" * 6 + b"\r\n")).read()

    assert answer.status == 431
    client.expect_end()


@pytest.mark.parametrize(
    "field", ["Host: b", "Content-Length: 3", "Transfer-Encoding: gzip", "Connection: close"]
)
def test_7_1_2_trailers_change_nothing(client: Client, field: str) -> None:
    """They are read and thrown away, whatever they are called."""
    client.send(chunked("/see", b"0\r\n" + field.encode() + b"\r\n\r\n") + get())
    seen = orjson.loads(client.read().body)

    assert [name for name, _ in seen["headers"]] == ["Host", "Transfer-Encoding"]
    assert client.read().body == b"ok"


@pytest.mark.parametrize("size", [b"b", b"ffffffffffffffff", b"1\r\na\r\na"])
def test_15_5_14_chunks_over_the_limit_are_413_before_they_are_read(
    serve: Callable[..., Server], size: bytes
) -> None:
    """The size line is enough to know."""
    client = serve(server={"max_body": 10}).connect()
    answer = client.send(chunked("/echo", size + b"\r\n")).read()

    assert answer.status == 413
    client.expect_end()
