"""Serve an application in this process, through the real connection machinery, and talk to it by socket."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rocket_sup.config import Config
from rocket_sup.connection import Connection
from rocket_sup.log import EventLog
from rocket_sup.router import Router
from rocket_sup.service import Service, Statistics


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        """The content as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:  # a JSON document has any type
        """The content as JSON."""
        return json.loads(self.body)


class Site:
    """A served application."""

    def __init__(self, port: int) -> None:
        self.port = port

    def request(
        self,
        method: str,
        target: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request on a connection of its own."""
        connection = self.connect()
        try:
            return exchange(connection, method, target, body, headers)
        finally:
            connection.close()

    def get(self, target: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Send a GET."""
        return self.request("GET", target, headers=headers)

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection; the caller closes it."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)


def exchange(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send one request and read its answer."""
    connection.request(method, target, body, dict(headers or {}))
    response = connection.getresponse()
    return Reply(response.status, response.reason, response.headers, response.read())


@contextmanager
def serve(router: Router) -> Iterator[Site]:
    """Serve until the block ends; a loop in a thread, as an acceptor has one in a process."""
    router.freeze()
    ports: list[int] = []
    ready, ended = threading.Event(), threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        log = EventLog(level="error")
        service = Service(
            router,
            Config(),
            loop=loop,
            log=log,
            access_log=None,
            statistics=Statistics(),
            on_closed=lambda connection: None,
            on_stop_accepting=lambda: None,
        )
        service.start()
        server = await loop.create_server(lambda: Connection(service), "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        await stop.wait()
        server.close()
        service.abort_all()
        await asyncio.sleep(0)  # the transports' last callbacks
        service.stop()
        log.close()

    def main() -> None:
        try:
            loop.run_until_complete(run())
        finally:
            loop.close()
            ready.set()
            ended.set()

    thread = threading.Thread(target=main, name="site")
    thread.start()
    try:
        assert ready.wait(10)
        assert ports, "the site did not start"
        yield Site(ports[0])
    finally:
        if not ended.is_set():
            loop.call_soon_threadsafe(stop.set)
        thread.join(10)
