"""A WSGI application called on the event loop, one request at a time: `acceptor.threads = 0`.

Nothing is faster for an application that never waits, and nothing worse for one that does: a slow call holds
up every other client of this acceptor, and its heartbeat. The content is whole before the call. An answer
in one piece is written like any other; one in several is pulled as the client reads it.

`write` can only collect here: nothing leaves before the call is over.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Final

from rocket_sup.adapters.wsgi_environ import Environs
from rocket_sup.adapters.wsgi_files import FileWrapper, file_answer
from rocket_sup.adapters.wsgi_response import (
    Starting,
    bare_answer,
    content_of,
    is_sized,
    too_little,
    too_much,
    whole_answer,
)
from rocket_sup.http.semantics import has_content
from rocket_sup.response import Answer
from rocket_sup.sources import Stream

if TYPE_CHECKING:
    from rocket_sup.request import Request

WHOLE_BYTES: Final = 65536  # of an announced length, up to which the pieces are put together


def call_on_loop(app: Callable[..., Iterable[bytes]], environs: Environs) -> Callable[[Request], Answer]:
    """Make a plain handler of an application."""

    def handle(request: Request) -> Answer:
        body = request.body
        environ = environs.make(request, io.BytesIO(body))
        if "HTTP_TRANSFER_ENCODING" in environ:  # undone: the content is whole (RFC 9112 §7.1.3)
            del environ["HTTP_TRANSFER_ENCODING"]
            environ["CONTENT_LENGTH"] = str(len(body))
        is_head = environ["REQUEST_METHOD"] == "HEAD"
        call = _Call()
        # Of its own: what is pulled later has to be in the same one, or Flask cannot leave what it entered.
        context = copy_context()
        result = context.run(app, environ, call.start_response)
        head = call.head
        # The usual case, with nothing called for it.
        if type(result) is list and len(result) == 1 and head is not None and head.is_plain:
            content = result[0]
            if type(content) is bytes and head.length in (len(content), -1) and not call.is_sent:
                return Answer(head.status, head.fields, content)
        return _answer_of(call, result, context, is_head=is_head)

    return handle


class _Call(Starting):
    """One call of an application.

    Attributes:
        written: what it gave to `write`; None for nothing.
    """

    written: list[bytes] | None = None

    def write(self, data: bytes) -> object:
        self.is_sent = True
        if self.written is None:
            self.written = []
        self.written.append(content_of(data))
        return None


def _answer_of(call: _Call, result: Iterable[bytes], context: Context, *, is_head: bool) -> Answer:
    """Make an answer of any iterable: of one piece if it is one, else of pieces that are still to come."""
    rest = _Rest(call, result, context)
    try:
        if isinstance(result, FileWrapper) and not call.is_sent and (region := result.region()) is not None:
            answer = file_answer(call.said(), region)
            rest.close()
            return answer
        parts = call.written = call.written or []
        if not parts:
            parts.extend(rest.take())  # some call `start_response` only now
        head = call.said()
        if parts and not is_head and 0 <= head.length <= WHOLE_BYTES:
            while sum(map(len, parts)) <= head.length and (piece := rest.take()):
                parts.extend(piece)
            is_whole = True
        else:
            is_whole = not parts or rest.is_ended or (is_head and head.length >= 0)
        call.is_sent = True
        if is_whole or not has_content(head.status):
            answer = whole_answer(head, b"".join(parts), is_head=is_head)
            rest.close()
            return answer
    except BaseException:
        rest.close()
        raise
    answer = bare_answer(head)
    answer.length = head.length
    answer.source = Stream(rest)
    return answer


class _Rest:
    """The pieces of an answer that were not taken yet."""

    __slots__ = ("_call", "_context", "_given", "_pieces", "_result", "is_ended")

    def __init__(self, call: _Call, result: Iterable[bytes], context: Context) -> None:
        self._call = call
        self._context = context
        self._result: Iterable[bytes] | None = result
        self._pieces = context.run(iter, result)
        self._given = 0
        self.is_ended = False

    def take(self) -> list[bytes]:
        """Take the next piece that is not empty; none at the end."""
        return self._context.run(self._take)

    def _take(self) -> list[bytes]:
        for piece in self._pieces:
            if content_of(piece):
                self.is_ended = is_sized(self._result, 1)
                return [piece]
        self.is_ended = True
        return []

    def close(self) -> None:
        """Tell the application that nobody wants more of it; again does nothing."""
        result, self._result = self._result, None
        close = getattr(result, "close", None)
        if close is not None:
            self._context.run(close)

    def __iter__(self) -> _Rest:
        return self

    def __next__(self) -> bytes:
        head, parts = self._call.said(), self._call.written or []
        if not parts:
            parts = self.take()
        if not parts:
            if self._given < head.length:
                raise too_little(head, self._given)
            raise StopIteration
        part = b"".join(parts)
        parts.clear()
        self._given += len(part)
        if 0 <= head.length < self._given:
            raise too_much(head)
        return part
