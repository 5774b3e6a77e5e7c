"""The inside of a WebSocket: how far it is, when it ends, and who is told.

Messages go through its lane (`wslane.py`); here is what is rare. The close handshake has a deadline, and a
silent client is asked whether it is there. A handler whose client is gone is told where it waits for it, and
cancelled if it goes on to wait for something else. `websocket.py` builds on it what a handler calls, in the
same object. RFC 6455 §5.5 and §7.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import TypeVarTuple

from rocket_sup.conduit import Conduit
from rocket_sup.config_websocket import WebSocketConfig
from rocket_sup.errors import RemoteProtocolError, WebSocketClosed
from rocket_sup.http.wsframes import CLOSE, PING, Deflate, pack_close, unpack_close
from rocket_sup.wslane import Lane, Message, PortableLane

Ts = TypeVarTuple("Ts")


class SocketState(enum.Enum):
    """How far a conversation is."""

    OFFERED = "the client has asked, and has no answer"
    OPEN = "messages go both ways"
    CLOSING = "our Close is sent, the client's is awaited"
    CLOSED = "nothing comes and goes any more"


class SocketLink:
    """The conduit's side of a conversation.

    Attributes:
        close_code: why it ended, as in the first Close that was seen; 1005 without a code, 1006 when there
            was none. None while it lasts.
        close_reason: the text with it.
        has_cancelled: the handler was, because it did not end after its client had left.
    """

    __slots__ = (
        "__weakref__",
        "_asked_at",
        "_closed",
        "_conduit",
        "_config",
        "_handler",
        "_lane",
        "_loop",
        "_room",
        "_state",
        "_timer",
        "close_code",
        "close_reason",
        "has_cancelled",
    )

    def __init__(self, conduit: Conduit, config: WebSocketConfig) -> None:
        """Stand before the answer; in the task of the handler."""
        self.close_code: int | None = None
        self.close_reason = ""
        self.has_cancelled = False
        self._conduit = conduit
        self._config = config
        self._state = SocketState.OFFERED
        self._loop = asyncio.get_running_loop()
        self._handler = asyncio.current_task()
        self._lane: Lane | None = None  # from the answer on
        self._room: asyncio.Future[None] | None = None
        self._asked_at = 0.0  # loop's time of a ping that nothing has answered; 0 for none
        self._timer: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[None] | None = None  # for those who wait for the end
        conduit.attach(self)

    @property
    def state(self) -> SocketState:
        """How far it is."""
        return self._state

    @property
    def is_refused(self) -> bool:
        """It was closed before it was accepted."""
        return self._state is SocketState.CLOSED and self._lane is None

    def begin(self, head: bytes, deflate: Deflate | None) -> Lane:
        """Say yes: from now on there are messages.

        Args:
            head: the answer to the handshake.
            deflate: what was agreed about compression; None for none.
        """
        conduit, config = self._conduit, self._config
        make = conduit.sessions.make_lane or PortableLane
        lane = self._lane = make(self, conduit, self._loop, config.max_message, config.queue, deflate)
        self._state = SocketState.OPEN
        conduit.begin()
        conduit.write(head)
        conduit.upgrade()
        conduit.attach(lane)
        if config.ping_interval:
            self._set_timer(config.ping_interval, self._on_silence_due, lane)
        conduit.sessions.enter(self)
        conduit.resume_reading()
        return lane

    # -- the end

    def begin_close(self, code: int, reason: str = "") -> None:
        """Say goodbye, and wait for nothing; whatever messages still come are dropped."""
        lane = self._lane
        if self._state is not SocketState.OPEN or lane is None:
            return
        self._state = SocketState.CLOSING
        self._say_goodbye(lane, code, reason, pack_close(code, reason))
        self._set_timer(self._config.close_timeout, self._on_close_late)
        self._tell_senders()
        lane.close()

    def fail(self, code: int, reason: str = "") -> None:
        """Say goodbye, and wait for no answer (RFC 6455 §7.1.7)."""
        if self._state is SocketState.OPEN and self._lane is not None:
            self._say_goodbye(self._lane, code, reason, pack_close(code, reason))
        self._finish()

    async def wait_closed(self) -> None:
        """Wait until nothing comes and goes any more."""
        while self._state is not SocketState.CLOSED:
            if self._closed is None:
                self._closed = self._loop.create_future()
            await asyncio.shield(self._closed)

    def forget_handler(self) -> None:
        """The handler has ended: it need not be cancelled any more."""
        self._handler = None
        if self._state is SocketState.CLOSED and self._timer is not None:
            self._timer.cancel()

    # -- what the conduit tells before the answer, and the lane after it

    def on_content(self, data: bytes) -> None:
        """See `conduit.Receiver`; nothing is read before the answer."""

    def on_content_end(self, trailers: bytes) -> None:
        """See `conduit.Receiver`: the end of no content at all."""

    def on_content_error(self, error: RemoteProtocolError) -> None:
        """See `conduit.Receiver`; there is no content that could be wrong."""

    def on_room(self) -> None:
        """See `wslane.Owner`."""
        self._tell_senders()

    def on_left(self) -> None:
        """See `wslane.Owner`: without a Close, or it would be closed already (RFC 6455 §7.1.5)."""
        self._end(1006, "the client has left without a Close")
        if self._lane is not None:
            self._conduit.finish(101, self._lane.sent, keep_alive=False)

    def on_gone(self, error: Exception | None) -> None:
        """See `wslane.Owner`."""
        self._end(1006, str(error) if error is not None else "the connection is gone")

    def on_goodbye(self, opcode: int, payload: bytes) -> None:
        """See `wslane.Owner`: the same code goes back, or that of the fault."""
        code, reason = unpack_close(payload)
        if self._state is SocketState.OPEN and self._lane is not None:
            self._say_goodbye(self._lane, code, reason, payload)
        self._finish()

    def on_drain(self) -> None:
        """See `sessions.Session`."""
        self.begin_close(1012, "the server restarts")

    def closed(self) -> WebSocketClosed:
        """See `wslane.Owner`."""
        return WebSocketClosed(self.close_code or 1006, self.close_reason)

    # -- sending where it takes longer

    async def send_slowly(self, message: Message | bytearray | memoryview) -> None:
        """See `wslane.Owner`."""
        lane = self._lane
        while lane is not None and lane.is_full and self._state is SocketState.OPEN:
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)
        if lane is None or self._state is not SocketState.OPEN:
            raise self.closed()
        await lane.send(message if isinstance(message, (str, bytes)) else bytes(message))

    async def take_turn(self) -> None:
        """See `wslane.Owner`."""
        await asyncio.sleep(0)

    def _tell_senders(self) -> None:
        """Let go on who waits for room: they look for themselves."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # -- ending

    def _say_goodbye(self, lane: Lane, code: int, reason: str, payload: bytes) -> None:
        """Send a Close behind what is to be sent; it is the last frame (RFC 6455 §5.5.1)."""
        self.close_code, self.close_reason = code, reason
        lane.put_control(CLOSE, payload)
        lane.flush()

    def _finish(self) -> None:
        """Close the connection, from which nobody reads any more."""
        self._end(1006, "")
        if self._lane is not None:
            self._conduit.finish(101, self._lane.sent, keep_alive=False)

    def _end(self, code: int, reason: str) -> None:
        """Be closed, and tell everybody."""
        if self._state is SocketState.CLOSED:
            return
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason
        self._state = SocketState.CLOSED
        self._conduit.sessions.leave(self)
        if self._lane is not None:
            self._lane.end()
        self._tell_senders()
        closed, self._closed = self._closed, None
        if closed is not None:
            closed.set_result(None)
        # Told, it ends soon; if not, it waits for something that has nothing to do with its client.
        self._set_timer(self._config.close_timeout, self._on_handler_late)

    # -- deadlines

    def _set_timer(self, seconds: float, callback: Callable[[*Ts], None], *arguments: *Ts) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, callback, *arguments)

    def _on_silence_due(self, lane: Lane) -> None:
        """Ask a client who was silent whether it is there, and give up one who does not answer. One that is
        held back cannot be heard.
        """
        config = self._config
        now = self._loop.time()
        wait = config.ping_interval
        if lane.is_heard or lane.is_paused:
            lane.is_heard = False
            self._asked_at = 0.0
        elif not self._asked_at:
            self._asked_at = now
            lane.put_control(PING, b"")
        if self._asked_at and config.ping_timeout:
            left = self._asked_at + config.ping_timeout - now
            if left <= 0:
                self.fail(1011, "no answer to a ping")
                return
            wait = min(wait, left)
        elif self._asked_at:
            self._asked_at = 0.0
        self._set_timer(wait, self._on_silence_due, lane)

    def _on_close_late(self) -> None:
        self._finish()

    def _on_handler_late(self) -> None:
        if self._handler is not None:
            self.has_cancelled = True
            self._handler.cancel()
