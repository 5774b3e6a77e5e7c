"""One request that many wait for: single flight.

The first to ask leads; who asks for the same meanwhile follows and gets what the leader had stored. When it
turns out that nothing is stored that they can use, they ask themselves; when the leader leaves, one of them
leads. A flight says once how it ended (`Landing`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rocket_sup.client.cache.stored import Stored
from rocket_sup.client.cache.tee import Tee


@dataclass(frozen=True, slots=True)
class Landing:
    """How a flight ended.

    Attributes:
        stored: what was stored, if anything was.
        error: what the leader got instead of a response.
        is_failure: the server failed: a stale response may do.
        is_abandoned: the leader left before it was known.
    """

    stored: Stored | None = None
    error: Exception | None = None
    is_failure: bool = False
    is_abandoned: bool = False


UNSHARED: Final = Landing()  # a response that is for the leader alone
ABANDONED: Final = Landing(is_abandoned=True)


class Flight:
    """A request under way."""

    def __init__(self, on_landed: Callable[[Landing], None]) -> None:
        """Begin; `on_landed` is called once: nobody may join any more."""
        self._landed: asyncio.Future[Landing] = asyncio.get_running_loop().create_future()
        self._on_landed = on_landed
        self._tee: Tee | None = None
        self.followers = 0

    @property
    def is_landed(self) -> bool:
        """Whether it is known how it ended."""
        return self._landed.done()

    def carry(self, tee: Tee) -> None:
        """The head has come; this is its content."""
        self._tee = tee
        if self.followers:
            tee.hasten()

    def land(self, landing: Landing) -> None:
        """Say how it ended; only the first word counts."""
        if not self._landed.done():
            self._landed.set_result(landing)
            self._tee = None
            self._on_landed(landing)

    async def follow(self) -> Landing:
        """Wait for the end."""
        self.followers += 1
        try:
            if self._tee is not None:
                self._tee.hasten()
            return await asyncio.shield(self._landed)
        finally:
            self.followers -= 1
            if not self.followers and self._tee is not None:
                await self._tee.relax()
