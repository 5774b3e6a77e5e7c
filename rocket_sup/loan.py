"""One exchange of a connection, as whoever has taken it over holds it; see `Conduit`.

A loan is the handle and the memory of one exchange; what it asks for is done by the connection that lent
itself (`lending.py`). Once the exchange is over the handle is dead, whatever the connection does next.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from rocket_sup.conduit import Receiver
from rocket_sup.handling import Running
from rocket_sup.incoming import Incoming
from rocket_sup.request import Request
from rocket_sup.service import Service
from rocket_sup.sessions import Sessions


class Lender(Protocol):
    """A connection that lends itself; it is asked by the current loan only."""

    @property
    def unsent(self) -> int: ...
    def keeps(self, loan: Loan) -> bool: ...
    def on_attached(self, loan: Loan) -> None: ...
    def resume_lent(self, loan: Loan) -> None: ...
    def pause_lent(self, loan: Loan) -> None: ...
    def begin_lent(self, loan: Loan) -> None: ...
    def write_lent(self, data: bytes) -> bool: ...
    def send_lent_file(self, loan: Loan) -> bool: ...
    def upgrade_lent(self, loan: Loan) -> None: ...
    def finish_lent(self, loan: Loan, status: int, content_bytes: int, *, keep_alive: bool) -> None: ...
    def abort_lent(self, error: Exception | None) -> None: ...
    def on_lent_handled(self, loan: Loan, running: Running, result: object) -> None: ...


class Loan:
    """See `Conduit`; the attributes are the lender's memory.

    Attributes:
        lender: None once the exchange is over.
        request: what is answered.
        incoming: its content.
        started: monotonic seconds.
        wants_to_stay: the client wants the connection to go on.
        outlives_client: nobody is cancelled when the client leaves.
        waits_for_continue: the client sends its content only when it is asked to.
        receiver: who is told.
        running: the handler that has not ended.
        is_reading: content is wanted.
        was_reading: it was, at some time.
        is_broken: the content will never be whole.
        has_ended, has_left: the receiver was told.
        content_since, paused_at: monotonic seconds; the first is moved on by the time in which content was
            not wanted.
        content_deadline: monotonic seconds; infinite while no content is wanted.
        handler_since: monotonic seconds since when the handler keeps the client waiting, not the client it:
            its deadline counts from then.
        file: descriptor, offset and count of what is being sent of a file.
    """

    __slots__ = (
        "_service",
        "content_deadline",
        "content_since",
        "file",
        "handler_since",
        "has_ended",
        "has_left",
        "incoming",
        "is_begun",
        "is_broken",
        "is_reading",
        "is_upgraded",
        "lender",
        "outlives_client",
        "paused_at",
        "receiver",
        "request",
        "running",
        "started",
        "waits_for_continue",
        "wants_to_stay",
        "was_reading",
    )

    def __init__(
        self,
        lender: Lender,
        service: Service,
        request: Request,
        incoming: Incoming,
        *,
        started: float,
        keep_alive: bool,
        outlives_client: bool = False,
    ) -> None:
        self.lender: Lender | None = lender
        self._service = service
        self.request = request
        self.incoming = incoming
        self.started = started
        self.wants_to_stay = keep_alive
        self.outlives_client = outlives_client
        self.waits_for_continue = request.head.expects_continue and not incoming.is_whole
        self.receiver: Receiver | None = None
        self.running: Running | None = None
        self.is_begun = False
        self.is_upgraded = False
        self.is_reading = False
        self.was_reading = False
        self.is_broken = False
        self.has_ended = False
        self.has_left = False
        self.content_since = self.paused_at = self.handler_since = started
        self.content_deadline = math.inf
        self.file: tuple[int, int, int] | None = None

    @property
    def waits_for_content(self) -> bool:
        """It is the client that has to go on: content is wanted, and more of it is to come."""
        return self.is_reading and not (self.is_upgraded or self.is_broken or self.incoming.is_whole)

    @property
    def keep_alive(self) -> bool:
        """See `Conduit`."""
        return self.lender is not None and self.lender.keeps(self)

    @property
    def date_line(self) -> bytes:
        """See `Conduit`."""
        return self._service.current_date_line()

    @property
    def unsent(self) -> int:
        """See `Conduit`."""
        return 0 if self.lender is None else self.lender.unsent

    @property
    def sessions(self) -> Sessions:
        """See `Conduit`."""
        return self._service.sessions

    @property
    def executor(self) -> ThreadPoolExecutor:
        """See `Conduit`."""
        return self._service.executor

    def attach(self, receiver: Receiver) -> None:
        """See `Conduit`."""
        self.receiver = receiver
        if self.lender is not None:
            self.lender.on_attached(self)

    def resume_reading(self) -> None:
        """See `Conduit`."""
        if self.lender is not None:
            self.lender.resume_lent(self)

    def pause_reading(self) -> None:
        """See `Conduit`."""
        if self.lender is not None:
            self.lender.pause_lent(self)

    def begin(self) -> None:
        """See `Conduit`."""
        if self.lender is not None:
            self.lender.begin_lent(self)

    def write(self, data: bytes) -> bool:
        """See `Conduit`."""
        return self.lender is None or self.lender.write_lent(data)

    def send_file(self, fd: int, offset: int, count: int) -> bool:
        """See `Conduit`."""
        if self.lender is None:
            return True
        self.file = (fd, offset, count)
        return self.lender.send_lent_file(self)

    def upgrade(self) -> None:
        """See `Conduit`."""
        if self.lender is not None:
            self.lender.upgrade_lent(self)

    def finish(self, status: int, content_bytes: int, *, keep_alive: bool = True) -> None:
        """See `Conduit`."""
        if self.lender is not None:
            self.lender.finish_lent(self, status, content_bytes, keep_alive=keep_alive)

    def abort(self, error: Exception | None = None) -> None:
        """See `Conduit`."""
        if self.lender is not None:
            self.lender.abort_lent(error)

    def on_handled(self, running: Running, result: object) -> None:
        """Take what the handler returned; see `handling.Waiting`."""
        if self.lender is not None:
            self.lender.on_lent_handled(self, running, result)
