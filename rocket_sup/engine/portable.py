"""The portable engine: HTTP/1.1 in Python, on asyncio or uvloop. It runs wherever Python does, and it is the
reference: what the other engines answer is compared with what this one does.

A `PortableWire` is the `Service` of its connections, with a way in: each socket gets a `Connection`, which is
an asyncio protocol. Nothing stands between the two on the path of a request.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from struct import Struct

from rocket_sup.connection import Connection
from rocket_sup.engine.announcing import Announcements
from rocket_sup.engine.contract import WireBrief
from rocket_sup.hooks import Client
from rocket_sup.service import Service, Statistics


def new_loop(choice: str) -> asyncio.AbstractEventLoop:
    """Make the event loop that `server.loop` names; "auto" takes uvloop when it is installed.

    Raises:
        ImportError: uvloop is asked for and not installed.
    """
    if choice in ("auto", "uvloop"):
        try:
            import uvloop  # an optional dependency

            loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
            return loop
        except ImportError:
            if choice == "uvloop":
                raise ImportError(
                    "server.loop is uvloop, which is not installed: pip install 'rocket-sup[fast]'"
                ) from None
    return asyncio.new_event_loop()


class PortableEngine:
    """See `contract.Engine`."""

    name = "python"

    def __init__(self, loop: str, *, reason: str, is_fallback: bool = False) -> None:
        """Prepare to serve.

        Args:
            loop: `server.loop`; see `new_loop`.
            reason: why this engine was chosen.
            is_fallback: a native engine would have been better.
        """
        self.reason = reason
        self.is_fallback = is_fallback
        self._loop = loop

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Make the event loop; see the function."""
        return new_loop(self._loop)

    def make_wire(self, brief: WireBrief) -> PortableWire:
        """Make a wire on a loop of `new_loop`."""
        return PortableWire(brief)


class PortableWire(Service):
    """See `contract.Wire`."""

    doorman = None

    def __init__(self, brief: WireBrief) -> None:
        box = brief.flight_box
        super().__init__(
            brief.router,
            brief.config,
            loop=brief.loop,
            log=brief.log,
            access_log=brief.access_log,
            statistics=Statistics(),
            on_closed=self._on_connection_gone,
            on_stop_accepting=brief.on_stop_accepting,
            # One call into C: it runs before every request. Cut to the box, or padded with zeros.
            record_in_flight=None if box is None else partial(Struct(f"{len(box)}s").pack_into, box, 0),
        )
        self.is_telling = False
        self._places = brief.places
        self._on_gone = brief.on_closed
        self._count = 0
        self._opening: set[asyncio.Task[None]] = set()
        self._announcements = Announcements.wanted(brief, serve=self._begin, on_gone=self._on_connection_gone)

    def open(self, sock: socket.socket) -> None:
        """Serve a connected, non-blocking socket, which is the wire's from now on; it never refuses."""
        self._count += 1
        if self._announcements is not None:
            self._announcements.open(sock)
        else:
            self._begin(sock, None)

    def _begin(self, sock: socket.socket, announced: Client | None) -> None:
        task = self.loop.create_task(self._connect(sock, announced))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def connection_count(self) -> int:
        """Connections that are open, or on their way to be."""
        return self._count

    def held_bytes(self) -> tuple[int, int]:
        """Bytes received and not served yet, and bytes answered and not sent yet."""
        held = [connection.held_bytes() for connection in self.connections]
        return sum(received for received, _ in held), sum(unsent for _, unsent in held)

    def drain(self) -> None:
        """See `Service`; who has not even said for whom it speaks is not waited for."""
        super().drain()
        if self._announcements is not None:
            self._announcements.cut()

    def abort_all(self) -> None:
        """Cut every connection and cancel what runs for it."""
        super().abort_all()
        if self._announcements is not None:
            self._announcements.cut()

    async def _connect(self, sock: socket.socket, announced: Client | None) -> None:
        is_made = False

        def make() -> Connection:
            nonlocal is_made
            is_made = True  # from here on connection_lost will say that it is gone
            return Connection(self, announced)

        try:
            await self.loop.connect_accepted_socket(make, sock)
        except Exception as error:  # the boundary of one connection: whatever it was, it must be counted out
            self.log.warning("connection_not_opened", error=repr(error))
            sock.close()
            if not is_made:
                self._on_connection_gone()

    def _on_connection_gone(self) -> None:
        self._count -= 1
        if self._places is not None:
            self._places.vacate()
        if self.is_telling:
            self._on_gone()
