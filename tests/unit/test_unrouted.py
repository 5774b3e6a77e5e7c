"""What is answered where no route is."""

from __future__ import annotations

import pytest

from rocket_sup.config import Config
from rocket_sup.http.framing import parse_head
from rocket_sup.request import Request
from rocket_sup.router import Router, TrailingSlash
from rocket_sup.unrouted import allow_field, known_path, unrouted


def router_of(policy: TrailingSlash) -> Router:
    """Routes with and without a slash."""
    router = Router(trailing_slash=policy)
    for pattern in ("/a", "/b/", "/c", "/c/", "/**/d"):
        router.get(pattern)(lambda request: "")
    router.freeze()
    return router


def request(line: str) -> Request:
    """A request without fields to speak of."""
    head = parse_head(f"{line} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), 0, Config().limits)
    assert head is not None
    return Request(head, "")


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/a", "/a"),
        ("/a/", "/a"),
        ("/b", "/b/"),
        ("/c", "/c"),
        ("/c/", "/c/"),
        ("/a//", "/a//"),
        ("/", "/"),
        ("/e", "/e"),
        ("/x/d/", "/x/d"),
        ("//x/d/", "//x/d/"),
        ("/\\x/d/", "/\\x/d/"),
    ],
)
def test_the_path_that_has_routes(path: str, known: str) -> None:
    """The other slash, when only that one is known; never an address on another host."""
    assert known == known_path(router_of("redirect"), path)
    assert path == known_path(router_of("strict"), path)


@pytest.mark.parametrize(
    ("line", "status", "field"),
    [
        ("GET /a/?x=1", 308, b"Location: /a?x=1\r\n"),
        ("POST /a/", 405, b"Allow: GET, HEAD, OPTIONS\r\n"),
        ("OPTIONS /a", 204, b"Allow: GET, HEAD, OPTIONS\r\n"),
        ("GET /e", 404, b""),
    ],
)
def test_answers(line: str, status: int, field: bytes) -> None:
    """Elsewhere, not allowed, what is allowed, not here."""
    answer = unrouted(router_of("redirect"), request(line))

    assert status == answer.status
    assert field in answer.fields


def test_the_allow_field() -> None:
    """A list."""
    assert b"Allow: A, B\r\n" == allow_field(("A", "B"))
