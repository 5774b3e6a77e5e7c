"""Cache-Control: what is read, and that nothing malformed makes a cache bolder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.client.cache.directives import (
    FOREVER_S,
    RequestDirectives,
    ResponseDirectives,
    delta_seconds,
    request_directives,
    response_directives,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("60", 60), ("003600", 3600), ("99999999999999", FOREVER_S), ("9" * 100, FOREVER_S)]
    + [(text, None) for text in ("", "-1", "+1", "1.0", "1e3", " 1", "a1", "1a", "٣", "9" * 101)],
)
def test_rfc9111_1_2_2_delta_seconds(text: str, seconds: int | None) -> None:
    """Digits alone, and what is too large is the largest."""
    assert seconds == delta_seconds(text)


@pytest.mark.parametrize(
    ("field", "lifetime"),
    [
        ("max-age=60", 60),
        ('max-age="60"', 60),
        ("MaX-aGe=60", 60),
        (", ,max-age=60,,", 60),
        ("public,max-age=60\t, extension", 60),
        ("max-age=60, max-age=60", 60),
        ("max-age=60, max-age=61", 0),
        ("max-age", 0),
        ("max-age=", 0),
        ("max-age=-60", 0),
        ("max-age=60.0", 0),
        ("max-age='60'", 0),
        ("max-age=a60", 0),
        ('extension="a, max-age=60, b"', None),
        ('extension="a\\", max-age=60, b"', None),
        ("s-maxage=60", None),
        ("xmax-age=60", None),
        ("max-age =60", None),
        ("max-age=60;foo=bar", 0),
    ],
)
def test_rfc9111_4_2_1_lifetimes_are_read_or_count_as_none(field: str, lifetime: int | None) -> None:
    """Conflicting and malformed lifetimes make a response stale; quoted text is no directive."""
    assert lifetime == response_directives([field]).max_age_s


def test_rfc9111_5_2_1_request_directives() -> None:
    """All that a request can say, also over several lines."""
    found = request_directives(
        ["max-age=1, max-stale=2", "min-fresh=3, no-cache, no-store, only-if-cached, stale-if-error=4"]
    )

    assert RequestDirectives(1, 2, 3, True, True, True, 4) == found


def test_rfc9111_5_2_1_2_max_stale_without_a_limit() -> None:
    """However stale."""
    assert request_directives(["max-stale"]).max_stale_s == FOREVER_S
    assert request_directives(["max-stale=x"]).max_stale_s == 0


def test_rfc9111_5_2_1_3_a_broken_min_fresh_asks_for_the_most() -> None:
    """The careful reading of it is that nothing is fresh enough."""
    assert FOREVER_S == request_directives(["min-fresh=soon"]).min_fresh_s


def test_rfc9111_5_2_2_response_directives() -> None:
    """All that a response can say."""
    found = response_directives(
        [
            "max-age=1, s-maxage=2, must-revalidate, must-understand, no-cache, no-store, private,"
            " proxy-revalidate, public, stale-while-revalidate=3, stale-if-error=4"
        ]
    )

    assert ResponseDirectives(1, 2, True, True, True, True, True, True, True, 3, 4) == found


@pytest.mark.parametrize("name", ["no-cache", "private"])
def test_rfc9111_5_2_2_4_names_of_fields_restrict_the_whole_response(name: str) -> None:
    """The qualified forms count as the unqualified ones."""
    found = response_directives([f'{name}="set-cookie, x", max-age=60'])

    assert (name == "no-cache", name == "private", 60) == (found.no_cache, found.private, found.max_age_s)


def test_rfc9111_5_4_pragma_counts_without_cache_control_only() -> None:
    """What HTTP/1.0 said."""
    assert request_directives([], pragma=["no-cache"]).no_cache
    assert not request_directives([], pragma=["nonsense"]).no_cache
    assert not request_directives(["max-age=1"], pragma=["no-cache"]).no_cache


@given(st.lists(st.text("maxge-=,\"'\\ 019;no", max_size=60), max_size=3))
def test_any_text_is_read(lines: list[str]) -> None:
    """No field value breaks the reader, and lifetimes are in range."""
    found = response_directives(lines)
    request_directives(lines)

    assert found.max_age_s is None or 0 <= found.max_age_s <= FOREVER_S


@pytest.mark.parametrize("hostile", ['"' * 60000, '\\"' * 30000, "," * 60000, 'a="' * 20000, "=" * 60000])
def test_a_long_field_is_read_in_one_pass(hostile: str) -> None:
    """Time grows with the length of the field, not faster: the limit of the test would tell."""
    assert response_directives([hostile]).max_age_s is None
