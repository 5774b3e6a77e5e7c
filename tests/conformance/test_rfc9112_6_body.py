"""RFC 9112 §6: which bytes are the content of a message."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.server import Client, Server, chunked, get, post, request


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_6_3_transfer_encoding_and_content_length_together_are_400(
    client: Client, order: int, version: str
) -> None:
    """The classic of request smuggling."""
    fields = ["Transfer-Encoding: chunked", "Content-Length: 3"][::order]
    answer = client.send(request(f"POST /echo HTTP/{version}", *fields) + b"0\r\n\r\n").read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize(
    ("field", "status"),
    [
        ("Transfer-Encoding: gzip", 501),
        ("Transfer-Encoding: identity", 501),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: xchunked", 501),
        ("Transfer-Encoding: chunked, gzip", 400),
        ("Transfer-Encoding: chunked, chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400),
        ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", 501),
        ("Transfer-Encoding: chunked;a=b", 400),
        ("Transfer-Encoding: chunked,", 400),
        ("Transfer-Encoding: ,chunked", 400),
        ("Transfer-Encoding:", 400),
        ('Transfer-Encoding: "chunked"', 400),
        ("Transfer-Encoding: \x0bchunked", 400),
        ("Transfer-Encoding: \xa0chunked", 400),
        ("Transfer-Encoding: chunked\x85", 400),
    ],
)
def test_6_1_another_transfer_encoding_is_refused(client: Client, field: str, status: int) -> None:
    """One final `chunked` is all that is understood."""
    answer = client.send(request("POST /echo HTTP/1.1", field) + b"0\r\n\r\n" + get()).read()

    assert answer.status == status
    client.expect_end()


@pytest.mark.parametrize("value", ["chunked", "Chunked", "CHUNKED", "\tchunked \t", "  chunked"])
def test_6_1_chunked_in_any_letter_case_with_blanks_around(client: Client, value: str) -> None:
    """Transfer codings are case-insensitive."""
    answer = client.send(
        request("POST /echo HTTP/1.1", f"Transfer-Encoding:{value}") + b"1\r\na\r\n0\r\n\r\n"
    )

    assert answer.read().body == b"a"


def test_6_1_transfer_encoding_in_1_0_is_refused_and_closes(client: Client) -> None:
    """An HTTP/1.0 recipient on the way would not have understood it."""
    answer = client.send(
        request("POST /echo HTTP/1.0", "Transfer-Encoding: chunked", "Connection: keep-alive") + b"0\r\n\r\n"
    ).read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "+3",
        "-3",
        "3a",
        "0x3",
        "3.0",
        "3 3",
        "3,3",
        "3, 3",
        "3,",
        "1_0",
        "\xb3",
        "\x0b3",
        "3\xa0",
        "\xd9\xa3",
        "1e1",
        "three",
        "NaN",
    ],
)
def test_6_2_a_content_length_of_another_form_is_400(client: Client, value: str) -> None:
    """ASCII digits, whatever else Python's `int` would take."""
    answer = client.send(request("POST /echo HTTP/1.1", f"Content-Length: {value}") + b"abc").read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize("second", ["Content-Length: 4", "Content-Length: 3", "content-length: 03"])
def test_6_3_a_repeated_content_length_is_400(client: Client, second: str) -> None:
    """Differing ones must be refused; equal ones may be, and are."""
    answer = client.send(request("POST /echo HTTP/1.1", "Content-Length: 3", second) + b"abcd").read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize("digits", ["9" * 18, "9" * 19, "18446744073709551616", "9" * 5000])
def test_6_2_a_huge_content_length_is_413_without_arithmetic(client: Client, digits: str) -> None:
    """No number of digits makes anything overflow."""
    answer = client.send(request("POST /echo HTTP/1.1", f"Content-Length: {digits}")).read()

    assert answer.status == 413
    client.expect_end()


@pytest.mark.parametrize("digits", ["3", "003", "\t3 ", "0" * 100 + "3"])
def test_6_2_content_length_in_digits(client: Client, digits: str) -> None:
    """Leading zeros are digits."""
    answer = client.send(request("POST /echo HTTP/1.1", f"Content-Length:{digits}") + b"abc").read()

    assert answer.body == b"abc"


@pytest.mark.parametrize("method", ["GET", "POST", "PURGE"])
def test_6_3_no_framing_means_no_content(client: Client, method: str) -> None:
    """What follows is the next request."""
    client.send(request(f"{method} /see HTTP/1.1") + get())

    assert client.read().status == 200
    assert client.read().body == b"ok"


def test_6_3_a_get_may_have_content(client: Client) -> None:
    """Its framing is that of every other method."""
    client.send(request("GET /see HTTP/1.1", "Content-Length: 4") + b"abcd" + get())

    assert b'"body":"abcd"' in client.read().body
    assert client.read().body == b"ok"


def test_6_3_content_that_looks_like_a_request_is_content(client: Client) -> None:
    """Content is never parsed."""
    client.send(post("/length", get("/see")) + get())

    assert client.read().body == str(len(get("/see"))).encode()
    assert client.read().body == b"ok"


@pytest.mark.parametrize("cut", range(1, len(post("/echo", b"abc"))))
def test_6_content_may_arrive_in_any_two_pieces(client: Client, cut: int) -> None:
    """Where the network cuts a request with content changes nothing."""
    whole = post("/echo", b"abc")
    client.send(whole[:cut])
    client.send(whole[cut:])

    assert client.read().body == b"abc"


def test_6_content_up_to_the_limit(serve: Callable[..., Server]) -> None:
    """The limit itself is allowed."""
    client = serve(server={"max_body": 300_000}).connect()
    answer = client.send(post("/length", b"x" * 300_000)).read()

    assert answer.body == b"300000"


@pytest.mark.parametrize("target", ["/length", "/small"])
def test_15_5_14_content_over_the_limit_is_413_before_it_is_read(
    serve: Callable[..., Server], target: str
) -> None:
    """The head is enough to know; a route may have its own limit."""
    client = serve(server={"max_body": 10}).connect()
    answer = client.send(request(f"POST {target} HTTP/1.1", "Content-Length: 11")).read()

    assert answer.status == 413
    assert answer.get("connection") == "close"
    client.expect_end()


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_15_5_14_413_is_delivered_while_the_client_still_sends(
    serve: Callable[..., Server], framing: str
) -> None:
    """A client that sends everything before it reads still reads the answer."""
    client = serve(server={"max_body": 1000}).connect()
    content = b"x" * 5_000_000
    if framing == "length":
        client.send(post("/echo", content))
    else:
        client.send(chunked("/echo", b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)))

    assert client.read().status == 413
    client.expect_end()


def test_unread_content_is_drained_when_it_is_short(client: Client) -> None:
    """An answer that needed no content keeps the connection, and what follows is found."""
    client.send(post("/nowhere", b"x" * 5000) + get())

    assert client.read().status == 404
    assert client.read().body == b"ok"


def test_unread_chunks_close(client: Client) -> None:
    """Chunked content has no length to judge by, so the connection ends."""
    client.send(chunked("/nowhere", b"3\r\nabc\r\n0\r\n\r\n"))
    answer = client.read()

    assert (answer.status, answer.get("connection")) == (404, "close")
    client.expect_end()


def test_unread_content_that_is_long_closes(client: Client) -> None:
    """Reading it would cost more than a new connection."""
    client.send(post("/nowhere", b"x" * 200_000))
    answer = client.read()

    assert (answer.status, answer.get("connection")) == (404, "close")
    client.expect_end()


def test_a_message_that_closes_does_not_spoil_the_next_client(server: Server) -> None:
    """The witness once took the next client's content for bytes after a close, and refused it."""
    for _ in range(3):
        answer = server.connect().send(post("/echo", b"abc", "Connection: close")).read()

        assert answer.body == b"abc"
