"""Serve an application in this process, through a real engine, and talk to it by socket."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rocket_sup.config import Config
from rocket_sup.engine.choice import choose
from rocket_sup.engine.contract import Engine, Wire, WireBrief
from rocket_sup.log import EventLog
from rocket_sup.router import Router


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
def serve(router: Router, engine: Engine | None = None) -> Iterator[Site]:
    """Serve until the block ends; a loop in a thread, as an acceptor has one in a process.

    Args:
        engine: which one serves; the one that is chosen by itself when None.
    """
    router.freeze()
    served_by = engine or choose(Config())
    ports: list[int] = []
    stops: list[Callable[[], object]] = []
    ready, ended = threading.Event(), threading.Event()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        log = EventLog(level="error")
        wire = served_by.make_wire(
            WireBrief(
                router=router,
                config=Config(),
                loop=loop,
                log=log,
                access_log=None,
                on_closed=lambda: None,
                on_stop_accepting=lambda: None,
            )
        )
        wire.start()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            ports.append(listening.getsockname()[1])
            accepting = loop.create_task(accept(listening, wire))
            ready.set()
            await stop.wait()
            accepting.cancel()
            await asyncio.wait([accepting])
        wire.abort_all()
        while wire.connection_count():  # noqa: ASYNC110 - the wire tells its acceptor, which is not here
            await asyncio.sleep(0)
        wire.stop()
        log.close()

    async def accept(listening: socket.socket, wire: Wire) -> None:
        while True:
            sock, _ = await asyncio.get_running_loop().sock_accept(listening)
            wire.open(sock)

    def main() -> None:
        loop = served_by.new_loop()  # here: a ring belongs to the thread that made it
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
        if stops and not ended.is_set():
            stops[0]()
        thread.join(10)
