"""The native table of routes finds what the portable one finds: the route, and its parameters in order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from rocket_sup.pattern import RouteError, parse_pattern
from rocket_sup.router import Router
from tests.unit.test_router import PATHS, tables

native = pytest.importorskip(
    "rocket_sup.engine._native", reason="the native module is not built (cargo build --release -p rocket-py)"
)

Found = tuple[int, list[tuple[str, str]]] | None
METHODS = ("GET", "HEAD", "POST", "PURGE")


def both(routes: list[tuple[str, str]]) -> tuple[Callable[[str, str], Found], Callable[[str, str], Found]]:
    """Build both tables; give for each what finds the number of a route, and its parameters."""
    portable = Router()
    numbers: dict[object, int] = {}
    for number, (method, pattern) in enumerate(routes):

        def handler(req: object) -> str:
            return "ok"

        portable.route(pattern, methods=[method])(handler)
        numbers[handler] = number
    portable.freeze()
    table = native.Routes([(method, pattern, number) for number, (method, pattern) in enumerate(routes)])

    def find_portable(method: str, path: str) -> Found:
        found = portable.find(method, path)
        return None if found is None else (numbers[found[0].handler], list(found[1].items()))

    def find_native(method: str, path: str) -> Found:
        found = table.find(method, path.encode())
        return None if found is None else (found[0], list(found[1].items()))

    return find_portable, find_native


@st.composite
def routes(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Routes of several methods, with escapes and letters beyond ASCII; no two are in conflict."""
    segment = st.sampled_from(
        ["a", "b", "%61", "é", "%C3%A9", "a%2Fb", "%2A", "a b", ":x", ":y", ":é", "*", "**", ":z", "*"]
    )
    lists = st.lists(segment, min_size=1, max_size=5)
    found: dict[object, tuple[str, str]] = {}
    for method, parts in draw(st.lists(st.tuples(st.sampled_from(METHODS), lists), min_size=1, max_size=12)):
        names = [part for part in parts if part.startswith(":")]
        if parts.count("**") <= 1 and len(names) == len(set(names)):
            text = "/" + "/".join(parts) + draw(st.sampled_from(["", "", "/"]))
            found.setdefault((method, parse_pattern(text).shape), (method, text))
    return list(found.values())


PIECES = ("a", "b", "%61", "é", "%C3%A9", "%c3%a9", "a%2Fb", "%2f", "%2A", "*", ":x", "**", "a b", "", "%25")
BROKEN = ("%", "%4", "%zz", "%FF", "%C3", "%A9", "%C0%AF", "%ED%A0%80", "%+1")
paths = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=6).map(lambda parts: "/" + "/".join(parts)),
    st.lists(st.sampled_from(PIECES + BROKEN), max_size=6).map(lambda parts: "/" + "/".join(parts)),
    st.lists(st.sampled_from(PIECES + BROKEN + ("/", "/")), max_size=8).map("".join),
    st.text(st.sampled_from("%/2FfCc0aA9.:*é"), max_size=16),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=16).map(lambda text: "/" + text),
)


@pytest.mark.slow
@settings(max_examples=100)
@given(tables())
@example(["/a/:x", "/:x/b", "/**/b", "/a/**", "/a/b"])
@example(["/:x/a", "/*/a", "/**"])
def test_precedence_is_the_same(patterns: list[str]) -> None:
    """For every table and every path over a small alphabet."""
    find_portable, find_native = both([("GET", pattern) for pattern in patterns])

    for path in PATHS:
        assert find_portable("GET", path) == find_native("GET", path), path


@pytest.mark.slow
@settings(max_examples=200)
@given(routes(), st.lists(st.tuples(st.sampled_from((*METHODS, "get", "PUT", "")), paths), max_size=40))
@example([("GET", "/s/**"), ("HEAD", "/:x")], [("GET", "/s/a%2Fb/%41"), ("HEAD", "/s/"), ("GET", "/s/%2F")])
@example([("HEAD", "/*/a"), ("GET", "/:x/a"), ("GET", "/*/:z")], [("HEAD", "/1/a"), ("HEAD", "/1/b")])
def test_parameters_and_methods_are_the_same(
    routes: list[tuple[str, str]], asked: list[tuple[str, str]]
) -> None:
    """For paths with escapes, good and bad, one after the other in the same memory."""
    find_portable, find_native = both(routes)

    for method, path in asked:
        assert find_portable(method, path) == find_native(method, path), (method, path)


@settings(max_examples=50)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), min_size=1, max_size=5))
def test_every_literal_is_found_as_it_was_written(segments: list[str]) -> None:
    """Any text may be asked for, as long as a pattern can say it."""
    text = "/" + "/".join(part for part in segments if part)
    try:
        parse_pattern(text)
    except RouteError:
        assume(False)
    find_portable, find_native = both([("GET", text)])

    assert find_portable("GET", text) == find_native("GET", text)


def test_bytes_that_are_no_text_find_nothing() -> None:
    """The parser refuses them before; the table does not depend on it."""
    table = native.Routes([("GET", "/**", 0), ("GET", "/é", 1)])

    assert table.find("GET", b"/\xff") is None
    assert table.find("GET", b"/\xc3/\xa9") is None
    assert table.find("GET", "/é".encode()) == (1, {})


@pytest.mark.parametrize("pattern", ["", "a", "/a//b", "/**/**", "/a*", "/:", "/%", "/%FF", "/a?b", "/a#b"])
def test_malformed_patterns_are_refused(pattern: str) -> None:
    """Both refuse them; registration does it first."""
    with pytest.raises(ValueError, match="not well formed"):
        native.Routes([("GET", pattern, 0)])
