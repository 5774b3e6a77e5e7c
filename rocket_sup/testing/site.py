"""An application behind a wire, on the loop of whoever tests it.

The wire is the one that serves in production, with its limits, deadlines and refusals; a client is the other
end of a pair of sockets. What the application raises is kept, so that a test fails with the traceback and not
with a 500.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from typing import Any, cast

from rocket_sup.adapters.lifespan import LifespanMode, Lifetime
from rocket_sup.adapters.recognition import Interface, prepare
from rocket_sup.config import Config
from rocket_sup.engine.contract import Engine, Wire, WireBrief
from rocket_sup.engine.portable import PortableEngine
from rocket_sup.log import EventLog
from rocket_sup.proxy import believe_proxies

Sections = dict[str, Any]  # by option, as in one section of rocket.toml


class ApplicationFailed(AssertionError):  # noqa: N818 - says what happened, as a failed assertion does
    """The application raised; the text is its traceback."""


def configured(sections: dict[str, Sections]) -> Config:
    """Make a configuration of some options: `{"server": {"max_body": 10}}`.

    Raises:
        AttributeError, TypeError: there is no such section, or no such option.
    """
    config = Config()
    for name, options in sections.items():
        section = dataclasses.replace(getattr(config, name), **options)
        config = dataclasses.replace(config, **{name: section})
    return config


class FailureLog(EventLog):
    """The log of a server under test.

    Attributes:
        failures: tracebacks of what handlers and hooks raised, since they were last taken.
    """

    __slots__ = ("failures",)

    def __init__(self) -> None:
        super().__init__(level="warning")
        self.failures: list[str] = []

    def error(self, event: str, /, **fields: object) -> None:
        """Keep what the application raised; log anything else."""
        if event in ("handler_failed", "hook_failed"):
            self.failures.append(str(fields["traceback"]))
        else:
            super().error(event, **fields)

    def raise_failures(self) -> None:
        """Raise what was kept.

        Raises:
            ApplicationFailed: something was.
        """
        if self.failures:
            failures, self.failures = self.failures, []
            raise ApplicationFailed("\n".join(failures))


class Site:
    """A served application; belongs to one loop.

    Attributes:
        wire: its connections.
        log: what it raised.
    """

    def __init__(
        self,
        app: object,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        *,
        engine: Engine | None = None,
        server: tuple[str, int] = ("testserver", 80),
    ) -> None:
        """Adapt an application and make a wire for it; without an engine, the portable one's.

        Raises:
            RouteError: it is no application.
        """
        options = config.server
        interface = Interface(
            options.interface,
            options.root_path,
            cast("LifespanMode", options.lifespan),
            server,
            config.acceptor.threads,
        )
        router = prepare(app, interface)
        self._hooks = router.hooks
        self._own_hooks = router.hooks.pre_routing.copy()
        believe_proxies(router, config.proxy)
        self.log = FailureLog()
        self._lifetime = Lifetime(router, self.log)
        engine = engine or PortableEngine("asyncio", reason="under test")
        self.wire: Wire = engine.make_wire(
            WireBrief(
                router=router,
                config=config,
                loop=loop,
                log=self.log,
                access_log=None,
                on_closed=self._on_closed,
                on_stop_accepting=self._on_closed,
            )
        )
        self._is_emptier = asyncio.Event()

    async def begin(self) -> None:
        """Run what the application does before its first request.

        Raises:
            ApplicationError: it cannot start.
        """
        await self._lifetime.begin()
        self.wire.is_telling = True
        self.wire.start()

    def connect(self) -> socket.socket:
        """Return a connection's other end, non-blocking."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self.wire.open(theirs)
        return ours

    async def end(self) -> None:
        """Cut what is connected, and run what the application does after its last request."""
        self.wire.abort_all()
        while self.wire.connection_count():
            self._is_emptier.clear()
            await self._is_emptier.wait()
        await self._lifetime.end()
        self.wire.stop()
        self.log.close()
        self._hooks.pre_routing[:] = self._own_hooks  # a router may be tested again, otherwise

    def _on_closed(self) -> None:
        self._is_emptier.set()
