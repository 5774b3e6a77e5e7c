"""The inside of a WebSocket: what its conduit tells it, what waits, and when it ends.

Messages that came are queued up to a bound, then the client is held back; frames to be sent are gathered
while the handler runs. The close handshake has a deadline, and a silent client is asked whether it is there.
A handler whose client is gone is told where it waits for it, and cancelled if it goes on to wait for
something else. `websocket.py` builds on it what a handler calls, in the same object. RFC 6455 §5.5 and §7.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Callable
from typing import Final

from rocket_sup.conduit import Conduit
from rocket_sup.config_websocket import WebSocketConfig
from rocket_sup.errors import LocalProtocolError, RemoteProtocolError, WebSocketClosed
from rocket_sup.http.wsframes import CLOSE, FAILED, PING, PONG, Event, Frames, pack_close, unpack_close
from rocket_sup.wakeup import Wakeup

# A handler that sends more than this without waiting for anything has it written meanwhile; as asyncio.
_GATHERED_BYTES: Final = 64 * 1024


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
        "_frames",
        "_gathered",
        "_handler",
        "_is_accepted",
        "_is_flush_due",
        "_is_full",
        "_is_heard",
        "_is_paused",
        "_is_waking",
        "_loop",
        "_out",
        "_owed_pong",
        "_queue",
        "_reader",
        "_room",
        "_sent",
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
        self._is_accepted = False
        self._loop = asyncio.get_running_loop()
        self._handler = asyncio.current_task()
        self._queue: deque[str | bytes] = deque()
        self._reader: Wakeup | None = None  # who waits for a message
        self._is_paused = False  # the client is held back
        self._is_waking = False  # the handler runs because a message came: what it sends is gathered
        self._out: list[bytes] = []
        self._gathered = 0  # bytes of it
        self._is_flush_due = False
        self._is_full = False  # the client does not take what was written
        self._room: asyncio.Future[None] | None = None
        self._owed_pong: bytes | None = None
        self._sent = 0
        self._is_heard = False  # something came since the last look
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
        return self._state is SocketState.CLOSED and not self._is_accepted

    def begin(self, head: bytes, frames: Frames) -> None:
        """Say yes: from now on there are messages.

        Args:
            head: the answer to the handshake.
            frames: the framing of both directions.
        """
        conduit = self._conduit
        self._frames = frames
        self._state = SocketState.OPEN
        self._is_accepted = True
        conduit.begin()
        conduit.write(head)
        conduit.upgrade()
        if self._config.ping_interval:
            self._set_timer(self._config.ping_interval, self._on_silence_due)
        conduit.sessions.enter(self)
        conduit.resume_reading()

    # -- the end

    def begin_close(self, code: int, reason: str = "") -> None:
        """Say goodbye, and wait for nothing; whatever messages still come are dropped."""
        if self._state is not SocketState.OPEN:
            return
        self._say_goodbye(code, reason, pack_close(code, reason))
        self._state = SocketState.CLOSING
        self._set_timer(self._config.close_timeout, self._on_close_late)
        self._tell()
        self._is_paused = False
        self._take_held()
        self._conduit.resume_reading()

    def fail(self, code: int, reason: str = "") -> None:
        """Say goodbye, and wait for no answer (RFC 6455 §7.1.7)."""
        if self._state is SocketState.OPEN:
            self._say_goodbye(code, reason, pack_close(code, reason))
        self._finish()

    async def wait_closed(self) -> None:
        """Wait until nothing comes and goes any more."""
        while self._state is not SocketState.CLOSED:
            if self._closed is None:
                self._closed = self._loop.create_future()
            await asyncio.shield(self._closed)

    # -- what the conduit tells

    def on_content(self, data: bytes) -> None:
        """See `conduit.Receiver`."""
        self._is_heard = True
        self._take(self._frames.feed(data))

    def on_content_end(self, trailers: bytes) -> None:
        """See `conduit.Receiver`: the end of no content at all."""

    def on_content_error(self, error: RemoteProtocolError) -> None:
        """See `conduit.Receiver`; there is no content that could be wrong."""

    def on_room(self) -> None:
        """See `conduit.Receiver`."""
        self._is_full = False
        if self._owed_pong is not None and self._state is SocketState.OPEN:
            payload, self._owed_pong = self._owed_pong, None
            self._put(self._frames.pack_control(PONG, payload))
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def on_left(self) -> None:
        """See `conduit.Receiver`: without a Close, or it would be closed already (RFC 6455 §7.1.5)."""
        self._end(1006, "the client has left without a Close")
        if self._is_accepted:
            self._conduit.finish(101, self._sent, keep_alive=False)

    def on_gone(self, error: Exception | None) -> None:
        """See `conduit.Receiver`."""
        self._end(1006, str(error) if error is not None else "the connection is gone")

    def on_drain(self) -> None:
        """See `sessions.Session`."""
        self.begin_close(1012, "the server restarts")

    # -- receiving

    def _take(self, events: list[Event]) -> None:
        """Queue messages and wake who waits for one; answer everything else."""
        queue = self._queue
        for event in events:
            if isinstance(event, tuple):
                self._on_control(*event)
            elif self._state is SocketState.OPEN:
                queue.append(event)
        if queue:
            self._deliver()
            if queue and not self._is_paused:
                self._hold_back()
        if self._frames.is_holding:
            if self._state is SocketState.OPEN:
                self._pause()
            else:
                self._take_held()

    def _take_held(self) -> None:
        """Look for a Close behind messages that nobody wants any more."""
        while self._frames.is_holding:
            for event in self._frames.feed(b""):
                if isinstance(event, tuple):
                    self._on_control(*event)

    def _deliver(self) -> None:
        """Let go on who waits for a message: at once, unless some task is running."""
        reader = self._reader
        if reader is None:
            return
        self._reader = None
        if self._is_waking or asyncio.current_task(self._loop) is not None:
            reader.wake()
            return
        self._is_waking = True
        try:
            reader.wake_now()
        finally:
            self._is_waking = False
            if self._out:
                self._flush()

    def _hold_back(self) -> None:
        """Read no more if the handler has enough to do."""
        config, queue = self._config, self._queue
        if len(queue) > config.queue or sum(map(len, queue)) > config.max_message:
            self._pause()

    def _pause(self) -> None:
        if self._state is SocketState.OPEN:
            self._is_paused = True
            self._conduit.pause_reading()

    def _resume(self) -> None:
        """Read again once half of what may wait was taken."""
        if len(self._queue) > self._config.queue // 2 or self._state is not SocketState.OPEN:
            return
        self._is_paused = False
        if self._frames.is_holding:
            self._take(self._frames.feed(b""))
        if not self._is_paused:
            self._conduit.resume_reading()

    async def _wait_for_message(self) -> None:
        """Return when there is one, and raise when there will be none."""
        if self._out:
            self._flush()
        if self._is_paused:
            self._resume()
        if self._queue:
            return
        if self._state is not SocketState.OPEN:
            raise self._error()
        if self._reader is not None:
            raise LocalProtocolError("another task waits for a message of this WebSocket: one at a time")
        reader = self._reader = Wakeup(self._loop)
        try:
            await reader
        finally:
            if self._reader is reader:
                self._reader = None

    def _on_control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            if self._is_full:
                self._owed_pong = payload  # the latest is enough (RFC 6455 §5.5.3), and memory stays flat
            elif self._state is SocketState.OPEN:
                self._put(self._frames.pack_control(PONG, payload))
        elif opcode in (CLOSE, FAILED):
            if self._queue:
                self._deliver()  # what came before is answered before
            code, reason = unpack_close(payload)
            if self._state is SocketState.OPEN:
                self._say_goodbye(code, reason, payload)
            self._finish()

    # -- sending

    def _put(self, frame: bytes) -> bool:
        """Send with whatever else is sent in this turn; True when it is so much that others should have a
        turn.
        """
        self._out.append(frame)
        self._gathered += len(frame)
        if self._gathered > _GATHERED_BYTES:
            self._flush()
            return True
        if not self._is_waking and not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._on_flush_due)
        return False

    def _on_flush_due(self) -> None:
        self._is_flush_due = False
        if self._out:
            self._flush()

    def _flush(self) -> None:
        out = self._out
        whole = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._gathered = 0
        self._sent += len(whole)
        if not self._conduit.write(whole):
            self._is_full = True

    async def _wait_for_room(self) -> None:
        if self._room is None:
            self._room = self._loop.create_future()
        await asyncio.shield(self._room)

    # -- ending

    def _say_goodbye(self, code: int, reason: str, payload: bytes) -> None:
        """Send a Close behind what is to be sent; it is the last frame (RFC 6455 §5.5.1)."""
        self.close_code, self.close_reason = code, reason
        self._out.append(self._frames.pack_control(CLOSE, payload))
        self._flush()

    def _finish(self) -> None:
        """Close the connection, from which nobody reads any more."""
        if self.close_code is None:
            self.close_code = 1006
        self._end(self.close_code, self.close_reason)
        self._conduit.finish(101, self._sent, keep_alive=False)

    def _end(self, code: int, reason: str) -> None:
        """Be closed, and tell everybody."""
        if self._state is SocketState.CLOSED:
            return
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason
        self._state = SocketState.CLOSED
        self._out.clear()
        self._conduit.sessions.leave(self)
        self._tell()
        closed, self._closed = self._closed, None
        if closed is not None:
            closed.set_result(None)
        # Told, it ends soon; if not, it waits for something that has nothing to do with its client.
        self._set_timer(self._config.close_timeout, self._on_handler_late)

    def _tell(self) -> None:
        """Let go on who waits for a message or for room: they find out by themselves."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.wake()
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def forget_handler(self) -> None:
        """The handler has ended: it need not be cancelled any more."""
        self._handler = None
        if self._state is SocketState.CLOSED and self._timer is not None:
            self._timer.cancel()

    def _error(self) -> WebSocketClosed:
        return WebSocketClosed(self.close_code or 1006, self.close_reason)

    # -- deadlines

    def _set_timer(self, seconds: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, callback)

    def _on_silence_due(self) -> None:
        """Ask a client who was silent whether it is there, and give up one who does not answer. One that is
        held back cannot be heard.
        """
        config = self._config
        now = self._loop.time()
        wait = config.ping_interval
        if self._is_heard or self._is_paused:
            self._is_heard = False
            self._asked_at = 0.0
        elif not self._asked_at:
            self._asked_at = now
            self._put(self._frames.pack_control(PING, b""))
        if self._asked_at and config.ping_timeout:
            left = self._asked_at + config.ping_timeout - now
            if left <= 0:
                self.fail(1011, "no answer to a ping")
                return
            wait = min(wait, left)
        elif self._asked_at:
            self._asked_at = 0.0
        self._set_timer(wait, self._on_silence_due)

    def _on_close_late(self) -> None:
        self._finish()

    def _on_handler_late(self) -> None:
        if self._handler is not None:
            self.has_cancelled = True
            self._handler.cancel()
