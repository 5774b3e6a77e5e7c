"""Responses that a cache gives, and what it has to say in them."""

from __future__ import annotations

from rocket_sup.client.cache.answers import conditional, from_stored, gateway_timeout, mark_forwarded, renewal
from rocket_sup.client.cache.policy import MISS, ONLY_IF_CACHED
from rocket_sup.client.messages import Request, Response
from rocket_sup.http.headers import Headers
from tests.unit.client.cache.exchanges import NOW, ask, stored

URL = "http://a.test/"


def test_rfc9111_5_1_age_is_written_anew() -> None:
    """In whole seconds; what was received is part of it."""
    response = from_stored(
        stored("max-age=60", age="5", x="1"), Request("GET", URL), ask(), now=NOW + 7.9, name="c"
    )

    assert ["12"] == response.headers.get_all("age")
    assert ("c; hit; ttl=47", "1", True) == (
        response.headers["cache-status"],
        response.headers["x"],
        response.from_cache,
    )


def test_rfc9211_2_4_what_is_left_of_a_named_lifetime() -> None:
    """And less than nothing of one that is over."""
    named = from_stored(stored("max-age=1"), Request("GET", URL), ask(ttl_s=60), now=NOW + 7.5, name="c")
    stale = from_stored(stored("max-age=1"), Request("GET", URL), ask(), now=NOW + 7.5, name="c")

    assert "c; hit; ttl=52" == named.headers["cache-status"]
    assert "c; hit; ttl=-7" == stale.headers["cache-status"]


def test_rfc9211_2_caches_are_listed_in_their_order() -> None:
    """Ours is nearest to the caller."""
    response = from_stored(stored(cache_status="edge; hit"), Request("GET", URL), ask(), now=NOW, name="c")

    assert ["edge; hit", "c; hit; ttl=0"] == response.headers.get_all("cache-status")


def test_what_is_served_can_be_changed_by_its_caller() -> None:
    """What is stored stays as it is."""
    record = stored("max-age=60")
    from_stored(record, Request("GET", URL), ask(), now=NOW, name="c").headers.add("X", "changed")

    assert "x" not in from_stored(record, Request("GET", URL), ask(), now=NOW, name="c").headers


def test_head_has_no_content() -> None:
    """But what it says about it."""
    response = from_stored(stored(content_length="7"), Request("HEAD", URL), ask("HEAD"), now=NOW, name="c")

    assert (b"", "7") == (response.content, response.headers["content-length"])


def test_rfc9110_15_4_5_not_modified() -> None:
    """Validators and what may have changed, nothing about content."""
    record = stored("max-age=60", etag='"a"', content_length="7", content_type="x")
    response = from_stored(record, Request("GET", URL), ask(if_none_match='"a"'), now=NOW, name="c")

    assert (304, b"", ["etag", "cache-control", "age", "cache-status"]) == (
        response.status,
        response.content,
        [name.lower() for name in response.headers],
    )


def test_a_refusal_says_why_in_ascii() -> None:
    """With its section."""
    response = gateway_timeout(Request("GET", URL), ONLY_IF_CACHED, name="c")

    assert (504, 'c; detail="only-if-cached, and nothing usable (RFC 9111 section 5.2.1.7)"') == (
        response.status,
        response.headers["cache-status"],
    )


def test_a_forwarded_response_says_why() -> None:
    """The fields of whoever gave it stay as they were."""
    headers = Headers({"X": "1"})
    response = Response(200, headers)
    mark_forwarded(response, MISS, name="c", is_stored=True)

    assert "c; fwd=uri-miss; stored" == response.headers["cache-status"]
    assert "cache-status" not in headers


def test_a_conditional_request_is_another_one() -> None:
    """The caller's stays as it is; without conditions it is the caller's."""
    request = Request("GET", URL, headers={"If-Modified-Since": "x"}, is_streamed=True)
    request.deadline = 5.0

    sent = conditional(request, (("If-None-Match", '"a"'),))

    assert conditional(request, ()) is request
    assert "if-none-match" not in request.headers
    assert ('"a"', True, 5.0) == (sent.headers["if-none-match"], sent.is_streamed, sent.deadline)


def test_a_renewal_has_nobody_who_waits() -> None:
    """No deadline, whole content."""
    request = Request("GET", URL, is_streamed=True, extensions={"ttl": 5})
    request.deadline = 5.0

    sent = renewal(request)

    assert (None, False, {"ttl": 5}) == (sent.deadline, sent.is_streamed, sent.extensions)
