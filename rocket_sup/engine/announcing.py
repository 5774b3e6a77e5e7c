"""Connections of the portable engine that begin with the PROXY protocol.

A trusted peer's transport first has an `Announcing`, which reads the preamble and then makes way for the
`Connection`, as if the client had connected itself. Nobody else's has: whoever is not trusted is an ordinary
client, whose preamble would be no request.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from rocket_sup.errors import RemoteProtocolError
from rocket_sup.hooks import Client, host_of
from rocket_sup.http.preamble import read_preamble

if TYPE_CHECKING:
    from collections.abc import Callable

    from rocket_sup.connection import Connection
    from rocket_sup.service import Service


class Announcing(asyncio.Protocol):
    """The beginning of a connection whose client is still to be named."""

    def __init__(
        self,
        service: Service,
        *,
        is_trusted: Callable[[Client], bool],
        make: Callable[[Client | None], Connection],
        waiting: set[Announcing],
    ) -> None:
        """Wait for a transport.

        Args:
            is_trusted: says whether a peer sends a preamble.
            make: makes the connection of a named client; None is the peer itself.
            waiting: those that wait; it adds and removes itself.
        """
        self._service = service
        self._is_trusted = is_trusted
        self._make = make
        self._waiting = waiting
        self._received = b""
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)  # from connection_made on
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the preamble, as long as for a first byte."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        client: Client = peer if isinstance(peer, tuple) else (peer or "")
        if not self._is_trusted(client):
            self._make_way(None, b"")
            return
        self._waiting.add(self)
        if self._service.timeouts.first_byte:
            self._timer = self._service.loop.call_later(self._service.timeouts.first_byte, self.abort)

    def data_received(self, data: bytes) -> None:
        """Take bytes; those behind the preamble are the client's."""
        self._received += data
        try:
            found = read_preamble(self._received)
        except RemoteProtocolError as error:
            peer = self._transport.get_extra_info("peername")
            client = host_of(peer if isinstance(peer, tuple) else "")
            self._service.log.warning("proxy_protocol_broken", client=client, reason=str(error))
            self.abort()
            return
        if found is not None:
            self._forget()
            self._make_way(found.client, self._received[found.end :])

    def connection_lost(self, exc: Exception | None) -> None:
        """End before there was a client."""
        self._forget()
        self._service.on_closed()

    def abort(self) -> None:
        """Cut it."""
        self._transport.abort()

    def _forget(self) -> None:
        self._waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _make_way(self, client: Client | None, rest: bytes) -> None:
        connection = self._make(client)
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)
        if rest and not self._transport.is_closing():
            connection.data_received(rest)
