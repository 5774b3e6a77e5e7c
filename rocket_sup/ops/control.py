"""The control socket: one JSON document a line, request and answer, over a Unix socket that only its owner
may open.

The server side lives in the Supervisor's loop: it never blocks, bounds what it reads, and answers a request
when its work is done, which for a reload may take a while. The client side, `call`, is what the command line
uses.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from rocket_sup.errors import RocketError
from rocket_sup.poller import Poller

_MAX_REQUEST = 64 * 1024
_MAX_CLIENTS = 32
_READ = 65536

Document = dict[str, Any]  # JSON
Answer = Callable[[Document], None]
Handler = Callable[[Document, Answer], None]


class ControlError(RocketError):
    """The tree could not be reached, or did not answer."""


def call(path: Path, request: Document, timeout_s: float) -> Document:
    """Send one request to a running tree and wait for its answer.

    Args:
        path: the control socket.
        request: at least {"command": …}.
        timeout_s: seconds to wait for the whole answer.

    Raises:
        ControlError: nobody listens there, or no answer came in time.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_s)
        try:
            sock.connect(str(path))
            sock.sendall(orjson.dumps(request) + b"\n")
            received = bytearray()
            while not received.endswith(b"\n"):
                piece = sock.recv(_READ)
                if not piece:
                    raise ControlError(f"{path}: the server closed the connection without an answer")
                received += piece
        except TimeoutError:
            raise ControlError(f"{path}: no answer within {timeout_s:g} s") from None
        except OSError as error:
            raise ControlError(f"{path}: {error.strerror or error}: is the server running?") from error
    answer: Document = orjson.loads(bytes(received))
    return answer


class ControlServer:
    """Listens on the socket and hands requests to a handler.

    Args:
        path: where; a stale socket of a dead server is replaced, mode 0600.
        poller: the loop to live in.
        handler: called with each request and the function that answers it, once.

    Raises:
        OSError: the socket cannot be made.
    """

    def __init__(self, path: Path, *, poller: Poller, handler: Handler) -> None:
        self._path = path
        self._poller = poller
        self._handler = handler
        self._clients: dict[int, _Client] = {}
        self._sock = _listen(path)
        self._inode = path.stat().st_ino
        poller.watch(self._sock.fileno(), self._accept)

    def close(self) -> None:
        """Stop listening, end every conversation, remove the socket file if it is still ours."""
        for client in list(self._clients.values()):
            client.close()
        self._poller.unwatch(self._sock.fileno())
        self._sock.close()
        try:
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
        except OSError:
            pass  # removed already, or its directory was: the goal is reached

    def _accept(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return  # the client left before we came
        if len(self._clients) >= _MAX_CLIENTS:
            sock.close()
            return
        sock.setblocking(False)
        fd = sock.fileno()
        self._clients[fd] = _Client(sock, self._poller, self._handler, lambda: self._clients.pop(fd, None))


class _Client:
    """One conversation; requests are answered in order, one at a time."""

    def __init__(
        self, sock: socket.socket, poller: Poller, handler: Handler, on_closed: Callable[[], object]
    ) -> None:
        self._sock = sock
        self._poller = poller
        self._handler = handler
        self._on_closed = on_closed
        self._received = bytearray()
        self._is_busy = False
        self._is_open = True
        poller.watch(sock.fileno(), self._read)

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._poller.unwatch(self._sock.fileno())
            self._sock.close()
            self._on_closed()

    def _read(self) -> None:
        try:
            piece = self._sock.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        self._received += piece
        if not piece or len(self._received) > _MAX_REQUEST:
            self.close()
            return
        self._serve()

    def _serve(self) -> None:
        while self._is_open and not self._is_busy and b"\n" in self._received:
            line, _, rest = bytes(self._received).partition(b"\n")
            self._received = bytearray(rest)
            try:
                request = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                self._answer({"ok": False, "error": f"not a JSON document: {error}"})
                continue
            if not isinstance(request, dict):
                self._answer({"ok": False, "error": 'a request is an object such as {"command": "status"}'})
                continue
            self._is_busy = True
            self._handler(request, self._answer)

    def _answer(self, document: Document) -> None:
        self._is_busy = False
        if not self._is_open:
            return
        self._sock.settimeout(
            1.0
        )  # answers fit the socket buffer; a client that does not read costs a second at most
        try:
            self._sock.sendall(orjson.dumps(document) + b"\n")
            self._sock.setblocking(False)
        except OSError:
            self.close()
            return
        self._serve()


def _listen(path: Path) -> socket.socket:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        sock.bind(str(path))
        sock.listen(8)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock


def _remove_stale(path: Path) -> None:
    """Remove what a dead server left; a socket that still answers, or any other file, is left alone."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(0, f"a file that is no socket stands at {path}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass  # its queue is full, so there is somebody
    raise FileExistsError(0, f"another server answers at {path}")
