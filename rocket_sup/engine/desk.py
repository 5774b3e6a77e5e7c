"""The desk of a native wire: what the native engine asks Python for, because it is rare.

Routes are found and plain answers written natively. Hooks, methods and paths without a route, faults,
failures, threads and the end of a connection come here, to the functions that serve the portable engine too:
there is one truth about them.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from rocket_sup.conduit import Receiver
from rocket_sup.dispatch import decide, refusal
from rocket_sup.engine.contract import WireBrief
from rocket_sup.errors import LocalProtocolError, RemoteProtocolError, TransportError
from rocket_sup.handling import failure, log_failure, log_hook_failure
from rocket_sup.hooks import Client, SetupDecision, host_of
from rocket_sup.request import Request
from rocket_sup.response import Answer
from rocket_sup.router import Handler, Route
from rocket_sup.sessions import Sessions
from rocket_sup.streaming import stream_answer
from rocket_sup.threads import Threads, ThreadUse

if TYPE_CHECKING:
    from rocket_sup.accesslog import AccessLog
    from rocket_sup.config import LimitsConfig, TimeoutsConfig
    from rocket_sup.log import EventLog

Deliver = Callable[[int, object, bool], None]
OnStuck = Callable[[int, int, str, int], None]

TOO_SLOW: Final = "the application took too long (RFC 9110 §15.6.4)"


class Desk:
    """What one native wire is served with.

    Attributes:
        routes: every route and the fallback; native code finds a route among them by identity.
        sole_route: serves every request, if there is such a route.
        sessions: the long conversations of the wire.
        stream_answer: makes the coroutine that writes an answer whose content comes in pieces.
        context: every handler runs in a copy of it.
        is_awaitable: tells an awaitable result from one to be written.
        places: what `Places.share` gave; None where nobody counts.
        deliver: takes what a handler in a thread came to; set by the wire.
        on_stuck: a queue cannot be emptied: its descriptor, and what an `Accepted` says; set by the wire.
        on_closed: a connection is gone; called while the wire is telling.
        wake: called when something is to be done before any descriptor is ready; None when the loop asks the
            reactor anyway.
    """

    is_awaitable = staticmethod(inspect.isawaitable)
    refusal = staticmethod(refusal)
    stream_answer = staticmethod(stream_answer)

    def __init__(self, brief: WireBrief, *, wake: Callable[[], None] | None = None) -> None:
        router, config = brief.router, brief.config
        self.loop: asyncio.AbstractEventLoop = brief.loop
        self.log: EventLog = brief.log
        self.access_log: AccessLog | None = brief.access_log
        self.access_format: str = config.log.access if brief.access_log is not None else ""
        self.flight_box = brief.flight_box
        self.limits: LimitsConfig = config.limits
        self.timeouts: TimeoutsConfig = config.timeouts
        self.max_body: int = config.server.max_body
        self.routes: list[Route] = router.all_routes()
        self.error_pages = router.error_pages
        self.sole_route: Route | None = router.sole_route
        self.sessions = Sessions(brief.config.websocket)
        self.has_pre_routing: bool = bool(router.hooks.pre_routing)
        self.has_setup: bool = bool(router.hooks.setup)
        self.has_teardown: bool = bool(router.hooks.teardown)
        self.context = contextvars.copy_context()
        self.places = None if brief.places is None else brief.places.share()
        self.deliver: Deliver = _forget
        self.on_stuck: OnStuck = _leave
        self.on_closed = brief.on_closed
        self.wake = wake
        self._router = router
        self._hooks = router.hooks
        self._on_stop_accepting = brief.on_stop_accepting
        self.threads = Threads(config.acceptor.threads)

    # --- requests ---

    def decide(self, request: Request) -> Route | Answer | None:
        """Find what serves a request that no route was found for; see `dispatch.decide`."""
        return decide(self._router, request)

    def failure(self, request: Request, error: BaseException) -> Answer:
        """Answer what a handler or a hook raised."""
        return failure(self, request, error)

    def log_failure(self, request: Request, error: BaseException) -> None:
        """Log what a handler raised that nobody waits for any more."""
        log_failure(self, request, error)

    def refuse(self, status: int, reason: str, client: Client) -> Answer:
        """Answer a fault of the client."""
        self.log.debug("request_refused", client=host_of(client), status=status, reason=reason)
        return refusal(status, reason)

    def too_slow(self, request: Request) -> Answer:
        """Answer for a handler whose deadline has passed."""
        self.log.warning("handler_too_slow", method=request.method, target=request.target)
        return refusal(503, TOO_SLOW)

    @staticmethod
    async def wait_for(awaitable: Awaitable[object]) -> object:
        """Make a coroutine of any awaitable."""
        return await awaitable

    # --- lent exchanges ---

    @staticmethod
    def content_error(status: int, reason: str) -> RemoteProtocolError:
        """Make what a receiver is told of a fault in the content."""
        return RemoteProtocolError(reason, status=status)

    def tell_gone(
        self,
        request: Request,
        receiver: Receiver | None,
        kind: str,
        status: int,
        text: str,
        given: Exception | None,
    ) -> None:
        """Tell the receiver of a request that its connection is gone.

        Args:
            kind: with status, text and `given` as of `tear_down`.
        """
        error = given or _error_of(kind, status, text)
        if kind == "short" and error is not None:
            log_failure(self, request, error)
        if receiver is not None:
            receiver.on_gone(error)

    # --- threads ---

    @property
    def executor(self) -> ThreadPoolExecutor:
        """The threads of the wire; made when they are first needed."""
        return self.threads.executor

    def thread_use(self) -> ThreadUse:
        """How the threads are used."""
        return self.threads.use()

    def start_thread(self, handler: Handler, request: Request, token: int) -> Future[object]:
        """Call a blocking handler in a thread; its result is delivered on the loop, under the token."""
        context = self.context.copy()
        future: Future[object] = self.executor.submit(context.run, handler, request)
        future.add_done_callback(lambda done: self._on_thread_done(done, token))
        return future

    def _on_thread_done(self, future: Future[object], token: int) -> None:
        """Bring the result to the loop; runs in the handler's thread, or in ours when it was cancelled."""
        if future.cancelled():
            return
        error = future.exception()
        result = future.result() if error is None else error
        try:
            self.loop.call_soon_threadsafe(
                self.deliver, token, result, error is not None, context=self.context
            )
        except RuntimeError:  # the loop is closed: nobody waits
            return

    def close(self) -> None:
        """Let the threads end when their handlers do; deliver nothing any more."""
        self.deliver = _forget
        self.threads.close()

    # --- connections ---

    def admit(self, client: Client) -> TimeoutsConfig | None:
        """Ask the setup hooks about a new connection.

        Returns: its timeouts, the desk's own unless a hook says otherwise; None drops it.
        """
        decision: SetupDecision | TimeoutsConfig
        try:
            decision = self._hooks.run_setup(client, self.timeouts)
        except Exception as error:
            log_hook_failure(self, "setup", error)
            decision = SetupDecision.DROP
        if decision is SetupDecision.STOP_ACCEPTING:
            self._on_stop_accepting()
        return None if isinstance(decision, SetupDecision) else decision

    def tear_down(
        self, client: Client, kind: str, status: int, text: str, given: Exception | None = None
    ) -> None:
        """Tell the teardown hooks that a connection is gone; called where there are any.

        Args:
            client: whose.
            kind: "" ended by agreement; "fault" of the client, with status and text; "unread", it did not
                read; "slow", the handler's deadline passed; "broken", with errno as status; "unfinished", an
                answer that was begun; "short", a file that was to be sent.
            given: what a borrower aborted it with; comes before anything else.
        """
        try:
            self._hooks.run_teardown(client, given or _error_of(kind, status, text))
        except Exception as error:
            log_hook_failure(self, "teardown", error)

    def flush_log(self) -> None:
        """Take over the lines of the access log."""
        if self.access_log is not None:
            self.access_log.flush()


def _error_of(kind: str, status: int, text: str) -> Exception | None:
    match kind:
        case "fault":
            return RemoteProtocolError(text, status=status)
        case "unread":
            return TransportError("the client does not read its answer")
        case "slow":
            return TimeoutError("the handler's deadline passed")
        case "broken":
            return OSError(status, "the connection broke")
        case "unfinished":
            return LocalProtocolError("an answer was begun and not finished")
        case "short":
            return LocalProtocolError("a file ended early")
    return None


def _forget(_token: int, _result: object, _is_error: bool) -> None:
    """Deliver to nobody."""


def _leave(_listening_fd: int, _taken: int, _stop: str, _errno: int) -> None:
    """Do nothing about a queue that nobody watches."""
