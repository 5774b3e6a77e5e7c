"""Heads of requests: what stands on the wire, and what never will."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.client.errors import InvalidRequest
from rocket_sup.client.messages import Request, Upload
from rocket_sup.client.request_head import request_head


async def nothing() -> AsyncIterator[bytes]:
    """A source that is never opened here."""
    yield b""


def lines(request: Request, **options: bool) -> list[str]:
    """The lines of its head."""
    return request_head(request, **options)[0].decode("latin-1").split("\r\n")[:-2]


def test_the_three_forms_of_a_target() -> None:
    """For a server, for a proxy, for CONNECT (RFC 9112 §3.2)."""
    assert ["GET /a?b HTTP/1.1", "Host: h:81"] == lines(Request("GET", "http://h:81/a?b#c"))
    assert "GET http://h/ HTTP/1.1" == lines(Request("GET", "http://h"), is_absolute=True)[0]
    assert "CONNECT h:443 HTTP/1.1" == lines(Request("CONNECT", "https://h/"))[0]
    assert "CONNECT [::1]:80 HTTP/1.1" == lines(Request("CONNECT", "http://[::1]"))[0]


@pytest.mark.parametrize(
    ("method", "body", "headers", "framing"),
    [
        ("GET", b"", {}, []),
        ("GET", b"ab", {}, ["Content-Length: 2"]),
        ("POST", b"", {}, ["Content-Length: 0"]),
        ("DELETE", b"", {"content-length": "0"}, ["Content-Length: 0"]),
        ("POST", b"ab", {"Content-Length": "2"}, ["Content-Length: 2"]),
        ("POST", Upload(nothing), {}, ["Transfer-Encoding: chunked"]),
        ("POST", Upload(nothing), {"Transfer-Encoding": "chunked"}, ["Transfer-Encoding: chunked"]),
        ("POST", Upload(nothing), {"Content-Length": "7"}, ["Content-Length: 7"]),
        ("POST", Upload(nothing, length=7), {}, ["Content-Length: 7"]),
    ],
)
def test_framing(method: str, body: bytes | Upload, headers: dict[str, str], framing: list[str]) -> None:
    """A length where there is one, chunks where nobody knows it, once."""
    assert framing == lines(Request(method, "http://h/", body=body, headers=headers))[2:]


@pytest.mark.parametrize(
    ("method", "body", "headers"),
    [
        ("GE T", b"", {}), ("", b"", {}), ("G\u00c9T", b"", {}), ("GET\r\n", b"", {}),
        ("GET", b"", {"a b": "c"}),
        ("GET", b"", {"a": "b\r\nc: d"}), ("GET", b"", {"a": "b\0"}), ("GET", b"", {"a": "\u2028"}),
        ("GET", b"", {"": "b"}),
        ("GET", b"", {"a": 5}), ("GET", b"", {"Host": "a", "host": "b"}),
        ("POST", b"ab", {"Content-Length": "3"}),
        ("POST", b"ab", {"Content-Length": "2", "content-length": "2"}),
        ("POST", b"ab", {"Content-Length": "+2"}),
        ("POST", b"ab", {"Transfer-Encoding": "chunked"}), ("POST", b"ab", {"Transfer-Encoding": "gzip"}),
        ("GET", b"", {"Content-Length": "5"}), ("GET", b"", {"Transfer-Encoding": "chunked"}),
        ("POST", Upload(nothing, length=3), {"Content-Length": "4"}),
        ("POST", Upload(nothing, length=3), {"Content-Length": "3", "Transfer-Encoding": "chunked"}),
    ],
)  # fmt: skip
def test_what_is_refused(method: str, body: bytes | Upload, headers: dict[str, str]) -> None:
    """Nothing that is put into a head can end it early or frame it falsely."""
    with pytest.raises(InvalidRequest):
        request_head(Request(method, "http://h/", body=body, headers=headers))


def test_fields_of_the_caller() -> None:
    """In his order, his Host instead of ours, and whether he ends the connection."""
    head, is_last = request_head(Request("GET", "http://h/", headers={"B": "\xff", "Host": "other", "A": ""}))
    assert (b"GET / HTTP/1.1\r\nHost: other\r\nB: \xff\r\nA: \r\n\r\n", False) == (head, is_last)
    assert request_head(Request("GET", "http://h/", headers={"Connection": "Close"}))[1]
    proxied = request_head(Request("GET", "http://h/"), extra=(("Proxy-Authorization", "Basic x"),))[0]
    assert b"\r\nProxy-Authorization: Basic x\r\n" in proxied


@given(st.text(), st.text())
def test_no_text_makes_a_second_line(name: str, value: str) -> None:
    """A field is one line or refused."""
    try:
        head, _ = request_head(Request("GET", "http://h/", headers=[(name, value)]))
    except InvalidRequest:
        return

    assert head.count(b"\r\n") in (3, 4)
    assert b"\n" not in head.replace(b"\r\n", b"")
