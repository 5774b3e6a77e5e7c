"""Requests and responses as their users see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from rocket_sup.client.errors import BodyConsumed, BodyNotRead, DecodingError, StatusError
from rocket_sup.client.messages import Elapsed, Request, Response, Upload


class Pieces:
    """A stream that remembers whether it was closed."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = iter(pieces)
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for piece in self.pieces:
            return piece
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed += 1


def test_what_can_be_sent_again() -> None:
    """Bytes always, pieces if they say so; idempotent methods are those of RFC 9110 §9.2.2."""
    once, again = Upload(lambda: Pieces()), Upload(lambda: Pieces(), is_replayable=True)

    assert Request("POST", "http://host/", body=b"x").is_replayable
    assert not Request("PUT", "http://host/", body=once).is_replayable
    assert Request("PUT", "http://host/", body=again).is_replayable
    assert [True, False, False] == [Request(m, "http://host/").is_idempotent for m in ("PUT", "POST", "get")]


def test_the_body_of_a_request() -> None:
    """Bytes can be asked for, pieces cannot."""
    assert b"x" == Request("POST", "http://host/", body=b"x").content
    with pytest.raises(BodyNotRead):
        _ = Request("POST", "http://host/", body=Upload(lambda: Pieces())).content
    assert "<Request GET http://host/>" == repr(Request("GET", "http://host"))


def test_fields_of_the_wire_are_cut_when_asked_for() -> None:
    """A block of lines becomes fields, in order."""
    request = Request("GET", "http://host/")
    response = Response.from_wire(
        request, status=200, block=b"\r\nA: 1\r\nb:2 \r\nA: 3", reason="Fine", version="HTTP/1.1"
    )

    response.content = b""

    assert [("A", "1"), ("b", "2"), ("A", "3")] == response.headers.items()
    assert ("Fine", b"", "") == (response.reason, response.content, response.text)
    assert request.url is response.url


@pytest.mark.parametrize(
    ("kind", "content", "text"),
    [
        ("text/plain; charset=latin-1", b"\xfc", "ü"),
        ('text/plain; charset="UTF-8"', b"\xc3\xbc", "ü"),
        ("text/plain; charset=nonsense", b"\xc3\xbc\xff", "ü\ufffd"),
        ("text/plain; charset=base64", b"eA==", "eA=="),
        ("text/plain", b"\xff", "\ufffd"),
    ],
)
def test_text(kind: str, content: bytes, text: str) -> None:
    """The charset is believed if it is one; text can always be had."""
    assert text == Response(200, {"Content-Type": kind}, content).text


def test_the_encoding_can_be_set() -> None:
    """By somebody who knows better."""
    response = Response(200, content=b"\xfc")
    response.encoding = "latin-1"

    assert "ü" == response.text


def test_json() -> None:
    """Read with orjson; what is no JSON has an error of its own."""
    assert {"a": [1]} == Response(200, json={"a": [1]}).json()
    assert "application/json" == Response(200, json={}).headers["content-type"]
    with pytest.raises(DecodingError, match="not JSON"):
        Response(200, text="{").json()


def test_statuses() -> None:
    """What a status says."""
    assert Response(204).is_success
    assert not Response(304, {"Location": "/"}).is_redirect
    assert Response(301, {"Location": "/"}).is_redirect
    assert not Response(301).is_redirect
    assert Response(500).is_error
    assert 200 == Response(200).raise_for_status().status_code
    with pytest.raises(StatusError, match="404 Not Found for GET http://host/") as caught:
        Response(404, request=Request("GET", "http://host/")).raise_for_status()
    assert 404 == caught.value.response.status
    assert "<Response 404 Not Found>" == repr(Response(404))
    assert "<Response 599>" == repr(Response(599))


def test_a_response_without_a_request_has_no_url() -> None:
    """One that was made by hand."""
    with pytest.raises(BodyNotRead, match="no request"):
        _ = Response(200).url


def test_a_stream_is_read_once() -> None:
    """Whole or in pieces, never both; it is closed in the end."""

    async def run() -> None:
        pieces = Pieces(b"ab", b"", b"cde")
        response = Response(200, stream=pieces)
        with pytest.raises(BodyNotRead):
            _ = response.content
        assert b"abcde" == await response.aread() == await response.aread() == response.body
        assert 1 == pieces.closed

        response = Response(200, stream=Pieces(b"ab", b"cde"))
        assert [b"abc", b"de"] == [piece async for piece in response.aiter_bytes(3)]
        with pytest.raises(BodyConsumed):
            await response.aread()
        with pytest.raises(BodyConsumed):
            _ = response.content

    asyncio.run(run())


def test_a_stream_can_be_given_up() -> None:
    """Closing is possible at any time, twice as well."""

    async def run() -> None:
        pieces = Pieces(b"ab")
        response = Response(200, stream=pieces)
        await response.aclose()
        await response.aclose()
        assert 1 == pieces.closed

    asyncio.run(run())


def test_a_reader_who_stops_in_the_middle_can_give_up_the_rest() -> None:
    """What is left of the stream is closed, though somebody began to read it."""

    async def run() -> None:
        pieces = Pieces(b"ab", b"cd")
        response = Response(200, stream=pieces)
        reading = response.aiter_bytes()
        assert b"ab" == await anext(reading)
        with pytest.raises(BodyConsumed):
            _ = response.content
        await response.aclose()
        assert 1 == pieces.closed

    asyncio.run(run())


def test_lines_and_text_of_a_stream() -> None:
    """No character and no line end is cut in two."""

    async def run() -> None:
        pieces = "ü\r\nb\n\nc".encode()
        cut = [pieces[at : at + 1] for at in range(len(pieces))]
        assert ["ü", "b", "", "c"] == [
            line async for line in Response(200, stream=Pieces(*cut)).aiter_lines()
        ]
        text = [piece async for piece in Response(200, stream=Pieces(b"\xc3", b"\xbc\xc3")).aiter_text()]
        assert ["ü", "\ufffd"] == text

    asyncio.run(run())


def test_lines_of_what_is_there() -> None:
    """The same without a loop."""
    response = Response(200, content=b"a\r\nb\n\xc3")

    assert ["a", "b", "\ufffd"] == list(response.iter_lines())
    assert [b"a\r", b"\nb", b"\n\xc3"] == list(response.iter_bytes(2))
    assert [b"a\r\nb\n\xc3"] == list(response.iter_bytes())
    assert response.content == response.read()
    assert [] == list(Response(200).iter_bytes())


def test_time() -> None:
    """The phases add up."""
    assert 6.0 == Elapsed(1, 1, 1, 1, 1, 1).total
