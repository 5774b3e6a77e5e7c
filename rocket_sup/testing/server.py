"""A server on a real port, for any client: in a thread of its own, so that the test need not know of it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rocket_sup.config import Config
from rocket_sup.engine.choice import choose
from rocket_sup.engine.contract import Accepted
from rocket_sup.testing.site import Sections, Site, configured

T = TypeVar("T")

PATIENCE_S = 30.0  # only what hangs takes this long


class RunningServer:
    """An application on a port.

    Attributes:
        host, port: where it is.
        url: "http://host:port".
        engine: the name of the engine that serves.
    """

    def __init__(self, app: object, config: Config, *, host: str, port: int) -> None:
        self._app = app
        self._config = config
        self._listening = socket.create_server((host, port))
        self._listening.setblocking(False)
        self.host, self.port = self._listening.getsockname()[:2]
        self.url = f"http://{self.host}:{self.port}"
        self._engine = choose(config)
        self.engine = self._engine.name
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="rocket-testing", daemon=True)

    @property
    def failures(self) -> list[str]:
        """Tracebacks of what the application raised so far."""
        return self._site.log.failures

    def connection_count(self) -> int:
        """Connections that are open."""
        return self._call(self._site.wire.connection_count)

    def start(self) -> None:
        """Serve.

        Raises:
            ApplicationError: the application cannot start.
        """
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    def stop(self) -> None:
        """Cut what is connected, end the application, and free the port."""
        self._wait(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        """Be the server; the loop is made here, because a ring knows the thread that made it."""
        try:
            self._loop = self._engine.new_loop()
            asyncio.set_event_loop(self._loop)
            try:
                self._loop.run_until_complete(self._begin())
                self._loop.call_soon(self._ready.set)
                self._loop.run_forever()
            finally:
                self._loop.close()
        except BaseException as error:
            self._error = error
            self._listening.close()
        finally:
            self._ready.set()

    async def _begin(self) -> None:
        self._site = Site(self._app, self._config, engine=self._engine, server=(self.host, self.port))
        await self._site.begin()
        self._accepting: asyncio.Task[None] | None = None
        if self._site.wire.doorman is not None:
            self._site.wire.doorman.watch(self._listening.fileno(), _on_stuck)
        else:
            self._accepting = self._loop.create_task(self._accept())

    async def _end(self) -> None:
        if self._site.wire.doorman is not None:
            self._site.wire.doorman.unwatch(self._listening.fileno())
        if self._accepting is not None:
            self._accepting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._accepting
        self._listening.close()
        await self._site.end()

    async def _accept(self) -> None:
        while True:
            sock, _ = await self._loop.sock_accept(self._listening)
            self._site.wire.open(sock)

    def _call(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return self._wait(call())

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_S)


@contextmanager
def serve(
    app: object, *, engine: str = "auto", host: str = "127.0.0.1", port: int = 0, **sections: Sections
) -> Iterator[RunningServer]:
    """Serve an application on a port of this machine, as long as the block runs.

    Args:
        app: a `Router`, an ASGI or a WSGI application.
        engine: as server.engine.
        port: 0 for a free one.
        sections: options as in rocket.toml, `server={"max_body": 10}`.

    Raises:
        ApplicationError: the application cannot start.
        EngineError: the engine cannot serve here.
    """
    config = configured(sections)
    config = dataclasses.replace(config, server=dataclasses.replace(config.server, engine=engine))
    server = RunningServer(app, config, host=host, port=port)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _on_stuck(_listening_fd: int, _accepted: Accepted) -> None:
    """Nothing to be done: the queue is looked at again in the loop's next turn."""
