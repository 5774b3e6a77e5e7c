"""Requests of every kind against this project's own server."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from rocket_sup.client import AsyncClient, Limits, Timeout
from rocket_sup.client.errors import ClientClosed, ConnectError, InvalidRequest
from rocket_sup.http.forms import parse_form
from tests.client.application import METHODS
from tests.client.conftest import run


@pytest.mark.parametrize("method", METHODS)
def test_every_method(site: str, method: str) -> None:
    """Each has its own name, and any can be sent by `request`."""

    async def main() -> None:
        async with AsyncClient(base_url=site) as client:
            first = await getattr(client, method.lower())("/echo", params={"a": "b c"}, headers={"X-A": "1"})
            second = await client.request(method, "/echo?a=b+c", headers={"x-a": "1"})
            assert (200, "HTTP/1.1") == (first.status, first.http_version)
            assert first.json() == second.json()
            assert (method, "/echo?a=b+c", "1") == (
                first.json()["method"],
                first.json()["target"],
                first.json()["headers"]["x-a"],
            )
            assert (1, False, ()) == (client.open_connections, first.from_cache, first.history)

    run(main)


def test_head_and_unknown_methods(site: str) -> None:
    """A HEAD has no content, whatever its fields say; the connection stays in step."""

    async def main() -> None:
        async with AsyncClient(base_url=site) as client:
            head = await client.head("/text")
            assert (200, "5", b"") == (head.status, head.headers["content-length"], head.content)
            assert "hello" == (await client.get("/text")).text
            assert 501 == (await client.request("BREW", "/text")).status
            assert 1 == client.open_connections

    run(main)


@pytest.mark.parametrize("status", [200, 201, 204, 206, 300, 304, 400, 404, 418, 500, 503, 599, 999])
def test_every_class_of_status(site: str, status: int) -> None:
    """An answer is an answer, with or without content, and the connection can be used again."""

    async def main() -> None:
        async with AsyncClient(base_url=site) as client:
            for _ in range(2):
                assert status == (await client.get(f"/status/{status}")).status
            assert 1 == client.open_connections

    run(main)


@pytest.mark.parametrize("body", [b"", b"\0\xff" * 5000, bytes(range(256)), "ü".encode() * 100_000])
def test_any_bytes_go_there_and_come_back(site: str, body: bytes) -> None:
    """Binary, empty, not UTF-8, more than one segment."""

    async def main() -> None:
        async with AsyncClient(base_url=site) as client:
            assert body == (await client.post("/bytes", content=body)).content
            assert body == (await client.post("/bytes", content=io.BytesIO(body))).content

    run(main)


async def async_pieces() -> AsyncIterator[bytes]:
    """A body whose length nobody knows."""
    for number in range(3):
        await asyncio.sleep(0)
        yield b"%d," % number
        yield b""


def pieces() -> Iterator[bytes]:
    """The same without a loop."""
    yield from (b"0,", b"1,", b"2,")


@pytest.mark.parametrize(
    "make", [async_pieces, pieces, lambda: [b"0,", b"1,2,"], lambda: bytearray(b"0,1,2,")]
)
def test_bodies_in_pieces(site: str, make: Any) -> None:
    """Sent in chunks where there is no length."""

    async def main() -> None:
        async with AsyncClient(base_url=site) as client:
            for _ in range(2):
                assert b"0,1,2," == (await client.post("/bytes", content=make())).content
            assert 1 == client.open_connections

    run(main)


def test_json_text_and_forms(site: str) -> None:
    """Each says what it is."""

    async def main() -> None:
        async with AsyncClient(base_url=site) as client:

            async def sent(**options: Any) -> tuple[str, str]:
                echoed = (await client.post("/echo", **options)).json()
                return echoed["headers"]["content-type"], echoed["body"]

            assert ("application/json", '{"a":[1,null]}') == await sent(json={"a": [1, None]})
            assert ("application/json", "null") == await sent(json=None)
            assert ("text/plain; charset=utf-8", "x") == await sent(content="x")
            assert ("application/x-www-form-urlencoded", "a=1&a=b+c") == await sent(data={"a": [1, "b c"]})
            assert ("application/x", "x") == await sent(
                content="x", headers={"content-type": "application/x"}
            )
            with pytest.raises(InvalidRequest, match="one body"):
                await sent(content=b"", json=1)

    run(main)


def test_files_are_sent_as_they_are_read(site: str, tmp_path: Path) -> None:
    """A multipart form with fields and files; its length is known, so it is announced."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 300_000)

    async def main() -> None:
        async with AsyncClient(base_url=site) as client:
            answer = await client.post(
                "/echo",
                data={"name": "ü"},
                files=[
                    ("one", path),
                    ("two", ('q"\r\n.bin', b"\0\xff", "application/x")),
                    ("three", io.BytesIO(b"z")),
                ],
            )
            headers = answer.json()["headers"]
            form = parse_form(headers["content-type"], answer.json()["body"].encode("latin-1"))
            assert "transfer-encoding" not in headers
            assert "ü" == form["name"]
            assert ("a.txt", b"x" * 300_000) == (form.files["one"].filename, form.files["one"].body)
            assert (b"\0\xff", "application/x") == (form.files["two"].body, form.files["two"].content_type)
            assert b"z" == form.files["three"].body
            assert path.read_bytes() == (await client.post("/bytes", content=path)).content

    run(main)


def test_content_as_it_comes(site: str) -> None:
    """A large answer in pieces, whole, or given up in the middle; the pool is sound each time."""

    async def main() -> None:
        whole = b"0123456789" * 300_000
        async with AsyncClient(base_url=site) as client:
            async with client.stream("GET", "/large") as answer:
                assert whole == b"".join([piece async for piece in answer.aiter_bytes()])
            assert 1 == client.open_connections
            async with client.stream("GET", "/large") as answer:
                assert whole == await answer.aread()
            async with client.stream("GET", "/large") as answer:
                async for _ in answer.aiter_bytes():
                    break
            assert whole == (await client.get("/large")).content
            async with client.stream("GET", "/text") as answer:
                assert ["hello"] == [line async for line in answer.aiter_lines()]
            assert answer.elapsed.total > 0

    run(main)


def test_decompressed_if_asked_for(site: str) -> None:
    """The client asks for codings it can take off; it can be told not to."""

    async def main() -> None:
        async with AsyncClient(base_url=site) as client:
            assert b"packed " * 100 == (await client.get("/gzip")).content
            assert "gzip" in (await client.get("/echo")).json()["headers"]["accept-encoding"]
            async with client.stream("GET", "/gzip") as answer:
                assert b"packed " * 100 == await answer.aread()
        async with AsyncClient(base_url=site, decompress=False) as client:
            assert (await client.get("/gzip")).content.startswith(b"\x1f\x8b")
            assert "accept-encoding" not in (await client.get("/echo")).json()["headers"]
            assert "üÿ" == (await client.get("/latin")).text

    run(main)


def test_fields_of_client_and_request(site: str) -> None:
    """A request's field replaces the client's of that name; repeated ones are kept."""

    async def main() -> None:
        async with AsyncClient(base_url=site, headers={"X-A": "client", "user-agent": "me"}) as client:
            sent = (await client.get("/echo")).json()["headers"]
            assert ("client", "me", "*/*") == (sent["x-a"], sent["user-agent"], sent["accept"])
            sent = (await client.get("/echo", headers=[("x-a", "1"), ("X-A", "2")])).json()["headers"]
            assert "2" == sent["x-a"]
            assert "client" == client.headers["x-a"]

    run(main)


def test_many_at_once_share_few_connections(site: str) -> None:
    """Every answer reaches its caller."""

    async def main() -> None:
        async with AsyncClient(base_url=site, limits=Limits(max_connections=3)) as client:
            answers = await asyncio.gather(*[client.get("/echo", params={"n": n}) for n in range(200)])
            assert [f"/echo?n={n}" for n in range(200)] == [answer.json()["target"] for answer in answers]
            assert 3 == client.open_connections

    run(main)


def test_cancelled_callers_leave_a_sound_pool(site: str) -> None:
    """Whenever they leave, later callers get their own answers."""

    async def main() -> None:
        async with AsyncClient(base_url=site, limits=Limits(max_connections=2)) as client:
            for turns in range(12):
                tasks = [asyncio.ensure_future(client.get("/large")) for _ in range(4)]
                for _ in range(turns):
                    await asyncio.sleep(0)
                tasks[0].cancel()
                tasks[2].cancel()
                done = await asyncio.gather(*tasks, return_exceptions=True)
                assert [3_000_000] * 2 == [len(answer.content) for answer in done[1::2]]
            assert "hello" == (await client.get("/text")).text
            assert client.open_connections <= 2

    run(main)


def test_a_closed_client_and_a_closed_port(site: str) -> None:
    """Both are told at once, and nothing was sent."""

    async def main() -> None:
        client = AsyncClient(base_url=site, timeout=Timeout(connect=5))
        await client.get("/text")
        await client.close()
        await client.close()
        with pytest.raises(ClientClosed):
            await client.get("/text")
        async with AsyncClient() as other:
            with pytest.raises(ConnectError, match=r"127\.0\.0\.1 port 1") as caught:
                await other.get("http://127.0.0.1:1/")
        assert not caught.value.request_sent

    run(main)
