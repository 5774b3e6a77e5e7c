"""Servers for the client: this project's own, and a socket that says whatever a test wants."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from rocket_sup.engine.portable import PortableEngine
from rocket_sup.router import Router
from tests.client.application import make_router
from tests.examples.serving import Site, serve

PATIENCE_S = 10.0  # only a test that fails waits this long


@pytest.fixture
def site() -> Iterator[str]:
    """This project's own server, on the portable engine: its base URL."""
    with serve(make_router(), PortableEngine("asyncio", reason="tested")) as served:
        yield f"http://127.0.0.1:{served.port}"


class Hostile:
    """A listening socket; each connection is a function's, in a thread of its own.

    Attributes:
        received: what came on each connection, in the order of connections.
    """

    def __init__(self, speak: Callable[[socket.socket, bytes], None]) -> None:
        self.speak = speak
        self.received: list[bytes] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.threads: list[threading.Thread] = []
        self.sockets: list[socket.socket] = []
        self.accepting = threading.Thread(target=self.accept)
        self.accepting.start()

    def accept(self) -> None:
        """Take connections until the listening socket is shut."""
        while True:
            try:
                sock, _ = self.listening.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE_S)
            self.sockets.append(sock)
            thread = threading.Thread(target=self.serve, args=(sock,))
            self.threads.append(thread)
            thread.start()

    def serve(self, sock: socket.socket) -> None:
        """Read heads of requests and answer each with what the test says."""
        received = b""
        try:
            with sock:
                while True:
                    while b"\r\n\r\n" not in received:
                        piece = sock.recv(65536)
                        if not piece:
                            return
                        received += piece
                    head, _, received = received.partition(b"\r\n\r\n")
                    self.received.append(head)
                    self.speak(sock, head)
        except OSError:  # the client had enough, which is what many tests want
            return

    def close(self) -> None:
        """End everything and wait for it."""
        self.listening.shutdown(socket.SHUT_RDWR)
        self.accepting.join(PATIENCE_S)
        self.listening.close()
        for sock in self.sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:  # ended before
                continue
        for thread in self.threads:
            thread.join(PATIENCE_S)


Speak = Callable[[Callable[[socket.socket, bytes], None]], Hostile]


@pytest.fixture
def hostile() -> Iterator[Speak]:
    """Start servers that answer with what a function sends."""
    with ExitStack() as stack:

        def start(speak: Callable[[socket.socket, bytes], None]) -> Hostile:
            server = Hostile(speak)
            stack.callback(server.close)
            return server

        yield start


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine function in a loop of its own, and let transports close."""

    async def whole() -> Any:
        result = await main()
        await asyncio.sleep(0)
        return result

    return asyncio.run(whole())


def served(router: Router) -> Any:
    """Serve a router on the portable engine."""
    return serve(router, PortableEngine("asyncio", reason="tested"))


__all__ = ["Hostile", "Site", "Speak", "hostile", "run", "served", "site"]
