"""Receive the content of a request, or get rid of it.

Whether content is wanted is decided by the head and the route alone, before any of it is kept: what is too
large, or stands behind an answer that needed none of it, is refused or forgotten. A handler is run only
when its content is whole, and llhttp has agreed where it ends.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Final

from rocket_sup.dispatch import refusal
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.exchange import Exchange
from rocket_sup.hooks import host_of
from rocket_sup.http.chunked import ChunkedContent
from rocket_sup.http.framing import RequestHead
from rocket_sup.http.semantics import CLOSE, CONTINUE, serialise
from rocket_sup.http.witness import Witness
from rocket_sup.incoming import Incoming, disagreement
from rocket_sup.link import after
from rocket_sup.phases import CONTENT, IDLE
from rocket_sup.repertoire import Known
from rocket_sup.request import Request
from rocket_sup.response import Answer
from rocket_sup.router import Route
from rocket_sup.service import Service

# Content that nobody wants is read up to this to keep the connection; with more it is closed.
DISCARDED_CONTENT: Final = 65536

_monotonic = time.monotonic


class Intake(Exchange):
    """The side of a connection that receives content."""

    __slots__ = (
        "_chunks",
        "_content",
        "_content_started",
        "_keep_alive",
        "_needed",
        "_request",
        "_route",
        "_witness",
    )

    def __init__(self, service: Service) -> None:
        """Wait for a transport."""
        super().__init__(service)
        # The request whose content is being received.
        self._request: Request | None = None
        self._route: Route | None = None  # None: its content is read and forgotten
        self._keep_alive = True
        self._content = bytearray()
        self._needed = 0
        self._content_started = 0.0
        self._chunks: ChunkedContent | None = None
        self._witness: Witness | None = None

    @abstractmethod
    def _serve(self, data: bytes, out: list[bytes], position: int = 0) -> None:
        """Answer every complete request in received bytes, keep the rest, write all answers at once."""

    @abstractmethod
    def _settle(self, rest: bytes, out: list[bytes], now: float) -> None:
        """Write the answers of a batch, keep what was not served, and set the deadline that runs now."""

    def _begin_content(
        self,
        head: RequestHead,
        request: Request,
        data: bytes,
        out: list[bytes],
        now: float,
        *,
        is_first: bool,
    ) -> int:
        """Decide about a request that has content, or an expectation, and take what of its content is there.

        Args:
            is_first: the request begins with the first byte of `data`; only then its head can be remembered.

        Returns: the index of the first byte in `data` after what belongs to this request.
        Raises:
            RemoteProtocolError: the content is too large or its framing broken.
        """
        length, start = head.content_length, head.end
        route: Route | None = None
        keep_alive = head.keep_alive
        decision: Route | Answer | None
        if head.unmet_expectation:
            decision = refusal(417, "only 100-continue can be expected (RFC 9110 §10.1.1)")
        else:
            decision = self._decide(request)
        if isinstance(decision, Route):
            route = decision
            max_body = self._service.max_body if route.max_body is None else route.max_body
            if length > max_body:
                raise RemoteProtocolError(
                    f"the content is larger than {max_body} bytes (RFC 9110 §15.5.14)", status=413
                )
            if route.takes_conduit:
                self._lend(
                    route,
                    request,
                    out,
                    now,
                    keep_alive=keep_alive,
                    incoming=Incoming.after(head, self._service.limits, max_body),
                )
                return start
        elif decision is None:
            self._drop(out)
            return len(data)
        else:
            # Content that nobody wants is read and forgotten if it is short and surely comes; else the
            # connection ends.
            keep_alive = keep_alive and 0 <= length <= DISCARDED_CONTENT and not head.expects_continue
            keep_alive = keep_alive and not self._service.is_draining
            if decision.source is not None:
                incoming = Incoming.after(head, self._service.limits, DISCARDED_CONTENT)
                self._lend_answer(request, decision, out, now, keep_alive=keep_alive, incoming=incoming)
                return start
            self._respond(request, decision, out, now, keep_alive=keep_alive)
            if self._phase is not IDLE:
                return len(data)
            max_body = DISCARDED_CONTENT
        self._request, self._route, self._keep_alive = request, route, keep_alive
        if length < 0:
            self._chunks = ChunkedContent(self._service.limits, max_body)
            self._witness = Witness()
            if not self._witness.agrees_on_head(head.version, head.fields):
                raise disagreement()
        elif len(data) - start >= length:
            is_all = is_first and len(data) - start == length and keep_alive
            known = self._known_of(head, route, request) if is_all else None
            self._complete_content(data[start : start + length], out, now)
            if known is not None:  # nobody has refused it on the way here
                self._service.repertoire.learn(data[:start], known)
            return start + length
        self._needed = length
        self._phase = CONTENT
        self._content_started = now
        self.deadline = after(now, self._service.timeouts.body)
        if start == len(data):
            if head.expects_continue:
                out.append(CONTINUE)
            return start
        end = self._take_content(data, start)
        if end < 0:
            return len(data)
        assert self._chunks is not None  # noqa: S101 - content with a length was complete, or is not
        self._complete_content(self._chunks.content, out, now)
        return end

    def _known_of(self, head: RequestHead, route: Route | None, request: Request) -> Known | None:
        """Make what is to be remembered of a request with content; None when more than its head decides."""
        if route is None or head.version != "1.1" or head.method == "HEAD" or head.expects_continue:
            return None
        return None if self._service.hooks.pre_routing else Known(request, route, dict(request.path_params))

    def _take_content(self, data: bytes, start: int) -> int:
        """Add received bytes to the content; return the index after its end, or -1 when more is to come."""
        chunks = self._chunks
        if chunks is not None and self._witness is not None:
            end = chunks.feed(data, start)
            piece = memoryview(data)[start : end if end >= 0 else len(data)]
            if not self._witness.agrees_on_piece(piece, is_last=end >= 0):
                raise disagreement()
            return end
        end = start + self._needed - len(self._content)
        if end > len(data):
            self._content += memoryview(data)[start:] if start else data
            return -1
        self._content += memoryview(data)[start:end]
        return end

    def _on_content(self, data: bytes) -> None:
        before = self._content_received
        try:
            end = self._take_content(data, 0)
        except RemoteProtocolError as error:
            self._refuse(error, [], self._request)
            return
        now = _monotonic()
        if end < 0:
            self._extend_content_deadline(now, before)
            return
        out: list[bytes] = []
        if now >= self._service.heads.expires:
            self._service.refresh_heads(now)
        content = self._content if self._chunks is None else self._chunks.content
        request = self._request
        try:
            self._complete_content(content, out, now)
        except RemoteProtocolError as error:
            self._refuse(error, out, request)
            return
        if self._phase is IDLE:
            self._serve(data, out, end)
        else:
            self._settle(data[end:], out, now)

    @property
    def _content_received(self) -> int:
        return len(self._content if self._chunks is None else self._chunks.content)

    def _extend_content_deadline(self, now: float, before: int) -> None:
        """Content has `timeouts.body` to arrive, and longer only while it keeps the least rate."""
        received = self._content_received
        if received == before or self._is_blocked:
            return
        timeouts = self._service.timeouts
        deadline = after(now, timeouts.body)
        if timeouts.body_min_rate and timeouts.body:
            deadline = min(
                deadline, self._content_started + timeouts.body + received / timeouts.body_min_rate
            )
        self.deadline = deadline

    def _complete_content(self, content: bytes | bytearray, out: list[bytes], now: float) -> None:
        """Run the handler of a request whose content is whole, or forget content that nobody wants."""
        request, route, is_chunked = self._request, self._route, self._chunks is not None
        keep_alive = self._keep_alive
        self._drop_content()
        self._phase = IDLE
        if request is None or route is None:
            return
        if not is_chunked and not self._service.witness.agrees_on_whole(
            request.http_version, request.fields, content
        ):
            raise disagreement()
        request.body = bytes(content)
        self._run(route, request, out, now, keep_alive=keep_alive and not self._service.is_draining)

    def _drop_content(self) -> None:
        self._request = self._route = self._chunks = self._witness = None
        if self._content:
            self._content = bytearray()

    def _refuse(self, error: RemoteProtocolError, out: list[bytes], request: Request | None = None) -> None:
        """Answer a fault of the client, after what was owed before it, and close."""
        service = self._service
        self._error = error
        is_answered = self._request is not None and self._route is None  # only its content was still to come
        self._drop_content()
        if is_answered:
            self._close_with(out)
            return
        now = _monotonic()
        if now >= service.heads.expires:
            service.refresh_heads(now)
        answer = refusal(error.status, str(error))
        is_head = request is not None and request.method == "HEAD"
        out.append(
            serialise(
                error.status,
                service.heads.date_line,
                answer.fields,
                answer.body,
                connection=CLOSE,
                is_head=is_head,
                length=answer.length,
            )
        )
        service.log.debug(
            "request_refused", client=host_of(self._client), status=error.status, reason=str(error)
        )
        service.note(request, error.status, 0 if is_head else len(answer.body), 0.0, client=self._client)
        self._close_with(out)
