"""Clients that need no port and no thread: the application runs while the client waits.

A client has one loop, with the application's wire and the other ends of its connections; a connection is
kept and used again as long as both sides want it. Nothing is done that was not asked for: redirects are not
followed and cookies not kept, because that is what a test wants to see.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, TypeVar

from rocket_sup.http.headers import HeaderSource
from rocket_sup.testing.answers import Answer, AnswerParser
from rocket_sup.testing.requests import Sent, compose
from rocket_sup.testing.site import Sections, Site, configured
from rocket_sup.testing.websocket import WebSocketSession, handshake

T = TypeVar("T")

PIECE_BYTES = 65536


class Connection:
    """One connection to the application."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, sent: Sent) -> None:
        """Send a request; of one in pieces, each as soon as there is room for it."""
        self.writer.write(sent.head)
        content = sent.content
        if isinstance(content, bytes):
            self.writer.write(content)
            return
        is_chunked = b"\r\ntransfer-encoding: chunked\r\n" in sent.head.lower()
        async for piece in _each(content):
            self.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked and piece else piece)
            await self.writer.drain()
        if is_chunked:
            self.writer.write(b"0\r\n\r\n")

    async def close(self) -> None:
        """Leave."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass  # the server was faster


class StreamedAnswer:
    """An answer whose content is read piece by piece.

    Attributes:
        head: the answer without its content.
    """

    def __init__(self, head: Answer, pieces: AsyncIterator[bytes]) -> None:
        self.head = head
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def read(self) -> bytes:
        """Read what is left."""
        return b"".join([piece async for piece in self._pieces])


class AsyncTestClient:
    """A client for tests that run in a loop themselves; an asynchronous context manager."""

    __test__ = False  # pytest would take it for tests

    def __init__(
        self,
        app: object,
        *,
        headers: HeaderSource | None = None,
        raise_failures: bool = True,
        **sections: Sections,
    ) -> None:
        """Test an application.

        Args:
            app: a `Router`, an ASGI or a WSGI application.
            headers: fields of every request.
            raise_failures: what the application raises fails the test; else it is answered with 500.
            sections: options as in rocket.toml, `server={"max_body": 10}`.
        """
        self._app = app
        self._config = configured(sections)
        self._headers = headers
        self._raises = raise_failures
        self._site: Site | None = None
        self._idle: list[Connection] = []

    async def __aenter__(self) -> AsyncTestClient:
        """Start the application.

        Raises:
            ApplicationError: it cannot start.
        """
        site = Site(self._app, self._config)
        await site.begin()
        self._site = site
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        site = self._served()
        for connection in self._idle:
            await connection.close()
        self._idle.clear()
        await site.end()
        self._site = None
        if self._raises and error is None:
            site.log.raise_failures()

    async def request(self, method: str, target: str, **parts: Any) -> Answer:
        """Send a request and read its answer.

        Args:
            parts: see `rocket_sup.testing.requests.compose`: headers, content, json, form, params.

        Raises:
            ApplicationFailed: the application raised.
            AssertionError: there was no whole answer.
        """
        async with self.stream(method, target, **parts) as streamed:
            streamed.head.content = await streamed.read()
            return streamed.head

    @asynccontextmanager
    async def stream(self, method: str, target: str, **parts: Any) -> AsyncIterator[StreamedAnswer]:
        """Send a request, and read its answer as it comes; see `request`."""
        sent = compose(method, target, base=self._headers, **parts)
        connection = await self._connection()
        sending = asyncio.get_running_loop().create_task(connection.send(sent))
        parser = AnswerParser(method)
        try:
            answer = await self._head(connection, parser)
            yield StreamedAnswer(answer, _pieces(connection, parser))
        except BaseException:
            parser.keeps = False
            raise
        finally:
            is_sent = sending.done() and not sending.cancelled() and sending.exception() is None
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            if parser.is_complete and parser.keeps and is_sent:
                self._idle.append(connection)
            else:
                await connection.close()
        self._check()

    @asynccontextmanager
    async def websocket_connect(
        self, target: str, *, subprotocols: tuple[str, ...] = (), headers: HeaderSource | None = None
    ) -> AsyncIterator[WebSocketSession]:
        """Open a WebSocket; it is closed at the end, if nobody has done so.

        Raises:
            AssertionError: the handshake was refused; the text has the answer.
        """
        connection = await self._connection()
        session: WebSocketSession | None = None
        try:
            session = await handshake(
                connection.reader, connection.writer, target, subprotocols, headers, self._headers
            )
            yield session
        finally:
            if session is not None:
                await session.close()
            await connection.close()
        self._check()

    async def get(self, target: str, **parts: Any) -> Answer:
        """Send a GET; see `request`."""
        return await self.request("GET", target, **parts)

    async def head(self, target: str, **parts: Any) -> Answer:
        """Send a HEAD; see `request`."""
        return await self.request("HEAD", target, **parts)

    async def post(self, target: str, **parts: Any) -> Answer:
        """Send a POST; see `request`."""
        return await self.request("POST", target, **parts)

    async def put(self, target: str, **parts: Any) -> Answer:
        """Send a PUT; see `request`."""
        return await self.request("PUT", target, **parts)

    async def patch(self, target: str, **parts: Any) -> Answer:
        """Send a PATCH; see `request`."""
        return await self.request("PATCH", target, **parts)

    async def delete(self, target: str, **parts: Any) -> Answer:
        """Send a DELETE; see `request`."""
        return await self.request("DELETE", target, **parts)

    async def options(self, target: str, **parts: Any) -> Answer:
        """Send an OPTIONS; see `request`."""
        return await self.request("OPTIONS", target, **parts)

    def _served(self) -> Site:
        if self._site is None:
            raise RuntimeError("a test client is a context manager: with TestClient(app) as client: ...")
        return self._site

    async def _connection(self) -> Connection:
        site = self._served()
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof():
                return connection
            await connection.close()
        return Connection(*await asyncio.open_connection(sock=site.connect()))

    async def _head(self, connection: Connection, parser: AnswerParser) -> Answer:
        while parser.answer is None:
            try:
                parser.feed(await _receive(connection))
            except AssertionError:
                self._check()  # why there is no answer
                raise
        return parser.answer

    def _check(self) -> None:
        if self._raises:
            self._served().log.raise_failures()


class TestClient:
    """A client for tests that run in no loop; a context manager. See `AsyncTestClient`.

    The application runs only while the client waits for something.
    """

    __test__ = False

    def __init__(
        self,
        app: object,
        *,
        headers: HeaderSource | None = None,
        raise_failures: bool = True,
        **sections: Sections,
    ) -> None:
        """Test an application; see `AsyncTestClient`."""
        self._client = AsyncTestClient(app, headers=headers, raise_failures=raise_failures, **sections)
        self._runner = asyncio.Runner()

    def __enter__(self) -> TestClient:
        """Start the application.

        Raises:
            ApplicationError: it cannot start.
        """
        try:
            self._run(self._client.__aenter__())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        try:
            self._run(self._client.__aexit__(kind, error, trace))
        finally:
            self._runner.close()

    def request(self, method: str, target: str, **parts: Any) -> Answer:
        """Send a request and read its answer; see `AsyncTestClient.request`."""
        return self._run(self._client.request(method, target, **parts))

    @contextmanager
    def stream(self, method: str, target: str, **parts: Any) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        """Send a request: the answer without its content, and its content piece by piece."""
        with self._held(self._client.stream(method, target, **parts)) as streamed:
            yield streamed.head, self._iterate(streamed.__aiter__())

    @contextmanager
    def websocket_connect(
        self, target: str, *, subprotocols: tuple[str, ...] = (), headers: HeaderSource | None = None
    ) -> Iterator[BlockingSession]:
        """Open a WebSocket; see `AsyncTestClient.websocket_connect`."""
        opened = self._client.websocket_connect(target, subprotocols=subprotocols, headers=headers)
        with self._held(opened) as session:
            yield BlockingSession(session, self._runner)

    @contextmanager
    def _held(self, manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Enter and leave what the other client gives, from outside of the loop."""
        entered = self._run(manager.__aenter__())
        try:
            yield entered
        except BaseException as error:
            if not self._run(manager.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            self._run(manager.__aexit__(None, None, None))

    def get(self, target: str, **parts: Any) -> Answer:
        """Send a GET; see `request`."""
        return self.request("GET", target, **parts)

    def head(self, target: str, **parts: Any) -> Answer:
        """Send a HEAD; see `request`."""
        return self.request("HEAD", target, **parts)

    def post(self, target: str, **parts: Any) -> Answer:
        """Send a POST; see `request`."""
        return self.request("POST", target, **parts)

    def put(self, target: str, **parts: Any) -> Answer:
        """Send a PUT; see `request`."""
        return self.request("PUT", target, **parts)

    def patch(self, target: str, **parts: Any) -> Answer:
        """Send a PATCH; see `request`."""
        return self.request("PATCH", target, **parts)

    def delete(self, target: str, **parts: Any) -> Answer:
        """Send a DELETE; see `request`."""
        return self.request("DELETE", target, **parts)

    def options(self, target: str, **parts: Any) -> Answer:
        """Send an OPTIONS; see `request`."""
        return self.request("OPTIONS", target, **parts)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    def _iterate(self, pieces: AsyncIterator[bytes]) -> Iterator[bytes]:
        async def next_one() -> bytes | None:
            return await anext(pieces, None)

        while (piece := self._run(next_one())) is not None:
            yield piece


class BlockingSession:
    """A WebSocket in a test that runs in no loop; see `WebSocketSession`."""

    def __init__(self, session: WebSocketSession, runner: asyncio.Runner) -> None:
        self._session = session
        self._runner = runner

    @property
    def subprotocol(self) -> str | None:
        """What the server has chosen."""
        return self._session.subprotocol

    def send(self, message: str | bytes) -> None:
        """Send a message."""
        self._runner.run(self._session.send(message))

    def receive(self) -> str | bytes:
        """Wait for a message.

        Raises:
            WebSocketClosed: the server has closed.
        """
        return self._runner.run(self._session.receive())

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait for the server to do the same."""
        self._runner.run(self._session.close(code, reason))


async def _receive(connection: Connection) -> bytes:
    try:
        return await connection.reader.read(PIECE_BYTES)
    except ConnectionResetError:
        return b""


async def _pieces(connection: Connection, parser: AnswerParser) -> AsyncIterator[bytes]:
    while True:
        if content := parser.take():
            yield content
        elif parser.is_complete:
            return
        else:
            parser.feed(await _receive(connection))


async def _each(content: Any) -> AsyncIterator[bytes]:  # either kind of iterable
    if hasattr(content, "__aiter__"):
        async for piece in content:
            yield piece
    else:
        for piece in content:
            yield piece
