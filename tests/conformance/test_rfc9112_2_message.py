"""RFC 9112 §2: message format."""

from __future__ import annotations

import pytest

from tests.conformance.server import Client, Server, get, request

CONTROLS = [0x00, 0x01, 0x08, 0x0B, 0x0C, 0x0E, 0x1F, 0x7F]


def test_2_1_an_answer_has_a_status_line_fields_and_content(client: Client) -> None:
    """A GET gets status line, Date, type, length and content."""
    answer = client.send(get()).read()

    assert (answer.version, answer.status, answer.reason) == ("HTTP/1.1", 200, "OK")
    assert [name for name, _ in answer.fields] == ["Date", "Content-Type", "Content-Length"]
    assert answer.body == b"ok"


@pytest.mark.parametrize("cut", range(1, len(get())))
def test_2_1_a_request_may_arrive_in_any_two_pieces(client: Client, cut: int) -> None:
    """Where the network cuts a request changes nothing."""
    whole = get()
    client.send(whole[:cut])
    client.send(whole[cut:])

    assert client.read().body == b"ok"


def test_2_1_a_request_may_arrive_byte_by_byte(client: Client) -> None:
    """A head and its content arrive one byte at a time."""
    for byte in request("POST /echo HTTP/1.1", "Content-Length: 3", content=b"abc"):
        client.send(bytes([byte]))

    assert client.read().body == b"abc"


def test_2_2_one_empty_line_before_a_request_is_ignored(client: Client) -> None:
    """Old clients send CRLF after content."""
    answer = client.send(b"\r\n" + get()).read()

    assert answer.status == 200


def test_2_2_two_empty_lines_are_no_request(client: Client) -> None:
    """More than one is not robustness any more."""
    answer = client.send(b"\r\n\r\n" + get()).read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_2_2_a_bare_lf_is_refused_at_once(client: Client, sent: bytes) -> None:
    """The answer does not wait for a head that can never end."""
    answer = client.send(sent).read()

    assert answer.status == 400
    assert answer.get("connection") == "close"
    client.expect_end()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\rHost: a\r\r\n",
        b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
    ],
)
def test_2_2_a_bare_cr_is_refused(client: Client, sent: bytes) -> None:
    """CR means something only before LF."""
    answer = client.send(sent).read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize(
    "template",
    [b"GET /a%b HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: a%bc\r\n\r\n"],
)
def test_2_2_controls_in_the_head_are_refused(client: Client, template: bytes, control: int) -> None:
    """NUL and the other controls stand for an attack or an accident."""
    answer = client.send(template % bytes([control])).read()

    assert answer.status == 400
    client.expect_end()


def test_2_2_bytes_that_are_no_http_are_refused_at_once(client: Client) -> None:
    """A TLS greeting to a port without TLS is told so without waiting for a deadline."""
    answer = client.send(bytes.fromhex("16030100a5010000a10303")).read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize("blank", [b" ", b"\t"])
def test_2_2_a_blank_before_the_first_field_is_refused(client: Client, blank: bytes) -> None:
    """A recipient that skipped such a line would see another message."""
    answer = client.send(b"GET / HTTP/1.1\r\n" + blank + b"X: 1\r\nHost: a\r\n\r\n").read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/0.9", "HTTP/3.0", "HTTP/9.9"])
def test_2_3_another_major_version_is_505(client: Client, version: str) -> None:
    """Only HTTP/1.x is spoken."""
    answer = client.send(f"GET / {version}\r\nHost: a\r\n\r\n".encode()).read()

    assert answer.status == 505
    client.expect_end()


def test_2_3_the_preface_of_http_2_is_505(client: Client) -> None:
    """A client with prior knowledge of HTTP/2 learns that it has none."""
    answer = client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").read()

    assert answer.status == 505
    client.expect_end()


def test_2_3_a_higher_minor_version_is_served_as_1_1(client: Client) -> None:
    """RFC 9110 §2.5 asks for it, and for our own version in the answer."""
    answer = client.send(b"GET / HTTP/1.7\r\nHost: a\r\n\r\n").read()

    assert (answer.version, answer.status) == ("HTTP/1.1", 200)


@pytest.mark.parametrize(
    "version",
    ["http/1.1", "HTTP/1.10", "HTTP/11", "HTTP/1", "HTTP/1.", "HTTP/.1", "HTTP/a.b", "HTTPS/1.1", "1.1"],
)
def test_2_3_a_version_of_another_form_is_400(client: Client, version: str) -> None:
    """The version is `HTTP/` digit dot digit, in this letter case."""
    answer = client.send(f"GET / {version}\r\nHost: a\r\n\r\n".encode()).read()

    assert answer.status == 400
    client.expect_end()


def test_nothing_after_a_refused_message_is_a_request(server: Server) -> None:
    """What follows the fault may be an attacker's second request; it is never served."""
    client = server.connect()
    answer = client.send(b"GET / HTTP/1.1\r\n\r\n" + get("/see")).read()

    assert answer.status == 400
    client.expect_end()
    assert server.call(lambda: server.wire.statistics.requests) == 1
