"""Connections that begin with the PROXY protocol: held back until it is known whose they are.

The preamble of a trusted peer is looked at in the socket's own queue, and taken from there when it is whole,
to the byte; what follows is the client's, and served by the engine as if he had connected himself. So every
engine speaks it. Nobody else is looked at: whoever is not trusted is an ordinary client, whose preamble would
be no request.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from rocket_sup.engine.contract import WireBrief
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.hooks import Client, host_of
from rocket_sup.http.forwarded import TrustedPeers
from rocket_sup.http.preamble import LONGEST, read_preamble
from rocket_sup.proxy import is_trusted

# A queue with half a preamble stays readable: it is left alone for this long. It mostly comes in one piece.
LOOK_AGAIN_S: Final = 0.02


class Announcements:
    """The connections of one wire whose preamble is not whole yet."""

    def __init__(
        self,
        brief: WireBrief,
        *,
        serve: Callable[[socket.socket, Client | None], None],
        on_gone: Callable[[], None],
    ) -> None:
        """Hold none yet.

        Args:
            serve: takes a connection with its announced client; None is the peer itself. Raises OSError if
                it cannot.
            on_gone: a connection ended before it was served.
        """
        self._loop = brief.loop
        self._log = brief.log
        self._first_byte_s = brief.config.timeouts.first_byte
        self._peers = TrustedPeers(brief.config.proxy.peers)
        self._serve = serve
        self._on_gone = on_gone
        self._timers: dict[socket.socket, list[asyncio.TimerHandle]] = {}  # of each connection that waits

    @classmethod
    def wanted(
        cls,
        brief: WireBrief,
        *,
        serve: Callable[[socket.socket, Client | None], None],
        on_gone: Callable[[], None],
    ) -> Announcements | None:
        """Make one where the configuration says that trusted peers announce."""
        return cls(brief, serve=serve, on_gone=on_gone) if brief.config.proxy.protocol else None

    def __len__(self) -> int:
        return len(self._timers)

    def open(self, sock: socket.socket) -> None:
        """Take a connection: serve it, or wait for its preamble as long as for a first byte.

        Raises:
            OSError: it cannot be served; the caller still owns it.
        """
        if not is_trusted(self._peers, _peer_of(sock)):
            self._serve(sock, None)
            return
        timers = self._timers[sock] = []
        if self._first_byte_s:
            timers.append(self._loop.call_later(self._first_byte_s, self._give_up, sock))
        self._loop.add_reader(sock.fileno(), self._look, sock)

    def cut(self) -> None:
        """End all that wait: nobody knows yet for whom they are."""
        for sock in list(self._timers):
            self._give_up(sock)

    def _look(self, sock: socket.socket) -> None:
        try:
            received = sock.recv(LONGEST, socket.MSG_PEEK)
            found = read_preamble(received) if received else None
        except BlockingIOError:
            return
        except RemoteProtocolError as error:
            client = host_of(_peer_of(sock))
            self._log.warning("proxy_protocol_broken", client=client, reason=str(error))
            self._give_up(sock)
            return
        except OSError:
            self._give_up(sock)
            return
        if not received:
            self._give_up(sock)
        elif found is None:
            self._loop.remove_reader(sock.fileno())
            self._timers[sock][1:] = [self._loop.call_later(LOOK_AGAIN_S, self._look_on, sock)]
        else:
            sock.recv(found.end)
            self._forget(sock)
            self._hand_over(sock, found.client)

    def _look_on(self, sock: socket.socket) -> None:
        self._loop.add_reader(sock.fileno(), self._look, sock)

    def _hand_over(self, sock: socket.socket, client: Client | None) -> None:
        try:
            self._serve(sock, client)
        except OSError as error:
            self._log.warning("connection_not_opened", error=repr(error))
            sock.close()
            self._on_gone()

    def _forget(self, sock: socket.socket) -> None:
        for timer in self._timers.pop(sock):
            timer.cancel()
        self._loop.remove_reader(sock.fileno())

    def _give_up(self, sock: socket.socket) -> None:
        self._forget(sock)
        sock.close()
        self._on_gone()


def _peer_of(sock: socket.socket) -> Client:
    try:
        peer = sock.getpeername()
    except OSError:  # it has left meanwhile
        return ""
    return peer if isinstance(peer, tuple) else (peer or "")
