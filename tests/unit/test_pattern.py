"""Patterns: their grammar, what they match, and what they take from a path."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.pattern import Kind, Pattern, RouteError, join_segments, parse_pattern, split_path


def match(pattern: str, path: str) -> dict[str, str] | None:
    """Compare as the router does: leading literals and length first."""
    parsed, segments = parse_pattern(pattern), split_path(path)
    if segments is None or not parsed.takes(len(segments)):
        return None
    if tuple(segments[: len(parsed.leading)]) != parsed.leading:
        return None
    return parsed.match(segments)


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("/", [""]),
        ("/a", ["a"]),
        ("/a/", ["a", ""]),
        ("//a", ["", "a"]),
        ("/a%2Fb/c", ["a/b", "c"]),
        ("/a%2fb", ["a/b"]),
        ("/caf%C3%A9", ["café"]),
        ("/%2E%2E/x", ["..", "x"]),
        ("/a+b", ["a+b"]),
        ("/a%00b", ["a\0b"]),
        ("/%252F", ["%2F"]),
    ],
)
def test_a_path_is_cut_before_it_is_decoded(path: str, segments: list[str]) -> None:
    """An encoded slash is part of a segment, and nothing is decoded twice."""
    assert segments == split_path(path)


@pytest.mark.parametrize(
    "path",
    [
        *("", "*", "a/b", "http://a/"),
        *("/%", "/%4", "/%zz", "/%%41", "/a%4", "/%u0041", "/% 41", "/%+41"),
        *("/%FF", "/%C3", "/%C3/%A9", "/%A9"),  # not UTF-8, also when the next segment would complete it
        *("/%C0%AF", "/%E0%80%AF", "/%F0%80%80%AF"),  # a slash in overlong form
        *("/%ED%A0%80", "/%F4%90%80%80"),  # a surrogate; beyond the last code point
    ],
)
def test_a_path_that_is_not_text_has_no_segments(path: str) -> None:
    """Malformed escapes, invalid and overlong UTF-8 match nothing at all."""
    assert split_path(path) is None
    assert match("/**", path) is None


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_quoted_segments_come_back(segments: list[str]) -> None:
    """Whatever text a segment holds, quoting and splitting give it back, one for one."""
    path = "/" + "/".join(quote(segment, safe="") for segment in segments)

    assert segments == split_path(path)


@given(st.text(st.sampled_from("%/2FfCc0aA9.\\+"), max_size=12))
def test_no_escape_creates_a_segment(tail: str) -> None:
    """There are as many segments as slashes as sent, whatever the escapes stand for."""
    segments = split_path("/" + tail)

    assert segments is None or tail.count("/") + 1 == len(segments)


@pytest.mark.parametrize(
    ("pattern", "path", "params"),
    [
        ("/a/b", "/a/b", {}),
        ("/a/b", "/a/b/", None),
        ("/a/", "/a", None),
        ("/a/", "/a/", {}),
        ("/:x", "/1", {"x": "1"}),
        ("/:x", "/", None),
        ("/:x/b", "//b", None),
        ("/:x", "/a%2Fb", {"x": "a/b"}),
        ("/:x", "/a/b", None),
        ("/*", "/q", {"*": "q"}),
        ("/*", "/", None),
        ("/*/b/*", "/1/b/2", {"*": "1", "*2": "2"}),
        ("/*/*/*", "/1/2/3", {"*": "1", "*2": "2", "*3": "3"}),
        ("/s/**", "/s", {"**": ""}),
        ("/s/**", "/s/", {"**": ""}),
        ("/s/**", "/s/a", {"**": "a"}),
        ("/s/**", "/s/a/b/", {"**": "a/b/"}),
        ("/s/**", "/s/a%2Fb/c", {"**": "a%2Fb/c"}),
        ("/s/**", "/st", None),
        ("/**", "/", {"**": ""}),
        ("/a/**/z", "/a/z", {"**": ""}),
        ("/a/**/z", "/a/b/c/z", {"**": "b/c"}),
        ("/a/**/z", "/a/z/z", {"**": "z"}),
        ("/a/**/z", "/a", None),
        ("/a/**/z", "/a/z/y", None),
        ("/**/:file", "/a/b/c", {"**": "a/b", "file": "c"}),
        ("/:first/**/:last", "/a/b", {"first": "a", "**": "", "last": "b"}),
        ("/:first/**/:last", "/a", None),
        ("/**/v/*", "/a/v/b", {"**": "a", "*": "b"}),
        ("/:a/x", "/1/y", None),
        ("/café/:x", "/caf%C3%A9/1", {"x": "1"}),
        ("/caf%C3%A9", "/caf%c3%a9", {}),
        ("/a%2Fb", "/a%2fb", {}),
        ("/a%2Fb", "/a/b", None),
        ("/items:batch", "/items:batch", {}),
        ("/%3Aid/%2A", "/:id/*", {}),
        ("/A", "/a", None),
        ("/../x", "/x", None),
    ],
)
def test_what_a_pattern_takes(pattern: str, path: str, params: dict[str, str] | None) -> None:
    """Segments match one for one, `**` any number; names are never empty; the last slash counts."""
    assert params == match(pattern, path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must start with '/'"),
        ("a/b", "must start with '/'"),
        ("*", "must start with '/'"),
        ("/:", "a name must follow"),
        ("/:a-b", "a name must follow"),
        ("/:1", "a name must follow"),
        ("/:a/:a", "':a' stands twice"),
        ("/a*", "stand for whole segments"),
        ("/***", "stand for whole segments"),
        ("/:*", "stand for whole segments"),
        ("/**/a/**", "'**' may stand once"),
        ("/a//b", "an empty segment"),
        ("//", "an empty segment"),
        ("/a?b=1", "'?' is never part of a path"),
        ("/a#b", "'#' is never part of a path"),
        ("/100%", "must start an escape"),
        ("/%FF", "must start an escape"),
    ],
)
def test_malformed_patterns_are_refused(text: str, why: str) -> None:
    """The message names the pattern and what is allowed."""
    with pytest.raises(RouteError, match=r"^pattern ") as refused:
        parse_pattern(text)

    assert repr(text) in str(refused.value)
    assert why in str(refused.value)


def test_the_parts_of_a_pattern() -> None:
    """Positions behind `**` count from the end."""
    expected = Pattern(
        text="/api/:v/x/**/y/*",
        shape=(
            (Kind.LITERAL, "api"),
            (Kind.NAME, ""),
            (Kind.LITERAL, "x"),
            (Kind.ANY, ""),
            (Kind.LITERAL, "y"),
            (Kind.ONE, ""),
        ),
        leading=("api",),
        length=5,
        literals=((2, "x"), (-2, "y")),
        captures=((1, "v"), (-1, "*")),
        rest=(3, 2, "**"),
        last=Kind.ONE,
    )

    assert expected == parse_pattern("/api/:v/x/**/y/*")


def test_only_patterns_without_parameters_are_literal() -> None:
    """A literal pattern names one path."""
    assert parse_pattern("/a/").is_literal
    assert not parse_pattern("/a/:b").is_literal


@given(st.lists(st.text(st.sampled_from("ab/%"), max_size=3), max_size=5))
def test_joined_segments_keep_their_number(segments: list[str]) -> None:
    """A slash in the value of `**` always separates two segments."""
    joined = join_segments(segments)

    assert max(len(segments) - 1, 0) == joined.count("/")
