"""A descriptor that takes log lines and never holds up the process that writes them.

A full disk, a closed pipe, a reader that has stopped: a server must outlive all three, so a write here takes
what it can, says how much, and never raises. A pipe is opened anew through `/proc/self/fd`, which gives a
file description of our own that can be non-blocking without changing the one we share with the shell; a
socket (the journal's) is sent to with `MSG_DONTWAIT`. A regular file is written through the descriptor we
were given, because another offset would overwrite what others write to it.

`write(2)`, `pipe(7)` (`PIPE_BUF`), `O_APPEND`: whole lines of several processes do not mix.
"""

from __future__ import annotations

import os
import select
import socket
import stat
from typing import Final

STDOUT: Final = 1
STDERR: Final = 2

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_REGULAR_BYTES = (
    1 << 18
)  # one write of 256 KiB takes about 50 us; larger ones only hold the loop up for longer
_CLOSED: Final = -1


class LogFile:
    """An open log: a file by path, or a standard stream.

    Attributes:
        path: empty for a standard stream.
        atomic_bytes: a write up to this long is not mixed with those of other processes.
    """

    __slots__ = ("_fd", "_socket", "atomic_bytes", "path")

    def __init__(self, path: str, *, standard: int) -> None:
        """Open `path` for appending, or take the standard descriptor when it is empty.

        Raises:
            OSError: the file cannot be opened.
        """
        self.path = path
        self._socket: socket.socket | None = None
        self._fd = os.open(path, _FLAGS, 0o640) if path else self._take(standard)
        mode = os.fstat(self._fd).st_mode
        self.atomic_bytes = select.PIPE_BUF if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else _REGULAR_BYTES

    def _take(self, standard: int) -> int:
        mode = os.fstat(standard).st_mode
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(standard))
        elif stat.S_ISFIFO(mode):
            try:
                return os.open(f"/proc/self/fd/{standard}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                return standard  # no /proc, or a pipe of another user: then its reader can hold us up
        return standard

    def try_write(self, data: bytes) -> int:
        """Write without waiting.

        Returns:
            How many bytes were taken: all, some, or 0 when it takes nothing now (full, closed, not read).
        """
        try:
            if self._socket is not None:
                return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            return os.write(self._fd, data)
        except OSError:
            return 0

    def wait_writable(self, timeout_s: float) -> bool:
        """Wait a moment for a reader to make room."""
        poller = select.poll()
        poller.register(self._fd if self._socket is None else self._socket.fileno(), select.POLLOUT)
        return any(event & select.POLLOUT for _, event in poller.poll(timeout_s * 1000))

    def reopen(self) -> None:
        """Open the path again, after its rotation; a standard stream stays as it is.

        Raises:
            OSError: it cannot be opened; the file that was open stays in use.
        """
        if self.path:
            fresh = os.open(self.path, _FLAGS, 0o640)
            os.dup2(fresh, self._fd, inheritable=False)
            os.close(fresh)

    def close(self) -> None:
        """Close what was opened here; a standard descriptor stays open. What is written later goes nowhere,
        least of all into a file that was given the number since.
        """
        if self._socket is not None:
            self._socket.close()
        elif self._fd not in (STDOUT, STDERR, _CLOSED):
            os.close(self._fd)
            self._fd = _CLOSED
