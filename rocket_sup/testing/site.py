"""A served application as a test wants it: a client is the other end of a pair of sockets, and what the
application raises is kept, so that a test fails with the traceback and not with a 500.
"""

from __future__ import annotations

import dataclasses
import socket
from typing import Any

from rocket_sup.config import Config
from rocket_sup.embedding import Embedded
from rocket_sup.engine.contract import Engine
from rocket_sup.log import EventLog

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


class Site(Embedded):
    """A served application; see `Embedded`.

    Attributes:
        log: what it raised.
    """

    log: FailureLog

    def __init__(
        self,
        app: object,
        config: Config,
        *,
        engine: Engine | None = None,
        server: tuple[str, int] = ("testserver", 80),
    ) -> None:
        """Adapt an application and make a wire for it, on the loop that runs.

        Raises:
            RouteError: it is no application.
        """
        super().__init__(app, config, log=FailureLog(), engine=engine, server=server)

    def connect(self) -> socket.socket:
        """Return a connection's other end, non-blocking."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.open(theirs)
        return ours
