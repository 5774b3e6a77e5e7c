"""A crowd: many clients at once, each with one request, none of them giving up.

One thread, one epoll. All connect in the same moment and ask; each then waits for its whole answer, for as
long as it takes, and keeps its connection open until the server ends it or the crowd goes home. So a server
at its limit has to make room by itself.
"""

from __future__ import annotations

import select
import socket
import time
from collections import Counter
from collections.abc import Callable


class Crowd:
    """The clients.

    Args:
        port: where, on 127.0.0.1.
        size: how many.
        path: what each asks for.
    """

    def __init__(self, port: int, size: int, path: str) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._received: dict[int, bytes] = {}
        self._asked: set[int] = set()
        self.size = size
        self.statuses: Counter[int] = Counter()
        self.retry_after = 0  # answers with that field
        self.failures: list[str] = []
        for _ in range(size):
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            self._sockets[sock.fileno()] = sock
            self._received[sock.fileno()] = b""
            self._epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP)
        for sock in self._sockets.values():
            sock.connect_ex(("127.0.0.1", port))

    def settled(self) -> int:
        """How many have their answer, or failed."""
        return self.statuses.total() + len(self.failures)

    def run(self, timeout_s: float, between: Callable[[], None]) -> bool:
        """Serve the clients until all are settled; `between` is called all the time.

        Returns:
            False when some were not settled in time.
        """
        deadline = time.monotonic() + timeout_s
        while self.settled() < self.size and time.monotonic() < deadline:
            for fd, event in self._epoll.poll(0.002):
                self._on_event(fd, event)
            between()
        return self.settled() == self.size

    def _on_event(self, fd: int, event: int) -> None:
        sock = self._sockets.get(fd)
        if sock is None:
            return
        try:
            if fd not in self._asked:
                if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(code, "connect")
                sock.send(self._request)
                self._asked.add(fd)
                self._epoll.modify(fd, select.EPOLLIN | select.EPOLLRDHUP)
                return
            if event & ~select.EPOLLOUT:
                received = sock.recv(65536)
                self._on_bytes(fd, received)
        except BlockingIOError:
            return
        except OSError as error:
            self._leave(fd, f"{type(error).__name__}: {error}")

    def _on_bytes(self, fd: int, received: bytes) -> None:
        is_answered = fd not in self._received
        if not received:
            self._leave(fd, "" if is_answered else f"closed after {self._received[fd][:60]!r}")
            return
        if is_answered:
            return
        self._received[fd] += received
        head, separator, body = self._received[fd].partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
        if separator and len(body) >= int(fields.get(b"content-length", b"0")):
            self.statuses[int(head.split(b" ", 2)[1])] += 1
            self.retry_after += b"retry-after" in fields
            del self._received[fd]

    def _leave(self, fd: int, failure: str) -> None:
        if failure and fd in self._received:
            self.failures.append(failure)
        self._received.pop(fd, None)
        self._sockets.pop(fd).close()

    def close(self) -> None:
        """Everybody goes home."""
        for sock in self._sockets.values():
            sock.close()
        self._epoll.close()
