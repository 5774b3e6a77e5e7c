"""From a route to a WebSocket: the handshake is checked, the handler called, the goodbye said for it.

A route of `Router.websocket` is a GET route whose handler is a `WebSocketHandler`. If the application has
another GET route for the same path, that one serves the requests that ask for no WebSocket.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypedDict, cast

from rocket_sup.conduit import Conduit
from rocket_sup.config import options_of
from rocket_sup.config_websocket import WebSocketConfig
from rocket_sup.errors import WebSocketClosed
from rocket_sup.http.semantics import REASONS
from rocket_sup.http.wshandshake import Refusal, is_upgrade, read_handshake, refuse_plain
from rocket_sup.pattern import RouteError
from rocket_sup.request import Request
from rocket_sup.response import Answer, answer_from
from rocket_sup.websocket import WebSocket
from rocket_sup.wslink import SocketState

if TYPE_CHECKING:
    from rocket_sup.router import Route

# Returns what refuses the handshake, if it was not accepted.
WebSocketFunction = Callable[[WebSocket], Awaitable[object]]
ConduitFunction = Callable[[Request, Conduit], Awaitable[object]]


class WebSocketKeywords(TypedDict, total=False):
    """The keywords of `Router.websocket`; see `WebSocketOptions`."""

    subprotocols: Iterable[str]
    origins: Iterable[str] | None
    max_message: int | None
    compression: bool | None
    queue: int | None
    ping_interval: float | None
    ping_timeout: float | None
    close_timeout: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class WebSocketOptions:
    """What a route says about its WebSockets; None for what `[websocket]` of the configuration says.

    Attributes:
        subprotocols: ours, the best first.
        origins: whose scripts may connect, as "https://example.com"; None for all.
        max_message: bytes; at least 125.
        compression: permessage-deflate, if the client offers it.
        queue: messages that wait for the handler; at least 1.
        ping_interval: seconds of silence; 0 for no pings.
        ping_timeout: seconds of silence after a ping; 0 for no deadline.
        close_timeout: seconds for the client to answer a Close, and for the handler to end after it has left.
    """

    subprotocols: Iterable[str] = ()
    origins: Iterable[str] | None = None
    max_message: int | None = None
    compression: bool | None = None
    queue: int | None = None
    ping_interval: float | None = None
    ping_timeout: float | None = None
    close_timeout: float | None = None

    def __post_init__(self) -> None:
        """Check what is given.

        Raises:
            RouteError: a number is out of its range, or text stands where a list of texts is meant.
        """
        for name, value in (("subprotocols", self.subprotocols), ("origins", self.origins)):
            if isinstance(value, str):
                raise RouteError(f"{name}={value!r}: must be a list, as in {name}=[{value!r}]")
        object.__setattr__(self, "subprotocols", tuple(self.subprotocols))
        object.__setattr__(self, "origins", None if self.origins is None else tuple(self.origins))
        for name, option in options_of(WebSocketConfig).items():
            value = getattr(self, name)
            if value is None or option.minimum is None or option.maximum is None:
                continue
            if not option.minimum <= value <= option.maximum:
                raise RouteError(f"{name}={value!r} is outside the range {option.range_text()}")

    def over(self, config: WebSocketConfig) -> WebSocketConfig:
        """Lay the route's values over the configured ones."""
        names = (field.name for field in dataclasses.fields(WebSocketConfig))
        own = {name: value for name in names if (value := getattr(self, name)) is not None}
        return dataclasses.replace(config, **own) if own else config


class WebSocketHandler:
    """The handler of a WebSocket's route, as engines call it.

    Attributes:
        function: the application's.
        options: of the route.
        plain: the route for requests that ask for no WebSocket; None for an answer of 426.
    """

    __slots__ = ("__wrapped__", "_config", "function", "options", "plain")

    def __init__(self, function: WebSocketFunction, options: WebSocketOptions) -> None:
        self.function = self.__wrapped__ = function
        self.options = options
        self.plain: Route | None = None
        self._config: tuple[WebSocketConfig, WebSocketConfig] | None = None

    async def __call__(self, request: Request, conduit: Conduit) -> object:
        """Serve one request: the handshake, the conversation, and a goodbye for its handler.

        Returns: the answer, where there is no conversation.
        Raises:
            BaseException: whatever the function raises, but for `WebSocketClosed`: that nobody is there any
                more is no failure.
        """
        if request.method != "GET" or not is_upgrade(request.http_version, request.headers):
            return await self._serve_plain(request, conduit)
        offered = read_handshake(request.headers, self.options.origins)
        if isinstance(offered, Refusal):
            return refuse(offered)
        config = self._config_over(conduit.sessions.config)
        subprotocols = tuple(self.options.subprotocols)
        socket = WebSocket(request, conduit, offered, config=config, subprotocols=subprotocols)
        try:
            # Awaited here and not further inside: each coroutine around the function's costs each of its
            # steps some 40 ns.
            result = await self.function(socket)
        except BaseException as error:
            if not _is_excused(socket, error):
                socket.forget_handler()
                if socket.state is not SocketState.OFFERED and not socket.is_refused:
                    socket.fail(1011, "the application failed")
                raise
            result = None
        return await _leave(socket, result)

    async def _serve_plain(self, request: Request, conduit: Conduit) -> object:
        route = self.plain
        if route is None:
            return refuse(refuse_plain())
        if route.takes_conduit:
            return await cast(ConduitFunction, route.handler)(request, conduit)
        if route.blocking:
            context = contextvars.copy_context()
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(conduit.executor, context.run, route.handler, request)
        result = route.handler(request)
        return await result if inspect.isawaitable(result) else result

    def _config_over(self, configured: WebSocketConfig) -> WebSocketConfig:
        """Lay the route's options over the wire's, once for each wire."""
        known = self._config
        if known is None or known[0] is not configured:
            known = self._config = (configured, self.options.over(configured))
        return known[1]


def refuse(refusal: Refusal) -> Answer:
    """Answer a handshake that fails."""
    reason = REASONS.get(refusal.status, "")
    return answer_from((refusal.status, f"{refusal.status} {reason}: {refusal.reason}\n", refusal.fields))


async def _leave(socket: WebSocket, result: object) -> object:
    """Say goodbye for a handler that has ended; the answer to the handshake, if it was not accepted."""
    if socket.state is SocketState.OFFERED:
        if result is not None:
            return result
        await socket.accept()
    elif socket.is_refused:
        return refuse(Refusal(403, "refused"))
    socket.begin_close(1000)
    await socket.wait_closed()
    socket.forget_handler()
    return None


def _is_excused(socket: WebSocket, error: BaseException) -> bool:
    """Tell whether an exception only says that nobody is there any more."""
    return _is_closed(error) or (socket.has_cancelled and isinstance(error, asyncio.CancelledError))


def _is_closed(error: BaseException) -> bool:
    """Tell whether an exception, or each of a group, only says that nobody is there any more."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_closed(each) for each in error.exceptions)
    return isinstance(error, WebSocketClosed)
