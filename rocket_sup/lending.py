"""A connection lends itself: the layer under `connection.py` that serves whoever has a `Conduit`.

While it is lent the connection frames the content, holds what nobody wants yet (also the requests behind
it), enforces the deadlines and notices the client's end. Received bytes take one way, `_pump`: it delivers
what is wanted, in order, and stops when it is not. A deadline belongs to whoever keeps the exchange waiting:
the client that does not read, the client that does not send what is wanted, the handler that has not begun.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Awaitable, Callable
from typing import Final, cast

from rocket_sup.conduit import Conduit
from rocket_sup.dispatch import refusal
from rocket_sup.errors import LocalProtocolError, RemoteProtocolError
from rocket_sup.exchange import content_bytes, whole_answer
from rocket_sup.handling import Running, failure
from rocket_sup.http.semantics import CONTINUE
from rocket_sup.incoming import Incoming
from rocket_sup.intake import DISCARDED_CONTENT, Intake
from rocket_sup.link import after
from rocket_sup.loan import Loan
from rocket_sup.phases import CONTENT, IDLE, LENT
from rocket_sup.request import Request
from rocket_sup.response import Answer, answer_from
from rocket_sup.router import Route
from rocket_sup.service import Service
from rocket_sup.streaming import stream_answer

READ_AHEAD: Final = 65536  # received bytes held while nobody wants them; then the client has to wait
FILE_PIECE: Final = 262_144  # of a file read and written at once: a fraction of a millisecond of the loop
FILE_PIECES_A_TURN: Final = 4  # then others have their turn, however fast this client reads

CUT_SHORT: Final = "the content is cut short (RFC 9112 §8)"

ConduitHandler = Callable[[Request, Conduit], Awaitable[object]]  # of a route that `takes_conduit`

_monotonic = time.monotonic


class Lending(Intake):
    """The side of a connection that is lent."""

    __slots__ = ("_is_pumping", "_loan")

    def __init__(self, service: Service) -> None:
        """Wait for a transport."""
        super().__init__(service)
        self._loan: Loan | None = None
        self._is_pumping = False

    # -- the beginning and the end

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
        if incoming is not None:  # else `_run` has done it
            self._service.record_in_flight(f"{request.method} {request.target}".encode("ascii"))
        loan = self._make_loan(request, out, started, keep_alive=keep_alive, incoming=incoming)
        loan.outlives_client = route.outlives_client
        running = Running(self._service, loan, request, keep_alive=keep_alive, started=started)
        loan.running = running
        # Nothing comes of it at once: what was received behind the head is not held yet.
        try:
            awaitable = cast(ConduitHandler, route.handler)(request, loan)
        except Exception as error:  # not the handler's body: a wrong signature
            self._service.loop.call_soon(running.deliver, error, context=self._service.context)
        else:
            running.start_task(awaitable, may_be_eager=False)

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
        loan = self._make_loan(request, out, started, keep_alive=keep_alive, incoming=incoming)
        self._stream(loan, answer)

    def _make_loan(
        self,
        request: Request,
        out: list[bytes],
        started: float,
        *,
        keep_alive: bool,
        incoming: Incoming | None,
    ) -> Loan:
        self._phase = LENT
        if out:
            self._write(out)
        if incoming is None:
            incoming = Incoming()
        loan = Loan(self, self._service, request, incoming, started=started, keep_alive=keep_alive)
        self._loan = loan
        self._set_lent_deadline(loan)
        return loan

    def _stream(self, loan: Loan, answer: Answer) -> None:
        request = loan.request
        running = Running(self._service, loan, request, keep_alive=loan.wants_to_stay, started=loan.started)
        loan.running = running
        running.start_task(stream_answer(request, answer, loan), may_be_eager=False)

    def on_lent_handled(self, loan: Loan, running: Running, result: object) -> None:
        """Answer with what the handler returned, unless it has begun an answer: then it had to finish it."""
        loan.running = None
        if loan.is_begun:
            self._error = self._error or LocalProtocolError("an answer was begun and not finished")
            self._transport.abort()
            return
        service, request = self._service, loan.request
        try:
            answer = result if isinstance(result, Answer) else answer_from(result)
        except Exception as error:
            answer = failure(service, request, error)
        if answer.source is not None:
            self._stream(loan, answer)
            return
        self._respond_lent(loan, answer)

    def _respond_lent(self, loan: Loan, answer: Answer) -> None:
        """Send a whole answer, and end the exchange."""
        request = loan.request
        keep_alive = loan.keep_alive and not answer.closes
        self._write([whole_answer(request, answer, self._service.current_date_line(), keep_alive=keep_alive)])
        loan.is_begun = True
        self.finish_lent(loan, answer.status, content_bytes(request, answer), keep_alive=keep_alive)

    def finish_lent(self, loan: Loan, status: int, content_bytes: int, *, keep_alive: bool) -> None:
        """See `Conduit.finish`.

        State: LENT → IDLE, CONTENT, LINGER
        """
        now = _monotonic()
        self._service.note(loan.request, status, content_bytes, now - loan.started)
        keep_alive = keep_alive and self.keeps(loan)
        self._end_loan(loan)
        rest = loan.incoming.remaining
        if (
            not keep_alive
            or not self._can_forget(loan)
            or (rest > len(self._pending) and self._is_half_closed)
        ):
            self._close_with([])
            return
        forgotten = min(rest, len(self._pending))
        del self._pending[:forgotten]
        if rest > forgotten:
            self._request, self._keep_alive, self._needed = loan.request, True, rest - forgotten
            self._phase = CONTENT
            self._content_started = now
            deadline = after(now, self._service.timeouts.body)
        else:
            self._phase = IDLE
            self.idle_since = now
            deadline = math.inf if self._pending else after(now, self._service.timeouts.idle)
        if self._is_blocked:  # and nothing more is served until the client has read
            self._pause_reading()
            return
        self.deadline = deadline
        if self._phase is IDLE and (self._pending or self._is_half_closed):
            self._service.loop.call_soon(self._go_on, context=self._service.context)
        else:
            self._resume_reading()

    def _end_loan(self, loan: Loan) -> None:
        self._loan = loan.lender = loan.file = None

    def _on_lent_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        loan = self._loan
        if loan is None:
            return
        self._end_loan(loan)
        if loan.receiver is not None:
            try:
                loan.receiver.on_gone(self._error or error)
            except Exception as problem:  # the connection has to be counted out whatever its user does
                failure(self._service, loan.request, problem)
        if loan.running is not None and not loan.outlives_client:
            loan.running.give_up()

    def keeps(self, loan: Loan) -> bool:
        """Say whether the connection may go on after this answer; of content that is being read it is
        believed that all of it will be.
        """
        if loan.is_upgraded or loan.is_broken or not loan.wants_to_stay or self._service.is_draining:
            return False
        return loan.was_reading or self._can_forget(loan)

    def _can_forget(self, loan: Loan) -> bool:
        """Say whether what is left of the content is so little, and so sure to come, that it can be read for
        the sake of the connection.
        """
        if loan.incoming.is_whole:
            return True
        return not loan.waits_for_continue and 0 <= loan.incoming.remaining <= DISCARDED_CONTENT

    # -- content

    def on_attached(self, loan: Loan) -> None:
        """Somebody listens: tell him what happened before."""
        if self._is_half_closed:
            self._service.loop.call_soon(self._pump_again, loan, context=self._service.context)

    def resume_lent(self, loan: Loan) -> None:
        """See `Conduit.resume_reading`."""
        if loan.is_reading:
            return
        now = _monotonic()
        loan.is_reading = True
        if not loan.was_reading:
            loan.was_reading = True
            loan.content_since = now
            if loan.waits_for_continue:
                loan.waits_for_continue = False
                if not loan.is_begun and not self._pending:
                    self._write([CONTINUE])
        else:
            loan.content_since += now - loan.paused_at
        self._extend_lent_deadline(loan, now)
        self._pump()

    def pause_lent(self, loan: Loan) -> None:
        """See `Conduit.pause_reading`."""
        if loan.is_reading:
            loan.is_reading = False
            loan.paused_at = _monotonic()
            loan.content_deadline = math.inf
            self._set_lent_deadline(loan)

    def upgrade_lent(self, loan: Loan) -> None:
        """See `Conduit.upgrade`."""
        loan.is_upgraded = True
        loan.content_deadline = math.inf
        self._set_lent_deadline(loan)
        self._pump()

    def _on_lent_bytes(self, data: bytes) -> None:
        loan = self._loan
        if loan is None or loan.is_broken:  # whatever else it sends changes nothing
            return
        if self._pending or not loan.is_reading or self._is_pumping:
            self._pending += data
            if len(self._pending) >= READ_AHEAD:
                self._pause_reading()
        else:
            self._pump(data)

    def _pump(self, data: bytes = b"") -> None:
        """Deliver what is wanted of the received bytes, in order; hold the rest.

        Args:
            data: received just now, while nothing was held.
        """
        loan = self._loan
        if loan is None or loan.receiver is None or self._is_pumping:
            self._pending += data
            return
        self._is_pumping = True
        try:
            while self._loan is loan and loan.is_reading and not self._transport.is_closing():
                if not data and self._pending:
                    data = bytes(self._pending)
                    self._pending.clear()
                has_more = self._deliver(loan, data)
                data = b""
                if not has_more:
                    break
        finally:
            self._is_pumping = False
        if self._loan is not loan:
            return
        self._pending += data
        self._tell_left(loan)
        if loan.is_broken or len(self._pending) >= READ_AHEAD:
            self._pause_reading()
        else:
            self._resume_reading()

    def _deliver(self, loan: Loan, data: bytes) -> bool:
        """Take one step with received bytes, or without; False when there is nothing to be done for now."""
        receiver, incoming = loan.receiver, loan.incoming
        assert receiver is not None  # noqa: S101 - `_pump` has looked
        if loan.is_upgraded:
            if data:
                receiver.on_content(data)
            return bool(data)
        if incoming.is_whole:
            self._pending[:0] = data
            if loan.has_ended:
                return False
            loan.has_ended = True
            receiver.on_content_end(incoming.trailers)
            return True
        if not data:
            if self._is_half_closed and not loan.is_broken:
                self._break(loan, RemoteProtocolError(CUT_SHORT))
            return False
        try:
            piece, end = incoming.feed(data)
        except RemoteProtocolError as error:
            self._break(loan, error)
            return False
        if end < len(data):
            self._pending[:0] = memoryview(data)[end:]
        if piece:
            self._extend_lent_deadline(loan, _monotonic())
            receiver.on_content(piece)
        return True

    def _break(self, loan: Loan, error: RemoteProtocolError) -> None:
        """Say that the content will never be whole; nothing more is read of it."""
        loan.is_broken = True
        loan.content_deadline = math.inf
        self._error = error
        self._pending.clear()
        self._set_lent_deadline(loan)
        self._pause_reading()
        if loan.receiver is not None:
            loan.receiver.on_content_error(error)

    def _tell_left(self, loan: Loan) -> None:
        """Say that the client has closed its side, unless it did so behind requests that wait for answers."""
        if not self._is_half_closed or loan.has_left or self._pending or loan.receiver is None:
            return
        if loan.is_upgraded or loan.incoming.is_whole:
            loan.has_left = True
            loan.receiver.on_left()

    def _on_lent_eof(self) -> None:
        loan = self._loan
        if loan is not None:
            self._pump_again(loan)

    def _pump_again(self, loan: Loan) -> None:
        if self._loan is loan:
            self._pump()

    # -- the answer

    @property
    def unsent(self) -> int:
        """Bytes written that the socket has not taken."""
        return self._transport.get_write_buffer_size()

    def begin_lent(self, loan: Loan) -> None:
        """See `Conduit.begin`."""
        loan.is_begun = True
        self._set_lent_deadline(loan)

    def write_lent(self, data: bytes) -> bool:
        """See `Conduit.write`."""
        self._write([data])
        return not self._is_blocked

    def send_lent_file(self, loan: Loan) -> bool:
        """See `Conduit.send_file`."""
        self._push_file(loan)
        return loan.file is None and not self._is_blocked

    def abort_lent(self, error: Exception | None) -> None:
        """See `Conduit.abort`."""
        self._error = error
        self._transport.abort()

    def _push_file(self, loan: Loan) -> None:
        """Write as much of a file as the client takes now, or as one turn allows."""
        if loan.file is None:
            return
        fd, offset, count = loan.file
        for _ in range(FILE_PIECES_A_TURN):
            if not count or self._is_blocked or self._transport.is_closing():
                break
            try:
                piece = os.pread(fd, min(count, FILE_PIECE), offset)
                if not piece:
                    raise LocalProtocolError(f"a file ended {count} bytes early")
            except (OSError, LocalProtocolError) as error:
                failure(self._service, loan.request, error)
                self.abort_lent(error)
                return
            self._write([piece])
            offset += len(piece)
            count -= len(piece)
        loan.file = (fd, offset, count) if count else None
        if count and not self._is_blocked:
            self._service.loop.call_soon(self._push_more, loan, context=self._service.context)

    def _push_more(self, loan: Loan) -> None:
        if self._loan is not loan:
            return
        self._push_file(loan)
        if loan.file is None and not self._is_blocked:
            self._tell_room(loan)

    def _on_lent_room(self) -> None:
        """The socket has taken everything."""
        loan = self._loan
        if loan is None:
            return
        if not loan.is_broken and len(self._pending) < READ_AHEAD:
            self._resume_reading()  # paused if it was lent while the client did not read
        now = _monotonic()
        if loan.content_deadline < math.inf:  # a client that had to read first could not send
            rate = self._service.timeouts.body_min_rate
            if rate:
                loan.content_since = max(loan.content_since, now - loan.incoming.received / rate)
            self._extend_lent_deadline(loan, now)
        else:
            self._set_lent_deadline(loan)
        # Not from here: whoever is told may close, and the transport is in the middle of its own work.
        self._service.loop.call_soon(
            self._push_more if loan.file is not None else self._tell_room, loan, context=self._service.context
        )

    def _tell_room(self, loan: Loan) -> None:
        if self._loan is loan and loan.receiver is not None and not self._is_blocked:
            loan.receiver.on_room()

    # -- deadlines

    def _set_lent_deadline(self, loan: Loan) -> None:
        """Set the deadline that runs now; that of a client who does not read is kept by `Link`."""
        if self._is_blocked:
            return
        if loan.waits_for_content or loan.is_begun or loan.is_upgraded:
            self.deadline = loan.content_deadline
        else:
            self.deadline = after(loan.handler_since, self._service.timeouts.handler)

    def _extend_lent_deadline(self, loan: Loan, now: float) -> None:
        """Wanted content has `timeouts.body` to arrive, and longer only while it keeps the least rate."""
        timeouts = self._service.timeouts
        loan.handler_since = now
        if not loan.waits_for_content:
            loan.content_deadline = math.inf
        else:
            loan.content_deadline = after(now, timeouts.body)
            if timeouts.body and timeouts.body_min_rate:
                earned = loan.incoming.received / timeouts.body_min_rate
                loan.content_deadline = min(
                    loan.content_deadline, loan.content_since + timeouts.body + earned
                )
        self._set_lent_deadline(loan)

    def _on_lent_deadline(self, now: float) -> None:
        loan = self._loan
        if loan is None:
            return
        if loan.content_deadline <= now:
            loan.handler_since = now
            error = RemoteProtocolError("the content came too slowly (RFC 9110 §15.5.9)", status=408)
            self._break(loan, error)
            return
        due = after(loan.handler_since, self._service.timeouts.handler)
        if loan.waits_for_content or loan.is_begun or now < due:
            self._set_lent_deadline(loan)
            return
        running, request = loan.running, loan.request
        self._service.log.warning("handler_too_slow", method=request.method, target=request.target)
        self._error = TimeoutError("the handler's deadline passed")
        if loan.receiver is not None:
            loan.receiver.on_gone(self._error)
        if running is not None and not loan.outlives_client:
            running.give_up()
        if self._loan is loan and not loan.is_begun:
            loan.wants_to_stay = False
            self._respond_lent(loan, refusal(503, "the application took too long (RFC 9110 §15.6.4)"))
