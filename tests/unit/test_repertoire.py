"""Requests that came before are known by their bytes, within bounds, and never mistaken for others."""

from __future__ import annotations

from rocket_sup.config import LimitsConfig
from rocket_sup.http.framing import parse_head
from rocket_sup.repertoire import MAX_HEAD_BYTES, MAX_KNOWN, Known, Repertoire
from rocket_sup.request import Request
from rocket_sup.router import Route


def know(data: bytes, *, blocking: bool = False) -> Known:
    """Understand a head, for a route."""
    head = parse_head(data, 0, LimitsConfig())
    assert head is not None
    route = Route(head.method, head.path, lambda request: "x", blocking=blocking)
    return Known(Request(head, ""), route, {})


def get(target: str = "/") -> bytes:
    """Write a head without content."""
    return f"GET {target} HTTP/1.1\r\nHost: a\r\nReferer: r\r\nUser-Agent: u\r\n\r\n".encode()


def post(length: int) -> bytes:
    """Write a head with content."""
    return f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode()


def test_a_head_is_known_by_all_its_bytes() -> None:
    """One byte less, more or other is another head."""
    repertoire = Repertoire()
    known = know(get())
    repertoire.learn(get(), known)

    assert repertoire.find(get()) is known
    for other in (get()[:-1], get() + b"\r", get().lower(), get("/x"), get() * 2):
        assert repertoire.find(other) is None


def test_a_head_with_content_is_known_only_with_all_of_it() -> None:
    """Neither alone, nor with less or more than it announces."""
    repertoire = Repertoire()
    known = know(post(3))
    repertoire.learn(post(3), known)

    assert repertoire.find_with_content(post(3) + b"abc") is known
    assert repertoire.find(post(3)) is None
    for content in (b"", b"ab", b"abcd", b"\r\n\r\nabc"):
        assert repertoire.find_with_content(post(3) + content) is None
    assert repertoire.find_with_content(b"") is None


def test_it_is_bounded() -> None:
    """In number by starting anew, in size by not learning."""
    repertoire = Repertoire()
    known = know(get())
    for n in range(MAX_KNOWN + 1):
        repertoire.learn(get(f"/{n}"), known)
    long = get("/" + "a" * MAX_HEAD_BYTES)
    repertoire.learn(long, known)

    assert repertoire.find(get("/0")) is None
    assert repertoire.find(get(f"/{MAX_KNOWN}")) is known
    assert repertoire.find(long) is None


def test_what_is_known_of_a_request() -> None:
    """All that does not depend on time, hooks or connection."""
    known = know(get("/a?b"))

    assert (known.label, known.referer, known.user_agent) == (b"GET /a?b", "r", "u")
    assert known.is_direct
    assert not know(get(), blocking=True).is_direct
