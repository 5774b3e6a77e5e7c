"""Requests as a test writes them."""

from __future__ import annotations

import pytest

from rocket_sup.testing.requests import compose


def test_a_request_without_anything() -> None:
    """Host is always there."""
    assert compose("GET", "/a").head == b"GET /a HTTP/1.1\r\nHost: testserver\r\n\r\n"


def test_fields_of_the_request_come_before_those_of_all() -> None:
    """And nothing that was said is said again."""
    sent = compose(
        "POST",
        "/",
        base={"x": "0", "Y": "2"},
        headers={"X": "1", "Host": "a", "Content-Length": "9"},
        content=b"b",
    )

    assert sent.head == b"POST / HTTP/1.1\r\nX: 1\r\nHost: a\r\nContent-Length: 9\r\nY: 2\r\n\r\n"
    assert sent.content == b"b"


@pytest.mark.parametrize(
    ("target", "params", "expected"),
    [("/", {"a": "é"}, "/?a=%C3%A9"), ("/?b", [("a", "1"), ("a", "2")], "/?b&a=1&a=2")],
)
def test_parameters_join_the_query(target: str, params: object, expected: str) -> None:
    """Encoded; the target itself is sent as it is."""
    head = compose("GET", target, params=params).head  # type: ignore[arg-type]

    assert head.startswith(f"GET {expected} HTTP/1.1".encode())


def test_pieces_are_sent_in_chunks() -> None:
    """Unless their length is said."""
    assert b"Transfer-Encoding: chunked" in compose("PUT", "/", content=iter([b"a"])).head
    known = compose("PUT", "/", content=iter([b"a"]), headers={"Content-Length": "1"}).head
    assert b"Transfer-Encoding" not in known
