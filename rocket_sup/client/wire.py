"""The transport that has connections: finds one, sends on it, gives it back.

A kept connection that ended before an answer came is no failure of the request: it is sent once more, on a
fresh connection, if the method allows it or nothing was sent (RFC 9112 §9.3.1).
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal, Protocol, cast

from rocket_sup.client.decoding import decode
from rocket_sup.client.detours import HttpProxy, detour_of
from rocket_sup.client.dial import Dialled, Dialler
from rocket_sup.client.errors import ClientClosed, Disconnected
from rocket_sup.client.http1 import Http1Connection
from rocket_sup.client.messages import Elapsed, Request, Response
from rocket_sup.client.pool import Connection, Lane, Pool
from rocket_sup.client.request_head import request_head
from rocket_sup.client.settings import DEFAULT_LIMITS, Limits
from rocket_sup.client.tls import Tls
from rocket_sup.client.undecided import Undecided, make_http2, require_http2

# Kept connections that one request may find ended; a server that restarts ends all of them at once.
_MOST_STALE: Final = 10


class Exchanger(Connection, Protocol):
    """A connection, of whatever version."""

    def start(self, request: Request, head: bytes, *, is_last: bool = False) -> asyncio.Future[Response]:
        """Send a request; whoever stops waiting for its answer calls `abandon`."""
        ...

    def abandon(self, request: Request) -> None:
        """Nobody wants the answer to this request any more."""
        ...


class Wire:
    """Sends requests to servers; belongs to the event loop that it is first used on."""

    # From the first request on.
    _loop: asyncio.AbstractEventLoop
    _pool: Pool
    _dialler: Dialler

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        tls: Tls | None = None,
        unix_socket: str | None = None,
        local_address: str | None = None,
        decompress: bool = True,
        http2: bool | Literal["prior"] = False,
        proxy: str | None = None,
    ) -> None:
        """Describe connections; none is made yet.

        Args:
            limits: what may be taken.
            tls: whom to trust and who we are; the system's trust when None.
            unix_socket: connect to this socket file, whatever the URL says.
            local_address: connect from this address.
            decompress: give content without its content coding.
            http2: offer HTTP/2 to servers of https URLs; "prior" speaks nothing else, with any server.
            proxy: go through this one: http://[user:password@]host:port, or socks5://...

        Raises:
            UrlError: the proxy has no URL.
            InvalidRequest: HTTP/2 was asked for, and the library for it is not installed.
        """
        if http2:
            require_http2()
        self._limits = limits
        self._tls = tls or Tls()
        self._unix_socket = unix_socket
        self._local_address = local_address
        self._decompresses = decompress
        self._http2 = http2
        self._detour = None if proxy is None else detour_of(proxy)
        self._is_open = False
        self._is_closed = False

    async def send(self, request: Request) -> Response:
        """Send a request, on a connection that is there or on a new one."""
        if not self._is_open:
            self._open()
        attempts = 1
        while True:
            try:
                response = await self._exchange(request)
                break
            except Disconnected as error:
                # Every attempt uses up one kept connection; a fresh one is never `was_idle`.
                if not error.was_idle or not request.is_replayable or attempts == _MOST_STALE:
                    raise
                if error.request_sent and not request.is_idempotent:
                    raise
                attempts += 1
        if "coding" in response.extensions and self._decompresses:
            decode(response, self._limits.max_decoded)
        return response

    async def close(self) -> None:
        """End all connections."""
        self._is_closed = True
        if self._is_open:
            await self._pool.close()
            await self._dialler.close()

    @property
    def open_connections(self) -> int:
        """Connections that are open, or being made."""
        return self._pool.open if self._is_open else 0

    def _open(self) -> None:
        if self._is_closed:
            raise ClientClosed("the client is closed")
        self._is_open = True
        loop = self._loop = asyncio.get_running_loop()
        self._pool = Pool(loop, self._limits, may_share=self._http2 is not False)
        self._dialler = Dialler(
            loop,
            self._limits,
            tls=self._tls,
            protocols=["h2", "http/1.1"] if self._http2 else ["http/1.1"],
            unix_socket=self._unix_socket,
            local_address=self._local_address,
        )

    async def _exchange(self, request: Request) -> Response:
        pool = self._pool
        detour = self._detour
        if isinstance(detour, HttpProxy) and request.url.scheme == "http":
            # The proxy itself is asked: one lane for all hosts behind it.
            head, is_last = request_head(request, is_absolute=True, extra=detour.fields)
            lane = pool.lane("proxy")
        else:
            head, is_last = request_head(request)
            lane = pool.lane(request.url.origin)
        taken = None if lane.waiters else pool.try_take(lane)
        opening = None
        if taken is None:
            taken, opening = await self._connection(lane, request)
        connection = cast(Exchanger, taken)
        answer = connection.start(request, head, is_last=is_last)
        try:
            response = await answer
        except BaseException:
            connection.abandon(request)
            raise
        if opening is not None:
            response.elapsed = Elapsed(*opening[:4], *response.elapsed[4:])
        return response

    async def _connection(self, lane: Lane, request: Request) -> tuple[Connection, Elapsed]:
        """Wait for a connection or make one; how long that took comes with it."""
        pool = self._pool
        started = self._loop.time()
        connection = await pool.reserve(lane, request)
        waited = self._loop.time() - started
        if connection is not None:
            return connection, Elapsed(pool=waited)
        try:
            made, took = await self._dial(request, lane)
        except BaseException:
            pool.cancel(lane)
            raise
        pool.add(lane, made)
        if made.is_closed:  # between the handshake and here
            pool.on_closed(made)
        return made, Elapsed(pool=waited, dns=took.dns, connect=took.connect, tls=took.tls)

    async def _dial(self, request: Request, lane: Lane) -> tuple[Exchanger, Dialled]:
        """Open a connection, of the version that the server chose."""
        is_secure = request.url.scheme == "https"
        if self._http2 is False or not (is_secure or self._http2 == "prior"):
            lane.may_share = False
            return await self._dialler.dial(request, self._make_connection, detour=self._detour)
        undecided, took = await self._dialler.dial(request, Undecided, detour=self._detour)
        if took.protocol == "h2" or self._http2 == "prior":
            made: Exchanger = make_http2(
                self._loop, self._limits, on_idle=self._pool.on_idle, on_closed=self._pool.on_closed
            )
        else:
            lane.may_share = False
            made = self._make_connection()
        undecided.become(cast(asyncio.Protocol, made))
        return made, took

    def _make_connection(self) -> Http1Connection:
        return Http1Connection(
            self._loop, self._limits, on_idle=self._pool.on_idle, on_closed=self._pool.on_closed
        )
