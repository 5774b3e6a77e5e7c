"""The cache as a transport: hits, expiry to the second, coalescing, renewal in the background, leases."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.client.cache.policy import Policy
from rocket_sup.client.cache.store import Lease, MemoryStore
from rocket_sup.client.errors import ConnectError, TotalTimeout
from rocket_sup.client.messages import Request, Response
from rocket_sup.client.urls import Url
from tests.unit.client.cache.origins import URL, Pieces, Setting, answer, run, until


def test_a_fresh_response_is_served_from_the_store_to_the_second() -> None:
    """With its age and what the cache has to say."""

    async def scenario() -> None:
        at = Setting(lambda request: answer("max-age=60", x="1"))
        first = await at.send()
        assert (first.from_cache, first.content) == (False, b"content")
        assert first.headers["cache-status"] == "rocket-sup; fwd=uri-miss; stored"
        at.clock.now += 59.5
        second = await at.send()
        assert (second.from_cache, second.content, second.headers["x"]) == (True, b"content", "1")
        assert (second.headers["age"], second.headers["cache-status"]) == ("59", "rocket-sup; hit; ttl=0")
        assert second.request is not None
        assert at.asked == 1
        at.clock.now += 0.5
        assert not (await at.send()).from_cache
        assert at.asked == 2
        statistics = at.cache.statistics()
        assert (statistics.hits, statistics.misses) == (1, 2)

    run(scenario())


def test_a_named_lifetime_expires_to_the_second() -> None:
    """Whatever the response says; and only for requests that name one."""

    async def scenario() -> None:
        at = Setting(lambda request: answer("no-store"))
        await at.send(ttl=60)
        at.clock.now += 59.9
        assert (await at.send(ttl=60)).from_cache
        assert at.asked == 1
        assert not (await at.send()).from_cache
        assert at.asked == 2
        # That response said no-store: what was stored before is not current any more.
        assert not (await at.send(ttl=60)).from_cache
        at.clock.now += 60
        assert not (await at.send(ttl=60)).from_cache
        assert at.asked == 4

    run(scenario())


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_never_answered_from_the_store(method: str) -> None:
    """Whatever lifetime anybody names."""

    async def scenario() -> None:
        at = Setting(lambda request: answer("public, max-age=60"))
        for _ in range(3):
            assert not (await at.send(method, ttl=60)).from_cache
        assert at.asked == 3

    run(scenario())


def test_head_is_answered_by_what_is_stored_for_get() -> None:
    """Without content; and HEAD by itself is stored, too, for HEAD alone."""

    async def scenario() -> None:
        at = Setting(lambda request: answer(content=b"" if request.method == "HEAD" else b"content"))
        await at.send("HEAD")
        assert (await at.send("HEAD")).from_cache
        assert not (await at.send("GET")).from_cache
        head = await at.send("HEAD")
        assert (head.from_cache, head.content) == (True, b"")
        assert at.asked == 2

    run(scenario())


def test_only_if_cached_does_not_ask_the_server() -> None:
    """504 where there is nothing (RFC 9111 §5.2.1.7)."""

    async def scenario() -> None:
        at = Setting(lambda request: answer())
        refused = await at.send(cache_control="only-if-cached")
        assert (refused.status, refused.from_cache, at.asked) == (504, False, 0)
        assert refused.headers["cache-status"].isascii()
        await at.send()
        assert (await at.send(cache_control="only-if-cached")).status == 200

    run(scenario())


def test_ranges_go_to_the_server() -> None:
    """A part is neither stored nor made of what is stored."""

    async def scenario() -> None:
        at = Setting(lambda request: answer(status=206) if "range" in request.headers else answer())
        await at.send()
        assert (await at.send(range="bytes=0-1")).status == 206
        assert (await at.send()).status == 200
        assert at.asked == 2

    run(scenario())


def test_the_callers_copy_is_compared_with_what_is_stored() -> None:
    """304 without asking the server (RFC 9111 §4.3.2)."""

    async def scenario() -> None:
        at = Setting(lambda request: answer(etag='"a"', content_type="text/plain"))
        await at.send()
        same = await at.send(if_none_match='"a"')
        assert (same.status, same.content, same.from_cache, at.asked) == (304, b"", True, 1)
        assert same.headers["etag"] == '"a"'
        assert "content-type" not in same.headers
        assert (await at.send(if_none_match='"b"')).status == 200

    run(scenario())


def test_hit_answers_without_a_loop() -> None:
    """What is fresh in memory; everything else is for `send`."""
    at = Setting(lambda request: answer("max-age=60"))
    request = Request("GET", URL)

    assert at.cache.hit(request) is None
    run(_drop(at.cache.send(request)))
    found = at.cache.hit(request)
    assert found is not None
    assert (found.from_cache, found.content) == (True, b"content")
    assert at.cache.hit(Request("POST", URL)) is None
    assert at.cache.hit(Request("GET", URL, headers={"Range": "bytes=0-1"})) is None
    at.clock.now += 60
    assert at.cache.hit(request) is None


async def _drop(sending: Any) -> None:
    await sending


def test_many_equal_requests_are_one() -> None:
    """100 at once: the server is asked once, and all get the whole."""

    async def scenario() -> None:
        at = Setting(lambda request: answer("max-age=60"))
        responses = await asyncio.gather(*[at.send() for _ in range(100)])
        assert at.asked == 1
        assert [b"content"] * 100 == [response.content for response in responses]
        assert sum(response.from_cache for response in responses) == 99
        assert responses[-1].headers["cache-status"] == "rocket-sup; fwd=uri-miss; collapsed; ttl=60"
        assert at.cache.statistics().collapsed == 99

    run(scenario())


def test_who_waits_for_what_cannot_be_shared_asks_at_once() -> None:
    """All at the same time, and the next ones do not even wait."""

    async def scenario() -> None:
        at = Setting(lambda request: answer("no-store"))
        await asyncio.gather(*[at.send() for _ in range(10)])
        assert at.asked == 10
        gate = asyncio.Event()

        async def slow(request: Request) -> Response:
            await gate.wait()
            return answer("no-store")

        at.origin.answer = slow
        more = [asyncio.create_task(at.send()) for _ in range(5)]
        await until(lambda: at.asked == 15)
        gate.set()
        await asyncio.gather(*more)

    run(scenario())


def test_requests_that_select_different_responses_do_not_get_each_others() -> None:
    """Also when they were one flight."""

    async def scenario() -> None:
        def varying(request: Request) -> Response:
            return answer(vary="X-Kind", content=request.headers.get("x-kind", "").encode())

        at = Setting(varying)
        kinds = ["a", "b", "a", "c"]
        responses = await asyncio.gather(*[at.send(x_kind=kind) for kind in kinds])
        assert [kind.encode() for kind in kinds] == [response.content for response in responses]
        assert at.asked == 3
        assert (await at.send(x_kind="b")).from_cache
        assert (await at.send(x_kind="d")).headers["cache-status"].startswith("rocket-sup; fwd=vary-miss")

    run(scenario())


def test_another_user_never_gets_what_is_private() -> None:
    """One store, two users, no Vary."""

    async def scenario() -> None:
        at = Setting(lambda request: answer(content=request.headers.get("authorization", "").encode()))
        for user in ("alice", "bob", "alice", "bob"):
            assert (await at.send(authorization=user)).content == user.encode()
        assert (await at.send()).content == b""
        assert at.asked == 3

    run(scenario())


def test_the_error_of_the_leader_is_everybodys() -> None:
    """A server that is down is asked once."""

    async def scenario() -> None:
        async def failing(request: Request) -> Response:
            raise ConnectError("nobody listens")

        at = Setting(failing)
        results = await asyncio.gather(*[at.send() for _ in range(10)], return_exceptions=True)
        assert [ConnectError] * 10 == [type(result) for result in results]
        assert len({id(result) for result in results}) == 10
        assert at.asked == 1

    run(scenario())


def test_a_leader_that_is_cancelled_hands_over() -> None:
    """One of those who wait asks; nobody else notices."""

    async def scenario() -> None:
        gate = asyncio.Event()

        async def slow(request: Request) -> Response:
            await gate.wait()
            return answer()

        at = Setting(slow)
        tasks = [asyncio.create_task(at.send()) for _ in range(5)]
        await until(lambda: at.asked == 1)
        tasks[0].cancel()
        await until(lambda: at.asked == 2)
        tasks[1].cancel()
        await until(lambda: at.asked == 3)
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [asyncio.CancelledError] * 2 == [type(result) for result in results[:2]]
        assert [b"content"] * 3 == [result.content for result in results[2:] if isinstance(result, Response)]
        assert at.asked == 3

    run(scenario())


def test_a_follower_that_is_cancelled_disturbs_nobody() -> None:
    """The flight goes on."""

    async def scenario() -> None:
        gate = asyncio.Event()

        async def slow(request: Request) -> Response:
            await gate.wait()
            return answer()

        at = Setting(slow)
        tasks = [asyncio.create_task(at.send()) for _ in range(3)]
        await until(lambda: at.asked == 1)
        tasks[1].cancel()
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [200, 200] == [result.status for result in results if isinstance(result, Response)]
        assert at.asked == 1

    run(scenario())


def test_a_follower_waits_no_longer_than_it_may() -> None:
    """Its deadline is its own."""

    async def scenario() -> None:
        gate = asyncio.Event()

        async def slow(request: Request) -> Response:
            await gate.wait()
            return answer()

        at = Setting(slow)
        leader = asyncio.create_task(at.send())
        await until(lambda: at.asked == 1)
        request = Request("GET", URL)
        request.deadline = asyncio.get_running_loop().time()
        with pytest.raises(TotalTimeout):
            await at.cache.send(request)
        gate.set()
        assert (await leader).status == 200

    run(scenario())


def test_streamed_content_is_stored_while_it_is_read() -> None:
    """Not before its end."""

    async def scenario() -> None:
        at = Setting(lambda request: answer(stream=Pieces(b"one ", b"two")))
        response = await at.send(stream=True)
        assert [b"one ", b"two"] == [piece async for piece in response.aiter_bytes()]
        assert (await at.send(stream=True)).content == b"one two"
        assert at.asked == 1

    run(scenario())


def test_a_stream_that_is_cut_short_is_not_stored() -> None:
    """By the caller or by the server."""

    async def scenario() -> None:
        pieces = Pieces(b"one ", b"two")
        at = Setting(lambda request: answer(stream=pieces))
        response = await at.send(stream=True)
        async for _ in response.aiter_bytes():
            break
        await response.aclose()
        pieces = Pieces(b"one", ConnectError("broken"))
        response = await at.send(stream=True)
        with pytest.raises(ConnectError):
            await response.aread()
        pieces = Pieces(b"whole")
        assert await (await at.send(stream=True)).aread() == b"whole"
        assert at.asked == 3

    run(scenario())


@pytest.mark.parametrize("is_streamed", [True, False])
def test_what_is_too_large_passes_through(is_streamed: bool) -> None:
    """Every byte of it."""

    async def scenario() -> None:
        content = b"x" * 1001
        at = Setting(
            lambda request: (
                answer(stream=Pieces(content[:500], content[500:]))
                if is_streamed
                else answer(content=content)
            ),
            max_entry=1000,
        )
        for _ in range(2):
            assert await (await at.send(stream=is_streamed)).aread() == content
        assert at.asked == 2

    run(scenario())


def test_who_waits_does_not_wait_for_a_slow_reader() -> None:
    """The content is read ahead for them."""

    async def scenario() -> None:
        at = Setting(lambda request: answer(stream=Pieces(b"one ", b"two ", b"three")))
        slow = await at.send(stream=True)
        others = await asyncio.gather(*[at.send() for _ in range(3)])
        assert [b"one two three"] * 3 == [other.content for other in others]
        assert await slow.aread() == b"one two three"
        assert at.asked == 1

    run(scenario())


def test_a_leader_that_leaves_its_stream_takes_nothing_from_others() -> None:
    """They get the rest, or ask again."""

    async def scenario() -> None:
        gate = asyncio.Event()
        at = Setting(lambda request: answer(stream=Pieces(b"one ", b"two", gate=gate)))
        leader = await at.send(stream=True)
        followers = [asyncio.create_task(at.send()) for _ in range(3)]
        await asyncio.sleep(0)
        await leader.aclose()
        gate.set()
        assert [b"one two"] * 3 == [response.content for response in await asyncio.gather(*followers)]
        assert at.asked == 1
        del leader

    run(scenario())


def test_stale_is_served_while_it_is_renewed() -> None:
    """Once in the background for all, and what comes is served next (RFC 5861 §3)."""

    async def scenario() -> None:
        at = Setting(lambda request: answer("max-age=60, stale-while-revalidate=30", content=b"old"))
        await at.send()
        at.clock.now += 70
        at.origin.answer = lambda request: answer("max-age=60", content=b"new")
        stale = await asyncio.gather(*[at.send() for _ in range(10)])
        assert [b"old"] * 10 == [response.content for response in stale]
        assert stale[0].headers["cache-status"] == "rocket-sup; hit; ttl=-10"
        await until(lambda: not at.cache._background)
        assert (await at.send()).content == b"new"
        assert at.asked == 2
        assert at.cache.statistics().stale_hits == 10

    run(scenario())


def test_renewals_are_few_and_end_with_the_cache() -> None:
    """A server that hangs does not gather tasks."""

    async def scenario() -> None:
        at = Setting(lambda request: answer("max-age=60, stale-while-revalidate=30"), max_background=2)
        urls = [f"{URL}{number}" for number in range(5)]
        for url in urls:
            await at.send(url=url)
        at.clock.now += 70

        async def hanging(request: Request) -> Response:
            await asyncio.Event().wait()
            raise AssertionError

        at.origin.answer = hanging
        for url in urls:
            assert (await at.send(url=url)).from_cache
        await until(lambda: at.asked == 7)
        await at.cache.close()
        assert at.asked == 7
        assert at.origin.is_closed
        assert not at.cache._background

    run(scenario())


def test_a_renewal_that_fails_is_tried_again() -> None:
    """Nobody sees the error."""

    async def scenario() -> None:
        at = Setting(lambda request: answer("max-age=60, stale-while-revalidate=30"))
        await at.send()
        at.clock.now += 70

        async def failing(request: Request) -> Response:
            raise ConnectError("down")

        at.origin.answer = failing
        for count in (2, 3):
            assert (await at.send()).from_cache
            await until(lambda: not at.cache._background)
            assert at.asked == count

    run(scenario())


def test_shared_is_added_to_a_policy() -> None:
    """And refuses what is private."""

    async def scenario() -> None:
        at = Setting(
            lambda request: answer("private, max-age=60"), shared=True, policy=Policy(stale_if_error_s=1)
        )
        await at.send()
        await at.send()
        assert at.asked == 2

    run(scenario())


def test_a_store_of_somebody_else_is_not_closed() -> None:
    """Its maker closes it."""

    async def scenario() -> None:
        store = MemoryStore()
        one = Setting(lambda request: answer(), store=store)
        two = Setting(lambda request: answer(), store=store)
        apart = Setting(lambda request: answer(), store=store, namespace="n")
        await one.send()
        await one.cache.close()
        assert (await two.send()).from_cache
        assert not (await apart.send()).from_cache

    run(scenario())


class Leasing(MemoryStore):
    """A store of which a test says who has the lease."""

    def __init__(self) -> None:
        super().__init__()
        self.leases: list[Lease] = []
        self.released: list[tuple[str, bool]] = []

    async def lease(self, key: str, *, ttl_s: float) -> Lease:
        """The next that the test wrote down; the last again and again."""
        return self.leases.pop(0) if len(self.leases) > 1 else self.leases[0]

    async def release(self, key: str, token: str, *, open_s: float = 0.0) -> None:
        """Write down what was given back."""
        self.released.append((token, open_s > 0))


def test_one_process_fetches_for_all() -> None:
    """Who has no lease waits for what its holder stores."""

    async def scenario() -> None:
        store = Leasing()
        store.leases = [Lease()]
        at = Setting(lambda request: answer(), store=store)
        waiting = asyncio.create_task(at.send())
        await asyncio.sleep(0)
        other = Setting(lambda request: answer(content=b"theirs"))
        await other.send()
        key = at.cache._shelf.key(Url(URL))
        record = await other.cache._shelf._get(key)
        assert record is not None
        await store.set(key, record, ttl_s=60)
        response = await waiting
        assert (response.content, response.from_cache, at.asked) == (b"theirs", True, 0)

    run(scenario())


@pytest.mark.parametrize(("cache_control", "is_open"), [("max-age=60", False), ("no-store", True)])
def test_a_lease_is_given_back(cache_control: str, is_open: bool) -> None:
    """With the word whether others need it."""

    async def scenario() -> None:
        store = Leasing()
        store.leases = [Lease("token")]
        at = Setting(lambda request: answer(cache_control), store=store)
        await at.send()
        assert [("token", is_open)] == store.released

    run(scenario())


def test_nobody_waits_for_a_lease_that_is_not_needed_or_too_long() -> None:
    """Each asks for itself."""

    async def scenario() -> None:
        store = Leasing()
        store.leases = [Lease(is_open=True)]
        at = Setting(lambda request: answer(), store=store, lease_s=0.0)
        assert not (await at.send()).from_cache
        store.leases = [Lease()]
        assert not (await at.send(url=URL + "2")).from_cache
        assert at.asked == 2

    run(scenario())


ODD = st.sampled_from(
    [None, "max-age=5", "no-cache", "max-stale", "min-fresh=40", "only-if-cached", "no-store"]
)
SAID = st.sampled_from(
    [
        "max-age=60",
        "max-age=0",
        "no-cache, max-age=60",
        "no-store",
        "private, max-age=60",
        "s-maxage=5, max-age=60",
    ]
)


@given(SAID, ODD, st.floats(-5, 120), st.booleans(), st.sampled_from(["GET", "HEAD", "POST"]), st.booleans())
def test_a_quick_hit_is_what_the_policy_says(
    said: str, wished: str | None, later: float, has_identity: bool, method: str, is_named: bool
) -> None:
    """The same response as without the shortcut, or none."""

    async def scenario() -> None:
        at = Setting(lambda request: answer(said, vary="", age="3"))
        await at.send(ttl=60)
        at.clock.now += later
        request = Request(method, URL, extensions={"ttl": 30} if is_named else None)
        if wished is not None:
            request.headers["Cache-Control"] = wished
        if has_identity:
            request.headers["Authorization"] = "alice"
        quick = at.cache._quick_hit(request)
        at.cache._quick_hit = lambda request: None  # type: ignore[method-assign]
        if quick is None:
            return
        slow = at.cache.hit(request)
        assert slow is not None
        assert (quick.status, quick.content, quick.from_cache) == (slow.status, slow.content, slow.from_cache)
        assert quick.headers == slow.headers

    asyncio.run(scenario())


def test_the_usual_hit_is_a_quick_one() -> None:
    """So that the comparison above compares something."""

    async def scenario() -> None:
        at = Setting(lambda request: answer("max-age=60"))
        assert at.cache._quick_hit(Request("GET", URL)) is None
        await at.send()
        assert at.cache._quick_hit(Request("GET", URL)) is not None

    run(scenario())


def test_a_cache_tells_what_its_transport_does() -> None:
    """As far as that tells anything; and a store that is far away has no quick hits."""
    at = Setting(lambda request: answer())
    assert at.cache.open_connections == 0
    at.cache._shelf.memory = None

    assert at.cache.hit(Request("GET", URL)) is None


def test_what_cannot_be_shared_is_remembered_for_few() -> None:
    """The oldest are forgotten."""

    async def scenario() -> None:
        at = Setting(lambda request: answer("no-store"))
        for number in range(1030):
            await at.send(url=f"{URL}{number}")
        assert len(at.cache._unshared) == 1024

    run(scenario())


def test_a_lease_that_comes_late_finds_what_is_stored_by_then() -> None:
    """Stale by now: it is validated, not fetched."""

    async def scenario() -> None:
        store = Leasing()
        store.leases = [Lease("a"), Lease("b")]
        at = Setting(lambda request: answer("max-age=60", etag='"a"'), store=store)
        await at.send()
        at.clock.now += 100
        await at.send()
        assert "if-none-match" in at.origin.requests[-1].headers
        assert ["a", "b"] == [token for token, _ in store.released]

    run(scenario())


def test_only_named_lifetimes() -> None:
    """Other requests neither see nor change what is stored, but for those that change something."""

    async def scenario() -> None:
        at = Setting(lambda request: answer("max-age=60"), only_named=True)
        await at.send()
        await at.send()
        assert at.asked == 2
        await at.send(ttl=60)
        assert (await at.send(ttl=60)).from_cache
        assert not (await at.send()).from_cache
        assert at.cache.hit(Request("GET", URL)) is None
        assert at.cache.hit(Request("GET", URL, extensions={"ttl": 60})) is not None
        await at.send("POST")
        assert not (await at.send(ttl=60)).from_cache

    run(scenario())


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["get", "get", "get", "stream", "leave", "cancel", "post", "wait", "later", "drop"]),
        st.integers(0, 2),
    ),
    max_size=25,
)
ANSWERS = st.lists(
    st.sampled_from(
        ["max-age=5", "no-store", "max-age=5, stale-while-revalidate=9", "no-cache", "error", "broken"]
    ),
    min_size=1,
    max_size=6,
)


@given(ACTIONS, ANSWERS)
def test_whatever_callers_do_nothing_is_left(actions: list[tuple[str, int]], answers: list[str]) -> None:
    """No flight, no task, no caller who waits; and who gets an answer gets one that a server gave, whole."""

    async def scenario() -> None:
        gate = asyncio.Event()
        count = 0

        async def server(request: Request) -> Response:
            nonlocal count
            count += 1
            said = answers[count % len(answers)]
            if count % 3 == 0:
                await gate.wait()
            if said == "error":
                raise ConnectError("down")
            content = b"%d;" % count * 3
            pieces: list[bytes | Exception] = [content[:4], content[4:]]
            if said == "broken":
                return answer("max-age=5", stream=Pieces(pieces[0], ConnectError("broken")))
            fields = {"etag": '"a"'} if said == "no-cache" else {}
            if request.is_streamed:
                return answer(said, stream=Pieces(*pieces, gate=gate if count % 2 else None), **fields)
            return answer(said, content, **fields)

        at = Setting(server)
        tasks: list[asyncio.Task[None]] = []
        got: list[bytes] = []

        async def get(url: str) -> None:
            got.append(await (await at.send(url=url)).aread())

        async def stream(url: str, kind: str) -> None:
            response = await at.send(url=url, stream=True)
            if kind == "stream":
                got.append(await response.aread())
            elif kind == "leave":
                async for _ in response.aiter_bytes():
                    break
                await response.aclose()

        for action, number in actions:
            url = f"{URL}{number}"
            if action == "get":
                tasks.append(asyncio.create_task(get(url)))
            elif action in ("stream", "leave", "drop"):
                tasks.append(asyncio.create_task(stream(url, action)))
            elif action == "post":
                tasks.append(asyncio.create_task(_drop(at.send("POST", url))))
            elif action == "cancel" and tasks:
                tasks[number % len(tasks)].cancel()
            elif action == "later":
                at.clock.now += 6
            for _ in range(number if action == "wait" else 1):
                await asyncio.sleep(0)
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: not at.cache._background)
        for _ in range(20):  # what was dropped is given up in turns of the loop
            await asyncio.sleep(0)

        unexpected = [
            each for each in results if isinstance(each, Exception) and not isinstance(each, ConnectError)
        ]
        assert [] == unexpected
        assert ({}, {}) == (at.cache._flights, at.cache._fetching._under_way)
        assert all(content == content.split(b";")[0].join([b"", b";"]) * 3 for content in got)
        await at.cache.close()

    run(scenario())
