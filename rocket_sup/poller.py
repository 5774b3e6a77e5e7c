"""The event loop of the Supervisor and the Listener: readable descriptors, signals, one deadline.

Deliberately small: these two processes fork, so they run no asyncio, no threads, and hold nothing that could
be halfway through something. Each turn waits, then calls what is due, in the order descriptors, signals,
time.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable


class Poller:
    """Waits for descriptors and signals.

    Signal handlers do nothing but leave their number in a pipe; the callbacks run in the loop, never in the
    middle of other code.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._signals: dict[int, Callable[[], None]] = {}
        read_end, self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        self._selector.register(read_end, selectors.EVENT_READ, lambda: self._run_signals(read_end))

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back each time the descriptor is readable, or at end-of-file."""
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def unwatch(self, fd: int) -> None:
        """Stop watching; call this before closing the descriptor."""
        self._selector.unregister(fd)

    def on_signal(self, signum: int, callback: Callable[[], None]) -> None:
        """Call back, from the loop, after a signal; several that arrive at once are one."""
        self._signals[signum] = callback
        signal.signal(signum, lambda _signum, _frame: None)

    def run_once(self, deadline: float | None) -> None:
        """Wait until something happens or the deadline passes, and call what is due.

        Args:
            deadline: monotonic seconds; None: no limit.
        """
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        for key, _ in self._selector.select(timeout):
            # An earlier callback of this turn may have unwatched it, and its number may have been used anew.
            if self._selector.get_map().get(key.fd) is key:
                key.data()

    def _run_signals(self, read_end: int) -> None:
        arrived = set(os.read(read_end, 4096))
        for signum in sorted(arrived):
            callback = self._signals.get(signum)
            if callback is not None:
                callback()
