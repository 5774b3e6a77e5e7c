"""Make connections: addresses raced against each other, through a proxy if need be, under TLS if need be.

The addresses of a name are tried one after the other, each a quarter of a second after the one before or at
once when that failed; the first that connects wins (RFC 8305). Everything up to TLS happens on a plain
socket, so that a proxy's handshake needs no protocol object.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from rocket_sup.client.errors import ConnectError, ConnectTimeout, ResourcesExhausted, TlsError, TotalTimeout
from rocket_sup.client.messages import Request
from rocket_sup.client.resolving import Address, Resolver
from rocket_sup.client.settings import Limits
from rocket_sup.client.tls import Tls
from rocket_sup.client.urls import Url

ATTEMPT_DELAY_S: Final = 0.25  # RFC 8305 §8
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})
P = TypeVar("P", bound=asyncio.Protocol)


class Detour(Protocol):
    """A proxy that connections go through."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...

    async def lead(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, url: Url) -> None:
        """Have the proxy connect to the host of a URL.

        Raises:
            ProxyError: it does not.
        """
        ...


@dataclass(slots=True)
class Dialled:
    """How long the parts of one dial took, in seconds, and what came of it."""

    dns: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    protocol: str = ""  # chosen by ALPN; "" when there was none


class Dialler:
    """Opens connections for one client."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        *,
        tls: Tls,
        protocols: list[str],
        unix_socket: str | None = None,
        local_address: str | None = None,
    ) -> None:
        self._loop = loop
        self._resolver = Resolver(loop, limits.dns_ttl_s)
        self._turns = asyncio.Semaphore(limits.max_connecting)
        self._tls = tls
        self._protocols = protocols
        self._context: ssl.SSLContext | None = None
        self._unix_socket = unix_socket
        self._local_address = local_address

    async def dial(
        self, request: Request, make_protocol: Callable[[], P], *, detour: Detour | None = None
    ) -> tuple[P, Dialled]:
        """Open a connection for a request.

        Raises:
            ConnectError, ConnectTimeout, TotalTimeout: there is none.
        """
        now = self._loop.time()
        seconds, total = request.timeout.connect, request.deadline
        at = None if seconds is None else now + seconds
        is_total = total is not None and (at is None or total < at)
        try:
            async with asyncio.timeout_at(total if is_total else at):
                async with self._turns:
                    return await self._dial(request.url, make_protocol, detour)
        except TimeoutError:
            if is_total:
                raise TotalTimeout(
                    "the whole request took too long", request=request, request_sent=False
                ) from None
            raise ConnectTimeout(
                f"no connection to {request.url.authority_form} within {seconds} s",
                request=request,
                request_sent=False,
            ) from None

    async def close(self) -> None:
        """Wait for what cannot be stopped."""
        await self._resolver.close()

    async def _dial(
        self, url: Url, make_protocol: Callable[[], P], detour: Detour | None
    ) -> tuple[P, Dialled]:
        took = Dialled()
        sock = await self._connect(url, detour, took)
        try:
            started = self._loop.time()
            if detour is not None:
                await detour.lead(self._loop, sock, url)
                took.connect += self._loop.time() - started
            if url.scheme != "https":
                _, protocol = await self._loop.create_connection(make_protocol, sock=sock)
                return protocol, took
            started = self._loop.time()
            return await self._secure(url, make_protocol, sock, took, started)
        except BaseException:
            sock.close()
            raise

    async def _secure(
        self, url: Url, make_protocol: Callable[[], P], sock: socket.socket, took: Dialled, started: float
    ) -> tuple[P, Dialled]:
        if self._context is None:
            self._context = self._tls.context(self._protocols)  # reads the system's certificates: once
        try:
            transport, protocol = await self._loop.create_connection(
                make_protocol, sock=sock, ssl=self._context, server_hostname=url.host
            )
        except ssl.SSLCertVerificationError as error:
            raise TlsError(f"{url.host}: the certificate is not trusted: {error.verify_message}") from error
        except (ssl.SSLError, ConnectionError) as error:
            raise TlsError(f"{url.host}: no TLS: {error}") from error
        took.tls = self._loop.time() - started
        took.protocol = transport.get_extra_info("ssl_object").selected_alpn_protocol() or ""
        return protocol, took

    async def _connect(self, url: Url, detour: Detour | None, took: Dialled) -> socket.socket:
        started = self._loop.time()
        if self._unix_socket is not None:
            sock = await self._try_unix(self._unix_socket)
        else:
            host, port = (url.host, url.port) if detour is None else (detour.host, detour.port)
            addresses = await self._resolver.resolve(host)
            took.dns = self._loop.time() - started
            started = self._loop.time()
            sock = await self._race(addresses, port)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        took.connect = self._loop.time() - started
        return sock

    async def _race(self, addresses: list[Address], port: int) -> socket.socket:
        """Try addresses until one connects; all that were begun and lost are ended."""
        if len(addresses) == 1:
            return await self._try(addresses[0], port)
        running: set[asyncio.Task[socket.socket]] = set()
        waiting = list(addresses)
        first_error: ConnectError = ConnectError("there is no address")
        has_failed = False
        try:
            while waiting or running:
                if waiting:
                    running.add(self._loop.create_task(self._try(waiting.pop(0), port)))
                delay = ATTEMPT_DELAY_S if waiting else None
                done, running = await asyncio.wait(
                    running, timeout=delay, return_when=asyncio.FIRST_COMPLETED
                )
                winners = [task for task in done if task.exception() is None]
                for late in winners[1:]:
                    late.result().close()
                if winners:
                    return winners[0].result()
                for task in done:
                    error = task.exception()
                    if not isinstance(error, ConnectError):
                        task.result()
                    elif not has_failed:
                        first_error, has_failed = error, True
        finally:
            for task in running:
                task.add_done_callback(_close_late)
                task.cancel()
        raise first_error

    async def _try(self, address: Address, port: int) -> socket.socket:
        family, host = address
        sock = self._socket(family)
        try:
            if self._local_address is not None:
                sock.bind((self._local_address, 0))
            await self._loop.sock_connect(sock, (host, port))
        except OSError as error:
            sock.close()
            raise _connect_error(error, f"{host} port {port}") from error
        except BaseException:
            sock.close()
            raise
        return sock

    async def _try_unix(self, path: str) -> socket.socket:
        sock = self._socket(socket.AF_UNIX)
        try:
            await self._loop.sock_connect(sock, path)
        except OSError as error:
            sock.close()
            raise _connect_error(error, path) from error
        except BaseException:
            sock.close()
            raise
        return sock

    def _socket(self, family: socket.AddressFamily) -> socket.socket:
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            raise _connect_error(error, "a socket") from error
        sock.setblocking(False)
        return sock


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _connect_error(error: OSError, where: str) -> ConnectError:
    if error.errno in _EXHAUSTED:
        name = errno.errorcode[error.errno]
        return ResourcesExhausted(
            f"{where}: no connection can be made from here now: {os.strerror(error.errno)}", cause_name=name
        )
    return ConnectError(f"{where}: {error.strerror or error}")
