"""One HTTP exchange of an ASGI application: its two channels, and what becomes of what it sends.

`send` remembers the start of an answer, as the specification asks: nothing leaves before the first body
event. If that is also the last, the answer is kept whole for whoever runs the application (`conclude`,
`flush`); else it is begun on the conduit and written piece by piece (`asgi_stream.py`). A client that does
not read makes `send` wait.

`receive` gives content as it comes, holds back a client that is too fast, and then waits until the client
has left. Nothing is asked of the conduit before somebody calls it.
"""

from __future__ import annotations

import asyncio
import enum
import os
from collections.abc import Mapping
from typing import Any, Final

from rocket_sup.adapters.asgi_fields import Fields, judge
from rocket_sup.adapters.asgi_stream import StreamedAnswer
from rocket_sup.conduit import Conduit
from rocket_sup.dispatch import refusal
from rocket_sup.errors import LocalProtocolError, RemoteProtocolError
from rocket_sup.http.semantics import CLOSE, PERSIST, PERSIST_1_0, serialise
from rocket_sup.request import Request
from rocket_sup.response import Answer

Event = Mapping[str, Any]  # the specification gives each key its own type

_WITHOUT_CONTENT: Final = frozenset({204, 304})  # RFC 9110 §6.4.1
_HELD_BYTES: Final = 64 * 1024  # of content nobody has asked for; then the client has to wait


class ClientDisconnected(OSError):  # noqa: N818 - says what happened; frameworks know it as OSError
    """The client has left, and nothing that is sent goes anywhere."""


class Phase(enum.IntEnum):
    """How far the answer is."""

    NEW = 0
    STARTED = 1  # its head is known
    STREAMED = 2  # begun on the conduit
    TRAILED = 3  # its content is whole, trailers are due
    WHOLE = 4  # known, and not given to anybody
    DONE = 5


# A member of an enumeration costs two lookups.
_NEW, _STARTED, _STREAMED, _TRAILED, _WHOLE, _DONE = Phase


class HttpExchange:
    """See the module's docstring; it is the conduit's `Receiver` once something was asked of that.

    It has no constructor: to call one costs as much as everything else that most exchanges do. Whoever makes
    it sets the public attributes; what only content, pieces and trailers need is set when there are any.

    Attributes:
        request, conduit: what is served.
        phase: how far the answer is; NEW at first.
        answer: once it is WHOLE.
        is_attached: the conduit was asked for something; False at first.
        is_gone: the client is; False at first.
        is_stepping: the application's own coroutine runs, and whoever runs it will look at the answer. What
            its other tasks send has to leave by itself. True at first.
    """

    __slots__ = (
        "_fields",
        "_has_left",
        "_has_trailers",
        "_held_bytes",
        "_is_content_whole",
        "_is_end_told",
        "_is_full",
        "_is_paused",
        "_pieces",
        "_status",
        "_stream",
        "_trailers",
        "_waiting",
        "answer",
        "conduit",
        "is_attached",
        "is_gone",
        "is_stepping",
        "phase",
        "request",
    )

    request: Request
    conduit: Conduit
    phase: Phase
    is_attached: bool
    is_gone: bool
    is_stepping: bool
    answer: Answer
    _fields: Fields
    _has_trailers: bool
    _is_content_whole: bool
    _is_end_told: bool
    _is_full: bool
    _is_paused: bool
    _status: int
    _stream: StreamedAnswer

    # --- what the application calls

    async def send(self, message: Event) -> None:
        """Take an event of the application.

        Raises:
            LocalProtocolError: it is not this event's turn, or it cannot be sent.
            ClientDisconnected: nobody is there.
        """
        kind = message["type"]
        if kind == "http.response.body":
            if self.phase is _STARTED and not self._has_trailers and not message.get("more_body", False):
                # Most answers end here, and this is written out for them.
                body = message.get("body", b"")
                if type(body) is not bytes:
                    body = _bytes_of(body)
                fields = self._fields
                answer = Answer(self._status, fields.lines, body)
                if not fields.is_plain or self._status in _WITHOUT_CONTENT:
                    self._adjust(answer, fields)
                self.answer = answer
                self.phase = _WHOLE
                if self.is_attached or not self.is_stepping:
                    self._on_whole()
                return
        elif kind == "http.response.start" and self.phase is _NEW:
            status = message["status"]
            if type(status) is not int or not 200 <= status <= 999:
                status = _checked(status)
            self._fields = judge(message.get("headers", ()))
            self._status = status
            self._has_trailers = message.get("trailers", False)
            self.phase = _STARTED
            return
        await self._send_other(kind, message)

    async def receive(self) -> Event:
        """Wait for content, and after it for the client to leave."""
        if self.phase >= _WHOLE:
            return {"type": "http.disconnect"}
        self._attach()
        while not self.is_gone and self.phase < _WHOLE:
            if self._pieces or (self._is_content_whole and not self._is_end_told):
                content = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
                self._pieces.clear()
                self._held_bytes = 0
                self._is_end_told = self._is_content_whole
                return {"type": "http.request", "body": content, "more_body": not self._is_content_whole}
            if self._has_left:
                break
            if self._is_paused:
                self._is_paused = False
                self.conduit.resume_reading()
            else:
                await self._wait()
        return {"type": "http.disconnect"}

    # --- what the runner of the application calls

    def conclude(self) -> Answer | None:
        """Say what the application came to when it has returned: a whole answer that nobody has, or None when
        it was written.

        Raises:
            LocalProtocolError: it has returned too early.
        """
        if self.phase is _WHOLE:
            self.phase = _DONE
            return self.answer
        if self.phase is _DONE or self.is_gone:
            return None
        what = "starting" if self.phase is _NEW else "completing"
        raise LocalProtocolError(f"the ASGI application returned without {what} its response")

    def flush(self) -> None:
        """Write a whole answer that nobody has; without one, do nothing."""
        if self.phase is _WHOLE:
            self.phase = _DONE
            self._write_whole(self.answer)

    # --- what the conduit calls

    def on_content(self, data: bytes) -> None:
        """See `Receiver`."""
        self._pieces.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= _HELD_BYTES and not self._is_paused:
            self._is_paused = True
            self.conduit.pause_reading()
        self._wake()

    def on_content_end(self, trailers: bytes) -> None:
        """See `Receiver`; ASGI has no event for trailers."""
        self._is_content_whole = True
        self._is_paused = False
        self._wake()

    def on_content_error(self, error: RemoteProtocolError) -> None:
        """Answer in the application's place, which can only be told that the client has left."""
        if self.phase <= _STARTED:
            self.phase = _DONE
            answer = refusal(error.status, str(error))
            answer.closes = True
            self._write_whole(answer)
        self.on_gone(None)

    def on_room(self) -> None:
        """See `Receiver`."""
        self._is_full = False
        self._wake()

    def on_left(self) -> None:
        """Take the client for gone, unless it had said that nothing would follow: it may only have closed
        its side.
        """
        self._has_left = self.conduit.keep_alive
        self._wake()

    def on_gone(self, error: Exception | None) -> None:
        """See `Receiver`."""
        self.is_gone = True
        self._wake()

    # --- answers

    def _adjust(self, answer: Answer, fields: Fields) -> None:
        """Heed what a header section says that is no plain one."""
        answer.closes = fields.closes
        answer.has_date = fields.has_date
        has_content = answer.status not in _WITHOUT_CONTENT
        if not has_content:
            answer.body = b""
        if fields.length not in (-1, len(answer.body)):
            if has_content and self.request.method != "HEAD":
                raise LocalProtocolError(
                    f"the content is {len(answer.body)} bytes, its Content-Length {fields.length}"
                )
            answer.length = fields.length

    def _on_whole(self) -> None:
        """Tell those who have to know that an answer is whole."""
        if not self.is_stepping:
            self.flush()
        if self.is_attached:
            self._wake()

    def _write_whole(self, answer: Answer) -> None:
        conduit, request = self.conduit, self.request
        conduit.begin()
        is_kept = conduit.keep_alive and not answer.closes
        is_head = request.method == "HEAD"
        conduit.write(
            serialise(
                answer.status,
                b"" if answer.has_date else conduit.date_line,
                answer.fields,
                answer.body,
                connection=CLOSE
                if not is_kept
                else PERSIST_1_0
                if request.http_version == "1.0"
                else PERSIST,
                is_head=is_head,
                length=answer.length,
            )
        )
        conduit.finish(answer.status, 0 if is_head else len(answer.body), keep_alive=is_kept)

    # --- events that are no part of a whole answer

    async def _send_other(self, kind: str, message: Event) -> None:
        if self.is_gone:
            raise ClientDisconnected("the client has left")
        phase = self.phase
        is_due = phase in (_STARTED, _STREAMED)
        if kind == "http.response.body" and is_due:
            await self._send_content(_bytes_of(message.get("body", b"")), message)
        elif kind == "http.response.zerocopysend" and is_due:
            await self._send_part(message)
        elif kind == "http.response.pathsend" and phase is _STARTED:
            await self._send_path(message["path"])
        elif kind == "http.response.trailers" and phase is _TRAILED:
            self._send_trailers(message)
        elif kind == "http.response.early_hint" and phase <= _STARTED:
            self._send_hint(message.get("links", ()))
        elif kind == "http.response.debug" and phase is _NEW:
            return  # for test clients; the specification asks servers to leave it alone
        else:
            raise LocalProtocolError(
                f"the ASGI application sent {kind!r} when its response was {phase.name.lower()}"
            )

    async def _send_content(self, content: bytes, message: Event) -> None:
        stream = self._begun()
        self._is_full = True  # before the call, in which there may be room again
        has_room = stream.write(content)
        if not message.get("more_body", False):
            self._end(stream)
        elif not has_room:
            await self._wait_for_room()

    async def _send_part(self, message: Event) -> None:
        file = message["file"]
        fd = file if isinstance(file, int) else file.fileno()
        offset = message.get("offset")
        if offset is None:
            offset = os.lseek(fd, 0, os.SEEK_CUR)
        count = message.get("count")
        if count is None:
            count = max(0, os.fstat(fd).st_size - offset)
        stream = self._begun()
        await self._send_file(stream, fd, offset, count)
        if message.get("offset") is None:
            os.lseek(fd, offset + count, os.SEEK_SET)  # as if it had been read
        if not message.get("more_body", False):
            self._end(stream)

    async def _send_path(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            if self._fields.length < 0:
                self._fields = self._fields.with_length(size)
            stream = self._begun()
            await self._send_file(stream, fd, 0, size)
            self._end(stream)
        finally:
            os.close(fd)

    async def _send_file(self, stream: StreamedAnswer, fd: int, offset: int, count: int) -> None:
        self._is_full = True
        if not stream.write_file(fd, offset, count):
            await self._wait_for_room()
        stream.end_file(count)

    def _send_trailers(self, message: Event) -> None:
        self._trailers += judge(message.get("headers", ())).lines
        if not message.get("more_trailers", False):
            self.phase = _DONE
            self._stream.end(self._trailers if self._stream.is_chunked and self._takes_trailers() else b"")
            self._wake()

    def _send_hint(self, links: Any) -> None:
        """Write an interim answer (RFC 8297), which HTTP/1.0 does not know."""
        lines = judge([(b"link", link) for link in links]).lines
        if self.request.http_version != "1.0":
            self.conduit.write(b"HTTP/1.1 103 Early Hints\r\n%b\r\n" % lines)

    def _begun(self) -> StreamedAnswer:
        """Begin to answer in pieces, if that was not done."""
        if self.phase is _STARTED:
            self._attach()
            self.phase = _STREAMED
            self._trailers = b""
            has_trailers = self._has_trailers and self._takes_trailers()
            self._stream = StreamedAnswer(
                self.request, self.conduit, self._status, self._fields, has_trailers=has_trailers
            )
        return self._stream

    def _end(self, stream: StreamedAnswer) -> None:
        """The content is whole."""
        if self._has_trailers:
            self.phase = _TRAILED
            return
        stream.end()
        self.phase = _DONE
        self._wake()

    def _takes_trailers(self) -> bool:
        """The client says that it reads trailers (RFC 9110 §10.1.4)."""
        wishes = self.request.get_header("te", "").lower()
        return "trailers" in [wish.strip() for wish in wishes.split(",")]

    # --- waiting

    def _attach(self) -> None:
        if self.is_attached:
            return
        self.is_attached = True
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._is_content_whole = False
        self._is_end_told = False
        self._is_paused = True  # nothing is read before somebody wants it
        self._has_left = False
        self._waiting: list[asyncio.Future[None]] = []
        self.conduit.attach(self)

    async def _wait(self) -> None:
        """Wait until the conduit has news, or the answer is whole; several tasks may."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def _wait_for_room(self) -> None:
        """Wait until everything is sent that `_is_full` was set for."""
        while self._is_full and not self.is_gone:
            await self._wait()
        if self.is_gone:
            raise ClientDisconnected("the client has left")


def _checked(status: Any) -> int:
    """Refuse a status that is none; make a number of one with another name, as an `IntEnum`'s member."""
    if not isinstance(status, int) or not 200 <= status <= 999:
        raise LocalProtocolError(f"status {status!r}; allowed: 200 to 999")
    return int(status)


def _bytes_of(content: Any) -> bytes:
    """Give the bytes of a body, whatever bytes-like object it is."""
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(content)
    raise LocalProtocolError(f"a body of type {type(content).__name__}; allowed: bytes")
