"""What connections share: counters, deadlines kept by one timer, and the order of idleness."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rocket_sup.config import Config
from rocket_sup.router import Router
from rocket_sup.service import LATENCY_BUCKETS, Service, Statistics
from tests.unit.conftest import Journal


class Idle:
    """A connection as the service sees it."""

    def __init__(self, since: float = 0.0) -> None:
        self.idle_since = since
        self.is_idle = True
        self.deadline = math.inf
        self.calls: list[str] = []

    def is_idle_enough(self, now: float) -> bool:
        """Idle is enough."""
        return self.is_idle

    def close_idle(self) -> None:
        """Stop being idle."""
        self.calls.append("close_idle")
        self.is_idle = False

    def on_deadline(self, now: float) -> None:
        """Note that the deadline has passed."""
        self.deadline = math.inf
        self.calls.append("on_deadline")

    def drain(self) -> None:
        """Note it."""
        self.calls.append("drain")

    def abort(self) -> None:
        """Note it."""
        self.calls.append("abort")


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that turns when a test says so."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def make(loop: asyncio.AbstractEventLoop, journal: Journal) -> Callable[..., Service]:
    """Give a function that makes a service around stand-ins for connections."""

    def make_service(*connections: Any, access_log: Any = None) -> Service:
        service = Service(
            Router(),
            Config(),
            loop=loop,
            log=journal.log,
            access_log=access_log,
            statistics=Statistics(),
            on_closed=lambda: None,
            on_stop_accepting=lambda: None,
        )
        service.connections.update(connections)
        return service

    return make_service


def test_answers_are_counted_by_class_and_duration(make: Callable[..., Service]) -> None:
    """The sum of the classes is the number of requests."""
    service = make()
    for status in (200, 204, 304, 404, 500, 700):
        service.note(None, status, 0, 0.001)
    service.note(None, 200, 0, 0.0)
    service.note(None, 200, 0, 1e9)
    statistics = service.statistics

    assert statistics.statuses == [1, 0, 4, 1, 1, 1]
    assert statistics.requests == sum(statistics.latency) == 8
    assert len(statistics.latency) == LATENCY_BUCKETS
    counted = {bucket: count for bucket, count in enumerate(statistics.latency) if count}
    assert counted == {1: 1, 11: 6, LATENCY_BUCKETS - 1: 1}


def test_the_longest_idle_comes_first(make: Callable[..., Service]) -> None:
    """Each is asked again before it is believed, and later ones are found when the known ones are used up."""
    first, second, third = Idle(1.0), Idle(2.0), Idle(3.0)
    service = make(third, first, second)

    assert service.longest_idle_since() == 1.0
    first.is_idle = False
    assert service.longest_idle_since() == 2.0
    second.idle_since = 4.0  # it has served a request meanwhile
    assert service.longest_idle_since() == 3.0
    assert service.close_longest_idle()
    assert third.calls == ["close_idle"]
    assert service.longest_idle_since() == 4.0
    assert service.close_longest_idle()
    assert not service.close_longest_idle()
    assert service.longest_idle_since() is None


def test_one_timer_keeps_all_deadlines(make: Callable[..., Service], loop: asyncio.AbstractEventLoop) -> None:
    """Those that have passed are told, a failing one is cut and costs the others nothing."""
    late, failing, early = Idle(), Idle(), Idle()
    late.deadline = failing.deadline = loop.time() - 1.0
    failing.on_deadline = lambda now: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    service = make(late, failing, early)
    service._sweep()

    assert (late.calls, failing.calls, early.calls) == (["on_deadline"], ["abort"], [])
    assert service._timer is not None
    service.stop()
    assert service._timer is None


def test_starting_twice_makes_one_timer(make: Callable[..., Service]) -> None:
    """And stopping twice is nothing new."""
    service = make()
    service.start()
    timer = service._timer
    service.start()

    assert service._timer is timer
    service.stop()
    service.stop()
    assert timer is not None
    assert timer.cancelled()


def test_draining_and_aborting_reach_every_connection(make: Callable[..., Service]) -> None:
    """Draining lasts."""
    one, two = Idle(), Idle()
    service = make(one, two)
    service.drain()
    service.abort_all()

    assert service.is_draining
    assert one.calls == two.calls == ["drain", "abort"]


def test_threads_start_with_the_first_who_needs_them(make: Callable[..., Service]) -> None:
    """And end with the service."""
    service = make()
    executor = service.executor

    assert executor is service.executor
    assert executor.submit(lambda: 5).result(5) == 5
    service.stop()
    with pytest.raises(RuntimeError):
        executor.submit(lambda: 5)
    executor.shutdown(wait=True)


def test_a_short_head_is_surely_within_the_limits(make: Callable[..., Service]) -> None:
    """All others are counted."""
    service = make()

    assert service.allows_plain(8192, b"")
    assert not service.allows_plain(8193, b"")
    assert not service.allows_plain(100, b"x" * 512)


def test_what_could_not_be_read_is_logged_too(make: Callable[..., Service]) -> None:
    """With dashes for what nobody knows."""
    lines: list[tuple[object, ...]] = []

    class Log:
        def append(self, *entry: object) -> None:
            lines.append(entry)

    make(access_log=Log()).note(None, 400, 7, 0.5, client=("192.0.2.1", 80))

    assert lines == [("192.0.2.1", "-", "-", "-", 400, 7, 0.5, None, None)]
