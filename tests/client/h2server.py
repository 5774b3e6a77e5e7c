"""A server of HTTP/2 for tests: hypercorn, or frames that a test chooses."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event
from hypercorn.asyncio import serve
from hypercorn.config import Config


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Say what came; `/large` is three megabytes, `/slow` waits for its client to leave."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    path = scope["path"]
    if path == "/slow":
        await receive()
        return
    content = b"0123456789" * 300_000 if path == "/large" else body
    headers = [
        (
            b"x-said",
            f"{scope['method']} {path}?{scope['query_string'].decode()} {scope['http_version']}".encode(),
        ),
        (b"x-fields", b",".join(sorted(name for name, _ in scope["headers"]))),
        (b"content-length", str(len(content)).encode()),
        (b"set-cookie", b"a=b"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


@contextmanager
def hypercorn(certificate: tuple[str, str] | None = None) -> Iterator[int]:
    """Serve the application; with a certificate over TLS, where ALPN decides."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        config = Config()
        config.bind = [f"fd://{os.dup(listening.fileno())}"]  # hypercorn closes what it is given
        config.graceful_timeout = 0.1
        config.loglevel = "ERROR"
        if certificate is not None:
            config.certfile, config.keyfile = certificate
        stops: list[Callable[[], object]] = []
        ready = threading.Event()

        async def run() -> None:
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            stops.append(lambda: loop.call_soon_threadsafe(stop.set))
            ready.set()
            await serve(application, config, shutdown_trigger=stop.wait)

        thread = threading.Thread(target=lambda: asyncio.run(run()))
        thread.start()
        assert ready.wait(10)
        try:
            yield port
        finally:
            stops[0]()
            thread.join(10)


def frames(on_event: Callable[[H2Connection, Event], None]) -> Callable[[socket.socket], None]:
    """A connection that is HTTP/2 from its first byte and answers each event as a test says."""

    def serve_one(sock: socket.socket) -> None:
        machine = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        machine.initiate_connection()
        sock.sendall(machine.data_to_send())
        while data := sock.recv(65536):
            for event in machine.receive_data(data):
                on_event(machine, event)
            sock.sendall(machine.data_to_send())

    return serve_one
