"""Keys: one place for one URI, and Vary."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.client.cache.keys import (
    IDENTITY,
    is_match,
    matching_variant,
    primary_key,
    selecting_values,
    variant_key,
    varied,
    with_variant,
)
from rocket_sup.client.cache.stored import Catalogue, Variant
from rocket_sup.http.headers import Headers
from tests.unit.client.cache.exchanges import NOW, headers

NOBODY: tuple[str, ...] = ()


def variant(key: str, date_s: float = NOW, expires_s: float = NOW + 60, **selecting: str | None) -> Variant:
    """An entry of a catalogue."""
    return Variant(key, tuple(sorted(selecting.items())), "", date_s, expires_s)


def test_rfc9111_2_places_are_kept_apart() -> None:
    """By method, by kind of cache, by namespace, by URI."""
    keys = {
        primary_key(uri, method=method, is_shared=is_shared, namespace=namespace)
        for uri in ("http://a/", "http://a/?x")
        for method in ("GET", "HEAD")
        for is_shared in (True, False)
        for namespace in ("", "n:")
    }

    assert 16 == len(keys)


def test_rfc9111_4_1_names_in_vary() -> None:
    """Of all lines, in lower case."""
    assert {"accept", "x", "*"} == varied(["Accept,  X", ",*, ", ""])
    assert set() == varied([])


@pytest.mark.parametrize(
    ("one", "other", "is_equal"),
    [
        ([("Accept", "a,b")], [("accept", " a ,\tb")], True),
        ([("Accept", "a,b")], [("Accept", "a"), ("Accept", "b")], True),
        ([("Accept", "A")], [("Accept", "a")], True),
        ([("X", "A")], [("X", "a")], False),
        ([("X", "")], [], False),
        ([], [], True),
        ([("Accept", "a,b")], [("Accept", "b,a")], False),
    ],
)
def test_rfc9111_4_1_values_are_compared_by_meaning(
    one: list[tuple[str, str]], other: list[tuple[str, str]], is_equal: bool
) -> None:
    """Blanks and lines do not count; what is absent matches only what is absent."""
    selecting = selecting_values(Headers(one), ["accept", "x"], identity=NOBODY)

    assert is_equal == is_match(Headers(other), selecting, identity=NOBODY)


def test_another_user_selects_another_response() -> None:
    """Who asks is part of every secondary key, and is not kept in clear."""
    alice = selecting_values(headers(authorization="alice"), [], identity=IDENTITY)

    assert is_match(headers(authorization="alice"), alice, identity=IDENTITY)
    assert not is_match(headers(authorization="bob"), alice, identity=IDENTITY)
    assert not is_match(headers(), alice, identity=IDENTITY)
    assert "alice" not in repr(alice)
    assert () == selecting_values(headers(), ["authorization"], identity=IDENTITY)


def test_variant_keys_differ() -> None:
    """By value and by absence."""
    keys = {variant_key("p", (("x", value),)) for value in ("a", "b", "", None)}

    assert 4 == len(keys)


def test_rfc9111_4_1_the_most_recent_of_several_that_match() -> None:
    """Among those that match; one without Vary only for want of another."""
    old, new = variant("old", NOW - 9, accept="a"), variant("new", NOW - 1, x=None)
    plain = variant("plain")
    catalogue = Catalogue((old, new, plain))

    assert new == matching_variant(catalogue, headers(accept="a"), identity=NOBODY)
    assert old == matching_variant(catalogue, headers(accept="a", x="1"), identity=NOBODY)
    assert plain == matching_variant(catalogue, headers(x="1"), identity=NOBODY)
    assert matching_variant(Catalogue((old,)), headers(), identity=NOBODY) is None


def test_a_catalogue_is_bounded_and_forgets() -> None:
    """The same place is replaced, expired ones go, and of too many the oldest."""
    catalogue = Catalogue((variant("a", x="1"), variant("b", expires_s=NOW, x="2"), variant("c", x="3")))

    added = with_variant(catalogue, variant("a", NOW + 1, x="1"), now=NOW, at_most=8)

    assert ["c", "a"] == [each.key for each in added.variants]
    assert ["a"] == [each.key for each in with_variant(added, added.variants[1], now=NOW, at_most=1).variants]


@given(st.dictionaries(st.sampled_from(["accept", "x", "y"]), st.text("aA ,", max_size=8)))
def test_a_request_matches_itself(fields: dict[str, str]) -> None:
    """Whatever it says."""
    selecting = selecting_values(Headers(fields), ["accept", "x", "z"], identity=IDENTITY)

    assert is_match(Headers(fields), selecting, identity=IDENTITY)
