"""Many requests: as many at once as asked for, results as they finish, failures as values.

Workers take requests from one iterator, each when it has finished the one before, and no faster than results
are taken: what is in memory is bounded by the concurrency, never by the number of requests. Requests to a
host that has its share under way are set aside, up to a bound, so that the others need not wait for it.

When this machine runs out of descriptors or local ports, requests are not failed: workers leave, and what
could not be sent is sent when others have finished.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final, TextIO, TypedDict

from rocket_sup.client.bulkreport import Report
from rocket_sup.client.errors import ClientError, ResourcesExhausted
from rocket_sup.client.messages import Request, Response
from rocket_sup.client.urls import Origin, Url

Item = str | Url | Request
Items = Iterable[Item] | AsyncIterable[Item]
Outcome = Response | ClientError

_LOG: Final = logging.getLogger("rocket_sup.client")
_SPARE_DESCRIPTORS: Final = 64  # what a program has open besides the connections of a bulk
_PAUSE_S: Final = 0.05  # before what could not be sent is tried again
_MOST_PAUSES: Final = 600  # half a minute: then nothing is coming free, and it is told
_PROGRESS_S: Final = 0.2


class BulkOptions(TypedDict, total=False):
    """What a run may be told; `Bulk` says what each means."""

    concurrency: int
    per_host: int | None
    ordered: bool
    progress: bool | None
    screen: TextIO | None


class Feed:
    """Items that are put in from outside, as an async iterator."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._is_ended = False

    def put(self, items: Iterable[Item], *, is_last: bool) -> None:
        """Add items; after the last ones there are no more."""
        self._items.extend(items)
        self._is_ended |= is_last
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> Item:
        while not self._items:
            if self._is_ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._items.popleft()


class _Host:
    """The requests to one origin, where their number is limited."""

    __slots__ = ("active", "parked")

    def __init__(self) -> None:
        self.active = 0
        self.parked: deque[tuple[int, Item, Request]] = deque()


class Bulk:
    """One run; an async iterator of responses and errors.

    Attributes:
        report: numbers, while it runs and afterwards.
    """

    def __init__(
        self,
        prepare: Callable[[Item], Request],
        send: Callable[[Request], Awaitable[Response]],
        items: Items,
        *,
        concurrency: int = 100,
        per_host: int | None = None,
        ordered: bool = False,
        progress: bool | None = None,
        screen: TextIO | None = None,
    ) -> None:
        """Describe a run; it begins with the first result that is asked for.

        Args:
            prepare: makes a request of an item; what it raises is the outcome of that item.
            send: sends it.
            items: URLs or requests, as many as there are.
            concurrency: under way at once.
            per_host: under way at once to one origin.
            ordered: give outcomes in the order of the items; at most twice the concurrency wait for one.
            progress: show a line that is redrawn; on a terminal when None.
            screen: where; standard error when None.
        """
        if concurrency < 1 or (per_host is not None and per_host < 1):
            raise ValueError("concurrency and per_host are at least 1")
        self._prepare = prepare
        self._send = send
        self._source = _Source(items)
        self._limit = concurrency
        self._window = 2 * concurrency
        self._per_host = per_host
        self._is_ordered = ordered
        self._screen = screen or sys.stderr
        self._shows = self._screen.isatty() if progress is None else progress
        self._workers: set[asyncio.Task[None]] = set()
        self._hosts: dict[Origin, _Host] = {}
        self._parked = 0
        self._taken = 0  # items, which numbers them
        self._given = 0  # outcomes that the caller has
        self._ready: deque[Outcome] = deque()
        self._early: dict[int, Outcome] = {}  # finished before their turn
        self._turn = 0
        self._room: deque[asyncio.Future[None]] = deque()
        self._wanted: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._started_at = 0.0
        self._shown_at = 0.0
        self._slowed_at = 0.0
        self.report = Report()

    def __aiter__(self) -> AsyncIterator[Outcome]:
        return self._outcomes()

    async def take(self, *, waits: bool = True) -> list[Outcome]:
        """Return what has finished; wait for at least one unless told otherwise. Empty: there is no more."""
        self._start()
        while waits and not self._ready and self._workers:
            self._wanted = asyncio.get_running_loop().create_future()
            await self._wanted
        outcomes = list(self._ready)
        self._ready.clear()
        self._given += len(outcomes)
        self._make_room()
        if not outcomes and self._error is not None:
            raise self._error
        return outcomes

    async def close(self) -> None:
        """Stop: requests under way are given up."""
        for worker in self._workers:
            worker.cancel()
        if self._workers:
            await asyncio.wait(set(self._workers))
        await self._source.close()
        self._show(is_last=True)

    async def _outcomes(self) -> AsyncIterator[Outcome]:
        try:
            while outcomes := await self.take():
                for outcome in outcomes:
                    yield outcome
        finally:
            await self.close()

    def _start(self) -> None:
        if not self._started_at:
            self._started_at = asyncio.get_running_loop().time()
            raise_descriptor_limit(self._limit)
            self._hire()

    def _hire(self) -> None:
        """One more worker; each that finds work hires the next, so that few requests need few workers."""
        if len(self._workers) < self._limit:
            worker = asyncio.get_running_loop().create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._on_left)

    def _on_left(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if not worker.cancelled() and worker.exception() is not None and self._error is None:
            self._error = worker.exception()  # the caller's iterator failed
        if not self._workers:
            self._wake()

    async def _work(self) -> None:
        has_hired = False
        while len(self._workers) <= self._limit:
            await self._until_room()
            job = await self._next_job()
            if job is None:
                return
            if not has_hired:
                has_hired = True
                self._hire()
            number, item, request = job
            while True:
                await self._finish(number, item, request)
                following = self._next_parked(request.url.origin)
                if following is None:
                    break
                number, item, request = following

    async def _next_job(self) -> tuple[int, Item, Request] | None:
        """Take items until there is one that can be sent now; None when there are no more."""
        while True:
            item = await self._source.next()
            if item is None:
                return None
            number = self._taken
            self._taken += 1
            try:
                request = self._prepare(item)
            except ClientError as error:
                self._put(number, item, error, 0.0)
                await self._until_room()
                continue
            if self._per_host is None:
                return number, item, request
            host = self._hosts.setdefault(request.url.origin, _Host())
            if host.active < self._per_host:
                host.active += 1
                return number, item, request
            host.parked.append((number, item, request))
            self._parked += 1
            await self._until_room()

    def _next_parked(self, origin: Origin) -> tuple[int, Item, Request] | None:
        """What was set aside for a host that has just finished something."""
        if self._per_host is None:
            return None
        host = self._hosts[origin]
        if host.parked:
            self._parked -= 1
            self._make_room()
            return host.parked.popleft()
        host.active -= 1
        if not host.active:
            del self._hosts[origin]
        return None

    async def _finish(self, number: int, item: Item, request: Request) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        pauses = 0
        outcome: Outcome
        while True:
            try:
                outcome = await self._send(request)
            except ResourcesExhausted as error:
                outcome = error
                pauses += 1
                if pauses <= _MOST_PAUSES:
                    self._slow_down(error)
                    await asyncio.sleep(_PAUSE_S)
                    continue
            except ClientError as error:
                outcome = error
            break
        if isinstance(outcome, ClientError) and outcome.request is None:
            outcome.request = request
        self._put(number, item, outcome, loop.time() - started)

    def _put(self, number: int, item: Item, outcome: Outcome, seconds: float) -> None:
        if isinstance(outcome, Response):
            outcome.extensions["item"] = item
        else:
            outcome.item = item
        self.report.add(outcome, seconds)
        if self._is_ordered:
            self._early[number] = outcome
            while self._turn in self._early:
                self._ready.append(self._early.pop(self._turn))
                self._turn += 1
        else:
            self._ready.append(outcome)
        self._wake()
        self._show()

    def _slow_down(self, error: ResourcesExhausted) -> None:
        self.report.slowed += 1
        if self.report.slowed == 1:
            _LOG.warning("%s; going on with fewer requests at once", error)
        now = asyncio.get_running_loop().time()
        if now - self._slowed_at >= 2 * _PAUSE_S:  # many fail at once: that is one reason, not many
            self._slowed_at = now
            self._limit = max(1, min(self._limit, len(self._workers)) * 7 // 8)

    def _wake(self) -> None:
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)

    async def _until_room(self) -> None:
        """Wait while too much is finished and not taken, or set aside."""
        while self._taken - self._given >= self._window or self._parked >= self._window // 2:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._room.append(future)
            await future

    def _make_room(self) -> None:
        while self._room:
            future = self._room.popleft()
            if not future.done():
                future.set_result(None)

    def _show(self, *, is_last: bool = False) -> None:
        if not self._started_at:
            return
        now = asyncio.get_running_loop().time()
        self.report.elapsed_s = now - self._started_at
        if self._shows and (is_last or now - self._shown_at >= _PROGRESS_S):
            self._shown_at = now
            self._screen.write(f"\r\x1b[2K{self.report.line()}" + ("\n" if is_last else ""))
            self._screen.flush()


class _Source:
    """Items of any iterator, for many takers."""

    def __init__(self, items: Items) -> None:
        self._async = aiter(items) if isinstance(items, AsyncIterable) else None
        self._plain = iter(()) if isinstance(items, AsyncIterable) else iter(items)
        self._turns = asyncio.Lock()  # an async generator gives one item at a time
        self._is_ended = False

    async def next(self) -> Item | None:
        """Return one more; None when there is none."""
        if self._async is None:
            for item in self._plain:
                return item
            return None
        async with self._turns:
            if not self._is_ended:
                async for item in self._async:
                    return item
                self._is_ended = True
            return None

    async def close(self) -> None:
        """End a generator that was not read to its end."""
        close: Any = getattr(self._async, "aclose", None)  # Any: generators have one, other iterators do not
        if close is not None:
            await close()


def raise_descriptor_limit(wanted: int) -> None:
    """Allow this process as many descriptors as so many connections need, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
