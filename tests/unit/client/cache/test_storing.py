"""What is stored: the rules of RFC 9111 §3 one by one, and how long."""

from __future__ import annotations

import pytest

from rocket_sup.client.cache.storing import Retention, decide_storing
from tests.unit.client.cache.exchanges import NOW, ask, date, headers, stored

YES, NO, FORCED = "stored", "not stored", "only with a lifetime of the caller's"


def outcome(request: dict[str, str], status: int, response: dict[str, str], *, is_shared: bool) -> str:
    """What becomes of the response, without and with a lifetime named by the caller."""
    plain = decide_storing(ask(**request), status, headers(**response), is_shared=is_shared)
    named = decide_storing(ask(ttl_s=60, **request), status, headers(**response), is_shared=is_shared)
    assert plain.because
    assert not plain.is_forced
    if plain.is_stored:
        assert named == plain
        return YES
    assert named.is_forced == named.is_stored
    return FORCED if named.is_stored else NO


@pytest.mark.parametrize(
    ("request_fields", "status", "response_fields", "private", "shared"),
    [
        # the request method is understood: see below; the status is final
        ({}, 103, {"cache_control": "max-age=1"}, NO, NO),
        # 206, 304 and must-understand: the status is understood
        ({}, 206, {"cache_control": "max-age=1"}, NO, NO),
        ({}, 304, {"cache_control": "max-age=1"}, NO, NO),
        ({}, 200, {"content_range": "bytes 0-1/2"}, NO, NO),
        ({"range": "bytes=0-1"}, 200, {}, NO, NO),
        ({}, 299, {"cache_control": "max-age=1, must-understand"}, NO, NO),
        ({}, 200, {"cache_control": "max-age=1, must-understand, no-store"}, YES, YES),
        ({}, 299, {"cache_control": "max-age=1"}, YES, YES),
        # no-store in the response; and in the request
        ({}, 200, {"cache_control": "no-store, max-age=1"}, FORCED, FORCED),
        ({"cache_control": "no-store"}, 200, {"cache_control": "max-age=1"}, NO, NO),
        # private
        ({}, 200, {"cache_control": "private, max-age=1"}, YES, NO),
        ({}, 200, {"cache_control": 'private="x", max-age=1'}, YES, NO),
        # Authorization
        ({"authorization": "x"}, 200, {"cache_control": "max-age=1"}, YES, NO),
        ({"authorization": "x"}, 200, {"cache_control": "public"}, YES, YES),
        ({"authorization": "x"}, 200, {"cache_control": "s-maxage=1"}, YES, YES),
        ({"authorization": "x"}, 200, {"cache_control": "max-age=1, must-revalidate"}, YES, YES),
        # at least one of
        ({}, 302, {}, FORCED, FORCED),
        ({}, 302, {"cache_control": "public"}, YES, YES),
        ({}, 302, {"cache_control": "private"}, YES, NO),
        ({}, 302, {"expires": "0"}, YES, YES),
        ({}, 302, {"cache_control": "max-age=1"}, YES, YES),
        ({}, 302, {"cache_control": "s-maxage=1"}, FORCED, YES),
        # heuristically cacheable
        *[({}, status, {}, YES, YES) for status in (200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501)],
        *[({}, status, {}, NO, NO) for status in (201, 400, 401, 403, 429, 500, 502, 503, 504)],
        # Vary
        ({}, 200, {"cache_control": "max-age=1", "vary": "*"}, NO, NO),
        ({}, 200, {"cache_control": "max-age=1", "vary": "accept"}, YES, YES),
    ],
)
def test_rfc9111_3_what_is_stored(
    request_fields: dict[str, str], status: int, response_fields: dict[str, str], private: str, shared: str
) -> None:
    """In private caches and in shared ones."""
    assert (private, shared) == (
        outcome(request_fields, status, response_fields, is_shared=False),
        outcome(request_fields, status, response_fields, is_shared=True),
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "get"])
def test_rfc9111_3_other_methods_never(method: str) -> None:
    """POST is not stored, whatever response and caller say."""
    found = decide_storing(
        ask(method, ttl_s=60), 200, headers(cache_control="public, max-age=60"), is_shared=False
    )

    assert not found.is_stored
    assert method in found.because


def test_every_refusal_names_its_rule() -> None:
    """So that a user can look it up."""
    found = decide_storing(ask(), 200, headers(cache_control="no-store"), is_shared=False)

    assert "the response says no-store (RFC 9111 §5.2.2.5)" == found.because


@pytest.mark.parametrize(
    ("response", "ttl_s", "seconds"),
    [
        (stored("max-age=60"), None, 60),
        (stored("max-age=60", age="20"), None, 40),
        (stored("max-age=60"), 90, 90),
        (stored("max-age=60"), 30, 60),
        (stored("max-age=60, stale-while-revalidate=5, stale-if-error=7"), None, 67),
        (stored("max-age=60", etag='"x"'), None, 160),
        (stored("max-age=60, stale-if-error=500", last_modified=date()), None, 560),
        (stored("no-store, max-age=60", is_forced=True), 10, 10),
        (stored("max-age=1", age="100"), None, 0),
        (stored(), None, 0),
    ],
)
def test_how_long_a_response_is_kept(response: object, ttl_s: float | None, seconds: float) -> None:
    """Its lifetime, and as long as it may be used stale or be validated."""
    assert seconds == Retention(validate_s=100).seconds(response, now=NOW, ttl_s=ttl_s)  # type: ignore[arg-type]


def test_the_configured_window_counts() -> None:
    """What the cache may do, it keeps responses for."""
    assert 90 == Retention(stale_s=30).seconds(stored("max-age=60"), now=NOW, ttl_s=None)
