"""The three moments of a connection's life that an application may watch and decide.

`setup` runs once when a client is connected, before a byte is read; `pre_routing` once for every request,
before a route is looked up; `teardown` once when the connection is gone, with the error that ended it, if one
did. Several functions may be registered for each
moment: they run in the order of registration, and the first that decides ends the question. They are plain
    functions, called on the event loop between two reads, and must not block; this module only keeps and
    calls them.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Protocol

from rocket_sup.errors import LocalProtocolError

if TYPE_CHECKING:
    from rocket_sup.config import TimeoutsConfig
    from rocket_sup.request import Request


class SetupDecision(enum.Enum):
    """What becomes of a new connection.

    `PROCEED`: serve it. `DROP`: close it without an answer. `STOP_ACCEPTING`: close it, and let this acceptor
    take no more.
    """

    PROCEED = "proceed"
    DROP = "drop"
    STOP_ACCEPTING = "stop_accepting"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Let a new connection proceed with deadlines of its own, in seconds; 0 is none, None as configured. They
    mean what they mean in `[timeouts]`.

    Raises:
        LocalProtocolError: one is negative.
    """

    first_byte: float | None = None
    head: float | None = None
    body: float | None = None
    body_min_rate: int | None = None
    idle: float | None = None
    write: float | None = None
    handler: float | None = None

    def __post_init__(self) -> None:
        for name, value in self._given().items():
            if value < 0:
                raise LocalProtocolError(f"Deadlines({name}={value}): must not be negative")

    def over(self, timeouts: TimeoutsConfig) -> TimeoutsConfig:
        """Put what is given over what is configured."""
        return replace(timeouts, **self._given())  # type: ignore[arg-type]  # each is of its field's type

    def _given(self) -> dict[str, float | int]:
        values = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: value for name, value in values if value is not None}


class RoutingDecision(enum.Enum):
    """What becomes of a request before it is routed. `PROCEED`: route it. `DROP`: close the connection
    without an answer.
    """

    PROCEED = "proceed"
    DROP = "drop"


# The peer as the socket names it: (host, port, ...) over TCP, the path or "" over a Unix socket.
Client = tuple[str, int] | tuple[str, int, int, int] | str
SetupHook = Callable[[Client], SetupDecision | Deadlines | None]
PreRoutingHook = Callable[["Request"], object]
TeardownHook = Callable[[Client, Exception | None], None]
LifeHook = Callable[[], object]  # plain or `async def`


class Life(Protocol):
    """Something that is begun before the first request and ended after the last."""

    async def begin(self) -> None:
        """Start it.

        Raises:
            ApplicationError: it cannot start, and nothing is to be served.
        """

    async def end(self) -> None:
        """End it.

        Raises:
            ApplicationError: it did not end well.
        """


def host_of(client: Client) -> str:
    """Name a client in a log: its address without the port."""
    return client[0] if isinstance(client, tuple) else client or "-"


class Hooks:
    """The functions registered for each moment; empty lists cost their caller one truth test.

    Those of a connection are called here; `startup` and `shutdown`, and the lives, are run by
    `adapters/lifespan.py`, since they may wait.
    """

    __slots__ = ("lives", "pre_routing", "setup", "shutdown", "startup", "teardown")

    def __init__(self) -> None:
        self.setup: list[SetupHook] = []
        self.pre_routing: list[PreRoutingHook] = []
        self.teardown: list[TeardownHook] = []
        self.startup: list[LifeHook] = []
        self.shutdown: list[LifeHook] = []
        self.lives: list[Life] = []

    def run_setup(self, client: Client, timeouts: TimeoutsConfig) -> SetupDecision | TimeoutsConfig:
        """Ask the setup hooks about a new connection.

        Args:
            timeouts: as configured.

        Returns: the first decision that is not `PROCEED` (None counts as `PROCEED`); else the connection's
            timeouts, in which the first hook that gives a deadline decides about it.

        Raises:
            LocalProtocolError: a hook returned something else; the application's fault.
        """
        given: list[Deadlines] = []
        for hook in self.setup:
            decision = hook(client)
            if decision is None or decision is SetupDecision.PROCEED:
                continue
            if isinstance(decision, Deadlines):
                given.append(decision)
                continue
            if not isinstance(decision, SetupDecision):
                raise LocalProtocolError(
                    f"connection setup hook {hook!r} returned {decision!r}; allowed: None, a SetupDecision,"
                    " Deadlines"
                )
            return decision
        for deadlines in reversed(given):
            timeouts = deadlines.over(timeouts)
        return timeouts

    def run_pre_routing(self, request: Request) -> object:
        """Ask the pre-routing hooks about a request.

        Returns: `RoutingDecision.PROCEED` or `.DROP`, or the value a hook answers with, which is made into a
            response as a handler's is.
        """
        for hook in self.pre_routing:
            answer = hook(request)
            if answer is not None and answer is not RoutingDecision.PROCEED:
                return answer
        return RoutingDecision.PROCEED

    def run_teardown(self, client: Client, error: Exception | None) -> None:
        """Tell every teardown hook, even if one of them fails; then raise the first failure."""
        failure: Exception | None = None
        for hook in self.teardown:
            try:
                hook(client, error)
            except Exception as problem:
                failure = failure or problem
        if failure is not None:
            raise failure


def check_hook(hook: Callable[..., object]) -> None:
    """Refuse a coroutine function as a hook.

    Raises:
        LocalProtocolError: the hook is `async def`; a hook decides at once, between two reads.
    """
    if inspect.iscoroutinefunction(hook):
        raise LocalProtocolError(
            f"hook {hook.__name__!r} is 'async def'; a hook is a plain function, called on the event loop"
        )
