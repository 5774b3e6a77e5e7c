"""One request and its answer on one HTTP/2 stream.

The connection (`http2.py`) tells what came on the stream; what it means for the caller is decided here: when
the answer is delivered, what is collected, what waits for a reader, and what is too late.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from h2.errors import ErrorCodes

from rocket_sup.client.deadlines import Deadline
from rocket_sup.client.errors import (
    BodyTooLarge,
    ClientError,
    ProtocolError,
    ReadTimeout,
    RequestTimeout,
    TotalTimeout,
    WriteTimeout,
)
from rocket_sup.client.messages import Elapsed, Request, Response
from rocket_sup.client.settings import Limits
from rocket_sup.client.streams import ContentStream
from rocket_sup.http.headers import Headers


class Owner(Protocol):
    """The connection that a stream belongs to."""

    loop: asyncio.AbstractEventLoop
    limits: Limits

    def reset_stream(self, number: int, code: ErrorCodes) -> None:
        """Tell the server that a stream is of no use."""
        ...

    def acknowledge(self, number: int, size: int) -> None:
        """Received content was taken."""
        ...

    def end(self, exchange: Exchange) -> None:
        """A request is over."""
        ...


class Exchange:
    """One request and its answer on one stream; also the source of its content's stream."""

    def __init__(self, owner: Owner, request: Request) -> None:
        self._owner = owner
        self._loop = owner.loop
        self.number = 0  # of its stream, once it has one
        self.request = request
        self.answer: asyncio.Future[Response] = self._loop.create_future()
        self.deadline = Deadline(self._loop, self._on_due)
        self.upload: asyncio.Task[None] | None = None
        self.trailers: Headers | None = None
        self._response: Response | None = None
        self._pieces: list[bytes] = []
        self._stream: ContentStream | None = None
        self._size = 0
        self._sent_at = self._loop.time()
        self._head_at = 0.0

    @property
    def has_begun(self) -> bool:
        """Whether the head of the answer came."""
        return self._response is not None

    def on_head(self, fields: list[Any]) -> None:
        """The head came."""
        headers = headers_of(fields)
        status = int(headers[":status"])
        del headers[":status"]
        self._head_at = self._loop.time()
        if self.request.is_streamed:
            self._stream = ContentStream(self)
        response = self._response = Response(
            status, headers, request=self.request, http_version="HTTP/2", stream=self._stream
        )
        response.elapsed = Elapsed(first_byte=self._head_at - self._sent_at)
        coding = headers.get("content-encoding", "").lower()
        if coding:
            response.extensions["coding"] = ", ".join(headers.get_all("content-encoding")).lower()
        if self._stream is not None and not self.answer.done():
            self.answer.set_result(response)
        self.await_bytes()

    def on_data(self, data: bytes) -> int:
        """Content came; return how many bytes of it the window does not get back before they are read."""
        if self._stream is not None:
            self._stream.put(data)
            self.await_nothing()  # the reader is behind or was just woken
            return len(data)
        self._pieces.append(data)
        self._size += len(data)
        most = self._owner.limits.max_body
        if most is not None and self._size > most:
            self.reset(ErrorCodes.CANCEL)
            self.fail(BodyTooLarge(f"the content of the answer is larger than {most} bytes"))
        else:
            self.await_bytes()
        return 0

    def on_end(self) -> None:
        """The answer is whole."""
        response, now = self._response, self._loop.time()
        if response is None:
            self.fail(ProtocolError("the stream ended without an answer (RFC 9113 §8.1)"))
            return
        response.elapsed = response.elapsed._replace(content=now - self._head_at)
        response.trailers = self.trailers
        if self.upload is not None:
            self.reset(ErrorCodes.NO_ERROR)  # RFC 9113 §8.1: the rest of the request is of no use
        if self._stream is not None:
            self._stream.complete()
        else:
            response.content = b"".join(self._pieces)
            if not self.answer.done():
                self.answer.set_result(response)
        self._owner.end(self)

    def fail(self, error: BaseException) -> None:
        """There is no whole answer."""
        if isinstance(error, ClientError) and error.request is None:
            error.request = self.request
        if not self.answer.done():
            self.answer.set_exception(error)
        if self._stream is not None:
            self._stream.fail(error)
        self._owner.end(self)

    def reset(self, code: ErrorCodes) -> None:
        """Tell the server that the stream is of no use."""
        self._owner.reset_stream(self.number, code)

    def on_wanted(self) -> None:
        """Called by the stream: its reader waits."""
        self.await_bytes()

    def on_taken(self, size: int) -> None:
        """Called by the stream: its reader got on, so the server may send more."""
        self._owner.acknowledge(self.number, size)

    def give_up(self) -> None:
        """Called by the stream: its reader left."""
        if self._stream is not None:
            self._owner.acknowledge(self.number, self._stream.held)
        self.reset(ErrorCodes.CANCEL)
        self._owner.end(self)

    def await_bytes(self) -> None:
        """The server is to send something."""
        self._set(self.request.timeout.read, ReadTimeout, "the server sent nothing within the read timeout")

    def await_room(self) -> None:
        """The server is to take something."""
        self._set(
            self.request.timeout.write, WriteTimeout, "the server took nothing within the write timeout"
        )

    def await_nothing(self) -> None:
        """It is not the server who is waited for."""
        self._set(None, RequestTimeout, "")

    def _set(self, seconds: float | None, kind: type[RequestTimeout], text: str) -> None:
        at = None if seconds is None else self._loop.time() + seconds
        total = self.request.deadline
        if total is not None and (at is None or total < at):
            self.deadline.set(total, TotalTimeout, "the whole request took too long")
        else:
            self.deadline.set(at, kind, text)

    def _on_due(self) -> None:
        self.reset(ErrorCodes.CANCEL)
        self.fail(self.deadline.error())


def headers_of(fields: list[Any]) -> Headers:
    """Fields as received, as text."""
    return Headers(
        [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in fields]
    )
