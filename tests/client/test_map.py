"""Bulks against a real server."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator

import pytest

from rocket_sup.client import AsyncClient, Client, Limits, Request, Response
from rocket_sup.client.errors import ClientError, ConnectError
from tests.client.conftest import run


def test_thousands_in_flat_memory(site: str) -> None:
    """What the first thousand took is all that is ever taken; the report knows them all."""

    async def main() -> None:
        async with AsyncClient(base_url=site, limits=Limits(max_connections=50)) as client:
            bulk = client.map((f"/echo?n={number}" for number in range(4000)), concurrency=50)
            seen: set[str] = set()
            tracemalloc.start()
            base = 0
            async for outcome in bulk:
                assert isinstance(outcome, Response)
                seen.add(outcome.json()["target"])
                if len(seen) == 1000:
                    base = tracemalloc.get_traced_memory()[0]
            grown = tracemalloc.get_traced_memory()[0] - base
            tracemalloc.stop()
            assert 4000 == len(seen) == bulk.report.done
            assert grown < 1_500_000  # the set of targets, mostly
            assert client.open_connections <= 50
            assert {200: 4000} == dict(bulk.report.statuses)

    run(main)


def test_any_requests_and_any_failures(site: str) -> None:
    """Methods and bodies as wanted; a host that is not there costs nobody else anything."""

    async def main() -> None:
        async with AsyncClient(base_url=site) as client:
            requests = [
                "/text",
                client.build_request("POST", "/bytes", content=b"body"),
                "http://127.0.0.1:1/",
                "ftp://host/",
                Request("GET", f"{site}/status/404"),
            ]
            outcomes = [outcome async for outcome in client.map(requests, ordered=True)]
            assert [200, 200, 404] == [found.status for found in outcomes if isinstance(found, Response)]
            assert ["ConnectError", "UrlError"] == [
                type(found).__name__ for found in outcomes if isinstance(found, ClientError)
            ]

    run(main)


def test_stopping_in_the_middle(site: str) -> None:
    """The client can be used afterwards."""

    async def main() -> None:
        async with AsyncClient(base_url=site, limits=Limits(max_connections=5)) as client:
            count = 0
            async for _ in client.map(("/large" for _ in range(1000)), concurrency=10):
                count += 1
                if count == 7:
                    break
            await asyncio.sleep(0)
            assert "hello" == (await client.get("/text")).text

    run(main)


@pytest.mark.parametrize("ordered", [False, True])
def test_for_a_thread(site: str, ordered: bool, loop_of_clients: None) -> None:
    """The iterator of requests runs in the thread that takes the outcomes, and only as far as needed."""
    taken = given = ahead = 0

    def urls() -> Iterator[str]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield f"/echo?n={number}"

    with Client(base_url=site) as client:
        outcomes = client.map(urls(), concurrency=20, ordered=ordered)
        targets = []
        for outcome in outcomes:
            assert isinstance(outcome, Response)
            targets.append(outcome.json()["target"])
            given += 1
            ahead = max(ahead, taken - given)
        assert [] == list(client.map([]))
        (refused,) = client.map(["http://127.0.0.1:1/"])
        assert isinstance(refused, ConnectError)
        for _ in client.map(["/text"] * 50, concurrency=3):
            break
        assert "hello" == client.get("/text").text

    expected = [f"/echo?n={number}" for number in range(1000)]
    assert expected == (targets if ordered else sorted(targets, key=lambda target: int(target[8:])))
    assert ahead <= 40
    assert 1000 == outcomes.report.done
