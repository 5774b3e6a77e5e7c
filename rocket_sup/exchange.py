"""From one request to its answer.

A request without content, or whose content is whole, is routed, its handler called or started, and what
comes of it is put into the batch of answers that is being made. Nothing here looks at received bytes.
"""

from __future__ import annotations

import inspect
import math
import time
from abc import abstractmethod
from collections.abc import Awaitable
from typing import cast

from rocket_sup.dispatch import decide
from rocket_sup.handling import Running, failure
from rocket_sup.hooks import Client
from rocket_sup.http.framing import HEAD_END
from rocket_sup.http.semantics import CLOSE, PERSIST, PERSIST_1_0, serialise
from rocket_sup.incoming import Incoming
from rocket_sup.link import Link, after
from rocket_sup.phases import HANDLER, IDLE
from rocket_sup.repertoire import Known
from rocket_sup.request import Request
from rocket_sup.response import Answer, answer_from
from rocket_sup.router import Route
from rocket_sup.service import Service

_monotonic = time.monotonic


class Exchange(Link):
    """The answering side of a connection."""

    __slots__ = ("_client", "_running")

    def __init__(self, service: Service) -> None:
        """Wait for a transport."""
        super().__init__(service)
        self._client: Client = ""
        self._running: Running | None = None

    @abstractmethod
    def _go_on(self) -> None:
        """Serve what was held back while a handler ran; a callback of the loop."""

    @abstractmethod
    def _lend(
        self,
        route: Route,
        request: Request,
        out: list[bytes],
        started: float,
        *,
        keep_alive: bool,
        incoming: Incoming | None = None,
    ) -> None:
        """Start the handler of a route that takes the connection over for an exchange."""

    @abstractmethod
    def _lend_answer(
        self,
        request: Request,
        answer: Answer,
        out: list[bytes],
        started: float,
        *,
        keep_alive: bool,
        incoming: Incoming | None = None,
    ) -> None:
        """Begin to send an answer whose content comes in pieces."""

    def _decide(self, request: Request) -> Route | Answer | None:
        try:
            return decide(self._service.router, request)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return failure(self._service, request, error)

    def _answer(
        self,
        request: Request,
        out: list[bytes],
        started: float,
        *,
        keep_alive: bool,
        whole: bytes | None = None,
    ) -> float:
        """Answer a request without content, or begin to; return the time after it.

        Args:
            whole: all received bytes, when they are this request alone and worth remembering.
        """
        service = self._service
        found = None if service.hooks.pre_routing else service.find(request.method, request.path)
        if found is not None:
            route, params = found
            if params:
                request.path_params = params
            if whole is not None:
                service.repertoire.learn(whole, Known(request, route, params))
            return self._run(route, request, out, started, keep_alive=keep_alive)
        decision = self._decide(request)
        if isinstance(decision, Route):
            return self._run(decision, request, out, started, keep_alive=keep_alive)
        if decision is None:
            self._drop(out)
            return started
        self._respond(request, decision, out, started, keep_alive=keep_alive)
        return started

    def _run(
        self, route: Route, request: Request, out: list[bytes], started: float, *, keep_alive: bool
    ) -> float:
        """Run a handler, or start it; return the time after it."""
        service = self._service
        service.record_in_flight(f"{request.method} {request.target}".encode("ascii"))
        if route.is_async or route.blocking:
            self._start(route, request, out, started, keep_alive=keep_alive)
            return started
        result: object
        try:
            result = service.context.copy().run(route.handler, request)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            result = failure(service, request, error)
        return self._conclude(route, request, result, out, started, keep_alive=keep_alive)

    def _conclude(
        self,
        route: Route,
        request: Request,
        result: object,
        out: list[bytes],
        started: float,
        *,
        keep_alive: bool,
    ) -> float:
        """Answer with what a plain handler returned, or await it; return the time after it."""
        service = self._service
        head = request.head
        if keep_alive and head.method != "HEAD" and head.version == "1.1":
            try:
                answer = service.heads.persistent_answer(type(result), result)
            except Exception as error:
                answer, result = None, failure(service, request, error)
            if answer is not None:
                out.append(answer)
                now = _monotonic()
                service.note(request, 200, len(answer) - answer.index(HEAD_END) - 4, now - started)
                return now
        if inspect.isawaitable(result):
            self._start(route, request, out, started, keep_alive=keep_alive, awaitable=result)
            return started
        self._respond(request, result, out, started, keep_alive=keep_alive)
        return _monotonic()

    def _start(
        self,
        route: Route,
        request: Request,
        out: list[bytes],
        started: float,
        *,
        keep_alive: bool,
        awaitable: Awaitable[object] | None = None,
    ) -> None:
        """Start a handler whose result comes later; the answers owed before it leave now."""
        if route.takes_conduit:
            self._lend(route, request, out, started, keep_alive=keep_alive)
            return
        service = self._service
        self._phase = HANDLER
        self.deadline = after(started, service.timeouts.handler)
        if out:
            self._write(out)
        running = Running(service, self, request, keep_alive=keep_alive, started=started)
        if awaitable is not None:
            running.start_task(awaitable)
        elif route.is_async:
            try:
                awaitable = cast("Awaitable[object]", route.handler(request))
            except Exception as error:  # not the handler's body: a wrong signature
                running.deliver(error)
                return
            running.start_task(awaitable)
        else:
            running.start_thread(route.handler)
        if running.is_waiting:
            self._running = running

    def on_handled(self, running: Running, result: object) -> None:
        """Answer with what a started handler gave; see `Running`."""
        is_eager = (
            self._running is None
        )  # it never suspended: `_serve` is below us and goes on with the next request
        self._running = None
        self._phase = IDLE
        now = _monotonic()
        if now >= self._service.heads.expires:
            self._service.refresh_heads(now)
        is_last = self._service.is_draining and not self._pending
        out: list[bytes] = []
        self._respond(
            running.request, result, out, running.started, keep_alive=running.keep_alive and not is_last
        )
        if self._phase is not IDLE:
            return
        self.idle_since = now
        if not self._is_blocked:
            self.deadline = math.inf if self._pending else after(now, self._service.timeouts.idle)
        self._write(out)
        if is_eager:
            return
        if self._pending or self._is_half_closed:
            self._service.loop.call_soon(self._go_on, context=self._service.context)

    def _respond(
        self, request: Request, result: object, out: list[bytes], started: float, *, keep_alive: bool
    ) -> None:
        """Turn a handler's result into an answer; after the last one, close."""
        service = self._service
        try:
            answer = result if isinstance(result, Answer) else answer_from(result)
        except Exception as error:
            answer = failure(service, request, error)
        if answer.source is not None:
            self._lend_answer(request, answer, out, started, keep_alive=keep_alive)
            return
        keep_alive = keep_alive and not answer.closes
        out.append(whole_answer(request, answer, service.heads.date_line, keep_alive=keep_alive))
        service.note(request, answer.status, content_bytes(request, answer), _monotonic() - started)
        if not keep_alive:
            self._close_with(out)


def whole_answer(request: Request, answer: Answer, date_line: bytes, *, keep_alive: bool) -> bytes:
    """Write an answer that has no source, head and content, as its request asks for it.

    Args:
        date_line: for an answer without a Date of its own.
        keep_alive: the connection goes on after it.
    """
    is_head = request.method == "HEAD"
    return serialise(
        answer.status,
        b"" if answer.has_date else date_line,
        answer.fields,
        answer.body,
        connection=CLOSE if not keep_alive else PERSIST_1_0 if request.http_version == "1.0" else PERSIST,
        is_head=is_head,
        length=answer.length if is_head else len(answer.body),
    )


def content_bytes(request: Request, answer: Answer) -> int:
    """Count the content that goes out with an answer, as the access log tells it."""
    return 0 if request.method == "HEAD" else len(answer.body)
