"""The hot part of a WebSocket: messages from its conduit to its handler and back.

A lane frames what comes, queues messages up to a bound and then holds the client back, and wakes the handler
from the very read that brought a message; what the handler sends before it waits again leaves in one write.
It answers pings. What is rare it leaves to its owner (`wslink.py`): goodbyes, and waiting for a client who
does not read. The native engine has a lane of its own (`crates/rocket-py/src/websocket`), with the same
methods and the same effects.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from rocket_sup.conduit import Conduit
from rocket_sup.errors import LocalProtocolError, RemoteProtocolError, WebSocketClosed
from rocket_sup.http.wsframes import PING, PONG, Deflate, Event, PortableFrames
from rocket_sup.wakeup import Wakeup

# A handler that sends more than this without waiting for anything has it written, and lets others have a
# turn, however fast its client is; as much as asyncio takes before it asks to wait.
MUCH_BYTES: Final = 64 * 1024

Message = str | bytes
Turn = Coroutine[Any, Any, None]  # Any: what goes between a coroutine and its loop


class Owner(Protocol):
    """Whoever has a lane; it is the conversation as a whole."""

    def on_goodbye(self, opcode: int, payload: bytes) -> None:
        """Take the client's Close, or the fault to answer with one; nothing comes after it."""

    def on_room(self) -> None:
        """There is room again."""

    def on_left(self) -> None:
        """The client has closed its side."""

    def on_gone(self, error: Exception | None) -> None:
        """The connection is gone."""

    def closed(self) -> WebSocketClosed:
        """Make what is raised once there are no more messages."""

    async def send_slowly(self, message: Message | bytearray | memoryview) -> None:
        """Send when there is room; raise when there will be none; make bytes of what is none."""

    async def take_turn(self) -> None:
        """Let others have a turn."""


class Lane(Protocol):
    """One WebSocket's messages; the receiver of its conduit.

    Attributes:
        is_open: messages go both ways.
        is_full: the client does not take what was written.
        is_heard: something came since somebody set this to False.
        is_paused: the client is held back.
        sent: bytes, as framed.
    """

    is_heard: bool

    @property
    def is_open(self) -> bool: ...
    @property
    def is_full(self) -> bool: ...
    @property
    def is_paused(self) -> bool: ...
    @property
    def sent(self) -> int: ...

    def receive(self) -> Coroutine[Any, Any, Message]:
        """Wait for the next message.

        Raises:
            WebSocketClosed: there will be none.
            LocalProtocolError: another task waits for one.
        """

    def __aiter__(self) -> Lane: ...

    def __anext__(self) -> Coroutine[Any, Any, Message]:
        """Wait for the next message; the iteration ends when there will be none."""

    def send(self, message: Message | bytearray | memoryview) -> Turn:
        """Send a message; see `WebSocket.send`."""

    def put_control(self, opcode: int, payload: bytes) -> None:
        """Send a control frame behind what is to be sent."""

    def flush(self) -> None:
        """Have everything that is to be sent written now."""

    def close(self) -> None:
        """Nothing is sent any more, and what still comes is dropped, up to a goodbye; tell who waits."""

    def end(self) -> None:
        """Nothing comes and goes any more; tell who waits."""

    # The receiver of a conduit
    def on_content(self, data: bytes) -> None: ...
    def on_content_end(self, trailers: bytes) -> None: ...
    def on_content_error(self, error: RemoteProtocolError) -> None: ...
    def on_room(self) -> None: ...
    def on_left(self) -> None: ...
    def on_gone(self, error: Exception | None) -> None: ...


class PortableLane:
    """See `Lane`."""

    __slots__ = (
        "_conduit",
        "_frames",
        "_gathered",
        "_is_flush_due",
        "_is_waking",
        "_loop",
        "_max_message",
        "_most_queued",
        "_out",
        "_owed_pong",
        "_owner",
        "_queue",
        "_reader",
        "is_full",
        "is_heard",
        "is_open",
        "is_paused",
        "sent",
    )

    def __init__(
        self,
        owner: Owner,
        conduit: Conduit,
        loop: asyncio.AbstractEventLoop,
        max_message: int,
        most_queued: int,
        deflate: Deflate | None,
    ) -> None:
        """Begin behind the handshake, before anything is read.

        Args:
            owner: is asked what is rare.
            conduit: upgraded.
            loop: the running one.
            max_message: bytes of a message, and of all that wait.
            most_queued: messages that wait; with more the client is held back.
            deflate: what was agreed about compression; None for none.
        """
        self.is_open = True
        self.is_full = False
        self.is_heard = False
        self.is_paused = False
        self.sent = 0
        self._owner = owner
        self._conduit = conduit
        self._loop = loop
        self._frames = PortableFrames(max_message, deflate)
        self._max_message = max_message
        self._most_queued = most_queued
        self._queue: deque[Message] = deque()
        self._reader: Wakeup | None = None  # who waits for a message
        self._is_waking = False  # the handler runs because a message came: what it sends is gathered
        self._out: list[bytes] = []
        self._gathered = 0  # bytes of it
        self._is_flush_due = False
        self._owed_pong: bytes | None = None

    # -- the handler's side

    async def receive(self) -> Message:
        """See `Lane`."""
        queue = self._queue
        while not queue:
            await self._wait_for_message()
        message = queue.popleft()
        if self.is_paused:
            self._resume()
        return message

    def __aiter__(self) -> PortableLane:
        return self

    async def __anext__(self) -> Message:
        queue = self._queue
        try:
            while not queue:
                await self._wait_for_message()
        except WebSocketClosed:
            raise StopAsyncIteration from None
        message = queue.popleft()
        if self.is_paused:
            self._resume()
        return message

    async def send(self, message: Message | bytearray | memoryview) -> None:
        """See `Lane`."""
        if self.is_full or not self.is_open:
            await self._owner.send_slowly(message)
            return
        if isinstance(message, str):
            frame = self._frames.pack_text(message)
        elif isinstance(message, bytes):
            frame = self._frames.pack_bytes(message)
        else:
            frame = self._frames.pack_bytes(bytes(message))
        if self._put(frame):
            await self._owner.take_turn()

    def put_control(self, opcode: int, payload: bytes) -> None:
        """See `Lane`."""
        self._put(self._frames.pack_control(opcode, payload))

    def flush(self) -> None:
        """See `Lane`."""
        out = self._out
        if not out:
            return
        whole = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._gathered = 0
        self.sent += len(whole)
        if not self._conduit.write(whole):
            self.is_full = True

    def close(self) -> None:
        """See `Lane`."""
        self.flush()
        self.is_open = self.is_paused = False
        self._tell()
        self._take_held()
        self._conduit.resume_reading()

    def end(self) -> None:
        """See `Lane`."""
        self.is_open = False
        self._out.clear()
        self._tell()

    # -- the conduit's side

    def on_content(self, data: bytes) -> None:
        """See `conduit.Receiver`."""
        self.is_heard = True
        self._take(self._frames.feed(data))

    def on_content_end(self, trailers: bytes) -> None:
        """See `conduit.Receiver`: the end of no content at all."""

    def on_content_error(self, error: RemoteProtocolError) -> None:
        """See `conduit.Receiver`; there is no content that could be wrong."""

    def on_room(self) -> None:
        """See `conduit.Receiver`."""
        self.is_full = False
        if self._owed_pong is not None and self.is_open:
            payload, self._owed_pong = self._owed_pong, None
            self.put_control(PONG, payload)
        self._owner.on_room()

    def on_left(self) -> None:
        """See `conduit.Receiver`."""
        self._owner.on_left()

    def on_gone(self, error: Exception | None) -> None:
        """See `conduit.Receiver`."""
        self._owner.on_gone(error)

    # -- receiving

    def _take(self, events: list[Event]) -> None:
        """Queue messages and wake who waits for one; answer everything else."""
        queue = self._queue
        for event in events:
            if isinstance(event, tuple):
                self._on_control(*event)
            elif self.is_open:
                queue.append(event)
        if queue:
            self._deliver()
            if queue and not self.is_paused:
                self._hold_back()
        if self._frames.is_holding:
            if self.is_open:
                self._pause()
            else:
                self._take_held()

    def _take_held(self) -> None:
        """Look for a goodbye behind messages that nobody wants any more."""
        while self._frames.is_holding:
            for event in self._frames.feed(b""):
                if isinstance(event, tuple):
                    self._on_control(*event)

    def _on_control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            if self.is_full:
                self._owed_pong = payload  # the latest is enough (RFC 6455 §5.5.3), and memory stays flat
            elif self.is_open:
                self.put_control(PONG, payload)
        elif opcode != PONG:
            if self._queue:
                self._deliver()  # what came before is answered before
            self._owner.on_goodbye(opcode, payload)

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
            self.flush()

    def _hold_back(self) -> None:
        """Read no more if the handler has enough to do."""
        queue = self._queue
        if len(queue) > self._most_queued or sum(map(len, queue)) > self._max_message:
            self._pause()

    def _pause(self) -> None:
        if self.is_open:
            self.is_paused = True
            self._conduit.pause_reading()

    def _resume(self) -> None:
        """Read again once half of what may wait was taken."""
        if len(self._queue) > self._most_queued // 2 or not self.is_open:
            return
        self.is_paused = False
        if self._frames.is_holding:
            self._take(self._frames.feed(b""))
        if not self.is_paused:
            self._conduit.resume_reading()

    async def _wait_for_message(self) -> None:
        """Return when there is one, and raise when there will be none."""
        self.flush()
        if self.is_paused:
            self._resume()
        if self._queue:
            return
        if not self.is_open:
            raise self._owner.closed()
        if self._reader is not None:
            raise LocalProtocolError("another task waits for a message of this WebSocket: one at a time")
        reader = self._reader = Wakeup(self._loop)
        try:
            await reader
        finally:
            if self._reader is reader:
                self._reader = None

    def _tell(self) -> None:
        """Let go on who waits for a message: it finds out by itself."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.wake()

    # -- sending

    def _put(self, frame: bytes) -> bool:
        """Send with whatever else is sent in this turn; True when it is so much that others should have a
        turn.
        """
        self._out.append(frame)
        self._gathered += len(frame)
        if self._gathered > MUCH_BYTES:
            self.flush()
            return True
        if not self._is_waking and not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._on_flush_due)
        return False

    def _on_flush_due(self) -> None:
        self._is_flush_due = False
        self.flush()
