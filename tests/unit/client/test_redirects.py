"""Where redirects lead, and what goes with them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rocket_sup.client.errors import BodyConsumed, ProtocolError
from rocket_sup.client.messages import Request, Response, Upload
from rocket_sup.client.redirects import is_same_place, next_request
from rocket_sup.client.urls import Url

HEADERS = {"Authorization": "a", "Cookie": "c", "Host": "h", "Content-Type": "t", "X": "x"}


async def nothing() -> AsyncIterator[bytes]:
    """A source that is never opened here."""
    yield b""


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [
        (301, "POST", "GET"), (302, "POST", "GET"), (303, "POST", "GET"), (303, "PUT", "GET"),
        (303, "DELETE", "GET"),
        (303, "HEAD", "HEAD"), (301, "PUT", "PUT"), (302, "PATCH", "PATCH"), (307, "POST", "POST"),
        (308, "POST", "POST"),
        (301, "GET", "GET"), (302, "HEAD", "HEAD"),
    ],
)  # fmt: skip
def test_methods(status: int, method: str, expected: str) -> None:
    """The rules of RFC 9110 §15.4; a method that changes loses the body and what was said about it."""
    request = Request(method, "http://host/", headers=HEADERS, body=b"x")
    request.deadline = 5.0

    found = next_request(request, Response(status, {"Location": "/next"}))

    keeps = expected == method
    assert (expected, "http://host/next", 5.0) == (found.method, str(found.url), found.deadline)
    assert (b"x" if keeps else b"") == found.body
    assert keeps == ("content-type" in found.headers)
    assert "a" == found.headers["authorization"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("http://host/", "http://HOST:80/x", True), ("http://host/", "https://host/", True),
        ("https://host/", "http://host/", False), ("http://host:81/", "https://host/", False),
        ("http://host/", "https://host:444/", False), ("http://host/", "http://sub.host/", False),
    ],
)  # fmt: skip
def test_credentials_stay_at_home(one: str, other: str, expected: bool) -> None:
    """Another origin gets none; the upgrade to https is the same place."""
    request = Request("GET", one, headers=HEADERS, extensions={"cookies": "d=e", "auth": "mine"})

    found = next_request(request, Response(302, {"Location": other}))

    assert expected == is_same_place(Url(one), Url(other))
    assert expected == ("authorization" in found.headers) == ("cookie" in found.headers)
    assert expected == ("cookies" in found.extensions) == (found.extensions["auth"] == "mine")
    assert ("h" if Url(one).origin == Url(other).origin else None) == found.headers.get("host")
    assert "x" == found.headers["x"]


def test_the_jar_is_asked_again() -> None:
    """What it gave for the first request may be old after the redirect."""
    request = Request("GET", "http://host/", headers=HEADERS, extensions={"jar": True})

    found = next_request(request, Response(302, {"Location": "/"}))

    assert ("cookie" in found.headers, {}) == (False, found.extensions)


def test_locations() -> None:
    """Bytes of UTF-8 are taken as they were meant; other schemes lead nowhere."""
    request = Request("GET", "http://host/")
    utf8 = "/ü".encode().decode("latin-1")

    assert "/%C3%BC" == next_request(request, Response(301, {"Location": utf8})).url.target
    assert "/%C3%BC" == next_request(request, Response(301, {"Location": "/\xfc"})).url.target
    for location in ("file:///etc/passwd", "http://:80/", "javascript:1"):
        with pytest.raises(ProtocolError):
            next_request(request, Response(301, {"Location": location}))


def test_a_body_that_is_gone() -> None:
    """It cannot be sent again; one that can be opened again is."""
    again = Upload(nothing, is_replayable=True)
    with pytest.raises(BodyConsumed):
        next_request(Request("PUT", "http://host/", body=Upload(nothing)), Response(307, {"Location": "/"}))

    assert (
        again
        is next_request(Request("PUT", "http://host/", body=again), Response(307, {"Location": "/"})).body
    )
