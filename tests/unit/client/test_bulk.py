"""Many requests: bounded, fair, whole, in order if wanted."""

from __future__ import annotations

import asyncio
import io
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from rocket_sup.client.bulk import Bulk, Feed, raise_descriptor_limit
from rocket_sup.client.errors import ClientError, ReadError, ResourcesExhausted, UrlError
from rocket_sup.client.messages import Request, Response

Send = Callable[[Request], Awaitable[Response]]


def prepare(item: Any) -> Request:
    """A URL is asked for with GET."""
    return item if isinstance(item, Request) else Request("GET", item)


def urls(count: int, host: str = "host") -> Iterator[str]:
    """So many different ones."""
    return (f"http://{host}/{number}" for number in range(count))


async def answer(request: Request) -> Response:
    """Answer after a moment."""
    await asyncio.sleep(0)
    return Response(200, text=request.url.path, request=request)


def paths(outcomes: list[Response | ClientError]) -> list[str]:
    """What was answered."""
    return [outcome.text if isinstance(outcome, Response) else type(outcome).__name__ for outcome in outcomes]


async def collected(send: Send, items: Any, **options: Any) -> list[Response | ClientError]:
    """All outcomes."""
    return [outcome async for outcome in Bulk(prepare, send, items, **options)]


async def later(items: Iterator[str]) -> AsyncIterator[str]:
    """An async iterator."""
    for item in items:
        await asyncio.sleep(0)
        yield item


@pytest.mark.parametrize("concurrency", [1, 3, 100])
@pytest.mark.parametrize("kind", [list, iter, later])
def test_every_request_has_one_outcome(concurrency: int, kind: Any) -> None:
    """From lists, generators and async generators; each outcome knows what it belongs to."""
    outcomes = asyncio.run(collected(answer, kind(urls(50)), concurrency=concurrency))

    assert sorted(f"/{number}" for number in range(50)) == sorted(paths(outcomes))
    for outcome in outcomes:
        assert isinstance(outcome, Response)
        assert outcome.extensions["item"] == f"http://host{outcome.text}"


def test_in_order() -> None:
    """The slow ones hold up those behind them, and nothing is lost."""

    async def send(request: Request) -> Response:
        for _ in range(int(request.url.path[1:]) * 7 % 11):
            await asyncio.sleep(0)
        return await answer(request)

    outcomes = asyncio.run(collected(send, urls(60), concurrency=7, ordered=True))

    assert [f"/{number}" for number in range(60)] == paths(outcomes)


def test_never_more_at_once_and_never_more_in_memory() -> None:
    """The iterator is asked only for what can be worked on."""
    active = most = taken = 0

    def items() -> Iterator[str]:
        nonlocal taken
        for url in urls(500):
            taken += 1
            yield url

    async def send(request: Request) -> Response:
        nonlocal active, most
        active += 1
        most = max(most, active)
        await asyncio.sleep(0)
        active -= 1
        return await answer(request)

    async def main() -> None:
        given = ahead = 0
        async for _ in Bulk(prepare, send, items(), concurrency=5):
            given += 1
            ahead = max(ahead, taken - given)
            if given % 50 == 0:
                await asyncio.sleep(0.001)
        assert 500 == given == taken
        assert ahead <= 2 * 5 + 5

    asyncio.run(main())
    assert 5 == most


def test_a_host_has_its_share_and_no_more() -> None:
    """Requests to a slow host are set aside, and the others go on."""
    active: dict[str, int] = {"slow": 0, "quick": 0}
    release = asyncio.Event()
    quick = 0

    async def send(request: Request) -> Response:
        nonlocal quick
        active[request.url.host] += 1
        assert active[request.url.host] <= 2
        if request.url.host == "slow":
            await release.wait()
        else:
            await asyncio.sleep(0)
            quick += 1
            if quick == 30:
                release.set()
        active[request.url.host] -= 1
        return await answer(request)

    items = [url for pair in zip(urls(30, "slow"), urls(30, "quick"), strict=True) for url in pair]
    outcomes = asyncio.run(collected(send, items, concurrency=40, per_host=2))

    assert 60 == len(outcomes)


def test_failures_are_values() -> None:
    """An address that is none, a connection that broke; other errors are bugs and are raised."""

    async def send(request: Request) -> Response:
        if request.url.path == "/1":
            raise ReadError("gone")
        return await answer(request)

    first, second, third = asyncio.run(
        collected(send, ["http://host/0", "nonsense", "http://host/1"], concurrency=1, ordered=True)
    )
    assert isinstance(first, Response)
    assert isinstance(second, UrlError)
    assert "nonsense" == second.item
    assert isinstance(third, ReadError)
    assert third.request is not None

    def broken() -> Iterator[str]:
        yield "http://host/0"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(collected(answer, broken(), concurrency=2))
    with pytest.raises(ValueError, match="at least 1"):
        Bulk(prepare, answer, [], concurrency=0)


def test_nothing_to_do() -> None:
    """An empty iterator has no outcomes."""
    assert [] == asyncio.run(collected(answer, []))
    assert [] == asyncio.run(collected(answer, later(iter([]))))


def test_a_machine_that_runs_out(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing fails; fewer go on, and it is said once."""
    open_now = most = 0

    async def send(request: Request) -> Response:
        nonlocal open_now, most
        if open_now >= 5:
            raise ResourcesExhausted("no descriptor is left", cause_name="EMFILE")
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0.001)
        open_now -= 1
        return await answer(request)

    async def main() -> None:
        bulk = Bulk(prepare, send, urls(200), concurrency=40)
        assert 200 == len([outcome async for outcome in bulk if isinstance(outcome, Response)])
        assert bulk.report.slowed

    asyncio.run(main())
    assert 1 == len(caplog.records)
    assert "fewer requests" in caplog.text


def test_who_leaves_early_stops_it() -> None:
    """Requests under way are cancelled, generators are ended."""
    cancelled: list[bool] = []
    ended: list[bool] = []

    async def items() -> AsyncIterator[str]:
        try:
            for url in urls(1000):
                yield url
        finally:
            ended.append(True)

    async def send(request: Request) -> Response:
        if request.url.path != "/0":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(True)
                raise
        return await answer(request)

    async def main() -> None:
        bulk = Bulk(prepare, send, items(), concurrency=10)
        outcomes = aiter(bulk)
        await anext(outcomes)
        await asyncio.sleep(0.01)
        await outcomes.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())
    assert 10 == len(cancelled)
    assert [True] == ended


def test_progress_is_shown_where_it_can_be_seen() -> None:
    """A line that is redrawn, and ends."""
    screen = io.StringIO()

    asyncio.run(collected(answer, urls(10), progress=True, screen=screen))
    assert screen.getvalue().endswith("MB\n")
    assert "10 done" in screen.getvalue()
    silent = io.StringIO()
    asyncio.run(collected(answer, urls(10), screen=silent))
    assert "" == silent.getvalue()


def test_a_feed_is_filled_from_outside() -> None:
    """It waits for more until it is told that there is none."""

    async def main() -> None:
        feed = Feed()
        waiting = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0)
        feed.put(["a", "b"], is_last=False)
        assert "a" == await waiting
        feed.put([], is_last=True)
        assert ["b"] == [item async for item in feed]

    asyncio.run(main())


def test_descriptors_are_allowed_as_far_as_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never fewer than before, never more than the hard limit."""
    limits = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.append(wanted))

    raise_descriptor_limit(100)
    raise_descriptor_limit(2000)
    raise_descriptor_limit(10_000)
    raise_descriptor_limit(10)

    assert [(1024, 4096), (2064, 4096), (4096, 4096)] == limits
