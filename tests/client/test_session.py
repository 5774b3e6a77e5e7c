"""What a client keeps between requests: cookies, credentials, and where redirects led."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from rocket_sup import Request, Response, Router
from rocket_sup.client import AsyncClient, Client, Digest, Retry
from rocket_sup.client.errors import BodyConsumed, StatusError, TooManyRedirects
from tests.client.application import echo
from tests.client.conftest import run, served


def application() -> Router:
    """Redirects, cookies and challenges."""
    app = Router()
    seen: list[int] = []
    app.route("/echo", methods=["GET", "POST", "HEAD"])(echo)

    @app.route("/to/:status", methods=["GET", "POST", "PUT"])
    def to(req: Request) -> Any:
        target = req.get_query_param("target") or "/echo"
        return Response(
            "moved", int(req.path_params["status"]), {"Location": target, "Set-Cookie": "hop=1; Path=/"}
        )

    @app.get("/loop")
    def loop(req: Request) -> Any:
        return 302, "", {"Location": "/loop"}

    @app.get("/digest")
    def digest(req: Request) -> Any:
        if 'username="me"' in req.get_header("authorization", ""):
            return "in"
        return Response(
            "no", 401, {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256'}
        )

    @app.get("/flaky")
    def flaky(req: Request) -> Any:
        seen.append(1)
        return (503, "later") if len(seen) % 3 else "now"

    return app


@pytest.fixture
def base() -> Iterator[str]:
    """A server with it."""
    with served(application()) as found:
        yield f"http://127.0.0.1:{found.port}"


def test_redirects(base: str) -> None:
    """Followed by the rules, with a history, and only if wanted."""

    async def main() -> None:
        async with AsyncClient(base_url=base) as client:
            answer = await client.post("/to/302", content=b"x", headers={"Authorization": "mine"})
            assert ("GET", "", "mine") == (
                answer.json()["method"],
                answer.json()["body"],
                answer.json()["headers"]["authorization"],
            )
            assert [302] == [step.status for step in answer.history]
            assert f"{base}/echo" == str(answer.url)
            kept = (await client.post("/to/307", content=b"x")).json()
            assert ("POST", "x") == (kept["method"], kept["body"])
            assert 302 == (await client.get("/to/302", follow_redirects=False)).status
            async with client.stream("GET", "/to/301") as streamed:
                assert b'"GET"' in await streamed.aread()
            with pytest.raises(TooManyRedirects):
                await client.get("/loop")
            with pytest.raises(BodyConsumed):
                await client.put("/to/307", content=iter([b"x"]))

    run(main)


def test_credentials_do_not_travel(base: str) -> None:
    """Another origin gets neither fields, nor auth, nor cookies."""

    async def main() -> None:
        with served(application()) as other:
            there = f"http://localhost:{other.port}/echo"
            async with AsyncClient(base_url=base, auth=("a", "b"), cookies={}) as client:
                here = await client.get("/to/302", cookies={"own": "1"})
                away = await client.get("/to/302", params={"target": there}, cookies={"own": "1"})
                assert "Basic YTpi" == here.json()["headers"]["authorization"]
                assert "hop=1; own=1" == here.json()["headers"]["cookie"]
                assert {"authorization", "cookie"}.isdisjoint(away.json()["headers"])
                assert there == str(away.url)

    run(main)


def test_cookies_are_kept(base: str) -> None:
    """What one answer sets goes with the next request, redirects included."""

    async def main() -> None:
        async with AsyncClient(base_url=base, cookies={"mine": "0"}) as client:
            first = await client.get("/to/302")
            second = await client.get("/echo", headers={"Cookie": "only=this"})
            assert "mine=0; hop=1" == first.json()["headers"]["cookie"]
            assert "only=this" == second.json()["headers"]["cookie"]
            assert "1" == client.cookies["hop"]

    run(main)


def test_who_we_are(base: str) -> None:
    """From the URL, by a challenge, once and for later, or not at all."""

    async def main() -> None:
        async with AsyncClient(base_url=base) as client:
            url = base.replace("http://", "http://a:b@")
            assert "Basic YTpi" == (await client.get(f"{url}/echo")).json()["headers"]["authorization"]
            digest = Digest("me", "secret")
            assert "in" == (await client.get("/digest", auth=digest)).text
            assert "in" == (await client.get("/digest", auth=digest)).text
            refused = await client.get("/digest", auth=Digest("you", "secret"))
            assert 401 == refused.status
            with pytest.raises(StatusError):
                refused.raise_for_status()

    run(main)


def test_hooks_and_retries(base: str) -> None:
    """Hooks see every request and response, plain and async; a 503 is asked again."""
    seen: list[str] = []

    async def later(response: Any) -> None:
        await asyncio.sleep(0)
        seen.append(f"< {response.status}")

    async def main() -> None:
        hooks: Any = {"request": [lambda request: seen.append(f"> {request.url.path}")], "response": [later]}
        async with AsyncClient(base_url=base, hooks=hooks, retry=Retry(first_delay_s=0.001)) as client:
            assert "now" == (await client.get("/flaky")).text
            await client.get("/to/302")
            assert 1 == client.open_connections

    run(main)
    assert ["> /flaky", "< 200", "> /to/302", "< 302", "> /echo", "< 200"] == seen


def test_from_many_threads(base: str, loop_of_clients: None) -> None:
    """One synchronous client, many threads, one loop."""
    failures: list[BaseException] = []
    with Client(base_url=base) as client:

        def work(number: int) -> None:
            try:
                for turn in range(10):
                    target = f"/echo?n={number}&t={turn}"
                    assert target == client.get(target).json()["target"]
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert client.open_connections <= 8

    assert [] == failures


def test_the_same_surface_without_a_loop(base: str, loop_of_clients: None) -> None:
    """Methods, streams, cookies, errors."""
    with Client(base_url=base, headers={"X": "y"}) as client:
        assert "y" == client.headers["x"]
        assert 200 == client.head("/echo").status
        assert "x" == client.post("/echo", content=b"x").json()["body"]
        for method in ("put", "patch", "delete", "options", "trace"):
            assert getattr(client, method)("/echo").status in (200, 204, 405, 501)
        assert 405 == client.request("DELETE", "/echo").status
        with client.stream("GET", "/to/302") as answer:
            assert [302] == [step.status for step in answer.history]
            assert b'"GET"' in answer.read() == answer.content
        with client.stream("GET", "/echo") as answer:
            assert b'"GET"' in b"".join(answer.iter_bytes(7))
            with pytest.raises(BodyConsumed):
                answer.read()
        with client.stream("GET", "/echo") as answer:
            assert 1 == len(list(answer.iter_lines()))
        assert "1" == client.cookies["hop"]
        with pytest.raises(TooManyRedirects):
            client.get("/loop")
