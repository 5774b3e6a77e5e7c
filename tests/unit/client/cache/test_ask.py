"""What a cache reads of a request."""

from __future__ import annotations

import pytest

from rocket_sup.client.cache.ask import read_ask
from rocket_sup.client.cache.directives import NOTHING_ASKED
from rocket_sup.http.headers import Headers


def test_a_plain_request_asks_for_nothing() -> None:
    """Fields that say nothing to caches are not looked at twice."""
    ask = read_ask("GET", Headers({"Accept": "*/*", "User-Agent": "x"}), ttl_s=5)

    assert (ask.directives, ask.is_read, ask.is_for_origin, ask.is_conditional, ask.ttl_s) == (
        NOTHING_ASKED,
        True,
        False,
        False,
        5,
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "PURGE"])
def test_a_named_lifetime_counts_for_get_and_head_only(method: str) -> None:
    """What another method did is never answered from a store."""
    assert read_ask(method, Headers(), ttl_s=60).ttl_s is None
    assert read_ask("HEAD", Headers(), ttl_s=60).ttl_s == 60


@pytest.mark.parametrize("name", ["Range", "If-Range", "If-Match", "If-Unmodified-Since"])
def test_rfc9111_4_3_2_what_only_the_origin_can_judge(name: str) -> None:
    """The cache does not evaluate these."""
    assert read_ask("GET", Headers({name: "x"})).is_for_origin


def test_rfc9111_4_3_2_the_callers_conditions() -> None:
    """Lines of a list are one list; a date that stands twice is none."""
    ask = read_ask(
        "GET",
        Headers(
            [
                ("if-none-match", '"a"'),
                ("If-None-Match", '"b"'),
                ("if-modified-since", "x"),
                ("if-modified-since", "y"),
            ]
        ),
    )

    assert ask.is_conditional
    assert ('"a", "b"', None) == (ask.conditions().if_none_match, ask.conditions().if_modified_since)


def test_cache_control_is_read() -> None:
    """The directives of the request."""
    assert read_ask("GET", Headers({"cache-control": "no-store"})).directives.no_store
    assert read_ask("GET", Headers({"pragma": "no-cache"})).directives.no_cache
