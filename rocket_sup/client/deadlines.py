"""One timer per connection, however many deadlines it has: set often, fired rarely.

A deadline that is set moves a number; the timer behind it is only made anew when it would fire too late. When
it fires too early, it is set again. This makes a timeout cost next to nothing on a request that is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rocket_sup.client.errors import RequestTimeout


class Deadline:
    """A moment that can be moved, and what is called when it has come.

    Attributes:
        kind: of the error that is then due.
        text: what it says.
    """

    __slots__ = ("_at", "_loop", "_on_due", "_timer", "kind", "text")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_due: Callable[[], None]) -> None:
        self._loop = loop
        self._on_due = on_due
        self._at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.kind: type[RequestTimeout] = RequestTimeout
        self.text = ""

    def set(self, at: float | None, kind: type[RequestTimeout], text: str) -> None:
        """Move it; None is never."""
        self._at = at
        self.kind = kind
        self.text = text
        if at is not None and (self._timer is None or self._timer.when() > at):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(at, self._fire)

    def clear(self) -> None:
        """It does not come."""
        self._at = None

    def close(self) -> None:
        """It never comes again."""
        self._at = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def error(self) -> RequestTimeout:
        """The error that is due."""
        return self.kind(self.text)

    def _fire(self) -> None:
        self._timer = None
        at = self._at
        if at is None:
            return
        # A clock of another resolution than the loop's may fire a moment early.
        if at - self._loop.time() > 0.001:
            self._timer = self._loop.call_at(at, self._fire)
            return
        self._at = None
        self._on_due()
