"""A conduit that notes what is done with it; the test plays the client."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rocket_sup.conduit import Receiver
from rocket_sup.config import LimitsConfig
from rocket_sup.http.framing import parse_head
from rocket_sup.request import Request
from rocket_sup.sessions import Sessions


class FakeConduit:
    """See `Conduit`."""

    date_line = b"Date: today\r\n"

    def __init__(self, *, has_room: bool = True) -> None:
        self.keep_alive = True
        self.unsent = 0
        self.is_begun = False
        self.sessions = Sessions()
        self.calls: list[str] = []
        self.written: list[bytes] = []
        self.finished: tuple[int, int, bool] | None = None
        self.aborted: Exception | str | None = "not aborted"
        self.receiver: Receiver | None = None
        self.has_room = has_room
        self._executor: ThreadPoolExecutor | None = None

    @property
    def executor(self) -> ThreadPoolExecutor:
        """A thread."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1)
        return self._executor

    def attach(self, receiver: Receiver) -> None:
        """Keep it."""
        self.receiver = receiver

    def resume_reading(self) -> None:
        """Note it."""
        self.calls.append("resume")

    def pause_reading(self) -> None:
        """Note it."""
        self.calls.append("pause")

    def begin(self) -> None:
        """Note it."""
        assert not self.is_begun
        self.is_begun = True

    def write(self, data: bytes) -> bool:
        """Keep it."""
        assert self.finished is None
        self.written.append(data)
        return self.has_room

    def send_file(self, fd: int, offset: int, count: int) -> bool:
        """Note it."""
        self.written.append(b"[%d+%d]" % (offset, count))
        return self.has_room

    def upgrade(self) -> None:
        """Note it."""
        self.calls.append("upgrade")

    def finish(self, status: int, content_bytes: int, *, keep_alive: bool = True) -> None:
        """Note it."""
        self.finished = (status, content_bytes, keep_alive)

    def abort(self, error: Exception | None = None) -> None:
        """Note it."""
        self.aborted = error

    @property
    def wire(self) -> bytes:
        """All that was written."""
        return b"".join(self.written)

    def close(self) -> None:
        """End the thread."""
        if self._executor is not None:
            self._executor.shutdown()


def make_request(line: str = "GET / HTTP/1.1", *fields: str) -> Request:
    """A request to answer."""
    lines = "\r\n".join([line, "Host: a", *fields, "", ""])
    head = parse_head(lines.encode(), 0, LimitsConfig())
    assert head is not None
    return Request(head, "")


def run(check: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine."""

    async def limited() -> None:
        await asyncio.wait_for(check, 10)

    asyncio.run(limited())


async def turns() -> None:
    """Let everything that is due happen."""
    for _ in range(10):
        await asyncio.sleep(0)
