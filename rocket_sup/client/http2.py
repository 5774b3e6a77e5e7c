"""One HTTP/2 connection to a server: many requests at once, each on a stream of its own.

A shell around the library `h2`, which frames and keeps the states of streams. What it decides here: who may
open a stream (the server's limit), what may be sent (both flow-control windows), when received content counts
as taken (when its reader has it), and what the end of a stream or of the connection means for each request.
A stream that the server refused, or that GOAWAY says it never saw, was not processed: such a request is sent
again, whatever its method. Frames of one turn of the event loop leave together. Specified in RFC 9113.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import H2Error, NoAvailableStreamIDError
from h2.settings import SettingCodes, Settings

from rocket_sup.client.errors import (
    ClientError,
    Disconnected,
    InvalidRequest,
    ProtocolError,
    ReadError,
)
from rocket_sup.client.http2_exchange import Exchange, headers_of
from rocket_sup.client.messages import Request, Response, Upload
from rocket_sup.client.settings import Limits

# What one stream may send before its reader takes any; a megabyte in flight fills 100 Mbit/s over 80 ms.
STREAM_WINDOW: Final = 1024 * 1024
# The same for all streams together.
CONNECTION_WINDOW: Final = 16 * 1024 * 1024
# Until the server's settings have come: what RFC 9113 §6.5.2 recommends them to allow at least.
_FIRST_STREAMS: Final = 100
# Fields that are about an HTTP/1.1 connection, or are said by pseudo-fields (RFC 9113 §8.2.2).
_DROPPED: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "host", "content-length"}
)


class Http2Connection(asyncio.Protocol):
    """One connection.

    Attributes:
        is_closed: whether it takes no more requests.
    """

    _transport: asyncio.Transport  # from connection_made on

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        *,
        on_idle: Callable[[Http2Connection], None],
        on_closed: Callable[[Http2Connection], None],
    ) -> None:
        """Args: on_idle: a request ended, there is room; on_closed: it is gone, said once."""
        self.loop = loop
        self.limits = limits
        self._on_idle = on_idle
        self._on_closed = on_closed
        self._machine = _machine(limits)
        self._exchanges: dict[int, Exchange] = {}  # by stream
        self._pending: OrderedDict[int, Exchange] = (
            OrderedDict()
        )  # without one, by the identity of the request
        self._numbers: dict[int, int] = {}  # streams, by the identity of the request
        self._reserved = 0  # requests under way or about to be
        self._most = _FIRST_STREAMS
        self._is_flushing = False
        self._served = False  # an answer came on it
        self._is_writing_paused = False
        self._is_draining = False  # GOAWAY came: what is under way ends, nothing new begins
        self._room = asyncio.Event()
        self.is_closed = False

    # What the pool does.

    def reserve(self) -> bool:
        """Take the right to send one request; return whether there is room for another."""
        self._reserved += 1
        return self._reserved < self._most

    def release(self) -> bool:
        """Give it back; return whether nobody uses the connection now."""
        self._reserved -= 1
        if self._is_draining and not self._reserved:
            self._transport.close()
        return not self._reserved

    def close(self) -> None:
        """End it: requests under way fail."""
        if self._is_draining:
            self._transport.close()
        elif not self.is_closed:
            self.is_closed = True
            try:
                self._machine.close_connection()
                self._flush()
            except H2Error:  # it had ended already
                self._transport.abort()
                return
            self._transport.close()

    def abort(self) -> None:
        """End it at once."""
        self.is_closed = True
        self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._machine.initiate_connection()
        self._machine.increment_flow_control_window(CONNECTION_WINDOW - 65535)
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._machine.receive_data(data):
                self._on_event(event)
        except H2Error as error:
            self._flush()
            self._fail_all(ProtocolError(f"the server broke the rules of HTTP/2: {error} (RFC 9113)"))
            return
        self._flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self._room.set()
        reason = f": {exc}" if exc else ""
        self._fail_pending("the connection ended")
        self._break_all(f"the connection broke before the answer was whole{reason}")
        self._on_closed(self)

    def pause_writing(self) -> None:
        self._is_writing_paused = True
        self._room.clear()

    def resume_writing(self) -> None:
        self._is_writing_paused = False
        self._wake_senders()

    # Requests.

    def start(self, request: Request, head: bytes, *, is_last: bool = False) -> asyncio.Future[Response]:
        """Send a request for which there is a reservation.

        Args:
            head: as HTTP/1.1 would have it; it was made to check the request, and is not sent.

        Returns: its answer. Whoever stops waiting for it calls `abandon`.
        """
        if request.method == "CONNECT":
            raise InvalidRequest("CONNECT is not sent over HTTP/2", request=request)
        if self.is_closed or self._is_draining or self._transport.is_closing():
            raise _unseen("the connection takes no more requests")
        exchange = Exchange(self, request)
        self._pending[id(request)] = exchange
        exchange.await_nothing()
        self._open_streams()
        return exchange.answer

    def abandon(self, request: Request) -> None:
        """Nobody wants the answer to this request any more."""
        exchange = self._pending.get(id(request)) or self._exchanges.get(self._numbers.get(id(request), 0))
        if exchange is not None:
            exchange.reset(ErrorCodes.CANCEL)
            self.end(exchange)

    def end(self, exchange: Exchange) -> None:
        """A request is over, in whatever way."""
        key = id(exchange.request)
        if self._pending.pop(key, None) is None and self._exchanges.pop(exchange.number, None) is None:
            return
        self._numbers.pop(key, None)
        exchange.deadline.close()
        self._served |= exchange.has_begun
        if exchange.upload is not None:
            exchange.upload.cancel()
        self._open_streams()
        self._on_idle(self)

    def _open_streams(self) -> None:
        """Send what waits for a stream, as far as the server allows them; it may have come to allow fewer."""
        while self._pending and len(self._exchanges) < self._most and not self.is_closed:
            key, exchange = self._pending.popitem(last=False)
            try:
                number = self._machine.get_next_available_stream_id()
            except NoAvailableStreamIDError:
                self._is_draining = self.is_closed = True
                self._pending[key] = exchange
                self._fail_pending("the connection has had all streams it can have")
                return
            exchange.number = self._numbers[key] = number
            self._exchanges[number] = exchange
            body = exchange.request.body
            self._machine.send_headers(number, _fields(exchange.request), end_stream=not body)
            if body:
                exchange.upload = self.loop.create_task(self._send_body(exchange, body))
            else:
                exchange.await_bytes()
            self._flush_soon()

    def _fail_pending(self, text: str) -> None:
        for exchange in list(self._pending.values()):
            exchange.fail(_unseen(text))

    def acknowledge(self, number: int, size: int) -> None:
        """Received content was taken: the server may send as much again."""
        if size and not self.is_closed:
            try:
                self._machine.acknowledge_received_data(size, number)
            except (H2Error, KeyError):  # the stream has ended: nothing comes on it any more
                return
            self._flush_soon()

    def reset_stream(self, number: int, code: ErrorCodes) -> None:
        """Tell the server that a stream is of no use."""
        if not number:
            return  # it was never opened
        try:
            self._machine.reset_stream(number, code)
        except H2Error:  # it ended in the meantime
            return
        self._flush_soon()

    def _on_event(self, event: Event) -> None:
        number = getattr(event, "stream_id", None)
        exchange = self._exchanges.get(number) if number else None
        if isinstance(event, DataReceived):
            self._on_data(event, exchange)
        elif isinstance(event, ResponseReceived) and exchange is not None:
            exchange.on_head(event.headers or [])
        elif isinstance(event, StreamEnded) and exchange is not None:
            exchange.on_end()
        elif isinstance(event, TrailersReceived) and exchange is not None:
            exchange.trailers = headers_of(event.headers or [])
        elif isinstance(event, StreamReset) and exchange is not None:
            exchange.fail(_reset_error(event.error_code))
        elif isinstance(event, ConnectionTerminated):
            self._on_goaway(event)
        elif isinstance(event, RemoteSettingsChanged):
            self._most = max(1, min(self._machine.remote_settings.max_concurrent_streams, 2**31 - 1))
            self._wake_senders()
            self._open_streams()
        elif isinstance(event, WindowUpdated):
            self._wake_senders()

    def _on_data(self, event: DataReceived, exchange: Exchange | None) -> None:
        size = event.flow_controlled_length or 0
        data = event.data or b""
        if exchange is None:
            self.acknowledge(event.stream_id or 0, size)
        else:
            self.acknowledge(exchange.number, size - exchange.on_data(data))

    def _on_goaway(self, event: ConnectionTerminated) -> None:
        self._is_draining = self.is_closed = True
        last = event.last_stream_id or 0
        self._fail_pending("the server goes away")
        for exchange in list(self._exchanges.values()):
            if exchange.number > last:
                exchange.fail(_unseen("the server went away without looking at the request"))
        if event.error_code:
            code = _name(event.error_code)
            self._break_all(f"the server ended the connection: {code} (RFC 9113 §6.8)")
            self._transport.close()
        elif not self._exchanges:
            self._transport.close()

    def _break_all(self, text: str) -> None:
        """The connection is gone; what had no answer yet is asked again where that is safe."""
        for exchange in list(self._exchanges.values()):
            if exchange.has_begun or not self._served:
                exchange.fail(ReadError(text))
            else:
                exchange.fail(Disconnected(text, was_idle=True))

    def _fail_all(self, error: ClientError) -> None:
        self.is_closed = True
        for exchange in [*self._pending.values(), *self._exchanges.values()]:
            exchange.fail(type(error)(str(error)))
        self._transport.close()

    # Sending.

    async def _send_body(self, exchange: Exchange, body: bytes | Upload) -> None:
        try:
            length = None if not isinstance(body, Upload) else body.length
            sent = 0
            source: Any = _once(body) if isinstance(body, bytes) else body.open()  # Any: any async iterator
            try:
                async for piece in source:
                    sent += len(piece)
                    if length is not None and sent > length:
                        raise InvalidRequest(
                            f"the body is longer than the {length} bytes that were announced"
                        )
                    await self._send_piece(exchange, piece)
            finally:
                if hasattr(source, "aclose"):
                    await source.aclose()
            if length is not None and sent < length:
                raise InvalidRequest(f"the body has {sent} of the {length} bytes that were announced")
            self._machine.end_stream(exchange.number)
            self._flush_soon()
        except H2Error:  # the stream ended meanwhile: its end says why
            return
        # Whatever the caller's own source raises goes to the caller.
        except Exception as error:
            exchange.upload = None
            exchange.reset(ErrorCodes.CANCEL)
            exchange.fail(error)
            return
        exchange.upload = None
        exchange.await_bytes()

    async def _send_piece(self, exchange: Exchange, piece: bytes) -> None:
        """Send as the windows allow it."""
        start = 0
        while start < len(piece):
            room = 0
            if not self._is_writing_paused:
                room = self._machine.local_flow_control_window(exchange.number)
            if room <= 0:
                exchange.await_room()
                self._room.clear()
                await self._room.wait()
                exchange.await_nothing()
                if self.is_closed and not self._is_draining:
                    return
                continue
            end = start + min(room, self._machine.max_outbound_frame_size, len(piece) - start)
            self._machine.send_data(exchange.number, piece[start:end])
            start = end
            self._flush_soon()

    def _wake_senders(self) -> None:
        self._room.set()

    def _flush_soon(self) -> None:
        if not self._is_flushing:
            self._is_flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        data = self._machine.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)
        if self._is_draining and not self._exchanges:
            self._transport.close()


def _machine(limits: Limits) -> H2Connection:
    config = H2Configuration(
        client_side=True,
        header_encoding=None,
        validate_outbound_headers=False,  # they were checked as HTTP/1.1 fields
        normalize_outbound_headers=False,
    )
    machine = H2Connection(config)
    machine.local_settings = Settings(
        client=True,
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.max_head,
        },
    )
    machine.decoder.max_header_list_size = limits.max_head
    return machine


def _fields(request: Request) -> list[tuple[bytes, bytes]]:
    """The fields of a request, pseudo-fields first (RFC 9113 §8.3.1)."""
    url, body = request.url, request.body
    fields = [
        (b":method", request.method.encode("ascii")),
        (b":scheme", url.scheme.encode("ascii")),
        (b":authority", (request.headers.get("host") or url.authority).encode("latin-1")),
        (b":path", url.target.encode("ascii")),
    ]
    for name, value in request.headers.items():
        lower = name.lower()
        if lower not in _DROPPED and (lower != "te" or value.strip().lower() == "trailers"):
            fields.append((lower.encode("ascii"), value.strip(" \t").encode("latin-1")))
    length = body.length if isinstance(body, Upload) else len(body)
    if length or (length == 0 and request.method in ("POST", "PUT", "PATCH")):
        fields.append((b"content-length", str(length).encode("ascii")))
    return fields


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _unseen(text: str) -> Disconnected:
    """The server never looked at the request: it can be sent again, whatever its method (RFC 9113 §8.7)."""
    error = Disconnected(text, was_idle=True)
    error.request_sent = False
    return error


def _reset_error(code: ErrorCodes | int | None) -> ClientError:
    if code == ErrorCodes.REFUSED_STREAM:
        return _unseen("the server refused the stream")
    return ReadError(f"the server reset the stream: {_name(code)} (RFC 9113 §6.4)")


def _name(code: ErrorCodes | int | None) -> str:
    return code.name if isinstance(code, ErrorCodes) else str(code)
