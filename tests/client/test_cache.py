"""The cache before real connections to a real server, with every store."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rocket_sup import Request, Response, Router
from rocket_sup.client import AsyncClient, Client, Timeout
from rocket_sup.client.cache.layer import CachingTransport
from rocket_sup.client.cache.policy import Policy
from rocket_sup.client.cache.redis import RedisStore
from rocket_sup.client.cache.sqlite import SqliteStore
from rocket_sup.client.cache.store import MemoryStore, Store
from rocket_sup.client.errors import ClientClosed, ConnectError, IncompleteBody
from rocket_sup.client.wire import Wire
from rocket_sup.http.semantics import http_date
from tests.client.conftest import Speak, run, served
from tests.unit.client.cache.stores import redis_server


class Origin:
    """A server that counts, and whose date is the cache's.

    Attributes:
        asked: how often each target was asked for.
        now: seconds since the epoch, for both sides.
        is_failing: answers are 503.
    """

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}
        self.now = time.time()
        self.is_failing = False
        self.lock = threading.Lock()
        app = Router()
        app.get("/fresh/:seconds")(self.fresh)
        app.post("/fresh/:seconds")(self.fresh)
        app.get("/etag")(self.etag)
        app.get("/vary")(self.vary)
        app.get("/gzip")(self.gzip)
        app.get("/large")(self.large)
        app.get("/cookie")(self.cookie)
        app.get("/plain")(self.plain)
        app.get("/slow")(self.slow)
        app.get("/empty")(lambda request: Response(status=204, headers={"Cache-Control": "max-age=60"}))
        app.get("/moved")(self.moved)
        self.app = app

    def wall(self) -> float:
        """The clock."""
        return self.now

    def count(self, request: Request) -> int:
        """How often this was asked for by now."""
        with self.lock:
            self.asked[request.path] = self.asked.get(request.path, 0) + 1
            return self.asked[request.path]

    def answer(self, body: bytes | str, **fields: str) -> Response:
        """An answer with the date."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        return Response(body, headers={"Date": http_date(self.now), **headers})

    def fresh(self, request: Request) -> Response:
        """Fresh for as long as the path says; how often it was asked is the content."""
        count = self.count(request)
        if self.is_failing:
            return Response("failing", status=503)
        return self.answer(str(count), cache_control=f"max-age={request.path_params['seconds']}")

    def moved(self, request: Request) -> Response:
        """Elsewhere, for a while."""
        self.count(request)
        fields = {"Location": "/fresh/60", "Cache-Control": "max-age=60", "Date": http_date(self.now)}
        return Response(status=301, headers=fields)

    async def slow(self, request: Request) -> Response:
        """Not at once, so that others come to ask for the same meanwhile."""
        count = self.count(request)
        await asyncio.sleep(0.2)
        return self.answer(str(count), cache_control="max-age=60")

    def etag(self, request: Request) -> Response:
        """One state, and 304 for who has it."""
        count = self.count(request)
        fields = {
            "ETag": '"one"',
            "Cache-Control": "max-age=10",
            "X-Count": str(count),
            "Date": http_date(self.now),
        }
        if request.headers.get("if-none-match") == '"one"':
            return Response(status=304, headers=fields)
        return Response(b"state", headers=fields)

    def vary(self, request: Request) -> Response:
        """Another language for each."""
        self.count(request)
        return self.answer(
            request.headers.get("accept-language", "none"), cache_control="max-age=60", vary="Accept-Language"
        )

    def gzip(self, request: Request) -> Response:
        """Compressed."""
        self.count(request)
        return self.answer(
            gzip.compress(b"packed " * 1000), cache_control="max-age=60", content_encoding="gzip"
        )

    def large(self, request: Request) -> Response:
        """Three megabytes."""
        self.count(request)
        return self.answer(b"0123456789" * 300_000, cache_control="max-age=60")

    def cookie(self, request: Request) -> Response:
        """Another cookie each time."""
        return self.answer("x", cache_control="max-age=60", set_cookie=f"n={self.count(request)}")

    def plain(self, request: Request) -> Response:
        """Nothing about caching; the fields of the request are the content."""
        self.count(request)
        return self.answer(request.headers.get("cookie", ""))


@pytest.fixture
def origin() -> Origin:
    """What the server answers."""
    return Origin()


@pytest.fixture
def site(origin: Origin) -> Iterator[str]:
    """The server."""
    with served(origin.app) as site:
        yield f"http://127.0.0.1:{site.port}"


@pytest.fixture(params=["memory", "sqlite", "redis"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """What makes a store, as a store belongs to a loop."""
    if request.param == "memory":
        yield MemoryStore
    elif request.param == "sqlite":
        yield lambda: SqliteStore(tmp_path / "cache.db")
    else:
        with redis_server(tmp_path) as url:
            yield lambda: RedisStore(url)


def cached(origin: Origin, site: str, store: Store | None = None, **options: Any) -> AsyncClient:
    """A client with a cache on the clock of the server."""
    transport = CachingTransport(Wire(), store, wall=origin.wall, **options)
    return AsyncClient(base_url=site, transport=transport)


def test_a_hundred_equal_requests_are_one(origin: Origin, site: str, make_store: Any) -> None:
    """At the server there is one; everybody has the whole."""

    async def main() -> None:
        store = make_store()
        async with cached(origin, site, store) as client:
            responses = await asyncio.gather(*[client.get("/fresh/60") for _ in range(100)])
            assert ["1"] * 100 == [response.text for response in responses]
            assert 99 == sum(response.from_cache for response in responses)
            assert (await client.get("/fresh/60")).from_cache
        await store.close()

    run(main)
    assert {"/fresh/60": 1} == origin.asked


def test_expiry_to_the_second(origin: Origin, site: str, make_store: Any) -> None:
    """Of the response's lifetime, and of one that the caller names."""

    async def main() -> None:
        store = make_store()
        async with cached(origin, site, store) as client:
            origin.now = float(int(origin.now))
            assert [False, True] == [(await client.get("/fresh/60")).from_cache for _ in range(2)]
            assert [False, True] == [(await client.get("/fresh/0", ttl=5)).from_cache for _ in range(2)]
            origin.now += 4.99
            assert (await client.get("/fresh/0", ttl=5)).from_cache
            origin.now += 0.01
            assert not (await client.get("/fresh/0", ttl=5)).from_cache
            origin.now += 54.99
            assert (await client.get("/fresh/60")).from_cache
            origin.now += 0.01
            second = await client.get("/fresh/60")
            assert (second.from_cache, second.text) == (False, "2")
        await store.close()

    run(main)


def test_post_is_never_cached(origin: Origin, site: str) -> None:
    """Whatever server and caller say; and it ends what is stored for GET."""

    async def main() -> None:
        async with cached(origin, site) as client:
            assert "1" == (await client.get("/fresh/60")).text
            posted = [await client.post("/fresh/60", content=b"same", ttl=60) for _ in range(3)]
            assert ["2", "3", "4"] == [response.text for response in posted]
            assert [False] * 3 == [response.from_cache for response in posted]
            assert "5" == (await client.get("/fresh/60")).text
            assert "5" == (await client.get("/fresh/60")).text

    run(main)


def test_vary(origin: Origin, site: str, make_store: Any) -> None:
    """Each gets what is for it, from the store, too."""

    async def main() -> None:
        store = make_store()
        async with cached(origin, site, store) as client:
            for _ in range(2):
                for language in ("de", "en", "fr, de"):
                    response = await client.get("/vary", headers={"Accept-Language": language})
                    assert language == response.text
            assert "none" == (await client.get("/vary")).text
        await store.close()

    run(main)
    assert {"/vary": 4} == origin.asked


def test_revalidation(origin: Origin, site: str, make_store: Any) -> None:
    """304: the content from the store, the fields from the server."""

    async def main() -> None:
        store = make_store()
        async with cached(origin, site, store) as client:
            assert b"state" == (await client.get("/etag")).content
            origin.now += 11
            again = await client.get("/etag")
            assert (200, b"state", True, "2") == (
                again.status,
                again.content,
                again.from_cache,
                again.headers["x-count"],
            )
            origin.now += 9
            assert (await client.get("/etag")).from_cache
        await store.close()

    run(main)
    assert {"/etag": 2} == origin.asked


def test_answers_without_content(origin: Origin, site: str, make_store: Any) -> None:
    """HEAD, by itself and by what is stored for GET; 204; and nothing at all of what there is."""

    async def main() -> None:
        store = make_store()
        async with cached(origin, site, store) as client:
            for is_cached in (False, True):
                head = await client.head("/fresh/60")
                assert (is_cached, b"", "1") == (
                    head.from_cache,
                    head.content,
                    head.headers["content-length"],
                )
            assert "2" == (await client.get("/fresh/60")).text
            assert (True, b"") == (
                (await client.head("/fresh/60")).from_cache,
                (await client.head("/fresh/60")).content,
            )
            for is_cached in (False, True):
                empty = await client.get("/empty")
                assert (204, is_cached, b"") == (empty.status, empty.from_cache, empty.content)
                async with client.stream("GET", "/empty?streamed") as streamed:
                    assert (is_cached, b"") == (streamed.from_cache, await streamed.aread())
        await store.close()

    run(main)


def test_stale_while_revalidate(origin: Origin, site: str) -> None:
    """The old at once, the new for the next."""

    async def main() -> None:
        async with cached(origin, site, policy=Policy(stale_while_revalidate_s=30)) as client:
            await client.get("/fresh/60")
            origin.now += 70
            responses = await asyncio.gather(*[client.get("/fresh/60") for _ in range(20)])
            assert {"1"} == {response.text for response in responses}
            async with asyncio.timeout(10):
                while "1" == (await client.get("/fresh/60")).text:  # noqa: ASYNC110 - until it came
                    await asyncio.sleep(0)

    run(main)
    assert {"/fresh/60": 2} == origin.asked


@pytest.mark.parametrize("failure", ["status", "gone"])
def test_stale_if_error(origin: Origin, failure: str) -> None:
    """A server that fails, and one that is gone."""

    async def main() -> None:
        with served(origin.app) as site:
            client = cached(origin, f"http://127.0.0.1:{site.port}", policy=Policy(stale_if_error_s=30))
            await client.get("/fresh/60")
            origin.now += 70
            origin.is_failing = True
            if failure == "status":
                assert "1" == (await client.get("/fresh/60")).text
        if failure == "gone":
            assert "1" == (await client.get("/fresh/60")).text
            origin.now += 30
            with pytest.raises(ConnectError):
                await client.get("/fresh/60")
        await client.close()

    run(main)


def test_content_is_stored_as_the_caller_gets_it(origin: Origin, site: str, make_store: Any) -> None:
    """Compressed or streamed or both, each byte."""

    async def main() -> None:
        store = make_store()
        async with cached(origin, site, store) as client:
            for is_cached in (False, True):
                response = await client.get("/gzip")
                assert (is_cached, b"packed " * 1000) == (response.from_cache, response.content)
            for is_cached in (False, True):
                async with client.stream("GET", "/large") as response:
                    content = b"".join([piece async for piece in response.aiter_bytes()])
                assert (is_cached, 3_000_000) == (response.from_cache, len(content))
            async with client.stream("GET", "/gzip", headers={"Accept-Language": "x"}) as response:
                assert b"packed " * 1000 == await response.aread()
        await store.close()

    run(main)
    assert {"/gzip": 1, "/large": 1} == origin.asked


def test_a_stream_that_is_left_is_not_stored(origin: Origin, site: str) -> None:
    """The next gets it whole."""

    async def main() -> None:
        async with cached(origin, site) as client:
            async with client.stream("GET", "/large") as response:
                async for _ in response.aiter_bytes():
                    break
            whole = await client.get("/large")
            assert (False, 3_000_000) == (whole.from_cache, len(whole.content))

    run(main)


def test_content_that_is_cut_short_is_not_stored(hostile: Speak) -> None:
    """By a server that ends the connection."""
    head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\n"
    contents = iter([b"cut", b"whole"])

    def speak(sock: Any, request: bytes) -> None:
        content = next(contents)
        sock.sendall(head + content)
        if content == b"cut":
            sock.close()

    server = hostile(speak)

    async def main() -> None:
        async with AsyncClient(cache=MemoryStore(), timeout=Timeout(read=10)) as client:
            with pytest.raises(IncompleteBody):
                await client.get(server.url)
            whole = await client.get(server.url)
            assert (b"whole", False) == (whole.content, whole.from_cache)
            assert (await client.get(server.url)).from_cache

    run(main)


def test_cookies_of_before_are_not_set_again(origin: Origin, site: str) -> None:
    """What the jar has is newer than what the cache has."""

    async def main() -> None:
        async with AsyncClient(base_url=site, cache=MemoryStore()) as client:
            await client.get("/cookie")
            await client.get("/cookie", headers={"Cache-Control": "no-cache"})
            assert (await client.get("/cookie")).from_cache
            assert "n=2" == (await client.get("/plain")).text
            await client.get("/cookie", headers={"Cache-Control": "no-cache"})
            assert "n=3" == (await client.get("/plain")).text

    run(main)


@pytest.mark.usefixtures("loop_of_clients")
@pytest.mark.parametrize("kind", ["memory:", "sqlite:", "redis"])
def test_the_client_for_threads_has_it_too(origin: Origin, site: str, kind: str, tmp_path: Path) -> None:
    """Many threads at once: one request. A store that the client makes is closed with it."""
    with ExitStack() as stack:
        address = stack.enter_context(redis_server(tmp_path)) if kind == "redis" else kind
        if kind == "sqlite:":
            address += str(tmp_path / "cache.db")
        client = stack.enter_context(Client(base_url=site, cache=address))
        texts: list[str] = []

        def ask() -> None:
            texts.append(client.get("/fresh/60").text)

        threads = [threading.Thread(target=ask) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert ["1"] * 10 == texts
        assert client.get("/fresh/60").from_cache
        assert client.get("/plain", ttl=60).from_cache is False
        assert client.get("/plain", ttl=60).from_cache is True
    assert {"/fresh/60": 1, "/plain": 1} == origin.asked


def test_what_has_more_to_do_than_to_answer_is_not_answered_at_once(origin: Origin, site: str) -> None:
    """Hooks hear of it, redirects are followed, credentials count, and a closed client sends nothing."""
    heard: list[int] = []

    async def main() -> None:
        store = MemoryStore()
        async with AsyncClient(base_url=site, cache=store) as client:
            request = client.build_request("GET", "/fresh/60")
            assert client.at_once(request) is None
            await client.get("/fresh/60")
            assert client.at_once(request) is not None
            assert client.at_once(client.build_request("GET", "/fresh/60", auth=("a", "b"))) is None
            assert client.at_once(client.build_request("GET", "/fresh/60", cookies={"a": "b"})) is None
            assert (
                client.at_once(client.build_request("GET", site.replace("//", "//a:b@") + "/fresh/60"))
                is None
            )
            for _ in range(2):
                assert "1" == (await client.get("/moved")).text
        assert client.at_once(request) is None
        with pytest.raises(ClientClosed):
            await client.send(request)
        hooks = {"response": [lambda response: heard.append(response.status)]}
        async with AsyncClient(base_url=site, cache=store, hooks=hooks) as client:
            assert (await client.get("/fresh/60")).from_cache

    run(main)
    assert [200] == heard
    assert {"/fresh/60": 1, "/moved": 1} == origin.asked


def test_a_client_without_a_cache_keeps_what_a_lifetime_was_named_for(origin: Origin, site: str) -> None:
    """And nothing else."""

    async def main() -> None:
        async with AsyncClient(base_url=site) as client:
            assert ["1", "2"] == [(await client.get("/fresh/60")).text for _ in range(2)]
            assert ["3", "3"] == [(await client.get("/fresh/60", ttl=60)).text for _ in range(2)]
            assert "4" == (await client.get("/fresh/60")).text
            assert "3" == (await client.get("/fresh/60", ttl=60)).text
            await client.post("/fresh/60")
            assert "6" == (await client.get("/fresh/60", ttl=60)).text
        transport = CachingTransport(Wire())
        async with AsyncClient(base_url=site, transport=transport) as client:
            await client.get("/fresh/60", ttl=60)
            assert client._transport is transport

    run(main)


MANY = """
import asyncio, sys
from rocket_sup.client import AsyncClient
from rocket_sup.client.cache.redis import RedisStore

async def main():
    store = RedisStore(sys.argv[1])
    async with AsyncClient(cache=store) as client:
        await asyncio.to_thread(sys.stdin.read)
        responses = await asyncio.gather(*[client.get(sys.argv[2]) for _ in range(25)])
    await store.close()
    assert {"1"} == {response.text for response in responses}, responses

print("ready", flush=True)
asyncio.run(main())
"""


@pytest.mark.slow
def test_with_redis_one_process_fetches_for_all(origin: Origin, site: str, tmp_path: Path) -> None:
    """Four processes, a hundred equal requests, one at the server."""
    with redis_server(tmp_path) as url, ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", MANY, url, f"{site}/slow"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    cwd=Path(__file__).parents[2],
                )
            )
            for _ in range(4)
        ]
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()  # go
        statuses = [process.wait(30) for process in processes]

    assert [0] * 4 == statuses
    assert {"/slow": 1} == origin.asked
