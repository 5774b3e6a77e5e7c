"""One HTTP/1.1 connection to a server: a request out, its answer in, one at a time.

A shell: `answer_reader.py` decides what received bytes mean. The connection collects the content of an answer
itself and delivers it whole, which wakes its caller once; a streamed answer is delivered with its head, and
its content goes into a `ContentStream` with backpressure. Nobody reads a socket here whose reader is behind.

Deadlines: without a byte taken (write), without a byte come (read), and the request's own (total).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from rocket_sup.client.answer_head import AnswerHead
from rocket_sup.client.answer_reader import AnswerReader, Reading
from rocket_sup.client.deadlines import Deadline
from rocket_sup.client.errors import (
    ClientError,
    Disconnected,
    IncompleteBody,
    InvalidRequest,
    ReadError,
    ReadTimeout,
    RequestTimeout,
    TotalTimeout,
    WriteTimeout,
)
from rocket_sup.client.messages import Elapsed, Request, Response, Upload
from rocket_sup.client.settings import Limits
from rocket_sup.client.streams import HIGH_WATER, ContentStream, Tunnel

# How long content that was announced with Expect waits for 100; curl waits as long (RFC 9110 §10.1.1).
CONTINUE_S: Final = 1.0
_DONE: Final = Reading.DONE


class Http1Connection(asyncio.Protocol):
    """One connection.

    Attributes:
        served: answers that came whole.
        is_closed: whether it is gone, or about to be.
    """

    _transport: asyncio.Transport  # from connection_made on

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        *,
        on_idle: Callable[[Http1Connection], None],
        on_closed: Callable[[Http1Connection], None],
    ) -> None:
        """Args: on_idle: it can be used again; on_closed: it cannot, said once."""
        self._loop = loop
        self._limits = limits
        self._on_idle = on_idle
        self._on_closed = on_closed
        self._reader = AnswerReader(limits)
        self._deadline = Deadline(loop, self._on_due)
        self._request: Request | None = None
        self._answer: asyncio.Future[Response] | None = None
        self._response: Response | None = None  # a streamed one whose content is still coming
        self._stream: ContentStream | None = None
        self._upload: asyncio.Task[None] | None = None
        self._continue: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._is_last = False  # the request said so
        self._is_writing_paused = False
        self._is_reading_paused = False
        self._unsent = 0  # bytes that waited to be sent when that was last looked at
        self._sent_at = 0.0
        self._head_at = 0.0
        self.served = 0
        self.is_closed = False

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        reader, request = self._reader, self._request
        if request is None:  # nothing was asked: a farewell at most (RFC 9112 §9.5)
            self.close()
            return
        try:
            reader.feed(data)
        except ClientError as error:
            self.fail(error)
            return
        if self._stream is not None:
            self._on_content(self._stream)
            return
        head = reader.head
        if head is None:
            self._await_bytes()
            if reader.has_continue and self._continue is not None and not self._continue.done():
                self._continue.set_result(None)
        elif reader.state is _DONE:
            now = self._head_at = self._loop.time()
            response = self._make_response(request, head)
            response.content = reader.take()
            response.trailers = reader.trailers
            response.elapsed = Elapsed(first_byte=now - self._sent_at)
            self._deliver(response)
            self._complete()
        elif request.is_streamed or reader.state is Reading.TUNNEL:
            self._begin_stream(request, head)
        else:
            if not self._head_at:
                self._head_at = self._loop.time()
            self._await_bytes()

    def eof_received(self) -> bool:
        if self._request is None:
            return False
        is_tunnel = self._reader.state is Reading.TUNNEL
        try:
            self._reader.end()
        except Disconnected:
            self._fail_unanswered("the server closed the connection without an answer")
            return False
        except ClientError as error:
            self.fail(error)
            return False
        if is_tunnel and self._stream is not None:
            self._stream.complete()
            return self._transport.get_extra_info("ssl_object") is None  # the other direction stays open
        request, head = self._request, self._reader.head
        if self._stream is not None:
            self._on_content(self._stream)
        elif head is not None:
            response = self._make_response(request, head)
            response.content = self._reader.take()
            now = self._loop.time()
            response.elapsed = Elapsed(first_byte=self._head_at - self._sent_at, content=now - self._head_at)
            self._deliver(response)
            self._complete()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self._deadline.close()
        if self._request is not None:
            if not self._reader.has_begun:
                self._fail_unanswered(f"the connection broke before an answer came{_because(exc)}")
            elif self._reader.state is Reading.CONTENT and exc is None:
                self.fail(IncompleteBody("the connection ended before the content did"))
            else:
                self.fail(ReadError(f"the connection broke while the answer was read{_because(exc)}"))
        self._end_upload()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._stream is not None:
            self._stream.complete()
            self._stream = None
        self._on_closed(self)

    def pause_writing(self) -> None:
        self._is_writing_paused = True
        self._await_room()

    def resume_writing(self) -> None:
        self._is_writing_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._request is not None and self._upload is None:
            self._await_bytes()

    # What the caller does.

    def start(self, request: Request, head: bytes, *, is_last: bool = False) -> asyncio.Future[Response]:
        """Send a request; the connection must be idle.

        Args:
            head: of the request, as `request_head` writes it.
            is_last: whether the head says that the connection ends with the answer.

        Returns: its answer. Whoever stops waiting for it calls `abandon`.
        """
        transport = self._transport
        if self.is_closed or transport.is_closing():
            error = Disconnected("the connection has ended", was_idle=self.served > 0)
            error.request_sent = False
            raise error
        self._request = request
        self._is_last = is_last
        self._reader.expect(request.method, None if request.is_streamed else self._limits.max_body)
        answer = self._answer = self._loop.create_future()
        self._sent_at = self._loop.time()
        self._head_at = 0.0
        body = request.body
        if isinstance(body, Upload):
            transport.write(head)
            self._set_deadline(None, RequestTimeout, "")
            self._upload = self._loop.create_task(self._send_pieces(request, body))
        else:
            transport.write(head + body if body else head)
            if not self._is_writing_paused:
                self._await_bytes()
        return answer

    def abandon(self, request: Request) -> None:
        """Nobody wants the answer to this request any more: the connection ends if it is still under way."""
        if self._request is request:
            self._request = None
            self.abort()

    def reserve(self) -> bool:
        """Take the right to send one request: there is room for no other."""
        return False

    def release(self) -> bool:
        """Give it back: nobody uses the connection now."""
        return True

    def close(self) -> None:
        """End it; what was written is sent first."""
        if not self.is_closed:
            self.is_closed = True
            self._deadline.clear()
            self._transport.close()

    def abort(self) -> None:
        """End it at once."""
        self.is_closed = True
        self._end_upload()
        self._transport.abort()

    def fail(self, error: BaseException) -> None:
        """End it, with an error for whoever waits."""
        request, self._request = self._request, None
        if isinstance(error, ClientError) and error.request is None:
            error.request = request
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        if self._stream is not None:
            self._stream.fail(error)
            self._stream = None
        self.abort()

    # Content.

    def on_wanted(self) -> None:
        """Called by the stream: its reader waits."""
        if self._is_reading_paused:
            self._resume_reading()
        if self._reader.state is not Reading.TUNNEL:
            self._await_bytes()

    def on_taken(self, size: int) -> None:
        """Called by the stream: its reader got on."""
        if self._is_reading_paused and self._stream is not None and self._stream.held <= HIGH_WATER // 2:
            self._resume_reading()

    def give_up(self) -> None:
        """Called by the stream: its reader left."""
        self._request = None
        self._stream = None
        self.abort()

    def _begin_stream(self, request: Request, head: AnswerHead) -> None:
        self._head_at = self._loop.time()
        stream = self._stream = ContentStream(self)
        response = self._make_response(request, head)
        response.elapsed = Elapsed(first_byte=self._head_at - self._sent_at)
        response.stream = stream
        if self._reader.state is Reading.TUNNEL:
            response.extensions["upgraded"] = Tunnel(stream, self)
        else:
            self._response = response
        self._deadline.clear()
        self._set_deadline(None, RequestTimeout, "")
        self._deliver(response)
        self._on_content(stream)

    def _on_content(self, stream: ContentStream) -> None:
        if self._reader.pieces:
            stream.put(self._reader.take())
        if self._reader.state is _DONE:
            response, self._response = self._response, None
            if response is not None:
                response.trailers = self._reader.trailers
                content_s = self._loop.time() - self._head_at
                response.elapsed = response.elapsed._replace(content=content_s)
            self._stream = None
            stream.complete()
            self._complete()
        elif stream.held > HIGH_WATER and not self._is_reading_paused:
            self._is_reading_paused = True
            self._transport.pause_reading()
            self._set_deadline(None, RequestTimeout, "")
        elif self._reader.state is not Reading.TUNNEL:
            # The reader is behind or was just woken: the server is not late until it waits again.
            self._set_deadline(None, RequestTimeout, "")

    def _resume_reading(self) -> None:
        self._is_reading_paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _make_response(self, request: Request, head: AnswerHead) -> Response:
        return Response.from_wire(
            request, status=head.status, block=head.block, reason=head.reason, version=head.version
        )

    def _deliver(self, response: Response) -> None:
        head = self._reader.head
        if head is not None and head.coding:
            response.extensions["coding"] = head.coding
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(response)

    def _complete(self) -> None:
        """The answer is whole: use the connection again, or end it."""
        head = self._reader.head
        is_usable = (
            head is not None
            and head.keeps
            and not self._is_last
            and self._upload is None
            and not self._reader.has_excess
            and not self._is_writing_paused
            and not self.is_closed
        )
        self._request = None
        self._answer = None
        self._deadline.clear()
        self._reader.state = Reading.NOTHING
        self.served += 1
        if is_usable:
            if self._is_reading_paused:
                self._resume_reading()
            self._on_idle(self)
        else:
            self._end_upload()
            self.close()

    # Writing.

    def write(self, piece: bytes) -> None:
        """Send bytes of another protocol."""
        if not self.is_closed:
            self._transport.write(piece)

    async def drain(self) -> None:
        """Wait until not much is unsent.

        Raises:
            ReadError: the connection is gone.
        """
        if self._is_writing_paused and not self.is_closed:
            self._drained = self._loop.create_future()
            await self._drained
        if self.is_closed:
            raise ReadError("the connection is gone")

    def end_writing(self) -> None:
        """Send nothing more."""
        if not self.is_closed and self._transport.can_write_eof():
            self._transport.write_eof()

    async def _send_pieces(self, request: Request, upload: Upload) -> None:
        try:
            if request.headers.get("expect", "").lower() == "100-continue":
                self._continue = self._loop.create_future()
                await asyncio.wait([self._continue], timeout=CONTINUE_S)
            length = upload.length
            if length is None and "content-length" in request.headers:
                length = int(request.headers["content-length"])
            await self._write_pieces(upload, length)
        # Whatever the caller's own source raises goes to the caller.
        except Exception as error:
            self._upload = None
            if self._request is request:
                self.fail(error)
            return
        self._upload = None
        if self._request is request and self._stream is None:
            self._await_bytes()

    async def _write_pieces(self, upload: Upload, length: int | None) -> None:
        source: Any = upload.open()  # Any: an async generator, or only an iterator
        sent = 0
        try:
            async for piece in source:
                sent += len(piece)
                if length is not None and sent > length:
                    raise InvalidRequest(f"the body is longer than the {length} bytes that were announced")
                if self.is_closed:
                    return
                if piece:
                    self._transport.write(
                        piece if length is not None else b"%x\r\n%b\r\n" % (len(piece), piece)
                    )
                if self._is_writing_paused:
                    await self.drain()
                    self._set_deadline(None, RequestTimeout, "")
        finally:
            if hasattr(source, "aclose"):
                await source.aclose()
        if length is None:
            self._transport.write(b"0\r\n\r\n")
        elif sent < length:
            raise InvalidRequest(f"the body has {sent} of the {length} bytes that were announced")

    def _end_upload(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.cancel()

    # Deadlines.

    def _await_bytes(self) -> None:
        request = self._request
        if request is not None and not self._is_writing_paused:
            self._set_deadline(
                request.timeout.read, ReadTimeout, "the server sent nothing within the read timeout"
            )

    def _await_room(self) -> None:
        request = self._request
        if request is not None:
            self._unsent = self._transport.get_write_buffer_size()
            self._set_deadline(
                request.timeout.write, WriteTimeout, "the server took nothing within the write timeout"
            )

    def _set_deadline(self, seconds: float | None, kind: type[RequestTimeout], text: str) -> None:
        total = None if self._request is None else self._request.deadline
        at = None if seconds is None else self._loop.time() + seconds
        if total is not None and (at is None or total < at):
            self._deadline.set(total, TotalTimeout, "the whole request took too long")
        else:
            self._deadline.set(at, kind, text)

    def _on_due(self) -> None:
        if self._deadline.kind is WriteTimeout:
            unsent = self._transport.get_write_buffer_size()
            if unsent < self._unsent:
                self._await_room()
                return
        self.fail(self._deadline.error())

    def _fail_unanswered(self, text: str) -> None:
        self.fail(Disconnected(text, was_idle=self.served > 0))


def _because(exc: Exception | None) -> str:
    return f": {exc}" if exc else ""
