"""Connections that are kept, and who may open another: every operation takes the same time, however many
there are.

A *lane* is what one origin has: idle connections, the last used first, and callers who wait. The pool bounds
what all lanes have open together. Who waits longest is served next, in his lane and over all lanes: a lane
whose callers have waited longer gets the place of a connection that another lane would use again.

Specified in RFC 9112 §9.3, §9.4.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Protocol

from rocket_sup.client.errors import ClientClosed, PoolTimeout, TotalTimeout
from rocket_sup.client.messages import Request
from rocket_sup.client.settings import Limits


class Connection(Protocol):
    """What the pool knows of a connection."""

    @property
    def is_closed(self) -> bool: ...

    def reserve(self) -> bool:
        """Take the right to send one request; return whether there is room for another."""
        ...

    def release(self) -> bool:
        """Give it back; return whether nobody uses the connection now."""
        ...

    def close(self) -> None:
        """End it; `on_closed` tells the pool when it is gone."""
        ...

    def abort(self) -> None:
        """End it at once."""
        ...


class Waiter:
    """One caller who waits, for a connection or for the right to open one (None)."""

    __slots__ = ("future", "number")

    def __init__(self, future: asyncio.Future[Connection | None], number: int) -> None:
        self.future = future
        self.number = number


class Lane:
    """The connections of one origin.

    Attributes:
        key: what leads to it.
        idle: connections that have room for a request, the last used one last.
        waiters: callers, the oldest first.
        open: connections, those being made included.
        dialling: connections being made.
        may_share: whether connections may take many requests at once; then one is made at a time.
    """

    __slots__ = ("dialling", "idle", "key", "may_share", "open", "waiters")

    def __init__(self, key: Hashable, *, may_share: bool) -> None:
        self.key = key
        self.idle: OrderedDict[Connection, None] = OrderedDict()
        self.waiters: deque[Waiter] = deque()
        self.open = 0
        self.dialling = 0
        self.may_share = may_share

    def next_waiter(self) -> Waiter | None:
        """The oldest caller who still waits; he stays in the queue."""
        while self.waiters and self.waiters[0].future.done():
            self.waiters.popleft()
        return self.waiters[0] if self.waiters else None


class Pool:
    """All connections of one client."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, *, may_share: bool = False) -> None:
        self._loop = loop
        self._limits = limits
        self._lanes: dict[Hashable, Lane] = {}
        self._lane_of: dict[Connection, Lane] = {}
        self._idle_until: OrderedDict[Connection, float] = (
            OrderedDict()
        )  # the one that was idle longest first
        self._blocked: OrderedDict[Lane, None] = OrderedDict()  # lanes that wait for a place of the pool
        self._waiter_count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None
        self._is_closed = False
        self._may_share = may_share
        self.open = 0

    def lane(self, key: Hashable) -> Lane:
        """The lane of an origin, made when there is none."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key, may_share=self._may_share)
        return lane

    def try_take(self, lane: Lane) -> Connection | None:
        """Take the connection with room that was used last; None when there is none."""
        while lane.idle:
            connection = next(reversed(lane.idle))
            self._idle_until.pop(connection, None)
            if connection.is_closed:
                del lane.idle[connection]
                continue
            if not connection.reserve():
                del lane.idle[connection]
            return connection
        return None

    async def reserve(self, lane: Lane, request: Request) -> Connection | None:
        """Wait for a connection, or for the right to open one.

        Returns: a connection; or None, and then one more is counted, which ends with `add` or `cancel`.
        Raises:
            PoolTimeout, TotalTimeout: there was neither in time.
            ClientClosed: the pool was closed.
        """
        if self._is_closed:
            raise ClientClosed("the client is closed", request=request)
        if lane.next_waiter() is None:
            connection = self.try_take(lane)
            if connection is not None:
                return connection
            if self._try_count(lane):
                return None
        return await self._wait(lane, request)

    def add(self, lane: Lane, connection: Connection) -> None:
        """A connection was opened in a place that was counted; whoever opened it uses it."""
        self._lane_of[connection] = lane
        lane.dialling -= 1
        if connection.reserve():
            lane.idle[connection] = None
            self._serve(lane, connection)
        if lane.next_waiter() is not None:
            self._blocked.setdefault(lane)
            self._admit()

    def cancel(self, lane: Lane) -> None:
        """No connection came of a place that was counted."""
        lane.dialling -= 1
        self.vacate(lane)

    def vacate(self, lane: Lane) -> None:
        """A place is free again: its connection is gone."""
        lane.open -= 1
        self.open -= 1
        if lane.next_waiter() is not None:
            self._blocked.setdefault(lane)
        self._admit()
        if lane.open == 0 and not lane.waiters and self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]
        if self.open == 0 and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    def on_idle(self, connection: Connection) -> None:
        """A connection has no request any more."""
        is_unused = connection.release()
        lane = self._lane_of.get(connection)
        if lane is None or connection.is_closed:
            return
        if self._is_closed:
            connection.close()
            return
        waiter = lane.next_waiter()
        if self._blocked and self._is_another_due(lane, waiter):
            if is_unused:
                connection.close()  # its place goes to the lane that waits longer
        elif waiter is not None:
            lane.idle[connection] = None
            self._serve(lane, connection)
            if lane in self._blocked:
                self._blocked.move_to_end(lane)  # it was served just now: others come first
        else:
            lane.idle[connection] = None
            if not is_unused:
                return
            self._idle_until[connection] = self._loop.time() + self._limits.idle_s
            if self._timer is None:
                self._timer = self._loop.call_later(self._limits.idle_s, self._expire)

    def on_closed(self, connection: Connection) -> None:
        """A connection is gone."""
        lane = self._lane_of.pop(connection, None)
        if lane is None:
            return
        lane.idle.pop(connection, None)
        self._idle_until.pop(connection, None)
        self.vacate(lane)

    def _serve(self, lane: Lane, connection: Connection) -> None:
        """Give a connection with room to those who wait, as far as it goes."""
        has_room = True
        while has_room and (waiter := lane.next_waiter()) is not None:
            lane.waiters.popleft()
            has_room = connection.reserve()
            waiter.future.set_result(connection)
        if not has_room:
            del lane.idle[connection]

    async def close(self, patience_s: float = 1.0) -> None:
        """Close every connection and wait until they are gone; those in use break."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for lane in list(self._lanes.values()):
            while (waiter := lane.next_waiter()) is not None:
                lane.waiters.popleft()
                waiter.future.set_exception(ClientClosed("the client was closed"))
        for connection in list(self._lane_of):
            connection.close()
        if self._lane_of:
            await self._until_empty(patience_s)
        for connection in list(self._lane_of):
            connection.abort()
        if self._lane_of:
            await self._until_empty(patience_s)

    async def _until_empty(self, patience_s: float) -> None:
        self._emptied = self._loop.create_future()
        await asyncio.wait([self._emptied], timeout=patience_s)

    def _try_count(self, lane: Lane) -> bool:
        """Count one more connection of a lane if the limits allow; an idle one of another lane makes room."""
        self._admit()  # whoever waits comes first
        if lane.open >= self._limits.max_per_origin or (lane.may_share and lane.dialling):
            return False
        if self.open >= self._limits.max_connections:
            if self._idle_until:
                next(iter(self._idle_until)).close()  # its place is free when it is gone
            return False
        self._count(lane)
        return True

    def _count(self, lane: Lane) -> None:
        lane.open += 1
        lane.dialling += 1
        self.open += 1

    def _is_another_due(self, lane: Lane, waiter: Waiter | None) -> bool:
        """Whether somebody in the lane that is blocked longest came before this lane's oldest waiter."""
        while self._blocked:
            other = next(iter(self._blocked))
            oldest = other.next_waiter()
            if oldest is not None and other is not lane:
                return waiter is None or oldest.number < waiter.number
            if oldest is not None:
                return False
            del self._blocked[other]
        return False

    def _admit(self) -> None:
        """Give free places to lanes that wait for one, a place each in turn."""
        while self._blocked and self.open < self._limits.max_connections:
            lane, _ = self._blocked.popitem(last=False)
            waiter = lane.next_waiter()
            if waiter is None or lane.open >= self._limits.max_per_origin:
                continue
            if lane.may_share and lane.dialling:
                continue  # `add` and `cancel` come back to it
            lane.waiters.popleft()
            self._count(lane)
            waiter.future.set_result(None)
            if lane.next_waiter() is not None:
                self._blocked[lane] = None

    async def _wait(self, lane: Lane, request: Request) -> Connection | None:
        future: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiter_count += 1
        lane.waiters.append(Waiter(future, self._waiter_count))
        if lane.open < self._limits.max_per_origin:
            self._blocked.setdefault(lane)
        timer = self._arm(future, request)
        try:
            return await future
        except BaseException:
            # Cancelled in the very moment in which something was given.
            if future.done() and not future.cancelled() and future.exception() is None:
                given = future.result()
                if given is None:
                    self.cancel(lane)
                else:
                    self.on_idle(given)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _arm(self, future: asyncio.Future[Connection | None], request: Request) -> asyncio.TimerHandle | None:
        seconds, deadline = request.timeout.pool, request.deadline
        at = None if seconds is None else self._loop.time() + seconds
        error: PoolTimeout | TotalTimeout = PoolTimeout(
            f"every connection was taken for {seconds} s", request=request, request_sent=False
        )
        if deadline is not None and (at is None or deadline < at):
            at = deadline
            error = TotalTimeout("the whole request took too long", request=request, request_sent=False)
        if at is None:
            return None
        return self._loop.call_at(at, lambda: None if future.done() else future.set_exception(error))

    def _expire(self) -> None:
        """Close what was idle too long; all are in the order in which that happens."""
        self._timer = None
        now = self._loop.time()
        while self._idle_until:
            connection, until = next(iter(self._idle_until.items()))
            if until > now:
                self._timer = self._loop.call_at(until, self._expire)
                return
            del self._idle_until[connection]
            self._lane_of[connection].idle.pop(connection, None)
            connection.close()
