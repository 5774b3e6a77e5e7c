"""Freshness lifetime and age, computed when a response is stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.client.cache.directives import FOREVER_S
from rocket_sup.client.cache.stored import (
    Catalogue,
    Heuristic,
    Moments,
    Stored,
    Variant,
    storable_fields,
    stored_response,
)
from tests.unit.client.cache.exchanges import NOW, date, headers, stored

DAY = 86400.0


def test_rfc9111_3_1_what_belongs_to_the_connection_is_not_stored() -> None:
    """Unknown fields are; what Connection names is not."""
    fields = [
        ("Content-Type", "x"),
        ("Connection", "keep-alive, X-Hop"),
        ("Keep-Alive", "x"),
        ("x-hop", "x"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "x"),
        ("TE", "x"),
        ("Proxy-Authenticate", "x"),
        ("X-Unknown", "1"),
        ("X-Unknown", "2"),
    ]

    assert (("Content-Type", "x"), ("X-Unknown", "1"), ("X-Unknown", "2")) == storable_fields(fields)


@pytest.mark.parametrize(
    ("fields", "shared", "private"),
    [
        ({"cache_control": "s-maxage=1, max-age=2", "expires": date(3)}, 1, 2),
        ({"cache_control": "max-age=2", "expires": date(3)}, 2, 2),
        ({"cache_control": "max-age=x", "expires": date(3)}, 0, 0),
        ({"expires": date(3)}, 3, 3),
        ({"expires": date(-3)}, 0, 0),
        ({"expires": "0"}, 0, 0),
        ({"expires": date(3), "date": date(-10)}, 13, 13),
        ({"expires": "Wed, 01 Jan 9000 00:00:00 GMT"}, FOREVER_S, FOREVER_S),
        ({"cache_control": f"max-age={2**40}"}, FOREVER_S, FOREVER_S),
        ({"last_modified": date(-1000)}, 100, 100),
        ({"last_modified": date(-1000), "date": date(-500)}, 50, 50),
        ({"last_modified": date(-1000 * DAY)}, DAY, DAY),
        ({"last_modified": date(1000)}, 0, 0),
        ({"last_modified": "yesterday"}, 0, 0),
        ({}, 0, 0),
    ],
)
def test_rfc9111_4_2_1_freshness_lifetime(fields: dict[str, str], shared: float, private: float) -> None:
    """The first that applies of s-maxage, max-age, Expires and the guess."""
    assert (shared, private) == (
        stored(is_shared=True, **fields).lifetime_s,
        stored(**fields).lifetime_s,
    )


def test_rfc9111_4_2_1_several_dates_of_expiry_are_none() -> None:
    """Equal ones are one."""
    moments = Moments(NOW, NOW)
    one = stored_response(
        200, (("Expires", date(9)), ("Expires", date(8))), b"", method="GET", moments=moments
    )
    two = stored_response(
        200, (("Expires", date(9)), ("Expires", date(9))), b"", method="GET", moments=moments
    )

    assert (0, 9) == (one.lifetime_s, two.lifetime_s)


@pytest.mark.parametrize(
    ("status", "cache_control", "lifetime"),
    [(404, None, 100), (410, None, 100), (403, None, 0), (403, "public", 100), (302, None, 0)],
)
def test_rfc9111_4_2_2_guessing(status: int, cache_control: str | None, lifetime: float) -> None:
    """For statuses that may be, or where the server says public."""
    assert lifetime == stored(cache_control, status=status, last_modified=date(-1000)).lifetime_s


def test_rfc9111_4_2_2_the_guess_can_be_chosen() -> None:
    """A fraction, and a bound."""
    found = stored_response(
        200,
        (("Last-Modified", date(-1000)),),
        b"",
        method="GET",
        moments=Moments(NOW, NOW),
        heuristic=Heuristic(0.5, 60),
    )

    assert 60 == found.lifetime_s


@pytest.mark.parametrize(
    ("fields", "delay", "age"),
    [
        ({}, 0, 0),
        ({}, 2, 2),
        ({"age": "10"}, 0, 10),
        ({"age": "10"}, 2, 12),
        ({"age": "10, 20"}, 0, 10),
        ({"age": "ten"}, 0, 0),
        ({"age": "-10"}, 0, 0),
        ({"age": str(2**40)}, 0, FOREVER_S),
        ({"date": date(-30)}, 0, 30),
        ({"date": date(30)}, 0, 0),
        ({"date": date(-30), "age": "10"}, 2, 30),
        ({"date": date(-30), "age": "40"}, 2, 42),
        ({"date": "noon"}, 0, 0),
    ],
)
def test_rfc9111_4_2_3_age(fields: dict[str, str], delay: float, age: float) -> None:
    """The larger of what the dates tell and what Age says with the time on the way."""
    found = stored("max-age=60", moments=Moments(NOW - delay, NOW), **fields)

    assert (age, age + 5) == (found.age_s(NOW), found.age_s(NOW + 5))


def test_fresh_to_the_second() -> None:
    """A lifetime is over when the age has reached it."""
    found = stored("max-age=60")

    assert found.staleness_s(NOW + 59.999) < 0
    assert found.staleness_s(NOW + 60) == 0


def test_a_clock_that_is_set_back_does_not_make_younger_than_received() -> None:
    """Age does not fall below what it was."""
    assert 10 == stored(age="10").age_s(NOW - 1000)


def test_what_every_use_needs_is_there() -> None:
    """Validators, date, the fields without Age as they stand on the wire, and how long it is fresh."""
    found = stored("max-age=1", age="3", etag='"x"', last_modified=date(-5), date=date(-1))

    assert ('"x"', date(-5), NOW - 1) == (found.etag, found.last_modified, found.date_s)
    assert b'\r\netag: "x"' in found.block
    assert b"\r\nage:" not in found.block
    assert "age" in headers(**dict(found.fields))
    assert -2 == found.fresh_s
    assert stored(x="\u20ac").block == b"\r\nx: ?"


@pytest.mark.parametrize(
    "special",
    [
        stored("max-age=60", is_forced=True),
        stored("max-age=60, no-cache"),
        stored("max-age=60", selecting=(("x", "1"),)),
    ],
)
def test_what_does_not_serve_any_request_is_never_simply_fresh(special: Stored) -> None:
    """It is always looked at closely."""
    assert special.fresh_s == 0


def test_cost_grows_with_what_is_kept() -> None:
    """Content, fields and variants are counted."""
    bare = stored()
    variant = Variant("k", (), "", NOW, NOW)

    assert bare.cost > len(bare.content)
    assert stored(x="y" * 1000).cost > bare.cost + 1000
    assert Catalogue((variant, variant)).cost > Catalogue((variant,)).cost


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 10**6))
def test_age_and_staleness_only_grow(lifetime: int, age: int, later: float) -> None:
    """Nothing becomes fresh again by itself."""
    found = stored(f"max-age={lifetime}", age=str(age))

    assert found.age_s(NOW + later) >= found.age_s(NOW) >= age
    assert found.staleness_s(NOW + later) >= found.staleness_s(NOW)
