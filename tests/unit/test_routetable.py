"""The routes of one method; tests/unit/test_router.py compares the search with the meaning of patterns."""

from __future__ import annotations

from rocket_sup.pattern import parse_pattern
from rocket_sup.router import Route
from rocket_sup.routetable import RouteTable


def table_of(*patterns: str) -> RouteTable:
    """A table, sorted."""
    table = RouteTable()
    for text in patterns:
        table.add(Route("GET", text, lambda request: ""), parse_pattern(text))
    table.sort()
    return table


def find(table: RouteTable, path: str) -> tuple[str, dict[str, str]] | None:
    """The pattern found, and its parameters."""
    found = table.find(path.split("/")[1:])
    return None if found is None else (found[0].pattern, found[1])


def test_the_longest_run_of_leading_literals_wins() -> None:
    """Then the kind of the last segment, then the order of registration."""
    table = table_of("/**", "/a/*", "/a/:x", "/a/b", "/a/b/**")

    assert ("/a/b", {}) == find(table, "/a/b")
    assert ("/a/b/**", {"**": "c/d"}) == find(table, "/a/b/c/d")
    assert ("/a/:x", {"x": "c"}) == find(table, "/a/c")
    assert ("/**", {"**": "a/c/d"}) == find(table, "/a/c/d")
    assert ("/**", {"**": "e"}) == find(table, "/e")


def test_what_does_not_match_is_none() -> None:
    """Also below a node that has children only."""
    table = table_of("/a/b/c", "/x/:y")

    assert [None] * 3 == [find(table, path) for path in ("/a/b", "/x", "/x/")]
