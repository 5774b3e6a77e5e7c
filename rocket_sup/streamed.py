"""Routes with `stream=True`: the handler is called with the head, and reads the content while it comes.

`streamed` makes of such a handler one that takes a conduit, which is all that an engine knows of it. What
the handler returns may itself be a stream that reads on.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from rocket_sup.conduit import Conduit
from rocket_sup.errors import LocalProtocolError
from rocket_sup.flow import Flow
from rocket_sup.http.headers import Headers
from rocket_sup.request import Request
from rocket_sup.response import Answer, answer_from, call_blocking, field_line
from rocket_sup.streaming import send_answer

R = TypeVar("R")

StreamedHandler = Callable[[Request, Conduit], Awaitable[Answer | None]]


def streamed(handler: Callable[[Request], object], *, blocking: bool) -> StreamedHandler:
    """Make a handler that takes a conduit of one that takes a request and reads its content by `stream`."""

    @functools.wraps(handler)
    async def serve(request: Request, conduit: Conduit) -> Answer | None:
        flow = Flow(conduit)
        mine = StreamedRequest(request, flow)
        if blocking:
            result = await _in_thread(conduit, functools.partial(call_blocking, handler, mine))
        else:
            result = handler(mine)
            if inspect.isawaitable(result):
                result = await result
        answer = answer_from(result)
        if answer.source is None:
            return answer
        await send_answer(request, answer, flow)
        return None

    return serve


async def _in_thread(conduit: Conduit, function: Callable[[], R]) -> R:
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(conduit.executor, context.run, function)


class StreamedRequest(Request):
    """A request whose content has not come yet. Everything else is as in `Request`."""

    def __init__(self, request: Request, flow: Flow) -> None:
        """Read the rest of a request; whatever was set on it is found here too."""
        self._request = request
        self._flow = flow
        self._content: bytes | None = None
        self._stream: ContentStream | None = None
        self.client = request.client
        self.path_params = request.path_params

    def __getattr__(self, name: str) -> dict[str, str]:
        if name.startswith("__"):
            raise AttributeError(name)
        found: dict[str, str] = getattr(self._request, name)
        return found

    @property
    def method(self) -> str:
        """See `Request`."""
        return self._request.method

    @property
    def target(self) -> str:
        """See `Request`."""
        return self._request.target

    @property
    def path(self) -> str:
        """See `Request`."""
        return self._request.path

    @property
    def query_string(self) -> str:
        """See `Request`."""
        return self._request.query_string

    @property
    def http_version(self) -> str:
        """See `Request`."""
        return self._request.http_version

    @property
    def fields(self) -> bytes:
        """See `Request`."""
        return self._request.fields

    @property
    def body(self) -> bytes:
        """The whole content, after `read`.

        Raises:
            LocalProtocolError: before that.
        """
        if self._content is None:
            raise LocalProtocolError("the content of a route with stream=True is read by 'await req.read()'")
        return self._content

    @body.setter
    def body(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> ContentStream:
        """See `Request`."""
        if self._stream is None:
            self._stream = ContentStream(self._flow)
        return self._stream

    async def read(self) -> bytes:
        """See `Request`."""
        if self._content is None:
            self._content = b"".join([piece async for piece in self.stream()])
        return self._content

    @property
    def trailers(self) -> Headers:
        """See `Request`."""
        return Headers.from_block(self._flow.trailers)

    @property
    def is_disconnected(self) -> bool:
        """See `Request`."""
        return self._flow.is_left

    async def disconnected(self) -> None:
        """See `Request`."""
        await self._flow.wait_for_leave()

    async def early_hints(self, links: Iterable[str]) -> None:
        """See `Request`."""
        conduit = self._flow.conduit
        if conduit.is_begun:
            raise LocalProtocolError("early hints come before the answer (RFC 8297 §2)")
        lines = [field_line("Link", link) for link in links]
        if lines and self.http_version != "1.0":  # which knows no interim answers (RFC 9110 §15.2)
            await self._flow.write(b"HTTP/1.1 103 Early Hints\r\n%b\r\n" % b"".join(lines))


class ContentStream:
    """The content of a request, piece by piece as it comes: `async for` on the event loop, `for` in a
    thread.

    Iterating raises RemoteProtocolError when the content will never be whole (413, 400, 408; left alone it
    becomes the answer) and TransportError when the client is gone.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._taken: deque[bytes] = deque()  # of the thread that iterates

    def __aiter__(self) -> ContentStream:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._flow.read_one()
        if not piece:
            raise StopAsyncIteration
        return piece

    def __iter__(self) -> ContentStream:
        return self

    def __next__(self) -> bytes:
        if not self._taken:
            if threading.get_ident() == self._flow.thread:
                raise LocalProtocolError("on the event loop a stream is read by 'async for'")
            self._taken.extend(asyncio.run_coroutine_threadsafe(self._flow.read(), self._flow.loop).result())
            if not self._taken:
                raise StopIteration
        return self._taken.popleft()
