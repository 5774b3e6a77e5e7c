"""What the public test cases of HTTP caches look at, in their order, as cases of our own.

Each row: a response to a first GET, how many seconds later what is asked, and what becomes of it, in a
private cache and in a shared one. `hit`: from the store. `ask`: the server is asked. `check`: conditionally.
"""

from __future__ import annotations

import asyncio

import pytest

from rocket_sup.client.cache.layer import CachingTransport
from rocket_sup.client.messages import Request, Response
from rocket_sup.http.headers import Headers
from tests.unit.client.cache.origins import URL, Clock, Origin

Fields = list[tuple[str, str]]
BIG = str(2**33)
ETAG = ("ETag", '"a"')


def date(offset_s: float) -> tuple[str, str]:
    """Expires, relative to the first response."""
    return ("Expires", Clock().date(offset_s))


def modified(offset_s: float) -> tuple[str, str]:
    """Last-Modified, relative to the first response."""
    return ("Last-Modified", Clock().date(offset_s))


def said(*values: str) -> Fields:
    """Cache-Control, a line for each value."""
    return [("Cache-Control", value) for value in values]


FRESHNESS = [
    ("nothing is said", [], 1, [], "ask", "ask"),
    ("max-age", said("max-age=3600"), 1, [], "hit", "hit"),
    ("max-age 0", said("max-age=0"), 1, [], "ask", "ask"),
    ("max-age is over", said("max-age=10"), 11, [], "ask", "ask"),
    ("max-age is large", said(f"max-age={BIG}"), 1, [], "hit", "hit"),
    ("max-age beside Expires of before", [*said("max-age=3600"), date(-3600)], 1, [], "hit", "hit"),
    ("max-age 0 beside Expires of later", [*said("max-age=0"), date(3600)], 1, [], "ask", "ask"),
    ("max-age and an extension", said("foobar, max-age=3600, x=y"), 1, [], "hit", "hit"),
    ("max-age with Age", [*said("max-age=3600"), ("Age", "1800")], 1, [], "hit", "hit"),
    ("max-age with Age beyond", [*said("max-age=3600"), ("Age", "12000")], 1, [], "ask", "ask"),
    ("s-maxage", said("s-maxage=3600"), 1, [], "ask", "hit"),
    ("s-maxage before max-age", said("s-maxage=3600, max-age=1"), 2, [], "ask", "hit"),
    ("s-maxage 0 before max-age", said("s-maxage=0, max-age=3600"), 1, [], "hit", "ask"),
    ("s-maxage before Expires", [*said("s-maxage=3600"), date(-10)], 1, [], "ask", "hit"),
    ("Expires of later", [date(3600)], 1, [], "hit", "hit"),
    ("Expires of before", [date(-3600)], 1, [], "ask", "ask"),
    ("Expires now", [date(0)], 1, [], "ask", "ask"),
    ("Expires 0", [("Expires", "0")], 1, [], "ask", "ask"),
    ("Expires is no date", [("Expires", "soon")], 1, [], "ask", "ask"),
    ("Expires is RFC 850", [("Expires", "Friday, 01-Jan-38 00:00:00 GMT")], 1, [], "hit", "hit"),
    ("Expires is asctime", [("Expires", "Fri Jan  1 00:00:00 2038")], 1, [], "hit", "hit"),
    ("Expires without GMT", [("Expires", "Fri, 01 Jan 2038 00:00:00")], 1, [], "ask", "ask"),
    ("Expires with another zone", [("Expires", "Fri, 01 Jan 2038 00:00:00 +0100")], 1, [], "ask", "ask"),
    ("Expires beside Age", [date(3600), ("Age", "1800")], 1, [], "hit", "hit"),
    ("Expires beside Age beyond", [date(3600), ("Age", "12000")], 1, [], "ask", "ask"),
    ("Expires twice, not the same", [date(3600), date(10)], 1, [], "ask", "ask"),
    ("Last-Modified", [modified(-36000)], 1, [], "hit", "hit"),
    ("Last-Modified is over", [modified(-36000)], 3601, [], "check", "check"),
    ("Last-Modified beside max-age 0", [modified(-36000), *said("max-age=0")], 1, [], "check", "check"),
    ("Date of before counts as age", [*said("max-age=10"), ("Date", Clock().date(-11))], 0, [], "ask", "ask"),
    ("Age is no number", [*said("max-age=10"), ("Age", "abc")], 1, [], "hit", "hit"),
    ("Age is negative", [*said("max-age=10"), ("Age", "-100")], 1, [], "hit", "hit"),
    ("Age with a fraction", [*said("max-age=10"), ("Age", "100.5")], 1, [], "hit", "hit"),
    ("Age is a list, the first counts", [*said("max-age=10"), ("Age", "0, 100")], 1, [], "hit", "hit"),
]
PARSING = [
    ("letter case", said("MaX-aGe=3600"), 1, [], "hit", "hit"),
    ("a leading zero", said("max-age=03600"), 1, [], "hit", "hit"),
    ("quoted", said('max-age="3600"'), 1, [], "hit", "hit"),
    ("quoted otherwise", said("max-age='3600'"), 1, [], "ask", "ask"),
    ("a fraction", said("max-age=3600.0"), 1, [], "ask", "ask"),
    ("negative", said("max-age=-3600"), 1, [], "ask", "ask"),
    ("letters before", said("max-age=a3600"), 1, [], "ask", "ask"),
    ("letters behind", said("max-age=3600a"), 1, [], "ask", "ask"),
    ("blanks around =", said("max-age = 3600"), 1, [], "ask", "ask"),
    ("within quotes", said('x="a, max-age=3600, b"'), 1, [], "ask", "ask"),
    ("another name that ends so", said("xmax-age=3600"), 1, [], "ask", "ask"),
    ("several lines", said("x=y", "max-age=3600"), 1, [], "hit", "hit"),
    ("twice, not the same", said("max-age=1800, max-age=1"), 2, [], "ask", "ask"),
    ("twice on two lines", said("max-age=3600", "max-age=0"), 1, [], "ask", "ask"),
    ("empty members", said(",, max-age=3600 ,,"), 1, [], "hit", "hit"),
    ("no-store among others", said("max-age=3600,no-store"), 1, [], "ask", "ask"),
    ("no-store quoted is none", said('x="no-store", max-age=3600'), 1, [], "hit", "hit"),
]
RESPONSES = [
    ("no-store", said("no-store, max-age=3600"), 1, [], "ask", "ask"),
    ("no-store in capitals", said("NO-STORE, max-age=3600"), 1, [], "ask", "ask"),
    ("no-store beside Expires", [*said("no-store"), date(3600)], 1, [], "ask", "ask"),
    ("no-cache", [*said("no-cache, max-age=3600"), ETAG], 1, [], "check", "check"),
    ("no-cache in capitals", [*said("No-Cache, max-age=3600"), ETAG], 1, [], "check", "check"),
    ("no-cache beside Expires", [*said("no-cache"), date(3600), ETAG], 1, [], "check", "check"),
    ("no-cache with a field", [*said('no-cache="a", max-age=3600'), ETAG], 1, [], "check", "check"),
    ("private", said("private, max-age=3600"), 1, [], "hit", "ask"),
    ("private with a field", said('private="a", max-age=3600'), 1, [], "hit", "ask"),
    ("public", [*said("public"), modified(-36000)], 1, [], "hit", "hit"),
    ("must-revalidate, fresh", said("must-revalidate, max-age=3600"), 1, [], "hit", "hit"),
    ("must-revalidate, stale", said("must-revalidate, max-age=1"), 2, said("max-stale"), "ask", "ask"),
    ("proxy-revalidate, stale", said("proxy-revalidate, max-age=1"), 2, said("max-stale"), "hit", "ask"),
    ("s-maxage, stale", said("s-maxage=1, max-age=1"), 2, said("max-stale"), "hit", "ask"),
    ("must-understand", said("must-understand, no-store, max-age=3600"), 1, [], "hit", "hit"),
    (
        "Pragma is no directive of responses",
        [*said("max-age=9"), ("Pragma", "no-cache")],
        1,
        [],
        "hit",
        "hit",
    ),
    ("Set-Cookie", [*said("max-age=9"), ("Set-Cookie", "a=b")], 1, [], "hit", "hit"),
    ("stale, with a validator", [*said("max-age=1"), ETAG], 2, [], "check", "check"),
]
REQUESTS = [
    ("max-age=0", [*said("max-age=3600"), ETAG], 1, said("max-age=0"), "check", "check"),
    ("max-age=1", [*said("max-age=3600"), ETAG], 2, said("max-age=1"), "check", "check"),
    ("max-age larger than age", said("max-age=3600"), 1, said("max-age=2"), "hit", "hit"),
    ("max-age counts Age", [*said("max-age=3600"), ("Age", "10")], 0, said("max-age=5"), "ask", "ask"),
    ("max-stale", said("max-age=1"), 2, said("max-stale=1000"), "hit", "hit"),
    ("max-stale without a limit", said("max-age=1"), 2000, said("max-stale"), "hit", "hit"),
    ("max-stale is over", said("max-age=1"), 12, said("max-stale=10"), "ask", "ask"),
    ("min-fresh", said("max-age=10"), 1, said("min-fresh=9"), "hit", "hit"),
    ("min-fresh is not left", said("max-age=10"), 1, said("min-fresh=10"), "ask", "ask"),
    ("min-fresh counts Age", [*said("max-age=100"), ("Age", "95")], 0, said("min-fresh=50"), "ask", "ask"),
    ("no-cache", [*said("max-age=3600"), ETAG], 1, said("no-cache"), "check", "check"),
    ("no-cache in capitals", said("max-age=3600"), 1, said("No-Cache"), "ask", "ask"),
    ("no-store does not forbid a hit", said("max-age=3600"), 1, said("no-store"), "hit", "hit"),
    ("only-if-cached", said("max-age=3600"), 1, said("only-if-cached"), "hit", "hit"),
    ("only-if-cached, stale", said("max-age=1"), 2, said("only-if-cached"), "504", "504"),
    ("Pragma: no-cache", said("max-age=3600"), 1, [("Pragma", "no-cache")], "ask", "ask"),
    ("Pragma: something", said("max-age=3600"), 1, [("Pragma", "foo")], "hit", "hit"),
    ("an unknown directive", said("max-age=3600"), 1, said("foo"), "hit", "hit"),
]
VARYING = [
    ("a field that is absent", [*said("max-age=9"), ("Vary", "Foo")], 1, [], "hit", "hit"),
    ("a field that comes", [*said("max-age=9"), ("Vary", "Foo")], 1, [("Foo", "1")], "ask", "ask"),
    ("letter case of names", [*said("max-age=9"), ("Vary", "FOO")], 1, [("foo", "1")], "ask", "ask"),
    ("two fields", [*said("max-age=9"), ("Vary", "Foo, Bar")], 1, [("Bar", "1")], "ask", "ask"),
    ("two lines", [*said("max-age=9"), ("Vary", "Foo"), ("Vary", "Bar")], 1, [("Bar", "1")], "ask", "ask"),
    ("another field", [*said("max-age=9"), ("Vary", "Foo")], 1, [("Bar", "1")], "hit", "hit"),
    ("anything", [*said("max-age=9"), ("Vary", "*")], 1, [], "ask", "ask"),
    ("anything among others", [*said("max-age=9"), ("Vary", "Foo, *")], 1, [], "ask", "ask"),
    ("anything on a line", [*said("max-age=9"), ("Vary", "Foo"), ("Vary", "*")], 1, [], "ask", "ask"),
    ("empty members", [*said("max-age=9"), ("Vary", ", ,Foo,")], 1, [], "hit", "hit"),
    ("nothing", [*said("max-age=9"), ("Vary", "")], 1, [("Foo", "1")], "hit", "hit"),
]
CONDITIONAL = [
    ("entity tag", [*said("max-age=1"), ETAG], 2, [], "check", "check"),
    ("weak entity tag", [*said("max-age=1"), ("ETag", 'W/"a"')], 2, [], "check", "check"),
    ("bare entity tag", [*said("max-age=1"), ("ETag", "a")], 2, [], "check", "check"),
    ("date", [*said("max-age=1"), modified(-10)], 2, [], "check", "check"),
    ("the caller's, fresh", [*said("max-age=9"), ETAG], 1, [("If-None-Match", '"a"')], "304", "304"),
    ("the caller's, weak", [*said("max-age=9"), ETAG], 1, [("If-None-Match", 'W/"a"')], "304", "304"),
    ("the caller's list", [*said("max-age=9"), ETAG], 1, [("If-None-Match", '"x", "a"')], "304", "304"),
    ("the caller's any", [*said("max-age=9"), ETAG], 1, [("If-None-Match", "*")], "304", "304"),
    ("the caller's other", [*said("max-age=9"), ETAG], 1, [("If-None-Match", '"b"')], "hit", "hit"),
    (
        "the caller's date",
        [*said("max-age=9"), modified(-5)],
        1,
        [("If-Modified-Since", Clock().date(-5))],
        "304",
        "304",
    ),
    (
        "an older date",
        [*said("max-age=9"), modified(-5)],
        1,
        [("If-Modified-Since", Clock().date(-6))],
        "hit",
        "hit",
    ),
]
USERS = [
    ("another user", said("max-age=9"), 1, [("Authorization", "bob")], "ask", "hit"),
    ("another cookie", said("max-age=9"), 1, [("Cookie", "a=b")], "hit", "hit"),
]
PARTS = [
    ("a range of what is stored", said("max-age=9"), 1, [("Range", "bytes=0-1")], "ask", "ask"),
    ("Content-Range", [*said("max-age=9"), ("Content-Range", "bytes 0-1/2")], 1, [], "ask", "ask"),
]
CASES = [
    pytest.param(*row[1:], id=f"{kind}: {row[0]}")
    for kind, rows in (
        ("freshness", FRESHNESS),
        ("parsing", PARSING),
        ("response", RESPONSES),
        ("request", REQUESTS),
        ("vary", VARYING),
        ("conditional", CONDITIONAL),
        ("users", USERS),
        ("parts", PARTS),
    )
    for row in rows
]


async def outcome(
    first: Fields, later_s: float, request: Fields, *, is_shared: bool, status: int = 200
) -> str:
    """What becomes of the second request."""
    clock = Clock()
    origin = Origin(lambda request: Response(status, Headers(first), b"content"))
    cache = CachingTransport(origin, shared=is_shared, wall=clock)
    await cache.send(Request("GET", URL))
    clock.now += later_s
    response = await cache.send(Request("GET", URL, headers=Headers(request)))
    if response.status in (304, 504):
        return str(response.status)
    if len(origin.requests) == 1:
        assert response.from_cache
        return "hit"
    sent = origin.requests[-1].headers
    return "check" if "if-none-match" in sent or "if-modified-since" in sent else "ask"


@pytest.mark.parametrize(("first", "later_s", "request_fields", "private", "shared"), CASES)
def test_case(first: Fields, later_s: float, request_fields: Fields, private: str, shared: str) -> None:
    """As the row says."""

    async def both() -> tuple[str, str]:
        return (
            await outcome(first, later_s, request_fields, is_shared=False),
            await outcome(first, later_s, request_fields, is_shared=True),
        )

    assert (private, shared) == asyncio.run(both())


@pytest.mark.parametrize(
    "status", [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 414, 499, 500, 502, 599]
)
def test_any_final_status_is_stored_that_says_so(status: int) -> None:
    """Known or not, error or not."""
    assert "hit" == asyncio.run(outcome(said("max-age=9"), 1, [], is_shared=True, status=status))


GUESSED = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}


@pytest.mark.parametrize("status", sorted(GUESSED | {201, 202, 302, 303, 307, 400, 403, 500, 502, 599}))
def test_freshness_is_guessed_for_some(status: int) -> None:
    """For the others nothing is stored (RFC 9110 §15.1)."""
    found = asyncio.run(outcome([modified(-36000)], 1, [], is_shared=True, status=status))

    assert ("hit" if status in GUESSED else "ask") == found
