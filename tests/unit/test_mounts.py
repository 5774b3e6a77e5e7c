"""What is mounted in a router: prefixes, and which of them serves a path."""

from __future__ import annotations

from typing import Any

import pytest

from rocket_sup.mounts import Mounts
from rocket_sup.pattern import RouteError
from rocket_sup.router import Route


def route(name: str) -> Route:
    return Route("*", name, lambda _: None)


@pytest.mark.parametrize("prefix", ["", "old", "/old/", "//", "/:id", "/a/*", "/a/**", 3])
def test_prefixes_that_are_none(prefix: Any) -> None:
    """They begin with a slash, end without one, and have no parameters."""
    with pytest.raises(RouteError, match="mount"):
        Mounts().add(prefix, None)


def test_a_prefix_is_taken_once() -> None:
    """Two applications cannot be at one place."""
    mounts = Mounts()
    mounts.add("/old", 1)
    mounts.add("/", 2)

    for prefix in ("/old", "/"):
        with pytest.raises(RouteError, match="already"):
            mounts.add(prefix, 3)
    assert mounts.pending == [("/old", 1), ("", 2)]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/old", "old"),
        ("/old/", "old"),
        ("/old/x", "old"),
        ("/%6fld/x", "old"),
        ("/old/café", "old"),
        ("/old/deep", "deep"),
        ("/old/deep/x", "deep"),
        ("/old/deeper", "old"),
        ("/older", None),
        ("/", None),
        ("*", None),
        ("/old/%ff", None),
    ],
)
def test_the_longest_prefix_wins(path: str, expected: str | None) -> None:
    """Segment by segment, decoded; what is no text is nowhere."""
    mounts = Mounts()
    mounts.place("/old", route("old"))
    mounts.place("/old/deep", route("deep"))
    mounts.sort()

    found = mounts.find(path)

    assert (found.pattern if found is not None else None) == expected
    assert [each.pattern for each in mounts.routes()] == ["deep", "old"]


def test_a_slash_takes_everything() -> None:
    """Below whatever is longer; without mounts there is nothing to look at."""
    mounts = Mounts()
    assert mounts.find("/x") is None
    mounts.place("", route("all"))
    mounts.sort()

    found = mounts.find("/x")
    assert found is not None
