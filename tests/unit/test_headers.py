"""`Headers` keeps what was sent and finds it without regard to letter case."""

from __future__ import annotations

import pytest

from rocket_sup.http.headers import Headers

PAIRS = [("Set-Cookie", "a=1"), ("X", "2"), ("set-cookie", "b=2")]


@pytest.mark.parametrize("source", [PAIRS, Headers(PAIRS), iter(PAIRS)])
def test_order_case_and_repeats_are_kept(source: object) -> None:
    """From any source of pairs."""
    headers = Headers(source)  # type: ignore[arg-type]

    assert headers.items() == PAIRS
    assert headers.keys() == list(headers) == ["Set-Cookie", "X", "set-cookie"]
    assert headers.values() == ["a=1", "2", "b=2"]
    assert len(headers) == 3


def test_names_are_found_in_any_letter_case() -> None:
    """The first value alone, or all of them."""
    headers = Headers(PAIRS)

    assert (headers["SET-COOKIE"], headers.get("x"), headers.get("y"), headers.get("y", "z")) == (
        "a=1",
        "2",
        None,
        "z",
    )
    assert headers.get_all("SET-cookie") == ["a=1", "b=2"]
    assert headers.get_all("y") == []
    assert "x" in headers
    assert "y" not in headers
    assert 1 not in headers
    with pytest.raises(KeyError):
        headers["y"]


def test_setting_replaces_all_lines_in_the_place_of_the_first() -> None:
    """And appends when there is none."""
    headers = Headers(PAIRS)
    headers["SET-COOKIE"] = "c"
    headers["New"] = "n"

    assert headers.items() == [("SET-COOKIE", "c"), ("X", "2"), ("New", "n")]


def test_deleting_removes_all_lines() -> None:
    """And says when there was none."""
    headers = Headers(PAIRS)
    del headers["set-Cookie"]

    assert headers.items() == [("X", "2")]
    with pytest.raises(KeyError):
        del headers["set-cookie"]


def test_add_and_setdefault() -> None:
    """One appends always, the other only what is missing."""
    headers = Headers({"A": "1"})
    headers.add("a", "2")

    assert headers.setdefault("A", "3") == "1"
    assert headers.setdefault("B", "3") == "3"
    assert headers.items() == [("A", "1"), ("a", "2"), ("B", "3")]


def test_a_block_is_cut_into_decoded_pairs() -> None:
    """Blanks around values go, bytes become characters one to one."""
    headers = Headers.from_block(b"\r\nA: 1\r\nB:\t2 \t\r\nC:\r\nD: x: \xe9")

    assert headers.items() == [("A", "1"), ("B", "2"), ("C", ""), ("D", "x: \xe9")]
    assert Headers.from_block(b"").items() == []
    assert Headers.from_block(b"\r\nA: 1 ").items() == [("A", "1")]


def test_equality_ignores_the_case_of_names_only() -> None:
    """Order and values count."""
    assert Headers(PAIRS) == Headers([("SET-COOKIE", "a=1"), ("x", "2"), ("set-cookie", "b=2")])
    assert Headers(PAIRS) != Headers(PAIRS[::-1])
    assert Headers(PAIRS) != PAIRS
    assert repr(Headers({"A": "1"})) == "Headers([('A', '1')])"
    with pytest.raises(TypeError):
        hash(Headers())


def test_a_copy_is_independent() -> None:
    """Changing one leaves the other alone."""
    first = Headers(PAIRS)
    second = Headers(first)
    second.add("Y", "1")

    assert "y" not in first


def test_has_any_of_many_names() -> None:
    """Without regard to letter case."""
    headers = Headers([("Accept", "x"), ("RANGE", "y")])

    assert headers.has_any(frozenset({"range", "cookie"}))
    assert not headers.has_any(frozenset({"cookie"}))
    assert not Headers().has_any(frozenset({"cookie"}))
