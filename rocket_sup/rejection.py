"""Turn away a client that there is no place for, so that it can read why.

The answer is one write to a socket whose send buffer is empty; after it the socket is half-closed, and what
the client sends is read and forgotten for a moment, because closing a socket with unread bytes would
destroy the answer on its way (RFC 9112 §9.6). No connection object is made, the number of sockets waiting
here is bounded, and each waits for at most a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import Final

from rocket_sup.http.semantics import CLOSE, REASONS, TEXT, http_date, serialise

LINGER_S: Final = 1.0
MAX_LINGERING: Final = 256  # beyond it a socket is closed at once: being polite must not cost descriptors
_lingering: set[socket.socket] = set()


def reject(sock: socket.socket, retry_after: int) -> None:
    """Answer 503 with Retry-After and close; to be called with the running loop of the thread.

    Args:
        sock: accepted, non-blocking; it is ours from now on.
        retry_after: seconds.

    Spec: RFC 9110 §10.2.3, §15.6.4
    """
    body = f"503 {REASONS[503]}: all places are taken (RFC 9110 §15.6.4)\n".encode()
    answer = serialise(
        503,
        f"Date: {http_date(time.time())}\r\n".encode("ascii"),
        b"Content-Type: %b\r\nRetry-After: %d\r\n" % (TEXT, retry_after),
        body,
        connection=CLOSE,
        is_head=False,
        length=len(body),
    )
    try:
        sock.setblocking(False)
        sock.send(answer)
        sock.shutdown(socket.SHUT_WR)
    except OSError:  # it left meanwhile
        sock.close()
        return
    if len(_lingering) >= MAX_LINGERING:
        sock.close()
        return
    loop = asyncio.get_running_loop()
    _lingering.add(sock)
    loop.add_reader(sock, _forget_bytes, loop, sock)
    loop.call_later(LINGER_S, _close, loop, sock)


def _forget_bytes(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    try:
        if sock.recv(65536):
            return
    except BlockingIOError:
        return
    except OSError:  # the client closed both ways
        _close(loop, sock)
        return
    _close(loop, sock)


def _close(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    if sock in _lingering:
        _lingering.discard(sock)
        with contextlib.suppress(RuntimeError):  # the loop is being closed
            loop.remove_reader(sock)
        sock.close()
