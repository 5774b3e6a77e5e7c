"""Transports without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rocket_sup.client import AsgiTransport, AsyncClient, MockTransport, Request, Response
from rocket_sup.client.errors import ReadError


async def pieces() -> AsyncIterator[bytes]:
    """A body in pieces."""
    yield b"a"
    yield b"b"


def test_answers_that_a_test_chooses() -> None:
    """Plain or async, with everything that the client does around them; errors too."""

    async def answer(request: Request) -> Response:
        await asyncio.sleep(0)
        if request.url.path == "/broken":
            raise ReadError("gone")
        if request.url.path == "/old":
            return Response(301, {"Location": "/new", "Set-Cookie": "a=b"})
        return Response(200, json={"cookie": request.headers.get("cookie"), "body": request.content.decode()})

    async def main() -> None:
        transport = MockTransport(answer)
        async with AsyncClient(base_url="http://host", transport=transport) as client:
            found = await client.get("/old")
            assert ({"cookie": "a=b", "body": ""}, 1) == (found.json(), len(found.history))
            assert "ab" == (await client.post("/", content=pieces())).json()["body"]
            assert b"" == (await client.head("/")).content
            with pytest.raises(ReadError):
                await client.get("/broken")
            async with client.stream("GET", "/") as streamed:
                assert b"cookie" in await streamed.aread()
        assert ["/old", "/new", "/", "/", "/broken", "/"] == [sent.url.path for sent in transport.requests]
        plain = AsyncClient(transport=MockTransport(lambda request: Response(204, request=request)))
        assert 204 == (await plain.get("http://host/")).status

    asyncio.run(main())


async def application(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application that says what it was told."""
    message = await receive()
    if scope["path"] == "/half":
        await send({"type": "http.response.start", "status": 200})
        return
    if scope["path"] == "/error":
        raise KeyError("mine")
    said = [scope["method"], scope["path"], scope["raw_path"].decode(), scope["query_string"].decode()]
    host = dict(scope["headers"])[b"host"].decode()
    await send({"type": "http.response.start", "status": 201, "headers": [(b"x-host", host.encode())]})
    await send({"type": "http.response.body", "body": " ".join(said).encode() + b" ", "more_body": True})
    await send({"type": "http.response.body", "body": message["body"]})
    if scope["path"] == "/wait":
        assert {"type": "http.disconnect"} == await receive()


def test_an_application_in_the_process() -> None:
    """Called as a server would; half of an answer is none, its own errors come through."""

    async def main() -> None:
        async with AsyncClient(base_url="http://host:81", transport=AsgiTransport(application)) as client:
            found = await client.post("/a%20b", params={"q": "1"}, content=pieces())
            assert (201, "host:81") == (found.status, found.headers["x-host"])
            assert "POST /a b /a%20b q=1 ab" == found.text
            assert b"" == (await client.head("/")).content
            assert 201 == (await client.get("/wait", headers={"Host": "other"})).status
            with pytest.raises(ReadError):
                await client.get("/half")
            with pytest.raises(KeyError, match="mine"):
                await client.get("/error")

    asyncio.run(main())
