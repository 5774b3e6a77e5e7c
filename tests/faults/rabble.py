"""A rabble: clients of every kind at once, most of them badly behaved, none of them the same twice.

Each thread opens connections and does with each what chance tells it: asks properly, on one connection or in
a pipeline, sends content with a length or in chunks, sends garbage, half a request, a request drop by drop,
leaves without reading, resets. What was asked properly has to be answered properly; of the rest it is only
demanded that the server survives.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable

PROPER = ("ask", "ask_often", "pipeline", "send", "send_chunks", "expect", "wrong_path")
UNRULY = ("garbage", "half", "drip", "leave", "reset", "endless_head", "broken_chunks", "stay")
STAYING = 20  # connections that a thread leaves open and forgets


class Rabble:
    """The clients.

    Attributes:
        done: how often each kind of behaviour was shown.
        failures: proper requests without a proper answer: monotonic seconds, and what came instead.
    """

    def __init__(self, port: int, *, threads: int = 2, breath_s: float) -> None:
        self.done: Counter[str] = Counter()
        self.failures: list[tuple[float, str]] = []
        self._port = port
        self._breath_s = breath_s
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Rabble:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self) -> None:
        staying: list[socket.socket] = []
        while not self._is_over.wait(self._breath_s):
            kind = random.choice(PROPER if random.random() < 0.7 else UNRULY)
            act: Callable[[socket.socket], None] = getattr(self, f"_{kind}")
            sock: socket.socket | None = None
            try:
                sock = socket.create_connection(("127.0.0.1", self._port), 20)
                act(sock)
            except (OSError, ValueError) as error:
                if kind in PROPER:
                    self.failures.append((time.monotonic(), f"{kind}: {type(error).__name__}: {error}"))
            self.done[kind] += 1
            if sock is None:
                continue
            if kind == "stay":
                staying.append(sock)
                sock = staying.pop(0) if len(staying) > STAYING else None
            if sock is not None:
                sock.close()
        for each in staying:
            each.close()

    # --- proper ---

    def _ask(self, sock: socket.socket) -> None:
        path = random.choice(("/", "/users/7?a=1&b=2", "/thread"))
        answer(sock, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode(), b"200")

    def _ask_often(self, sock: socket.socket) -> None:
        for number in range(random.randint(2, 8)):
            try:
                answer(sock, b"GET /users/%d HTTP/1.1\r\nHost: a\r\n\r\n" % random.randint(0, 10**6), b"200")
            except UnansweredError:
                if number == 0:
                    raise
                return  # a kept connection may be closed at any moment; clients ask again (RFC 9112 §9.3.1)

    def _pipeline(self, sock: socket.socket) -> None:
        count = random.randint(2, 30)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * count)
        received = b""
        while received.count(b"HTTP/1.1 200") < count or not received.endswith(b"\r\n\r\nok"):
            received += more(sock)

    def _send(self, sock: socket.socket) -> None:
        length = random.choice((0, 1, 1000, 70_000, 300_000))
        head = b"POST /size HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length
        content = answer(sock, head + b"x" * length, b"200")
        if content != b"%d" % length:
            raise ValueError(f"{length} bytes were sent, {content!r} was answered")

    def _send_chunks(self, sock: socket.socket) -> None:
        sizes = [random.randint(1, 5000) for _ in range(random.randint(1, 20))]
        chunks = b"".join(b"%x\r\n%b\r\n" % (each, b"y" * each) for each in sizes)
        head = b"POST /size HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        content = answer(sock, head + chunks + b"0\r\n\r\n", b"200")
        if content != b"%d" % sum(sizes):
            raise ValueError(f"{sum(sizes)} bytes were sent, {content!r} was answered")

    def _expect(self, sock: socket.socket) -> None:
        sock.sendall(b"POST /size HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        received = b""
        while not received.endswith(b"\r\n\r\n"):
            received += more(sock)
        if b" 100 " not in received:
            raise ValueError(f"no 100 but {received[:80]!r}")
        answer(sock, b"12345", b"200")

    def _wrong_path(self, sock: socket.socket) -> None:
        path, status = random.choice(((b"/nowhere", b"404"), (b"/size", b"405"), (b"/fails", b"500")))
        answer(sock, b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path, status)

    # --- unruly ---

    def _garbage(self, sock: socket.socket) -> None:
        sock.sendall(random.randbytes(random.randint(1, 2000)))
        sock.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            sock.recv(4096)

    def _half(self, sock: socket.socket) -> None:
        whole = b"POST /size HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n" + b"z" * 100
        sock.sendall(whole[: random.randrange(1, len(whole))])
        if random.random() < 0.5:
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                sock.recv(4096)

    def _drip(self, sock: socket.socket) -> None:
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[: random.randint(1, 27)]:
            sock.sendall(bytes((byte,)))

    def _leave(self, sock: socket.socket) -> None:
        sock.sendall(b"GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n" * random.randint(1, 200))

    def _reset(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.sendall(b"GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n")

    def _endless_head(self, sock: socket.socket) -> None:
        sock.sendall(b"GET / HTTP/1.1\r\n" + b"X-Field: value\r\n" * random.randint(1, 3000))

    def _broken_chunks(self, sock: socket.socket) -> None:
        head = b"POST /size HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        sock.sendall(
            head + random.choice((b"zz\r\n", b"5\r\nabc", b"fffffffffffffffff\r\n", b"1\r\nabc\r\n"))
        )

    def _stay(self, sock: socket.socket) -> None:
        sock.sendall(random.choice((b"", b"GET /", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")))


class UnansweredError(ValueError):
    """The connection ended before any byte of an answer."""


def more(sock: socket.socket) -> bytes:
    """Receive some.

    Raises:
        ValueError: there is no more.
    """
    received = sock.recv(65536)
    if not received:
        raise ValueError("the connection ended")
    return received


def answer(sock: socket.socket, request: bytes, status: bytes) -> bytes:
    """Send a request and read its answer, which has a length; its content.

    Raises:
        UnansweredError: nothing came.
        ValueError: another status, or an answer cut short.
    """
    try:
        sock.sendall(request)
        received = sock.recv(65536)
    except (ConnectionResetError, BrokenPipeError):
        received = b""
    if not received:
        raise UnansweredError("the connection ended unanswered")
    while b"\r\n\r\n" not in received:
        received += more(sock)
    head, _, content = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 " + status):
        raise ValueError(f"{status.decode()} was expected: {head[:80]!r}")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(content) < length:
        content += more(sock)
    return content
