"""Validation: what is asked, which stored response a 304 is about, and what it changes."""

from __future__ import annotations

import pytest

from rocket_sup.client.cache.stored import DEFAULT_HEURISTIC, Catalogue, Moments, Variant
from rocket_sup.client.cache.validation import (
    conditions_for,
    conditions_for_any,
    freshened,
    has_validator,
    is_confirmed,
    is_not_modified,
    is_same_by_head,
    named_by,
)
from tests.unit.client.cache.exchanges import NOW, ask, date, headers, stored

BOTH = {"etag": '"a"', "last_modified": date(-9)}


def catalogue(*etags: str) -> Catalogue:
    """Variants with these entity tags, each newer than the one before."""
    return Catalogue(
        tuple(Variant(f"k{n}", (("x", str(n)),), etag, NOW + n, NOW + 60) for n, etag in enumerate(etags))
    )


def test_rfc9111_4_3_1_a_conditional_request_has_every_validator() -> None:
    """Entity tag and date, as they were received."""
    assert (("If-None-Match", '"a"'), ("If-Modified-Since", date(-9))) == conditions_for(stored(**BOTH))
    assert () == conditions_for(stored())
    assert has_validator(stored(etag='"a"'))
    assert has_validator(stored(last_modified=date(-9)))
    assert not has_validator(stored())


def test_rfc9111_4_3_1_all_candidates_are_named() -> None:
    """Each entity tag once."""
    assert (("If-None-Match", '"a", W/"b"'),) == conditions_for_any(catalogue('"a"', "", 'W/"b"', '"a"'))
    assert () == conditions_for_any(catalogue("", ""))


@pytest.mark.parametrize(
    ("mine", "theirs", "is_mine"),
    [
        ({"etag": '"a"'}, {"etag": '"a"'}, True),
        ({"etag": '"a"'}, {"etag": '"b"'}, False),
        ({"etag": 'W/"a"'}, {"etag": 'W/"a"'}, True),
        ({"etag": '"a"'}, {"etag": 'W/"a"'}, True),
        ({"etag": 'W/"a"'}, {"etag": '"a"'}, False),
        (BOTH, {"last_modified": date(-8)}, True),
        ({"last_modified": date(-9)}, {"last_modified": date(-9)}, True),
        ({"last_modified": date(-9)}, {"last_modified": date(-8)}, False),
        (BOTH, {}, True),
    ],
)
def test_rfc9111_4_3_4_which_response_a_304_is_about(
    mine: dict[str, str], theirs: dict[str, str], is_mine: bool
) -> None:
    """By strong validators, else by weak ones; without any, the only one that was asked about."""
    assert is_mine == is_confirmed(stored(**mine), headers(**theirs))


@pytest.mark.parametrize(
    ("etag", "key"),
    [
        ('"a"', "k2"),
        ('"b"', "k1"),
        ('W/"b"', "k1"),
        ('W/"c"', "k3"),
        ('"x"', None),
        ("", None),
        ("bare", None),
    ],
)
def test_rfc9111_4_3_4_which_of_several(etag: str, key: str | None) -> None:
    """The most recent with that entity tag."""
    assert key == named_by(headers(etag=etag), catalogue('"a"', '"b"', '"a"', 'W/"c"'))


def test_rfc9111_3_2_a_304_replaces_fields() -> None:
    """Fields of the content stay, all others are replaced or added, and the response is young again."""
    old = stored(
        "max-age=1",
        content_encoding="gzip",
        content_length="7",
        content_type="text/plain",
        x_old="old",
        x_both="old",
        age="50",
        **BOTH,
    )
    moments = Moments(NOW + 100, NOW + 101)

    new = freshened(
        old,
        [
            ("Cache-Control", "max-age=60"),
            ("Content-Length", "0"),
            ("Content-Encoding", "br"),
            ("Connection", "x-hop"),
            ("X-Hop", "1"),
            ("X-Both", "1"),
            ("X-Both", "2"),
            ("X-New", "new"),
        ],
        moments,
        heuristic=DEFAULT_HEURISTIC,
    )

    assert (60, 1, '"a"', b"content") == (new.lifetime_s, new.age_s(NOW + 101), new.etag, new.content)
    assert {
        "content-encoding": "gzip",
        "content-length": "7",
        "content-type": "text/plain",
        "x-old": "old",
        "x-new": "new",
        "x-both": "2",
        "cache-control": "max-age=60",
    }.items() <= {name.lower(): value for name, value in new.fields}.items()
    assert [("X-Both", "1"), ("X-Both", "2")] == [pair for pair in new.fields if pair[0] == "X-Both"]
    assert "x-hop" not in {name.lower() for name, _ in new.fields}


def test_rfc9111_4_3_4_a_variant_confirmed_for_another_request() -> None:
    """It is then selected by what that request said."""
    new = freshened(
        stored(selecting=(("x", "1"),)),
        [],
        Moments(NOW, NOW),
        heuristic=DEFAULT_HEURISTIC,
        selecting=(("x", "2"),),
    )

    assert (("x", "2"),) == new.selecting


@pytest.mark.parametrize(
    ("head", "is_same"),
    [
        (BOTH, True),
        (BOTH | {"content_length": "7"}, True),
        (BOTH | {"content_length": "8"}, False),
        (BOTH | {"etag": '"b"'}, False),
        ({"etag": '"a"'}, False),
        ({}, False),
    ],
)
def test_rfc9111_4_3_5_head_describes_what_is_stored(head: dict[str, str], is_same: bool) -> None:
    """Only with the same validators and length."""
    assert is_same == is_same_by_head(stored(content_length="7", **BOTH), headers(**head))


@pytest.mark.parametrize(
    ("conditions", "is_current"),
    [
        ({}, False),
        ({"if_none_match": '"a"'}, True),
        ({"if_none_match": 'W/"a", "b"'}, True),
        ({"if_none_match": "*"}, True),
        ({"if_none_match": '"b"'}, False),
        ({"if_none_match": '"b"', "if_modified_since": date()}, False),
        ({"if_modified_since": date(-9)}, True),
        ({"if_modified_since": date(-10)}, False),
    ],
)
def test_rfc9111_4_3_2_the_callers_copy(conditions: dict[str, str], is_current: bool) -> None:
    """If-None-Match counts before If-Modified-Since."""
    assert is_current == is_not_modified(ask(**conditions), stored(**BOTH))


def test_rfc9111_4_3_2_only_a_200_is_compared_with() -> None:
    """A stored 404 is the answer itself."""
    assert not is_not_modified(ask(if_none_match="*"), stored(status=404, **BOTH))
    assert not is_not_modified(ask(if_modified_since=date()), stored())
