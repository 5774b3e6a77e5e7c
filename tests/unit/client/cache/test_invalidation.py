"""What unsafe methods make invalid."""

from __future__ import annotations

import pytest

from rocket_sup.client.cache.invalidation import invalidated, is_safe
from rocket_sup.client.urls import Url
from rocket_sup.http.headers import Headers
from tests.unit.client.cache.exchanges import headers

URL = Url("http://a.test/things?x=1")


def names(method: str, status: int, **fields: str) -> list[str]:
    """The URIs as text."""
    return [str(url) for url in invalidated(method, URL, status, headers(**fields))]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PURGE", "QUERY"])
@pytest.mark.parametrize(
    ("status", "is_success"), [(200, True), (204, True), (303, True), (404, False), (500, False)]
)
def test_rfc9111_4_4_the_target_of_an_unsafe_method(method: str, status: int, is_success: bool) -> None:
    """Also of a method nobody knows; not when it failed."""
    assert ([str(URL)] if is_success else []) == names(method, status)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_rfc9111_4_4_safe_methods_invalidate_nothing(method: str) -> None:
    """They change nothing."""
    assert is_safe(method)
    assert [] == names(method, 200, location="/other")


def test_rfc9111_4_4_what_the_response_names_of_the_same_origin() -> None:
    """Location and Content-Location, relative or not."""
    found = names("POST", 201, location="/things/1", content_location="http://a.test:80/things/latest")

    assert [str(URL), "http://a.test/things/1", "http://a.test/things/latest"] == found


@pytest.mark.parametrize(
    "other", ["http://b.test/x", "https://a.test/x", "http://a.test:81/x", "mailto:x", "http://["]
)
def test_rfc9111_4_4_never_of_another_origin(other: str) -> None:
    """Nobody empties the cache of others."""
    assert [str(URL)] == names("POST", 200, location=other, content_location=other)


def test_rfc9111_4_4_every_line_counts() -> None:
    """A field that should stand once and does not invalidates more, which does no harm."""
    found = invalidated("POST", URL, 200, Headers([("Location", "/1"), ("Location", "/2")]))

    assert ["/things?x=1", "/1", "/2"] == [url.target for url in found]
