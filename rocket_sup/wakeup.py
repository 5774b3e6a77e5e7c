"""What a task waits for when whoever wakes it may run it at once.

A future of asyncio has its task called in the loop's next turn, which costs an object, a turn and a look at
every descriptor. What comes in from a socket comes when no task runs; so the task may as well go on then and
there. To the task this is a future: it obeys what `asyncio.Task` asks of one.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Generator


class Wakeup:
    """A wait of one task, for one time."""

    __slots__ = (
        "_asyncio_future_blocking",
        "_callback",
        "_context",
        "_is_cancelled",
        "_is_done",
        "_loop",
        "_message",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to wait.

        Args:
            loop: the running one.
        """
        self._asyncio_future_blocking = False  # set while it is handed from the coroutine to its task
        self._callback: Callable[[Wakeup], object] | None = None
        self._context: contextvars.Context | None = None
        self._is_cancelled = False
        self._is_done = False
        self._loop = loop
        self._message: object = None

    def __await__(self) -> Generator[Wakeup, None, None]:
        if not self._is_done:
            self._asyncio_future_blocking = True
            yield self
        self.result()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Name the loop, for the task."""
        return self._loop

    def add_done_callback(
        self, callback: Callable[[Wakeup], object], *, context: contextvars.Context | None = None
    ) -> None:
        """Have the task called, in its context."""
        self._callback = callback
        self._context = context
        if self._is_done:
            self._call_soon()

    def done(self) -> bool:
        """Tell whether the wait is over."""
        return self._is_done

    def result(self) -> None:
        """Raise the cancellation, if there was one."""
        if self._is_cancelled:
            raise asyncio.CancelledError(*([] if self._message is None else [self._message]))

    def cancel(self, msg: object = None) -> bool:
        """Give up the wait, because the task is cancelled; False when it is over."""
        if self._is_done:
            return False
        self._is_done = self._is_cancelled = True
        self._message = msg
        self._call_soon()
        return True

    def wake(self) -> None:
        """End the wait; the task goes on in the loop's next turn."""
        if not self._is_done:
            self._is_done = True
            self._call_soon()

    def wake_now(self) -> None:
        """End the wait; the task goes on before this returns. Only where no task is running."""
        if self._is_done:
            return
        self._is_done = True
        callback, self._callback = self._callback, None
        if callback is None:  # not handed to a task yet
            return
        if self._context is None:
            callback(self)
        else:
            self._context.run(callback, self)

    def _call_soon(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            self._loop.call_soon(callback, self, context=self._context)
