"""The threads of an acceptor: a bounded pool whose use can be read, and handlers that are moved into it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar, cast

from rocket_sup.route import Handler, Route

if TYPE_CHECKING:
    from rocket_sup.request import Request
    from rocket_sup.router import Router

P = ParamSpec("P")
T = TypeVar("T")


class ThreadUse(NamedTuple):
    """How a pool is used.

    Attributes:
        size: threads there may be.
        busy: threads that run something.
        queued: calls that wait for a thread.
    """

    size: int
    busy: int = 0
    queued: int = 0


class HandlerThreads(ThreadPoolExecutor):
    """A pool whose use can be read at any moment, from any thread."""

    def __init__(self, size: int) -> None:
        super().__init__(size, thread_name_prefix="rocket-handler")
        self._size = size
        self._running: list[None] = []  # one entry for each call under way: append and pop are atomic

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function in a thread, as soon as there is one."""
        return super().submit(self._counted, fn, args, kwargs)

    def use(self) -> ThreadUse:
        """How it is used now."""
        queued = self._work_queue.qsize()  # private: to count in the futures would cost each call a callback
        return ThreadUse(self._size, len(self._running), queued)

    def _counted(self, fn: Callable[..., T], args: Any, kwargs: Any) -> T:  # of any function
        self._running.append(None)
        try:
            return fn(*args, **kwargs)
        finally:
            self._running.pop()


class Threads:
    """The threads of one wire: a pool that is made by the first who needs it, and again after it was closed.

    Args:
        size: `acceptor.threads`, of which 0 is about WSGI applications alone.
    """

    __slots__ = ("_pool", "_size")

    def __init__(self, size: int) -> None:
        self._size = max(1, size)
        self._pool: HandlerThreads | None = None

    @property
    def executor(self) -> HandlerThreads:
        """The pool."""
        if self._pool is None:
            self._pool = HandlerThreads(self._size)
        return self._pool

    def use(self) -> ThreadUse:
        """How it is used now."""
        return ThreadUse(self._size) if self._pool is None else self._pool.use()

    def close(self) -> None:
        """Let the threads end when their calls do; what waits for one is given up."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def move_to_threads(router: Router) -> None:
    """Have every handler of a router run in a thread, for code that blocks everywhere; again does nothing.

    A coroutine runs on a loop of its own there. What takes a conduit stays on the acceptor's loop: streams,
    WebSockets and whole ASGI applications.
    """
    for route in router.all_routes():
        if not route.takes_conduit and not route.blocking:
            _move(route)


def _move(route: Route) -> None:
    if route.is_async:
        route.handler = _on_own_loop(cast("Callable[[Request], Coroutine[Any, Any, object]]", route.handler))
        route.is_async = False
    route.blocking = True


def _on_own_loop(handler: Callable[[Request], Coroutine[Any, Any, object]]) -> Handler:
    @functools.wraps(handler)
    def run(request: Request) -> object:
        return asyncio.run(handler(request))

    del run.__wrapped__  # or it would be taken for the coroutine function
    return run
