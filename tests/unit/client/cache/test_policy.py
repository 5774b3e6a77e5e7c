"""What becomes of a request: tables in the order of RFC 9111, then of RFC 5861."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.client.cache.policy import Policy, Use
from rocket_sup.client.cache.stored import Stored
from tests.unit.client.cache.exchanges import NOW, ask, date, stored

PRIVATE, SHARED = Policy(), Policy(is_shared=True)
ETAG = '"a"'
AGE_S = 100.0  # of what is stored, when it is asked for


def use(
    response: Stored | None, *, policy: Policy = PRIVATE, ttl_s: float | None = None, **request: str
) -> str:
    """What becomes of a request `AGE_S` after the response was received."""
    decision = policy.on_request(ask(ttl_s=ttl_s, **request), response, now=NOW + AGE_S)
    assert decision.because
    assert bool(decision.forwarded) == (decision.use in (Use.BYPASS, Use.FORWARD, Use.REVALIDATE))
    return decision.use.value


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"])
def test_rfc9111_4_only_get_and_head_are_answered(method: str) -> None:
    """POST never, whatever is stored and whatever lifetime is named."""
    decision = PRIVATE.on_request(ask(method, ttl_s=60), stored("max-age=1000"), now=NOW)

    assert (Use.BYPASS, "method") == (decision.use, decision.forwarded)


def test_rfc9111_4_nothing_is_stored() -> None:
    """The server is asked."""
    assert "forward" == use(None)


@pytest.mark.parametrize(
    ("cache_control", "lifetime_left", "expected"),
    [
        ("max-age=101", True, "serve"),
        ("max-age=100", False, "forward"),
        ("max-age=99", False, "forward"),
        ("max-age=0", False, "forward"),
        ("no-cache, max-age=1000", True, "forward"),
        ('no-cache="x", max-age=1000', True, "forward"),
    ],
)
def test_rfc9111_4_2_fresh_or_not(cache_control: str, lifetime_left: bool, expected: str) -> None:
    """With a validator, the server is asked about it."""
    assert expected == use(stored(cache_control))
    assert expected.replace("forward", "revalidate") == use(stored(cache_control, etag=ETAG))
    assert lifetime_left == (stored(cache_control).staleness_s(NOW + AGE_S) < 0)


@pytest.mark.parametrize(
    ("cache_control", "private", "shared"),
    [
        ("max-age=1", "serve", "serve"),
        ("max-age=1, must-revalidate", "forward", "forward"),
        ("max-age=1, proxy-revalidate", "serve", "forward"),
        ("max-age=1, s-maxage=1", "serve", "forward"),
        ("max-age=1, no-cache", "forward", "forward"),
    ],
)
def test_rfc9111_4_2_4_what_forbids_to_serve_stale(cache_control: str, private: str, shared: str) -> None:
    """Even to who would take it."""
    request = {"cache_control": "max-stale"}

    assert private == use(stored(cache_control), **request)
    assert shared == use(stored(cache_control, is_shared=True), policy=SHARED, **request)


@pytest.mark.parametrize("name", ["range", "if_range", "if_match", "if_unmodified_since"])
def test_rfc9111_4_3_2_what_the_cache_does_not_judge(name: str) -> None:
    """Goes to the origin, past the cache."""
    assert "bypass" == use(stored("max-age=1000"), **{name: "x"})


def test_rfc9111_4_3_2_the_callers_conditions_go_to_the_server_as_they_are() -> None:
    """When what is stored is stale; fresh, it answers."""
    assert "forward" == use(stored("max-age=1", etag=ETAG), if_none_match=ETAG)
    assert "serve" == use(stored("max-age=1000", etag=ETAG), if_none_match=ETAG)


@pytest.mark.parametrize(
    ("asked", "fresh", "stale"),
    [
        # §5.2.1.1
        ("max-age=100", "serve", "revalidate"),
        ("max-age=99", "revalidate", "revalidate"),
        ("max-age=0", "revalidate", "revalidate"),
        ("max-age=soon", "revalidate", "revalidate"),
        # §5.2.1.2
        ("max-stale", "serve", "serve"),
        ("max-stale=10", "serve", "serve"),
        ("max-stale=9", "serve", "revalidate"),
        ("max-stale, max-age=99", "revalidate", "revalidate"),
        # §5.2.1.3
        ("min-fresh=10", "serve", "revalidate"),
        ("min-fresh=11", "revalidate", "revalidate"),
        ("min-fresh=1, max-stale", "serve", "revalidate"),
        # §5.2.1.4
        ("no-cache", "revalidate", "revalidate"),
        # §5.2.1.5: about storing only
        ("no-store", "serve", "revalidate"),
        # §5.2.1.7
        ("only-if-cached", "serve", "refuse"),
        ("only-if-cached, max-stale=10", "serve", "serve"),
        ("only-if-cached, no-cache", "refuse", "refuse"),
    ],
)
def test_rfc9111_5_2_1_what_a_request_may_say(asked: str, fresh: str, stale: str) -> None:
    """To a response that is fresh for another 10 s, and to one that has been stale for 10 s."""
    assert (fresh, stale) == (
        use(stored("max-age=110", etag=ETAG), cache_control=asked),
        use(stored("max-age=90", etag=ETAG), cache_control=asked),
    )


def test_rfc9111_5_2_1_7_nothing_stored_and_the_server_must_not_be_asked() -> None:
    """504."""
    assert "refuse" == use(None, cache_control="only-if-cached")


@pytest.mark.parametrize(
    ("asked", "response", "forwarded"),
    [
        ("no-cache", "max-age=1000", "request"),
        ("max-age=1", "max-age=1000", "request"),
        ("x", "no-cache", "stale"),
        ("x", "max-age=1", "stale"),
    ],
)
def test_rfc9211_2_2_why_a_request_is_forwarded(asked: str, response: str, forwarded: str) -> None:
    """Because of the request, or of what is stored."""
    decision = PRIVATE.on_request(ask(cache_control=asked), stored(response, etag=ETAG), now=NOW + AGE_S)

    assert (Use.REVALIDATE, forwarded) == (decision.use, decision.forwarded)


@pytest.mark.parametrize(
    ("cache_control", "policy", "expected"),
    [
        ("max-age=90, stale-while-revalidate=11", PRIVATE, "serve and revalidate"),
        ("max-age=90, stale-while-revalidate=10", PRIVATE, "forward"),
        ("max-age=90, stale-while-revalidate=99, must-revalidate", PRIVATE, "forward"),
        ("max-age=90, stale-while-revalidate=99, no-cache", PRIVATE, "forward"),
        ("max-age=90", Policy(stale_while_revalidate_s=11), "serve and revalidate"),
        ("max-age=90, stale-while-revalidate=0", Policy(stale_while_revalidate_s=11), "forward"),
        ("max-age=110, stale-while-revalidate=99", PRIVATE, "serve"),
    ],
)
def test_rfc5861_3_stale_while_revalidate(cache_control: str, policy: Policy, expected: str) -> None:
    """As long as the response says, or else the configuration."""
    assert expected == use(stored(cache_control), policy=policy)


@pytest.mark.parametrize(
    ("cache_control", "request_fields", "policy", "is_served"),
    [
        ("max-age=90, stale-if-error=10", {}, PRIVATE, True),
        ("max-age=90, stale-if-error=9", {}, PRIVATE, False),
        ("max-age=90", {"cache_control": "stale-if-error=10"}, PRIVATE, True),
        ("max-age=90", {"cache_control": "stale-if-error=9"}, PRIVATE, False),
        ("max-age=90", {}, Policy(stale_if_error_s=10), True),
        ("max-age=90", {}, PRIVATE, False),
        ("max-age=90, stale-if-error=99, must-revalidate", {}, PRIVATE, False),
        ("max-age=90, stale-if-error=99, no-cache", {}, PRIVATE, False),
        ("max-age=90, stale-if-error=99", {"cache_control": "no-cache"}, PRIVATE, False),
        ("max-age=90, stale-if-error=99", {"range": "x"}, PRIVATE, False),
        ("max-age=110, stale-if-error=1", {"cache_control": "max-age=1"}, PRIVATE, True),
    ],
)
def test_rfc5861_4_stale_if_error(
    cache_control: str, request_fields: dict[str, str], policy: Policy, is_served: bool
) -> None:
    """As long as response, request or configuration say."""
    decision = policy.on_failure(ask(**request_fields), stored(cache_control), now=NOW + AGE_S)

    assert is_served == (decision.use is Use.SERVE)
    assert policy.on_failure(ask(**request_fields), None, now=NOW).use is Use.FORWARD
    assert policy.on_failure(ask("POST"), stored(cache_control), now=NOW).use is Use.FORWARD


@pytest.mark.parametrize(
    "response",
    [
        stored("no-store", is_forced=True),
        stored("no-cache"),
        stored("max-age=1, must-revalidate"),
        stored("max-age=100000"),
        stored(age="1000"),
    ],
)
def test_a_lifetime_named_by_the_caller_counts_instead(response: Stored) -> None:
    """To the second, from when the response was received; then the server is asked."""
    assert "serve" == use(response, ttl_s=AGE_S + 0.001)
    assert "forward" == use(response, ttl_s=AGE_S)
    assert "refuse" == use(response, ttl_s=AGE_S, cache_control="only-if-cached")
    assert "forward" == use(response, ttl_s=AGE_S + 1, cache_control="no-cache")


def test_what_only_a_caller_had_stored_serves_nobody_else() -> None:
    """A request without a lifetime does not see it; nor as a substitute for an error."""
    forced = stored("max-age=1000, no-store, stale-if-error=1000", is_forced=True, etag=ETAG)

    assert "forward" == use(forced)
    assert "refuse" == use(forced, cache_control="only-if-cached")
    assert PRIVATE.on_failure(ask(), forced, now=NOW).use is Use.FORWARD
    assert PRIVATE.on_failure(ask(ttl_s=1), forced, now=NOW + 2).use is Use.SERVE


def test_retention_follows_the_policy() -> None:
    """The longer of the two windows."""
    assert 9 == Policy(stale_if_error_s=9, stale_while_revalidate_s=5).retention.stale_s


DIRECTIVES = st.lists(
    st.sampled_from(
        [
            "max-age=50",
            "max-age=200",
            "no-cache",
            "must-revalidate",
            "stale-while-revalidate=60",
            "s-maxage=5",
            "public",
            "stale-if-error=60",
            "max-age=x",
            "proxy-revalidate",
            "private",
        ]
    ),
    max_size=4,
).map(", ".join)
WISHES = st.lists(
    st.sampled_from(
        ["max-age=50", "no-cache", "max-stale", "max-stale=20", "min-fresh=20", "only-if-cached"]
    ),
    max_size=3,
).map(", ".join)


@given(DIRECTIVES, WISHES, st.floats(0, 400), st.booleans(), st.booleans())
def test_invariants(said: str, wished: str, age: float, is_shared: bool, has_etag: bool) -> None:
    """What is never done, whatever both sides say."""
    response = stored(said, is_shared=is_shared, **({"etag": ETAG} if has_etag else {"date": date()}))
    policy = SHARED if is_shared else PRIVATE
    request = ask(cache_control=wished)

    found = policy.on_request(request, response, now=NOW + age)

    is_served = found.use in (Use.SERVE, Use.SERVE_AND_REVALIDATE)
    is_stale = response.staleness_s(NOW + age) >= 0
    assert not (is_served and ("no-cache" in said or "no-cache" in wished))
    assert not (is_served and is_stale and "must-revalidate" in said)
    assert not (is_served and "max-age=50" in wished and age > 50)
    assert not (found.use in (Use.FORWARD, Use.REVALIDATE) and "only-if-cached" in wished)
    assert not (found.use is Use.REVALIDATE and not has_etag)
    assert is_served or is_stale or bool(wished) or "no-cache" in said
