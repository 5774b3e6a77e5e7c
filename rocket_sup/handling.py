"""Run handlers: at once, as a task, or in a thread, each in a context of its own.

A plain handler is a call. A coroutine becomes a task before its first step, so that timeouts and task
groups find it. A blocking handler runs in one of the service's threads. What a handler raises is caught
here and becomes an answer; only `KeyboardInterrupt` goes through. A `Running` that was given up (its client
left, its deadline passed) is cancelled, and whatever it still gives is dropped.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import traceback
from collections.abc import Awaitable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol

from rocket_sup.dispatch import refusal
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.request import Request
from rocket_sup.response import Answer, call_blocking
from rocket_sup.router import Handler

if TYPE_CHECKING:
    from rocket_sup.errorpages import ErrorPages
    from rocket_sup.log import EventLog
    from rocket_sup.service import Service


class Logs(Protocol):
    """Whoever has the log of failures, and what the application says about them; a service."""

    @property
    def log(self) -> EventLog: ...
    @property
    def error_pages(self) -> ErrorPages: ...


class Waiting(Protocol):
    """Whoever waits for a handler; a connection."""

    def on_handled(self, running: Running, result: object) -> None:
        """Take the result: a handler's value, or an `Answer`."""


class Running:
    """A handler that has not ended.

    Attributes:
        request: what it serves.
        keep_alive: whether the connection goes on after its answer.
        started: monotonic seconds.
    """

    __slots__ = ("_awaitable", "_future", "_service", "_task", "_waiting", "keep_alive", "request", "started")

    def __init__(
        self, service: Service, waiting: Waiting, request: Request, *, keep_alive: bool, started: float
    ) -> None:
        self.request = request
        self.keep_alive = keep_alive
        self.started = started
        self._service = service
        self._waiting: Waiting | None = waiting
        self._awaitable: Awaitable[object] | None = None
        self._task: asyncio.Task[None] | None = None
        self._future: Future[object] | None = None
        service.statistics.in_flight += 1

    @property
    def is_waiting(self) -> bool:
        """Somebody waits for its result."""
        return self._waiting is not None

    def start_task(self, awaitable: Awaitable[object], *, may_be_eager: bool = True) -> None:
        """Await a coroutine in a task; where Python can (3.12), its first step is taken now.

        Args:
            may_be_eager: False leaves the first step to the loop's next turn.
        """
        loop = self._service.loop
        context = self._service.context.copy()
        self._awaitable = awaitable
        drive = self._drive(awaitable)
        if sys.version_info >= (3, 12) and may_be_eager:
            self._task = asyncio.Task(drive, loop=loop, context=context, eager_start=True)
        else:
            self._task = loop.create_task(drive, context=context)

    def start_thread(self, handler: Handler) -> None:
        """Call a blocking handler in a thread."""
        context = self._service.context.copy()
        self._future = self._service.executor.submit(context.run, call_blocking, handler, self.request)
        self._future.add_done_callback(self._on_thread_done)

    def give_up(self) -> None:
        """Cancel it as far as that is possible, and forget its result."""
        if self._waiting is None:
            return
        self._finish()
        if self._task is not None:
            self._task.cancel()
            awaitable = self._awaitable
            if (
                inspect.iscoroutine(awaitable)
                and inspect.getcoroutinestate(awaitable) == inspect.CORO_CREATED
            ):
                awaitable.close()  # its task is cancelled before its first step, and would leave it unawaited
        if self._future is not None:
            self._future.cancel()  # succeeds while it queues for a thread; a running call cannot be stopped

    async def _drive(self, awaitable: Awaitable[object]) -> None:
        try:
            result = await awaitable
        except asyncio.CancelledError as error:
            self.deliver(error)
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if isinstance(error, GeneratorExit) and self._service.loop.is_closed():
                raise  # nothing failed: it is taken apart where it waited, after its loop was gone
            self.deliver(error)
        else:
            self.deliver(result)

    def _on_thread_done(self, future: Future[object]) -> None:
        """Bring the result to the loop; runs in the handler's thread, or in ours when it was cancelled."""
        if future.cancelled():
            return
        error = future.exception()
        result = future.result() if error is None else error
        try:
            self._service.loop.call_soon_threadsafe(self.deliver, result, context=self._service.context)
        except RuntimeError:  # the loop is closed: nobody waits
            return

    def deliver(self, result: object) -> None:
        """Hand on the result, or make an answer of an exception; a result nobody waits for is dropped."""
        waiting = self._waiting
        if waiting is None:
            if isinstance(result, Exception):
                log_failure(self._service, self.request, result)
            return
        self._finish()
        if isinstance(result, BaseException):
            result = failure(self._service, self.request, result)
        waiting.on_handled(self, result)

    def _finish(self) -> None:
        self._waiting = None
        self._service.statistics.in_flight -= 1


def failure(service: Logs, request: Request, error: BaseException) -> Answer:
    """Answer what a handler or a hook raised: by its page, the client's fault by its status, else 500 and a
    log line.
    """
    is_refusal = isinstance(error, RemoteProtocolError) and 400 <= error.status <= 599
    if not is_refusal and not service.error_pages.expects(error):
        log_failure(service, request, error)
    status = error.status if is_refusal and isinstance(error, RemoteProtocolError) else 500
    if isinstance(error, Exception):
        try:
            page = service.error_pages.page_of(request, error, status)
        except Exception as problem:
            log_failure(service, request, problem)
            status, page, is_refusal = 500, None, False
        if page is not None:
            return page
    return refusal(status, str(error) if is_refusal else "the application failed (RFC 9110 §15.6.1)")


def log_failure(service: Logs, request: Request, error: BaseException) -> None:
    """Log an exception with its request."""
    service.log.error(
        "handler_failed",
        method=request.method,
        target=request.target,
        error=_named(error),
        traceback="".join(traceback.format_exception(error)),
    )


def log_hook_failure(service: Logs, moment: str, error: Exception) -> None:
    """Log an exception of a hook that belongs to no request."""
    service.log.error(
        "hook_failed",
        hook=moment,
        error=_named(error),
        traceback="".join(traceback.format_exception(error)),
    )


def _named(error: BaseException) -> str:
    """Name an exception with its text, if it has one that can be had."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception as problem:  # of the application, like the error itself
        return f"{type(error).__name__}: without a text, which raised {type(problem).__name__}"
