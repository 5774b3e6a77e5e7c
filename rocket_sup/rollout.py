"""Replace acceptors one after the other: a machine for reloads, recycling and restarts on request.

For each number a new acceptor is started beside the old one, on the same sockets. Once it says ready, the old
one drains, and the next number's turn comes. If a new one does not start, the rest of that rollout is called
off: the old acceptors serve on. One rollout runs at a time, later ones wait.

Pure: it is told what happened and answers with the next step.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Rollout:
    """One request to replace acceptors.

    Attributes:
        numbers: whose acceptors, in order.
        cause: for the log: "reload", "max_requests", "max_memory", "restart".
        token: whom to answer; None: nobody asked.
        replaced: the numbers done.
    """

    numbers: deque[int]
    cause: str
    token: object = None
    replaced: list[int] = field(default_factory=list)


class Rollouts:
    """The rollout under way and those that wait."""

    def __init__(self) -> None:
        self._queue: deque[Rollout] = deque()
        self.current: Rollout | None = None
        self.number: int | None = None

    def add(self, rollout: Rollout) -> None:
        """Put a rollout in line; numbers already waiting for the same cause without a token are not
        doubled."""
        if rollout.token is None:
            waiting = {n for other in self._pending() for n in other.numbers}
            rollout.numbers = deque(n for n in rollout.numbers if n not in waiting and n != self.number)
            if not rollout.numbers:
                return
        self._queue.append(rollout)

    def next_number(self) -> int | None:
        """Take the next number to replace; None: one is under way, or nothing waits."""
        if self.number is not None:
            return None
        while self.current is None or not self.current.numbers:
            if self.current is not None or not self._queue:
                return None
            self.current = self._queue.popleft()
        self.number = self.current.numbers.popleft()
        return self.number

    def replaced(self) -> None:
        """Note that the new acceptor is ready."""
        assert self.current is not None  # noqa: S101 - only called for a number that next_number gave
        assert self.number is not None  # noqa: S101
        self.current.replaced.append(self.number)
        self.number = None

    def take_finished(self) -> Rollout | None:
        """Take the current rollout if all its numbers are done."""
        rollout = self.current
        if rollout is None or rollout.numbers or self.number is not None:
            return None
        self.current = None
        return rollout

    def fail(self) -> Rollout:
        """Call the current rollout off and take it."""
        rollout = self.current
        assert rollout is not None  # noqa: S101 - only called while a number is under way
        self.current = None
        self.number = None
        return rollout

    def _pending(self) -> list[Rollout]:
        return ([self.current] if self.current else []) + list(self._queue)
