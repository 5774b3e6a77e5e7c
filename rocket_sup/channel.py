"""Messages between a parent and its child, with descriptors attached where needed.

A channel is one end of a Unix SOCK_SEQPACKET pair: messages keep their bounds, order and truth, and the end
of the other process reads as end-of-file. Each message is one JSON object with a `type`; neither side ever
blocks on the other. A message that does not fit into a full socket buffer is kept and sent when the other
side reads again, in order.
"""

from __future__ import annotations

import array
import os
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any

import orjson

MAX_MESSAGE_BYTES = 128 * 1024  # below the kernel's default socket buffer of 208 KiB
_MAX_DESCRIPTORS = 253  # SCM_MAX_FD, linux/socket.h
_MAX_QUEUED = 256  # a peer that reads nothing for this long is hung; its heartbeat will tell

Message = dict[str, Any]  # JSON: what a key holds depends on the message's type


class ChannelClosedError(Exception):
    """The process at the other end is gone."""


class Channel:
    """One end of the pair. Non-blocking."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._queue: deque[tuple[bytes, tuple[int, ...]]] = deque()

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Make both ends; the parent keeps one, the child inherits the other."""
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        return cls(left), cls(right)

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._sock.fileno()

    def send(self, kind: str, *, fds: Sequence[int] = (), **fields: Any) -> None:
        """Send one message, or queue it while the other side is slow.

        Args:
            kind: the message's type.
            fds: descriptors to hand over; the receiver gets duplicates.

        Raises:
            ChannelClosedError: the other process is gone.
            ValueError: the message is too large.
        """
        body = orjson.dumps({"type": kind, **fields})
        if len(body) > MAX_MESSAGE_BYTES:
            raise ValueError(f"message {kind!r} of {len(body)} bytes, {MAX_MESSAGE_BYTES} allowed")
        if len(self._queue) >= _MAX_QUEUED:
            raise ChannelClosedError("the other process has stopped reading")
        if not self.flush() or not self._try_send(body, fds):
            # Duplicates, because the caller may close its own before the other side reads again.
            self._queue.append((body, tuple(os.dup(fd) for fd in fds)))

    def flush(self) -> bool:
        """Send what is queued; False while some of it is still waiting. Owners call this now and then.

        Raises:
            ChannelClosedError: the other process is gone.
        """
        while self._queue:
            body, fds = self._queue[0]
            if not self._try_send(body, fds):
                return False
            self._queue.popleft()
            for fd in fds:
                os.close(fd)
        return True

    def _try_send(self, body: bytes, fds: Sequence[int]) -> bool:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._sock.sendmsg([body], ancillary, socket.MSG_NOSIGNAL)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            raise ChannelClosedError(str(error)) from error
        return True

    def receive(self) -> tuple[Message, list[int]] | None:
        """Take one message and its descriptors (close-on-exec); None when there is none yet.

        Raises:
            ChannelClosedError: the other process is gone.
        """
        space = socket.CMSG_SPACE(_MAX_DESCRIPTORS * array.array("i").itemsize)
        try:
            body, ancillary, _, _ = self._sock.recvmsg(MAX_MESSAGE_BYTES, space, socket.MSG_CMSG_CLOEXEC)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            raise ChannelClosedError(str(error)) from error
        if not body:
            raise ChannelClosedError("end of file")
        fds = array.array("i")
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
        return orjson.loads(body), list(fds)

    def close(self) -> None:
        """Close this end; the other one reads end-of-file."""
        for _, fds in self._queue:
            for fd in fds:
                os.close(fd)
        self._queue.clear()
        self._sock.close()
