"""A connection whose protocol is not known yet: what TLS agrees on decides (ALPN, RFC 7301).

Whatever the server sends until then is kept. HTTP/2 is the business of an optional library, which is looked
for when somebody asks for HTTP/2, and loaded with the first connection that speaks it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from rocket_sup.client.errors import InvalidRequest
from rocket_sup.client.settings import Limits


class Undecided(asyncio.Protocol):
    """Keeps what comes, until it becomes a protocol that understands it."""

    _transport: asyncio.Transport  # from connection_made on

    def __init__(self) -> None:
        self._received: list[bytes] = []
        self._has_ended = False
        self._is_lost = False
        self._error: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received.append(data)

    def eof_received(self) -> bool:
        self._has_ended = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost, self._error = True, exc

    def become(self, protocol: asyncio.Protocol) -> None:
        """Give the connection to a protocol, with everything that happened so far."""
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        for piece in self._received:
            protocol.data_received(piece)
        if self._has_ended:
            protocol.eof_received()
        if self._is_lost:
            protocol.connection_lost(self._error)


def require_http2() -> None:
    """Look for the library.

    Raises:
        InvalidRequest: it is not installed.
    """
    if find_spec("h2") is None:
        raise InvalidRequest("HTTP/2 needs the library h2: pip install 'rocket-sup[http2]'")


def make_http2(
    loop: asyncio.AbstractEventLoop,
    limits: Limits,
    *,
    on_idle: Callable[..., None],
    on_closed: Callable[..., None],
) -> Any:  # Any: the class is only known once it was loaded
    """Make an HTTP/2 connection."""
    module = import_module("rocket_sup.client.http2")
    return module.Http2Connection(loop, limits, on_idle=on_idle, on_closed=on_closed)
