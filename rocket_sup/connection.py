"""One client: bytes in, answers out, in order, with a deadline on whatever the client controls.

A connection is always in one phase; the phase says what received bytes mean and which deadline runs.
Complete requests in what was received are served in a loop, plain handlers called right there, and their
answers leave in one write. The loop stops at a request that has to wait (for its content, a coroutine or a
thread), at an error, at `limits.pipeline` answers, and when the client does not take what was written; the
rest is kept, bounded, and reading pauses until it is wanted.

After an error or the last answer the connection is closed in the way that lets the client read it (RFC 9112
§9.6): answer, half-close, read and forget for a moment, close.

`PHASES` lists the transitions. The parsing machines are in `http/framing.py` and `http/chunked.py`, routing
is in `dispatch.py`, and running handlers in `handling.py`.
"""

from __future__ import annotations

import asyncio
import math
import time
from math import frexp
from typing import TYPE_CHECKING, Any, Final, cast

from rocket_sup.dispatch import refusal
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.handling import failure, log_hook_failure
from rocket_sup.hooks import Client, SetupDecision, host_of
from rocket_sup.http.framing import HEAD_END, has_head_end, parse_head, plain_head
from rocket_sup.http.grammar import PLAIN_GET
from rocket_sup.http.semantics import LENGTHS, MAX_LENGTH, MAX_READY_BYTES
from rocket_sup.lending import CUT_SHORT, READ_AHEAD, Lending
from rocket_sup.link import LINGER_QUIET_S, LINGER_TOTAL_S, after
from rocket_sup.phases import CLOSED, CONTENT, FRESH, HANDLER, HEAD, IDLE, LENT, LINGER
from rocket_sup.repertoire import Known
from rocket_sup.request import Request
from rocket_sup.service import MICROSECOND, Service
from rocket_sup.tuned import TunedService

if TYPE_CHECKING:
    from rocket_sup.config import TimeoutsConfig

OWED_BYTES: Final = 65536  # of answers in one batch: then they are written, and the client has to take them

HEAD_CUT: Final = "the request ends in the middle of its head (RFC 9112 §8)"

_monotonic = time.monotonic
_time = time.time
LF: Final = 10
_plain_get = PLAIN_GET.match


class Connection(Lending):
    """One client of a service; the whole of its layers."""

    __slots__ = ("_announced", "_host", "_scanned")

    def __init__(self, service: Service, announced: Client | None = None) -> None:
        """Wait for a transport.

        Args:
            announced: the client, as a proxy that is believed has named it; None: the transport's peer.
        """
        super().__init__(service)
        self._announced = announced
        self._host = "-"  # the client's address, for the access log
        self._scanned = 0  # how far into an incomplete head the search for its end went

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: ask the setup hooks, and wait for the first byte."""
        service = self._service
        self._transport = cast(asyncio.Transport, transport)
        # Paused as soon as anything is unsent: then nothing more is served until the client has read all of
        # it.
        self._transport.set_write_buffer_limits(high=0)
        service.connections.add(self)
        peer = self._announced or transport.get_extra_info("peername")
        self._client = peer if isinstance(peer, tuple) else (peer or "")
        self._host = host_of(self._client)
        self.idle_since = now = _monotonic()
        self.deadline = after(now, service.timeouts.first_byte)
        if service.hooks.setup:
            self._run_setup()

    def _run_setup(self) -> None:
        service = self._service
        decision: SetupDecision | TimeoutsConfig
        try:
            decision = service.hooks.run_setup(self._client, service.timeouts)
        except Exception as error:
            log_hook_failure(service, "setup", error)
            decision = SetupDecision.DROP
        if isinstance(decision, SetupDecision):
            self._drop([])
        elif decision is not service.timeouts:
            self._service = TunedService(service, decision)
            self.deadline = after(self.idle_since, decision.first_byte)
        if decision is SetupDecision.STOP_ACCEPTING:
            service.on_stop_accepting()

    def connection_lost(self, exc: Exception | None) -> None:
        """End: give up what runs, tell the teardown hooks and the service."""
        service = self._service
        self._phase = CLOSED
        self.deadline = math.inf
        self._pending.clear()
        self._drop_content()
        if self._running is not None:
            self._running.give_up()
            self._running = None
        self._on_lent_lost(exc)
        service.connections.discard(self)
        if service.hooks.teardown:
            try:
                service.hooks.run_teardown(self._client, self._error or exc)
            except Exception as error:
                log_hook_failure(service, "teardown", error)
        service.on_closed()

    def data_received(self, data: bytes) -> None:
        """Take bytes; what came before, byte for byte, is not read again."""
        service = self._service
        service.statistics.bytes_received += len(data)
        phase = self._phase
        if (phase is IDLE or phase is FRESH) and not (self._pending or self._is_blocked):
            # Only what ends like a head is looked up whole: hashing content costs more than reading a head.
            known = service.find_known(data) if data[-1] == LF else None
            if known is not None:
                self._serve_known(known, b"")
            elif (known := service.repertoire.find_with_content(data)) is not None:
                self._serve_known(known, data[known.head.end :])
            else:
                self._serve(data, [])
        elif phase is HEAD:
            self._on_head_piece(data)
        elif phase is CONTENT:
            self._on_content(data)
        elif phase is LENT:
            self._on_lent_bytes(data)
        elif phase is LINGER:
            if not self._is_blocked:  # else it has the time to read that any client has
                self.deadline = min(_monotonic() + LINGER_QUIET_S, self._linger_until)
        elif phase is not CLOSED:
            self._hold(data)

    def eof_received(self) -> bool:
        """The client has sent everything: what is complete is still answered, what is not is refused."""
        self._is_half_closed = True
        self._is_reading = False  # the transport stops by itself; resuming would be an error
        phase = self._phase
        if phase is LINGER:
            return False
        if phase is HEAD and self._pending.strip(b"\r\n"):
            self._refuse(RemoteProtocolError(HEAD_CUT), [])
        elif phase is CONTENT:
            self._refuse(RemoteProtocolError(CUT_SHORT), [], self._request)
        elif phase is LENT:
            self._on_lent_eof()
            return True
        elif phase is HANDLER or self._is_blocked or (phase is not HEAD and self._pending):
            return True
        return False

    def resume_writing(self) -> None:
        """The client has taken everything: go on where we stopped."""
        self._is_blocked = False
        now = _monotonic()
        timeouts = self._service.timeouts
        phase = self._phase
        if phase is LINGER:
            self._linger_until = now + LINGER_TOTAL_S
            self.deadline = now + LINGER_QUIET_S
        elif phase is HANDLER:
            self.deadline = (
                math.inf if self._running is None else after(self._running.started, timeouts.handler)
            )
            # Here, because the handler's end resumes it only when something was held.
            if len(self._pending) < READ_AHEAD:
                self._resume_reading()
        elif phase is LENT:
            self._on_lent_room()
        elif phase is CONTENT:
            self._content_started = now
            self.deadline = after(now, timeouts.body)
            self._resume_reading()
        elif phase is not CLOSED:
            self.idle_since = now
            self.deadline = after(now, timeouts.head if phase is HEAD else timeouts.idle)
            # Not from here: the transport is in the middle of its own work.
            self._service.loop.call_soon(self._go_on, context=self._service.context)

    def on_deadline(self, now: float) -> None:
        """Act on what took too long."""
        phase = self._phase
        if self._is_blocked:
            self._on_write_deadline(now)
        elif phase is LINGER:
            self._transport.abort()
        elif phase is FRESH or phase is IDLE:
            # A request that came just in time is read by the loop before it asks again.
            if not self._pending and not self._has_unread_bytes():
                self.close_idle()
        elif phase is HEAD and not self._pending.strip(b"\r\n"):
            self.close_idle()
        elif phase is HEAD:
            self._refuse(RemoteProtocolError("the head took too long (RFC 9110 §15.5.9)", status=408), [])
        elif phase is CONTENT:
            error = RemoteProtocolError("the content came too slowly (RFC 9110 §15.5.9)", status=408)
            self._refuse(error, [], self._request)
        elif phase is LENT:
            self._on_lent_deadline(now)
        elif phase is HANDLER and self._running is not None:
            running, self._running = self._running, None
            running.give_up()
            self._service.log.warning(
                "handler_too_slow", method=running.request.method, target=running.request.target
            )
            self._error = TimeoutError("the handler's deadline passed")
            answer = refusal(503, "the application took too long (RFC 9110 §15.6.4)")
            if now >= self._service.heads.expires:
                self._service.refresh_heads(now)
            self._respond(running.request, answer, [], running.started, keep_alive=False)

    def _serve_known(self, known: Known, content: bytes) -> None:
        """Answer one request whose head and route are known; nothing else was received with it.

        This is the hot path.

        State: FRESH, IDLE → any
        """
        service = self._service
        heads = service.heads
        started = _monotonic()
        if started >= heads.expires:
            service.refresh_heads(started)
        self._phase = IDLE
        request = Request(known.head, self._client)
        if content:
            request.body = content
        if known.path_params:
            request.path_params = known.path_params.copy()
        if not known.is_direct or service.is_draining:
            out: list[bytes] = []
            keep_alive = not service.is_draining
            self._settle(b"", out, self._run(known.route, request, out, started, keep_alive=keep_alive))
            return
        service.record_in_flight(known.label)
        answer: bytes | None = None
        try:
            result: Any = service.context.copy().run(known.handler, request)
            kind = type(result)
            if kind is str:
                size = len(result)  # of a ready answer, which is ASCII, also its content's
                answer = heads.ready.get(result) if size <= MAX_READY_BYTES else None
                if answer is None:
                    answer = heads.persistent_answer(kind, result)
                    size = len(answer) - answer.index(HEAD_END) - len(HEAD_END) if answer else 0
            elif (plain := heads.plain.get(kind)) is not None:  # as persistent_answer, less a call
                head, encode = plain
                body = encode(result)
                size = len(body)
                answer = b"".join((head, LENGTHS[size] if size < MAX_LENGTH else b"%d\r\n\r\n" % size, body))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            result = failure(service, request, error)
        if answer is None:
            out = []
            now = self._conclude(known.route, request, result, out, started, keep_alive=True)
            self._settle(b"", out, now)
            return
        self._transport.write(answer)
        self.idle_since = now = _monotonic()
        if not self._is_blocked:
            self.deadline = now + service.idle_s
        statistics = service.statistics
        statistics.bytes_sent += len(answer)
        statistics.durations[frexp(now - started + MICROSECOND)[1]] += 1
        if service.access_log is not None:
            asked = known.head
            service.access_log.append_entry(
                (
                    _time(),
                    self._host,
                    asked.method,
                    asked.target,
                    "1.1",
                    200,
                    size,
                    now - started,
                    known.referer,
                    known.user_agent,
                )
            )

    def _serve(self, data: bytes, out: list[bytes], position: int = 0) -> None:
        """Answer every complete request in received bytes, keep the rest, write all answers at once.

        A GET that needs no decision takes one match instead of the two and the search of `parse_head`.

        Args:
            data: received bytes.
            out: answers made already, to be written before those made here.
            position: where in `data` to begin.

        State: FRESH, IDLE, HEAD, CONTENT → any
        """
        service = self._service
        limits = service.limits
        size = len(data)
        now = _monotonic()
        if now >= service.heads.expires:
            service.refresh_heads(now)
        self._phase = IDLE
        request = None
        is_full = False
        owed_bytes = 0
        try:
            while position < size:
                request = None
                match = _plain_get(data, position)
                if match is not None and service.allows_plain(match.end() - position, match[2]):
                    head = plain_head(match)
                    whole = data if position == 0 and head.end == size else None
                    position = head.end
                    request = Request(head, self._client)
                    is_last = service.is_draining and position == size
                    now = self._answer(request, out, now, keep_alive=not is_last, whole=whole)
                else:
                    parsed = parse_head(data, position, limits)
                    if parsed is None:
                        break
                    head = parsed
                    request = Request(head, self._client)
                    if head.content_length == 0 and not head.unmet_expectation:
                        is_plain = head.keep_alive and head.version == "1.1" and head.method != "HEAD"
                        whole = data if is_plain and position == 0 and head.end == size else None
                        position = head.end
                        is_last = service.is_draining and position == size
                        keep_alive = head.keep_alive and not is_last
                        now = self._answer(request, out, now, keep_alive=keep_alive, whole=whole)
                    else:
                        is_first = position == 0
                        position = self._begin_content(head, request, data, out, now, is_first=is_first)
                if self._phase is not IDLE:
                    break
                if out:
                    owed_bytes += len(out[-1])
                    if len(out) >= limits.pipeline or owed_bytes >= OWED_BYTES:
                        is_full = True
                        break
        except RemoteProtocolError as error:
            self._refuse(error, out, request)
            return
        self._settle(data[position:] if position < size else b"", out, now, is_full=is_full)

    def _settle(self, rest: bytes, out: list[bytes], now: float, *, is_full: bool = False) -> None:
        """Write the answers of a batch, keep what was not served, and set the deadline that runs now.

        Args:
            is_full: the batch stopped at its bounds, so that `rest` may hold whole requests.
        """
        phase = self._phase
        timeouts = self._service.timeouts
        if phase is IDLE:
            if not rest:
                self.idle_since = now
                self.deadline = after(now, timeouts.idle)
            elif is_full:
                self._pending += rest
                self._pause_reading()
                self._service.loop.call_soon(self._go_on, context=self._service.context)
            elif self._is_half_closed:
                if rest.strip(b"\r\n"):
                    self._refuse(RemoteProtocolError(HEAD_CUT), out)
                else:
                    self._close_with(out)
                return
            else:
                self._phase = HEAD
                self._pending += rest
                self._scanned = len(rest)
                self.deadline = after(now, timeouts.head)
        elif phase is HANDLER or phase is LENT:
            self._pending += rest
            if len(self._pending) >= READ_AHEAD:
                self._pause_reading()
        elif phase is not CONTENT:
            return
        elif self._is_half_closed:
            self._refuse(RemoteProtocolError(CUT_SHORT), out, self._request)
            return
        if out:
            self._write(out)
        if self._is_half_closed and self.is_idle:
            self._close_with([])

    def _go_on(self) -> None:
        """Serve what was held back, unless it has to wait again; a callback of the loop."""
        if self._is_blocked or self._phase not in (IDLE, HEAD):
            return
        if self._phase is IDLE and self._pending:
            data = bytes(self._pending)
            self._pending.clear()
            self._serve(data, [])
        elif self._is_half_closed and self._phase is IDLE:
            self._close_with([])
        is_held = self._phase is IDLE and self._pending  # for the next turn
        is_enough = self._phase is HANDLER and len(self._pending) >= READ_AHEAD
        if not (self._is_blocked or is_held or is_enough):
            self._resume_reading()

    def _on_head_piece(self, data: bytes) -> None:
        self._pending += data
        pending = self._pending
        try:
            is_complete = has_head_end(pending, 0, self._service.limits, scanned=self._scanned)
        except RemoteProtocolError as error:
            self._refuse(error, [])
            return
        self._scanned = len(pending)
        if is_complete:
            data = bytes(pending)
            pending.clear()
            self._serve(data, [])

    def _hold(self, data: bytes) -> None:
        """Keep bytes that cannot be served yet; beyond `READ_AHEAD` the client has to wait."""
        self._pending += data
        if len(self._pending) >= READ_AHEAD:
            self._pause_reading()
