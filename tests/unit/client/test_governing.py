"""Rates and circuits, by a clock that the test moves."""

from __future__ import annotations

import asyncio

import pytest

from rocket_sup.client.errors import CircuitOpen, ProtocolError, ReadError, TotalTimeout
from rocket_sup.client.governing import CircuitBreaker, RateLimit
from rocket_sup.client.messages import Request, Response


class Host:
    """A transport that does what it is told, and the clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.fails: Exception | None = None
        self.status = 200
        self.count = 0
        self.is_closed = False
        self.open_connections = 3

    async def send(self, request: Request) -> Response:
        self.count += 1
        await asyncio.sleep(0)
        if self.fails is not None:
            raise self.fails
        return Response(self.status, request=request)

    async def close(self) -> None:
        self.is_closed = True


GET = Request("GET", "http://host/")
OTHER = Request("GET", "http://other/")


def test_turns() -> None:
    """So many a second, a few at once after a rest; each host has its own."""
    host = Host()
    limit = RateLimit(host, 10, burst=3, clock=lambda: host.now)

    turns = [limit._turn(GET.url.origin) for _ in range(6)]
    assert pytest.approx([0, 0, 0, 0.1, 0.2, 0.3]) == turns
    assert 0 == limit._turn(OTHER.url.origin)
    host.now += 0.35
    assert pytest.approx(0.05) == limit._turn(GET.url.origin)
    host.now += 100
    assert [0, 0, 0] == [limit._turn(GET.url.origin) for _ in range(3)]
    with pytest.raises(ValueError, match="rate"):
        RateLimit(host, 0)


def test_nobody_waits_for_a_turn_that_comes_too_late() -> None:
    """Requests are sent when their turn comes, or fail at once."""
    host = Host()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        limit = RateLimit(host, 50, clock=loop.time)
        started = loop.time()
        await asyncio.gather(*[limit.send(GET) for _ in range(4)])
        assert loop.time() - started >= 0.059
        hurried = Request("GET", "http://host/")
        hurried.deadline = loop.time()
        with pytest.raises(TotalTimeout):
            await limit.send(hurried)
        assert (4, 3) == (host.count, limit.open_connections)
        await limit.close()
        assert host.is_closed

    asyncio.run(main())


def test_a_circuit_opens_rests_and_closes() -> None:
    """After so many failures nothing is sent; one may try after the rest, and what it finds decides."""
    host = Host()

    async def main() -> None:
        breaker = CircuitBreaker(host, failures=2, rest_s=10, clock=lambda: host.now)
        host.fails = ReadError("gone")
        for _ in range(2):
            with pytest.raises(ReadError):
                await breaker.send(GET)
        with pytest.raises(CircuitOpen) as caught:
            await breaker.send(GET)
        assert (2, GET, False) == (host.count, caught.value.request, caught.value.request_sent)
        host.now += 10
        found = await asyncio.gather(*[breaker.send(GET) for _ in range(3)], return_exceptions=True)
        assert ["ReadError", "CircuitOpen", "CircuitOpen"] == [type(outcome).__name__ for outcome in found]
        host.now += 10
        host.fails = None
        assert 200 == (await breaker.send(GET)).status
        assert 200 == (await breaker.send(GET)).status
        await breaker.close()
        assert host.is_closed
        assert 3 == breaker.open_connections

    asyncio.run(main())


def test_what_counts() -> None:
    """Statuses that say so count; a server that answers nonsense is there; success starts anew."""
    host = Host()

    async def main() -> None:
        breaker = CircuitBreaker(host, failures=2, clock=lambda: host.now)
        for status in (503, 200, 503, 404, 503):
            host.status = status
            assert status == (await breaker.send(GET)).status
        host.fails = ProtocolError("nonsense")
        with pytest.raises(ProtocolError):
            await breaker.send(GET)
        host.fails = None
        for _ in range(2):
            host.status = 503
            await breaker.send(GET)
        with pytest.raises(CircuitOpen):
            await breaker.send(GET)
        host.status = 200
        assert 200 == (await breaker.send(OTHER)).status

    asyncio.run(main())


def test_hosts_are_forgotten() -> None:
    """A client that visits millions does not keep millions."""
    limit = RateLimit(Host(), 1)
    for number in range(10_050):
        limit._turn(("http", f"h{number}", 80))

    assert 10_000 == len(limit._next._known)
