"""One request by hand before any is measured: a server that answers something else is not compared."""

from __future__ import annotations

import re
import socket

from benchmarks.workloads import Workload

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class UnusableError(Exception):
    """A server that did not start, or does not answer as the others do."""


def request(workload: Workload) -> bytes:
    """The bytes of one request, as wrk sends them but for the order of fields."""
    lines = [f"{'POST' if workload.post_bytes else 'GET'} {workload.path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in workload.fields.items()]
    if workload.post_bytes:
        lines += [f"Content-Length: {workload.post_bytes}", "Content-Type: application/octet-stream"]
    return "\r\n".join([*lines, "", ""]).encode() + b"x" * workload.post_bytes


def check_answer(port: int, workload: Workload) -> int:
    """Send one write as the load will; read all that is owed for it.

    Returns:
        Bytes of one answer, head and content.

    Raises:
        UnusableError: wrong status, content or number of answers, or a wrong end.
    """
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        if workload.interface == "ws":
            return check_echo(sock, workload)
        sock.sendall(request(workload) * workload.depth)
        return Reader(sock, workload).expect()


def check_echo(sock: socket.socket, workload: Workload) -> int:
    """Shake hands and say something; bytes of what comes back for one message."""
    lines = [f"GET {workload.path} HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "", ""]
    sock.sendall("\r\n".join(lines).encode())
    with sock.makefile("rb") as received:
        head = b"".join(iter(received.readline, b"\r\n"))
        if b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" not in head or b"Sec-WebSocket-Extensions" in head:
            raise UnusableError(f"{workload.name}: unexpected handshake {head[-200:]!r}")
        message = b"0123456789abcdef" * 2
        sock.sendall((b"\x81\xa0\0\0\0\0" + message) * workload.depth)
        expected = b"\x81\x20" + message
        echoed = received.read(len(expected) * workload.depth)
    if echoed != expected * workload.depth:
        raise UnusableError(f"{workload.name}: unexpected echo {echoed[:200]!r}")
    return len(expected)


class Reader:
    """What one connection answers, as it arrives."""

    def __init__(self, sock: socket.socket, workload: Workload) -> None:
        self._sock = sock
        self._workload = workload
        self._received = b""

    def expect(self) -> int:
        """Read as many answers as are owed, and the end if one is due; the length of the first answer."""
        sizes = [self._answer() for _ in range(self._workload.depth)]
        if self._workload.closes and (self._received or self._more()):
            raise self._unusable("does not end the connection", b"")
        return sizes[0]

    def _answer(self) -> int:
        while (head := self._received.find(b"\r\n\r\n") + 4) < 4:
            self._need()
        length = LENGTH.search(self._received, 0, head)
        if length is None or not self._received.startswith(b"HTTP/1.1 200"):
            raise self._unusable("unexpected answer", self._received)
        if self._workload.closes and not CLOSE.search(self._received, 0, head):
            raise self._unusable("does not say that it closes", self._received)
        size = head + int(length[1])
        while len(self._received) < size:
            self._need()
        content, self._received = self._received[head:size], self._received[size:]
        if content != self._workload.body.encode():
            raise self._unusable("unexpected content", content)
        return size

    def _need(self) -> None:
        if not self._more():
            raise self._unusable("ended early, after", self._received)

    def _more(self) -> bool:
        try:
            piece = self._sock.recv(65536)
        except TimeoutError:
            raise self._unusable("silence after", self._received) from None
        self._received += piece
        return bool(piece)

    def _unusable(self, what: str, found: bytes) -> UnusableError:
        return UnusableError(f"{self._workload.name}: {what} {found[-200:]!r}".removesuffix(" b''"))


class Kept:
    """Kept connections on which one request has been answered."""

    def __init__(self, port: int, workload: Workload) -> None:
        self._port = port
        self._workload = workload
        self._sockets: list[socket.socket] = []

    def open(self, count: int) -> None:
        """Open `count` more, one request each.

        Raises:
            UnusableError: one was not answered.
        """
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", self._port), 5)
            self._sockets.append(sock)
            sock.sendall(request(self._workload))
            Reader(sock, self._workload).expect()

    def close(self) -> None:
        """Close them all."""
        for sock in self._sockets:
            sock.close()
