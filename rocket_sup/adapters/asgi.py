"""ASGI 3 applications, unmodified.

Most answers are whole when the application sends their first body event, and most applications have nothing
more to do then. So the first step of the application is taken by hand: if it returns in that step, what it
sent is handed to the engine as one `Answer`, like that of any handler, and nothing else was made for it: no
task, no queue, no event. Only an application that suspends with a whole answer (it has background work), or
sends content in pieces, has its answer written to the conduit (`asgi_exchange.py`); WebSockets have a module
of their own (`asgi_websocket.py`).

Two versions of the message format are announced. From 2.4 on frameworks rely on `send` to learn that a client
has left, so that a producer that waits for its own source would never hear of it; under 2.3 they listen with
`receive` while they answer, and would swallow content that the application still reads. So it is 2.3 for GET
and HEAD, and 2.4 where there may be content. `send` raises OSError in either.

Specified in the ASGI specification 3.0, HTTP and WebSocket message format.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from typing import Any, Final, cast
from urllib.parse import unquote

from rocket_sup.adapters.asgi_exchange import ClientDisconnected, Event, HttpExchange, Phase
from rocket_sup.adapters.asgi_websocket import WEBSOCKET_SCOPE, converse
from rocket_sup.adapters.lifespan import Lifespan, LifespanMode
from rocket_sup.conduit import Conduit
from rocket_sup.http.forwarded import Origin
from rocket_sup.http.wshandshake import is_upgrade
from rocket_sup.request import Request
from rocket_sup.router import Handler, Route, Router
from rocket_sup.websocket import WebSocket
from rocket_sup.wsroute import WebSocketHandler, WebSocketOptions

Scope = MutableMapping[str, Any]  # the specification gives each key its own type
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

ServerAddress = tuple[str, int | None]

# Shared by all scopes: the specification gives applications a dictionary, and no reason to write into it.
_LISTENS: Final = {"version": "3.0", "spec_version": "2.3"}
_SENDS: Final = {"version": "3.0", "spec_version": "2.4"}
_NEW, _WHOLE, _DONE = Phase.NEW, Phase.WHOLE, Phase.DONE
_Coroutine: Final = types.CoroutineType
_LISTENING: Final = frozenset({"GET", "HEAD"})
_HTTP_EXTENSIONS: Final[dict[str, dict[str, Any]]] = {
    "http.response.trailers": {},
    "http.response.early_hint": {},
    "http.response.pathsend": {},
    "http.response.zerocopysend": {},
}


def asgi_router(
    app: Application,
    *,
    root_path: str = "",
    prefix: str = "",
    lifespan: LifespanMode = "auto",
    server: ServerAddress | None = None,
) -> Router:
    """Make a router of which every request is served by an ASGI application.

    Args:
        app: the application, single-callable (ASGI 3).
        root_path: where a proxy in front of us has put all of it; requests come without it.
        prefix: where it is mounted here; requests come with it. Encoded as in a URL.
        lifespan: "on", "off", or "auto": an application that raises in it does not know the protocol.
        server: where we listen: (host, port), or (path, None).
    """
    router = Router()
    site = _Site(app, root_path=root_path, prefix=prefix, server=server)
    handler = cast("Handler", site.serve)  # which takes a conduit, too
    router.sole_route = Route("*", "", handler, takes_conduit=True, outlives_client=True)
    if lifespan != "off":
        router.hooks.lives.append(Lifespan(app, site.state, is_required=lifespan == "on"))
    return router


class _Site:
    """One application, and what its scopes have in common.

    Attributes:
        state: filled by the application's lifespan; every scope has a copy.
    """

    def __init__(
        self, app: Application, *, root_path: str, prefix: str, server: ServerAddress | None
    ) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._outer_path = root_path
        # Complete from the beginning: a copy whose values are replaced costs half of one that grows.
        keys = ("http_version", "method", "path", "raw_path", "query_string", "headers", "client", "state")
        base = {
            "type": "http",
            "asgi": _SENDS,
            "scheme": "http",
            "root_path": root_path + unquote(prefix),
            "server": server,
            "extensions": _HTTP_EXTENSIONS,
            **dict.fromkeys(keys),
        }
        self._sends = base
        self._listens = {**base, "asgi": _LISTENS}
        self._socket = {**base, "type": "websocket", "scheme": "ws"} | WEBSOCKET_SCOPE
        self._serve_websocket = WebSocketHandler(self._converse, WebSocketOptions())

    async def serve(self, request: Request, conduit: Conduit) -> object:
        """Run the application for one request; a route's handler that takes the conduit."""
        if request.get_header("upgrade") is not None and _asks_for_websocket(request):
            return await self._serve_websocket(request, conduit)
        exchange = HttpExchange()
        exchange.request = request
        exchange.conduit = conduit
        exchange.phase = _NEW
        exchange.is_attached = exchange.is_gone = False
        exchange.is_stepping = True
        base = self._listens if request.method in _LISTENING else self._sends
        scope = request.asgi_scope(base, self._outer_path)
        scope["state"] = self.state.copy()
        if (origin := getattr(request, "forwarded", None)) is not None:  # a native one has it when it was set
            _believe(origin, scope)
        running = self._app(scope, exchange.receive, exchange.send)
        if type(running) is not _Coroutine:
            running = _awaited(running)
        try:
            try:
                waits_for = running.send(None)
            except StopIteration:
                if exchange.phase is _WHOLE:  # as `conclude`, which would be one more call
                    exchange.phase = _DONE
                    return exchange.answer
                return exchange.conclude()
            await _go_on(running, waits_for, exchange)
        except BaseException as error:
            if isinstance(error, Exception) and _is_departure(error):
                return None
            exchange.flush()  # the answer is whole: what failed is the work after it
            raise
        return exchange.conclude()

    async def _converse(self, socket: WebSocket) -> object:
        """Run the application for one WebSocket whose handshake is valid."""
        scope = socket.request.asgi_scope(self._socket, self._outer_path)
        del scope["method"]
        scope["state"] = self.state.copy()
        if (origin := getattr(socket.request, "forwarded", None)) is not None:
            _believe(origin, scope)
        return await converse(self._app, scope, socket)


def _asks_for_websocket(request: Request) -> bool:
    return request.method == "GET" and is_upgrade(request.http_version, request.headers)


def _believe(origin: Origin, scope: dict[str, Any]) -> None:
    """Put what trusted proxies say into a scope; the client is the request's already."""
    if origin.scheme == "https":
        scope["scheme"] = {"http": "https", "ws": "wss"}[scope["scheme"]]
    if origin.host is not None:
        others = [pair for pair in scope["headers"] if pair[0] != b"host"]
        scope["headers"] = [(b"host", origin.host.encode("latin-1")), *others]


async def _awaited(awaitable: Awaitable[None]) -> None:
    """Make a coroutine of what another kind of callable returned."""
    await awaitable


@types.coroutine
def _go_on(
    running: Coroutine[Any, Any, None], waits_for: Any, exchange: HttpExchange
) -> Generator[Any, Any, None]:
    """Be a coroutine that has suspended, until it is done.

    Whenever it suspends with a whole answer, that is written: the work it goes on with is its own affair,
    and the client need not wait for it.

    Args:
        waits_for: what it suspended on; the task above is told, as if the coroutine had told it.
    """
    while True:
        exchange.flush()
        exchange.is_stepping = False
        try:
            sent = yield waits_for
        except GeneratorExit:
            running.close()
            raise
        except BaseException as error:
            exchange.is_stepping = True
            step: Callable[..., Any] = running.throw
            value: Any = error
        else:
            exchange.is_stepping = True
            step, value = running.send, sent
        try:
            waits_for = step(value)
        except StopIteration:
            return


def _is_departure(error: BaseException | None) -> bool:
    """Tell whether an exception only hands on that the client has left."""
    while error is not None:
        if isinstance(error, ClientDisconnected):
            return True
        if isinstance(error, BaseExceptionGroup):
            return all(_is_departure(each) for each in error.exceptions)
        error = error.__context__
    return False
