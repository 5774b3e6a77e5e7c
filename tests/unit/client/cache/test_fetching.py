"""Asking the server: validation, several candidates, invalidation, HEAD, and what happens when it fails."""

from __future__ import annotations

import asyncio

import pytest

from rocket_sup.client.cache.policy import Policy
from rocket_sup.client.errors import ConnectError
from rocket_sup.client.messages import Request, Response
from tests.unit.client.cache.origins import URL, Pieces, Setting, answer, run, until


def validating(request: Request) -> Response:
    """A server whose one state has the entity tag "a"."""
    if request.headers.get("if-none-match") == '"a"':
        return answer("max-age=60", b"", status=304, etag='"a"', x="new")
    return answer("max-age=60", b"whole", etag='"a"', x="old")


def test_rfc9111_4_3_a_304_makes_fresh_again() -> None:
    """The content does not come again, new fields replace old ones, and time begins anew."""

    async def scenario() -> None:
        at = Setting(validating)
        await at.send()
        at.clock.now += 100
        response = await at.send()
        assert at.origin.requests[-1].headers["if-none-match"] == '"a"'
        assert (response.status, response.content, response.headers["x"]) == (200, b"whole", "new")
        assert (response.from_cache, response.headers["age"]) == (True, "0")
        assert response.headers["cache-status"] == "rocket-sup; fwd=stale; fwd-status=304; ttl=60"
        at.clock.now += 59
        assert (await at.send()).from_cache
        assert at.asked == 2
        assert at.cache.statistics().validated == 1
        assert "if-none-match" not in (response.request or at.origin.requests[-1]).headers

    run(scenario())


def test_rfc9111_4_3_no_cache_of_the_request_validates_what_is_fresh() -> None:
    """With a condition."""

    async def scenario() -> None:
        at = Setting(validating)
        await at.send()
        assert (await at.send(cache_control="no-cache")).content == b"whole"
        assert "if-none-match" in at.origin.requests[-1].headers
        assert at.asked == 2

    run(scenario())


def test_rfc9111_4_3_3_a_whole_response_takes_the_place() -> None:
    """Of the one that was not current."""

    async def scenario() -> None:
        at = Setting(
            lambda request: answer("max-age=60", b"one", last_modified="Wed, 02 Jan 2030 00:00:00 GMT")
        )
        await at.send()
        at.clock.now += 100
        at.origin.answer = lambda request: answer("max-age=60", b"two")
        assert (await at.send()).content == b"two"
        assert "if-modified-since" in at.origin.requests[-1].headers
        assert (await at.send()).content == b"two"
        assert at.asked == 2

    run(scenario())


def test_rfc9111_4_3_4_a_304_about_something_else_is_not_used() -> None:
    """The server is asked again without a condition."""

    async def scenario() -> None:
        def confused(request: Request) -> Response:
            if "if-none-match" in request.headers:
                return answer(None, b"", status=304, etag='"b"')
            return answer("max-age=60", b"whole", etag='"a"')

        at = Setting(confused)
        await at.send()
        at.clock.now += 100
        response = await at.send()
        assert (response.status, response.content, response.from_cache) == (200, b"whole", False)
        assert at.asked == 3

    run(scenario())


def test_rfc9111_4_3_1_of_several_variants_the_server_says_which() -> None:
    """All entity tags are named, and the one that fits serves the new request, too."""

    async def scenario() -> None:
        def negotiating(request: Request) -> Response:
            language = request.headers.get("accept-language", "")
            tag = '"de"' if language.startswith("de") else '"en"'
            if tag in request.headers.get("if-none-match", ""):
                return answer("max-age=60", b"", status=304, etag=tag, vary="Accept-Language")
            return answer("max-age=60", tag.encode(), etag=tag, vary="Accept-Language")

        at = Setting(negotiating)
        await at.send(accept_language="de")
        await at.send(accept_language="en")
        response = await at.send(accept_language="de-AT")
        assert at.origin.requests[-1].headers["if-none-match"] == '"de", "en"'
        assert (response.content, response.from_cache) == (b'"de"', True)
        assert response.headers["cache-status"].startswith("rocket-sup; fwd=vary-miss; fwd-status=304")
        for language in ("de", "en", "de-AT"):
            assert (await at.send(accept_language=language)).from_cache
        assert at.asked == 3

    run(scenario())


def test_rfc9111_4_3_1_a_304_about_no_variant_is_not_used() -> None:
    """Also when it names one that is not there any more."""

    async def scenario() -> None:
        def negotiating(request: Request) -> Response:
            if "if-none-match" in request.headers:
                return answer(None, b"", status=304, etag='"other"')
            return answer("max-age=60", b"whole", etag='"a"', vary="X")

        at = Setting(negotiating)
        await at.send(x="1")
        assert (await at.send(x="2")).content == b"whole"
        assert at.asked == 3

    run(scenario())


def test_rfc9111_4_3_2_the_callers_condition_is_answered_by_the_server() -> None:
    """Its 304 is the caller's, and freshens what is stored if it is about that."""

    async def scenario() -> None:
        at = Setting(validating)
        await at.send()
        at.clock.now += 100
        response = await at.send(if_none_match='"a"')
        assert (response.status, response.from_cache) == (304, False)
        assert (await at.send()).content == b"whole"
        assert at.asked == 2

    run(scenario())


@pytest.mark.parametrize("same", [True, False])
def test_rfc9111_4_3_5_head_tells_about_what_is_stored_for_get(same: bool) -> None:
    """Fresh again if it is the same, gone if it is not."""

    async def scenario() -> None:
        def headed(request: Request) -> Response:
            if request.method == "HEAD":
                return answer("max-age=60", b"", etag='"a"' if same else '"b"')
            return answer("max-age=60", b"whole", etag='"a"')

        at = Setting(headed)
        await at.send()
        at.clock.now += 100
        assert (await at.send("HEAD")).status == 200
        assert (await at.send("GET")).from_cache == same

    run(scenario())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PURGE"])
def test_rfc9111_4_4_unsafe_methods_make_invalid(method: str) -> None:
    """The target, its variants, what Location names; and HEAD's."""

    async def scenario() -> None:
        def changing(request: Request) -> Response:
            if request.method == method:
                return answer(None, location="/y", content_location="http://b.test/x")
            return answer("max-age=60", vary="X" if request.url.path == "/x" else "")

        at = Setting(changing)
        urls = [URL, "http://a.test/y", "http://b.test/x", "http://a.test/z"]
        for url in urls:
            await at.send(url=url)
        await at.send("HEAD")
        await at.send(method, URL)
        assert [False, False, True, True] == [(await at.send(url=url)).from_cache for url in urls]

    run(scenario())


def test_rfc9111_4_4_a_failure_makes_nothing_invalid() -> None:
    """Nothing was changed."""

    async def scenario() -> None:
        at = Setting(lambda request: answer(status=500 if request.method == "POST" else 200))
        await at.send()
        await at.send("POST")
        assert (await at.send()).from_cache

    run(scenario())


@pytest.mark.parametrize("is_streamed", [True, False])
def test_what_was_asked_before_a_change_is_not_stored_after_it(is_streamed: bool) -> None:
    """Nor given to who asked after it."""

    async def scenario() -> None:
        gate = asyncio.Event()
        states = iter([b"old", b"new"])

        async def slow(request: Request) -> Response:
            if request.method == "POST":
                return answer(None)
            content = next(states)
            if is_streamed:
                return answer(stream=Pieces(content, gate=gate))
            await gate.wait()
            return answer(content=content)

        at = Setting(slow)
        before = asyncio.create_task(at.send())
        await until(lambda: at.asked == 1)
        await at.send("POST")
        after = asyncio.create_task(at.send())
        await until(lambda: at.asked == 3)
        gate.set()
        assert await (await before).aread() == b"old"
        assert await (await after).aread() == b"new"
        assert (await at.send()).content == b"new"
        assert at.asked == 3

    run(scenario())


def test_a_newer_response_that_must_not_be_stored_ends_the_older_one() -> None:
    """It is not current any more."""

    async def scenario() -> None:
        at = Setting(lambda request: answer("max-age=60", b"old"))
        await at.send()
        at.origin.answer = lambda request: answer("no-store", b"new")
        assert (await at.send(cache_control="no-cache")).content == b"new"
        assert (await at.send()).content == b"new"

    run(scenario())


def test_a_request_that_says_no_store_leaves_what_is_stored() -> None:
    """It is about its own response."""

    async def scenario() -> None:
        at = Setting(lambda request: answer("max-age=60", b"old"))
        await at.send()
        at.origin.answer = lambda request: answer("max-age=60", b"new")
        assert (await at.send(cache_control="no-cache, no-store")).content == b"new"
        assert (await at.send()).content == b"old"

    run(scenario())


async def down(request: Request) -> Response:
    """A server that nobody reaches."""
    raise ConnectError("down")


@pytest.mark.parametrize("status", [None, 500, 502, 503, 504])
def test_rfc5861_4_stale_is_served_when_the_server_fails(status: int | None) -> None:
    """By an error or without an answer, to all who wait, for as long as it may be."""

    async def scenario() -> None:
        at = Setting(lambda request: answer("max-age=60, stale-if-error=30", b"stale"))
        await at.send()
        at.origin.answer = down if status is None else lambda request: answer(None, status=status)
        at.clock.now += 89
        responses = await asyncio.gather(*[at.send() for _ in range(10)])
        assert [b"stale"] * 10 == [response.content for response in responses]
        assert at.asked == 2
        assert at.cache.statistics().stale_hits == 10
        at.clock.now += 2
        if status is None:
            with pytest.raises(ConnectError):
                await at.send()
        else:
            assert (await at.send()).status == status

    run(scenario())


def test_rfc5861_4_other_errors_are_the_answer() -> None:
    """404 is no failure of the server."""

    async def scenario() -> None:
        at = Setting(lambda request: answer("max-age=60"), policy=Policy(stale_if_error_s=1000))
        await at.send()
        at.clock.now += 100
        at.origin.answer = lambda request: answer(None, status=404)
        assert (await at.send()).status == 404

    run(scenario())


def test_what_is_of_no_use_is_not_stored() -> None:
    """Stale at once and without a validator."""

    async def scenario() -> None:
        at = Setting(lambda request: answer(None))
        response = await at.send()
        assert response.headers["cache-status"] == "rocket-sup; fwd=uri-miss"

    run(scenario())


def test_the_same_response_may_be_given_twice() -> None:
    """What stands in the place of a server may keep one; the cache changes it in no way that adds up."""

    async def scenario() -> None:
        always = answer("no-store")
        at = Setting(lambda request: always)
        await at.send()
        assert len((await at.send()).headers.get_all("cache-status")) <= 2
        assert (await at.send()).content == b"content"

    run(scenario())


def test_a_response_that_is_collapsed_must_be_fresh() -> None:
    """What has to be validated is not shared: each asks."""

    async def scenario() -> None:
        at = Setting(lambda request: answer("no-cache", etag='"a"'))
        await asyncio.gather(*[at.send() for _ in range(3)])
        assert at.asked == 3

    run(scenario())
