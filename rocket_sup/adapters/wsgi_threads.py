"""A WSGI application called in the acceptor's threads, content and answer streamed.

A call has two sides that share nothing but what is named here. The *thread* runs the application, waits for
content and for room, and blocks there as the application expects. The *loop* has the conduit. Between them
are a few bounded buffers under one lock, which also is what the thread waits on; the thread never touches the
conduit, and the loop never waits.

An answer in one piece is handed to the engine whole. Any other is written piece by piece as PEP 3333 wants
it: what the application gave is on its way before it is asked for more, unless the client does not read.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

from rocket_sup.adapters.wsgi_environ import Environs
from rocket_sup.adapters.wsgi_files import FileWrapper, file_answer
from rocket_sup.adapters.wsgi_input import Content
from rocket_sup.adapters.wsgi_response import (
    Head,
    Starting,
    content_of,
    is_sized,
    too_little,
    too_much,
    whole_answer,
)
from rocket_sup.errors import TransportError
from rocket_sup.http.semantics import CLOSE, PERSIST, PERSIST_1_0, has_content, status_line
from rocket_sup.response import Answer
from rocket_sup.streaming import stream_answer

if TYPE_CHECKING:
    from rocket_sup.conduit import Conduit
    from rocket_sup.errors import RemoteProtocolError
    from rocket_sup.request import Request

App = Callable[..., Iterable[bytes]]

READ_AHEAD: Final = 65536  # content held for an application that does not read; then the client has to wait
WRITE_AHEAD: Final = 65536  # pieces held for a client that does not read; then the application has to wait


class ClientGoneError(ConnectionResetError):
    """The client has left; an `OSError`, because that is what frameworks expect of a file that broke."""

    def __init__(self) -> None:
        super().__init__("the client is gone")


def call_in_threads(
    app: App, environs: Environs
) -> Callable[[Request, Conduit], Coroutine[Any, Any, Answer | None]]:
    """Make a handler, which takes a conduit, of an application."""

    async def handle(request: Request, conduit: Conduit) -> Answer | None:
        call = _Call(request, conduit, asyncio.get_running_loop())
        conduit.attach(call)
        context = contextvars.copy_context()
        call.job = conduit.executor.submit(context.run, call.run, app, environs)
        try:
            answer = await call.outcome
            if answer is None or answer.source is None:
                return answer
            await stream_answer(request, answer, conduit)
        except TransportError:
            pass  # the client left while a file was sent: the application need not hear of it
        except asyncio.CancelledError:
            call.on_gone(None)  # too slow, or the acceptor leaves: nothing it gives goes anywhere
            raise
        return None

    return handle


class _Call(Starting):
    """One call of an application; also the receiver of its conduit.

    Attributes:
        outcome: the answer to be written, or nothing more; or the failure.
        job: the call as its executor has it; set before the loop can tell anything.
    """

    def __init__(self, request: Request, conduit: Conduit, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.outcome: asyncio.Future[Answer | None] = loop.create_future()
        self.job: Future[None] | None = None
        self._request = request
        self._is_head = request.method == "HEAD"
        self._loop = loop
        self._conduit = conduit
        self._is_answered = False  # in the thread: nothing more can be said
        self._given = 0  # bytes of content, in the thread
        self._errors = sys.stderr  # `wsgi.errors`, for failures that come after the answer
        # Of the loop.
        self._is_chunked = False
        self._keeps = False
        # Of both sides, under the lock.
        self._changed = threading.Condition()
        self._is_gone = False
        self._received: list[bytes] = []
        self._received_bytes = 0
        self._is_wanted = False  # content is being delivered
        self._is_whole = False
        self._error: RemoteProtocolError | None = None
        self._outbox: list[bytes] = []
        self._unsent = 0
        self._is_flushing = False
        self._is_last = False

    # --- the loop: what the conduit tells ---

    def on_content(self, data: bytes) -> None:
        """Hold content; too much, and the client has to wait."""
        with self._changed:
            self._received.append(data)
            self._received_bytes += len(data)
            is_enough = self._is_wanted and self._received_bytes >= READ_AHEAD
            if is_enough:
                self._is_wanted = False
            self._changed.notify()
        if is_enough:
            self._conduit.pause_reading()

    def on_content_end(self, trailers: bytes) -> None:
        """Let reading end; WSGI has no place for trailers."""
        with self._changed:
            self._is_whole = True
            self._changed.notify()

    def on_content_error(self, error: RemoteProtocolError) -> None:
        """Let reading fail."""
        with self._changed:
            self._error = error
            self._changed.notify()

    def on_room(self) -> None:
        """Let the application go on."""
        with self._changed:
            self._unsent = sum(map(len, self._outbox))
            self._changed.notify()

    def on_left(self) -> None:
        """A client that has sent everything may still read."""

    def on_gone(self, error: Exception | None) -> None:
        """Let whatever the thread waits for fail, and do not begin what has not begun."""
        with self._changed:
            self._is_gone = True
            self._changed.notify()
        if self.job is not None and self.job.cancel():
            self._settle(None)

    # --- the loop: what the thread asks for ---

    def _settle(self, outcome: Answer | BaseException | None) -> None:
        if self.outcome.done():
            return
        if isinstance(outcome, BaseException):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)

    def _flush(self) -> None:
        """Write what the thread has given since the last time, the head before the first of it."""
        with self._changed:
            pieces, self._outbox = self._outbox, []
            self._is_flushing = False
            is_last = self._is_last
        conduit, head = self._conduit, self.said()
        out = []
        if not conduit.is_begun:
            conduit.begin()
            out.append(self._head_bytes(head))
        content = b"".join(pieces)
        if not self._is_chunked:
            out.append(content)
        elif content:
            out.append(b"%x\r\n%b\r\n" % (len(content), content))
        if is_last and self._is_chunked:
            out.append(b"0\r\n\r\n")
        if conduit.write(b"".join(out)):
            self.on_room()
        if is_last:
            conduit.finish(head.status, self._given, keep_alive=self._keeps)
            self._settle(None)

    def _head_bytes(self, head: Head) -> bytes:
        """Write the head of an answer that comes in pieces (RFC 9112 §6.3)."""
        conduit = self._conduit
        is_1_0 = self._request.http_version == "1.0"
        framing = b""
        if not has_content(head.status):
            is_framed = True
        elif head.length >= 0:
            is_framed = True
            framing = b"Content-Length: %d\r\n" % head.length
        else:
            self._is_chunked = not is_1_0 and not self._is_head
            is_framed = self._is_chunked or self._is_head
            framing = b"Transfer-Encoding: chunked\r\n" if not is_1_0 else b""
        self._keeps = is_framed and conduit.keep_alive and not head.closes
        connection = CLOSE if not self._keeps else PERSIST_1_0 if is_1_0 else PERSIST
        date_line = b"" if head.has_date else conduit.date_line
        return b"".join((status_line(head.status), date_line, head.fields, framing, connection, b"\r\n"))

    # --- the thread ---

    def run(self, app: App, environs: Environs) -> None:
        """Call the application, and give what comes of it to the loop."""
        try:
            self._run(app, environs)
        except ClientGoneError:
            self._post(self._settle, None)
        except StopIteration as error:  # no future holds one
            self._fail(RuntimeError(f"the application raised {error!r}"))
        except BaseException as error:
            self._fail(error)

    def take(self) -> bytes:
        """Wait for content; b"" at its end."""
        with self._changed:
            while not self._received:
                if self._error is not None:
                    raise self._error
                if self._is_whole:
                    return b""
                if self._is_gone:
                    raise ClientGoneError
                if not self._is_wanted:
                    self._is_wanted = True
                    self._post(self._conduit.resume_reading)
                self._changed.wait()
            content = b"".join(self._received)
            self._received.clear()
            self._received_bytes = 0
            return content

    def write(self, data: bytes) -> object:
        """See PEP 3333."""
        self._send(content_of(data))
        return None

    def _run(self, app: App, environs: Environs) -> None:
        environ = environs.make(self._request, None)
        self._errors = environ["wsgi.errors"]
        is_expected = "HTTP_TRANSFER_ENCODING" in environ or environ.get("CONTENT_LENGTH", "0") != "0"
        environ["wsgi.input"] = Content(self.take) if is_expected else io.BytesIO()
        result = app(environ, self.start_response)
        try:
            if (
                isinstance(result, FileWrapper)
                and not self.is_sent
                and (region := result.region()) is not None
            ):
                self._answer(file_answer(self.said(), region))
            else:
                self._give(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def _give(self, result: Iterable[bytes]) -> None:
        is_single = is_sized(result, 1)
        for piece in result:
            if not content_of(piece):
                continue
            head = self.said()
            if not self.is_sent and (is_single or head.length in (len(piece), 0)):
                self._answer(self._whole(piece))
            elif self._is_head:
                self.is_sent = True  # a length that nobody knows is not said
            else:
                self._send(piece)
            if self._is_head:
                break
        if not self.is_sent:
            self._answer(self._whole(b""))
        elif not self._is_answered:
            self._end()

    def _whole(self, content: bytes) -> Answer:
        return whole_answer(self.said(), content, is_head=self._is_head)

    def _answer(self, answer: Answer) -> None:
        """Leave the answer to the engine; whatever the application still does comes after it."""
        self.is_sent = self._is_answered = True
        self._post(self._settle, answer)

    def _send(self, piece: bytes) -> None:
        """Hand over a piece as soon as the client has taken most of those before."""
        head = self.said()
        if self._is_answered:
            raise too_much(head)
        self.is_sent = True
        if not piece or self._is_head or not has_content(head.status):
            return
        is_too_much = 0 <= head.length < self._given + len(piece)
        if is_too_much:
            piece = piece[: head.length - self._given]
        self._given += len(piece)
        with self._changed:
            while self._unsent >= WRITE_AHEAD and not self._is_gone:
                self._changed.wait()
            if self._is_gone:
                raise ClientGoneError
            self._outbox.append(piece)
            self._unsent += len(piece)
            is_awake, self._is_flushing = self._is_flushing, True
        if not is_awake:
            self._post(self._flush)
        if is_too_much:
            self._end()
            raise too_much(head)

    def _end(self) -> None:
        head = self.said()
        if self._given < head.length and not self._is_head and has_content(head.status):
            raise too_little(head, self._given)
        self._is_answered = True
        with self._changed:
            self._is_last = True
            is_awake, self._is_flushing = self._is_flushing, True
        if not is_awake:
            self._post(self._flush)

    def _fail(self, error: BaseException) -> None:
        if self._is_answered:  # as PEP 3333 leaves no other way to tell
            traceback.print_exception(error, file=self._errors)
        else:
            self._post(self._settle, error)

    def _post(self, function: Callable[..., object], *arguments: object) -> bool:
        """Have something done on the loop; False when that is over."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop is closed: nobody waits
            self._is_gone = True
            return False
        return True
