"""Send an answer whose content comes in pieces: framed, no faster than the client reads, ended with it.

`stream_answer` is the one way in, on every engine. The head leaves with the first pieces, so that a producer
that fails before it has made any is answered with 500; it leaves without them as soon as the producer has to
wait for something. After that a failure can only cut the connection, which is what tells the client that the
content is not whole.

The producer is closed at the end, whatever the end was. A client that closes a connection which was to be
kept has left (RFC 9112 §9.5): its producer is cancelled. On a connection that ends with this answer it may
only have closed its half.

Specified in RFC 9110 §6.5, §8.6, §9.3.2, §15.2 and RFC 9112 §6, §7.1.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from typing import Any, Final, TypeVar

from rocket_sup.conduit import Conduit
from rocket_sup.errors import LocalProtocolError, TransportError
from rocket_sup.flow import Flow
from rocket_sup.http.headers import Headers
from rocket_sup.http.semantics import CLOSE, PERSIST, PERSIST_1_0, has_content, status_line
from rocket_sup.request import Request
from rocket_sup.response import Answer, field_line
from rocket_sup.sources import FileSource as FileSource
from rocket_sup.sources import FileSpan as FileSpan
from rocket_sup.sources import Piece, Stream, TrailerSource, as_piece, source_of
from rocket_sup.threadedstream import ThreadedStream

T = TypeVar("T")

GATHERED: Final = 65536  # bytes of small pieces that are sent together while their producer does not wait
SMALL_SPAN: Final = (
    16384  # of a file: read and sent with what stands before it, one system call instead of two
)

# What decides about framing, routing or meaning of the content comes too late behind it (RFC 9110 §6.5.1).
NO_TRAILERS: Final = frozenset(
    {
        *("transfer-encoding", "content-length", "host", "connection", "keep-alive", "te", "trailer"),
        *("upgrade", "expect", "range", "content-encoding", "content-type", "content-range", "set-cookie"),
        *("authorization", "www-authenticate", "cache-control", "date", "location", "vary", "age"),
    }
)


async def stream_answer(request: Request, answer: Answer, conduit: Conduit) -> None:
    """Send an answer that has a source; nobody else has the conduit.

    Raises:
        Exception: whatever the producer raises; the answer was begun unless it did so before its first
            piece. LocalProtocolError when what it gave is no content of the announced length.
    """
    await send_answer(request, answer, Flow(conduit))


async def send_answer(request: Request, answer: Answer, flow: Flow) -> None:
    """Do the same on a conduit that content may be read from meanwhile."""
    source = source_of(answer.source)
    if source is None:
        raise LocalProtocolError(f"{answer.source!r} gives no content in pieces")
    if isinstance(source, FileSource):
        await _send_file(Sending(request, answer, flow), source)
    else:
        await _send_stream(Sending(request, answer, flow, source.trailers), source)


async def _send_file(sending: Sending, source: FileSource) -> None:
    try:
        if sending.is_bare:
            sending.finish()
        elif not await _until_left(sending, sending.send_file(source)):
            sending.abort()
    except BaseException:
        if sending.is_begun:
            sending.abort()  # before the file is closed: it may be on its way to the socket
        raise
    finally:
        source.close()


async def _send_stream(sending: Sending, stream: Stream) -> None:
    has_left = False
    try:
        if sending.is_bare:
            sending.finish()
        else:
            has_left = not await _until_left(sending, sending.send_stream(stream))
    finally:
        await _close(stream.pieces)
    if has_left:
        sending.abort()


class Sending:
    """The head, the framing and the end of one answer.

    Attributes:
        is_bare: it has no content, whatever its source says.
    """

    def __init__(
        self, request: Request, answer: Answer, flow: Flow, trailers: TrailerSource | None = None
    ) -> None:
        self.flow = flow
        self._conduit = flow.conduit
        self._request = request
        self._answer = answer
        self.is_bare = request.method == "HEAD" or not has_content(answer.status)
        self._is_chunked = answer.length < 0 and request.http_version != "1.0" and not self.is_bare
        is_endless = answer.length < 0 and not self._is_chunked and not self.is_bare
        self._wants_to_stay = not answer.closes and not is_endless
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._content_bytes = 0
        self._trailers = trailers if self._is_chunked else None

    @property
    def is_begun(self) -> bool:
        """Its head was sent."""
        return self._conduit.is_begun

    @property
    def keep_alive(self) -> bool:
        """The head says that the connection goes on, or would say so now."""
        if self._conduit.is_begun:
            return self._wants_to_stay
        return self._wants_to_stay and self._conduit.keep_alive

    async def send_file(self, source: FileSource) -> None:
        """Send the parts of a file."""
        before: list[bytes] = []
        for part in source.parts:
            if not isinstance(part, FileSpan):
                before.append(part)
            elif part.count <= SMALL_SPAN:
                content = os.pread(source.fd, part.count, part.offset)
                if len(content) != part.count:
                    raise LocalProtocolError(f"a file ended {part.count - len(content)} bytes early")
                before.append(content)
            else:
                if first := self._start() + b"".join(before):
                    self.flow.push(first)
                before.clear()
                await self.flow.send_file(source.fd, part.offset, part.count)
        self._content_bytes = source.length
        self._end(self._start() + b"".join(before))

    async def send_stream(self, stream: Stream) -> None:
        """Send what a producer makes."""
        pieces: Any = stream.pieces  # whichever kind of iterable it is
        on_wait = self._push
        if stream.is_blocking:
            on_wait = self._push_gathered  # a thread is waited for in any case, also when it fails at once;
            self.flow.on_wait = self._push  # but perhaps the client sends nothing before it has seen the head
            pieces = stream.pieces = ThreadedStream(pieces, self._conduit.executor)
        if stream.is_async:
            iterator = pieces.__aiter__() if hasattr(pieces, "__aiter__") else pieces
            while True:
                if not self.flow.has_room:  # it pushes when it waits, and may do so often
                    await self.flow.wait_for_room()
                try:
                    piece = await Noticing(iterator.__anext__(), on_wait)
                except StopAsyncIteration:
                    break
                await self._add(piece)
        else:
            for piece in pieces:
                await self._add(piece)
        if self._content_bytes < self._answer.length:
            raise LocalProtocolError(
                f"a stream gave {self._content_bytes} of {self._answer.length} bytes announced"
                " (RFC 9110 §8.6)"
            )
        trailers = b"" if self._trailers is None else await _evaluated(self._trailers)
        end = b"0\r\n%b\r\n" % trailers if self._is_chunked else b""
        await self.flow.wait_for_room()
        self._end(self._take() + end)

    def abort(self) -> None:
        """Cut the connection: a part must not look whole."""
        self._conduit.abort(TransportError("the client has left"))

    def finish(self) -> None:
        """Send an answer without content."""
        self._end(self._begin())

    def _start(self) -> bytes:
        """Begin the answer, unless that was done; return its head, or nothing."""
        return b"" if self._conduit.is_begun else self._begin()

    def _begin(self) -> bytes:
        answer = self._answer
        lines = [status_line(answer.status)]
        if not answer.has_date:
            lines.append(self._conduit.date_line)
        lines.append(answer.fields)
        if self._is_chunked:
            lines.append(b"Transfer-Encoding: chunked\r\n")
            if isinstance(self._trailers, (Mapping, Headers)) and self._trailers:
                lines.append(field_line("Trailer", ", ".join(dict.fromkeys(self._trailers))))
        elif answer.length >= 0 and answer.status not in (204, 304):
            lines.append(b"Content-Length: %d\r\n" % answer.length)
        self._wants_to_stay = keep_alive = self.keep_alive
        is_old = self._request.http_version == "1.0"
        lines.append(CLOSE if not keep_alive else PERSIST_1_0 if is_old else PERSIST)
        lines.append(b"\r\n")
        self._conduit.begin()
        return b"".join(lines)

    async def _add(self, piece: Piece) -> None:
        """Take a piece; send it when it is worth it, and let others have their turn then."""
        content = as_piece(piece)
        if not content:
            return
        length = self._answer.length
        if 0 <= length < self._content_bytes + len(content):
            raise LocalProtocolError(f"a stream gave more than the {length} bytes announced (RFC 9110 §8.6)")
        self._content_bytes += len(content)
        self._gathered.append(content)
        self._gathered_bytes += len(content)
        if self._gathered_bytes >= GATHERED:
            await self.flow.wait_for_room()
            self._push()
            await asyncio.sleep(0)
            await self.flow.wait_for_room()

    def _push(self) -> None:
        """Send what there is, and the head in any case: the producer waits for something."""
        if self._gathered or not self._conduit.is_begun:
            self.flow.push(self._take())

    def _push_gathered(self) -> None:
        """Send what there is."""
        if self._gathered:
            self.flow.push(self._take())

    def _take(self) -> bytes:
        """Frame what was gathered, behind the head if that is still to come."""
        parts = [self._start()]
        if self._gathered:
            if self._is_chunked:
                parts += [b"%x\r\n" % self._gathered_bytes, *self._gathered, b"\r\n"]
            else:
                parts += self._gathered
            self._gathered = []
            self._gathered_bytes = 0
        return b"".join(parts)

    def _end(self, last: bytes) -> None:
        """Send the last bytes; the exchange is over."""
        if last:
            self._conduit.write(last)
        self._conduit.finish(
            self._answer.status, 0 if self.is_bare else self._content_bytes, keep_alive=self._wants_to_stay
        )


class Noticing:
    """Awaits something, and says so when that really has to wait."""

    __slots__ = ("_awaitable", "_on_wait")

    def __init__(self, awaitable: Awaitable[T], on_wait: Callable[[], None]) -> None:
        self._awaitable: Awaitable[Any] = awaitable
        self._on_wait = on_wait

    def __await__(self) -> Generator[Any, Any, Any]:
        steps: Any = self._awaitable.__await__()  # a generator, or an iterator without `send` and `throw`
        try:
            waited = next(steps)
            self._on_wait()
            while True:
                try:
                    given = yield waited
                except BaseException as error:
                    if not hasattr(steps, "throw"):
                        raise
                    waited = steps.throw(error)
                else:
                    waited = next(steps) if given is None else steps.send(given)
        except StopIteration as end:
            return end.value


async def _until_left(sending: Sending, work: Coroutine[Any, Any, None]) -> bool:
    """Send, unless the client leaves; say whether it stayed."""
    flow = sending.flow
    task = asyncio.current_task()
    is_cancelled = False

    def leave() -> None:
        nonlocal is_cancelled
        if task is not None and sending.keep_alive and not is_cancelled:
            is_cancelled = True
            task.cancel()

    if flow.is_left and sending.keep_alive:
        work.close()
        return False
    flow.on_leave = leave
    try:
        await work
    except asyncio.CancelledError:
        if not is_cancelled or task is None or flow.is_gone:
            raise
        task.uncancel()
        return False
    finally:
        flow.on_leave = None
    return True


async def _evaluated(trailers: object) -> bytes:
    """Write the trailer section, asking for it if that is how it was given."""
    if callable(trailers):
        trailers = trailers()
        if inspect.isawaitable(trailers):
            trailers = await trailers
    headers = Headers(trailers)  # type: ignore[arg-type]  # whatever the application gave; judged line by line
    for name in headers:
        if name.lower() in NO_TRAILERS:
            raise LocalProtocolError(f"field {name!r} cannot be a trailer (RFC 9110 §6.5.1)")
    return b"".join(field_line(name, value) for name, value in headers.items())


async def _close(pieces: object) -> None:
    """Close a producer, if it can be; one that has ended takes no harm."""
    aclose = getattr(pieces, "aclose", None)
    if aclose is not None:
        await aclose()
        return
    close = getattr(pieces, "close", None)
    if close is not None:
        result = close()
        if inspect.isawaitable(result):
            await result
