"""A conduit that is no connection: it remembers what is done with it, and says what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from rocket_sup.conduit import Conduit, Receiver
from rocket_sup.config import LimitsConfig
from rocket_sup.http.framing import parse_head
from rocket_sup.request import Request
from rocket_sup.sessions import Sessions


class FakeConduit:
    """See `conduit.Conduit`."""

    def __init__(self) -> None:
        self.sessions = Sessions()
        self.keep_alive = True
        self.date_line = b"Date: now\r\n"
        self.unsent = 0
        self.is_begun = False
        self.is_upgraded = False
        self.is_reading = False
        self.has_room = True
        self.written: list[bytes] = []
        self.finished: tuple[int, int, bool] | None = None
        self.executor = ThreadPoolExecutor(1)
        self.receiver: Receiver = cast(Receiver, None)
        self.later: list[bytes] = []  # delivered as soon as somebody reads

    def attach(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def resume_reading(self) -> None:
        self.is_reading = True
        while self.is_reading and self.later:
            self.receiver.on_content(self.later.pop(0))

    def pause_reading(self) -> None:
        self.is_reading = False

    def begin(self) -> None:
        self.is_begun = True

    def write(self, data: bytes) -> bool:
        self.written.append(data)
        return self.has_room

    def upgrade(self) -> None:
        self.is_upgraded = True

    def finish(self, status: int, content_bytes: int, *, keep_alive: bool = True) -> None:
        if self.finished is None:
            self.finished = (status, content_bytes, keep_alive)

    # -- what a test says

    def receive(self, *pieces: bytes) -> asyncio.Future[None]:
        """Deliver bytes from the loop, where no task is running."""
        return self.call(lambda: [self.receiver.on_content(piece) for piece in pieces])

    def call(self, act: Callable[[], object]) -> asyncio.Future[None]:
        """Call something where no task is running."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def call() -> None:
            act()
            done.set_result(None)

        loop.call_soon(call)
        return done

    async def until_written(self, count: int = 1) -> None:
        """Wait until there were so many writes."""
        while len(self.written) < count:  # noqa: ASYNC110 - the conduit under test is called, and says nothing
            await asyncio.sleep(0.001)

    def take(self) -> bytes:
        """Everything written since the last look."""
        whole = b"".join(self.written)
        self.written.clear()
        return whole


KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def request(*lines: str, target: str = "/ws", method: str = "GET", version: str = "1.1") -> Request:
    """A request as the engine gives it."""
    text = "\r\n".join([f"{method} {target} HTTP/{version}", "Host: example.test", *lines, "", ""])
    parsed: Any = parse_head(text.encode("latin-1"), 0, LimitsConfig())
    return Request(parsed, ("127.0.0.1", 1))


def upgrade(*lines: str) -> Request:
    """A handshake."""
    return request(
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        *lines,
    )


def play(scene: Callable[[FakeConduit], Awaitable[None]]) -> None:
    """Play a scene in a loop of its own."""

    async def run() -> None:
        conduit = FakeConduit()
        await asyncio.wait_for(scene(conduit), 10)

    asyncio.run(run())


def as_conduit(conduit: FakeConduit) -> Conduit:
    """It is one as far as it is used."""
    return cast(Conduit, conduit)
