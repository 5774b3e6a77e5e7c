"""The table of an application's routes: which handler answers a method and a path.

Registration only collects. `freeze` checks everything at once and builds one table per method, so that a
request costs one dictionary lookup when its path is literal, and otherwise a walk down a tree of leading
literals, deepest candidate first. The precedence is static (exact literal; longest run of leading literals;
kind of the last segment; first registered), so candidates are sorted once, and the first that matches is the
answer. Methods have tables of their own: a route only competes with routes of the same method, and "method
not allowed" is decided after looking at all of them. It knows no sockets and no requests; `connection.py`
calls it.
"""

from __future__ import annotations

import copy
import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar, Unpack, cast

from rocket_sup.errors import LocalProtocolError
from rocket_sup.hooks import Hooks, LifeHook, PreRoutingHook, SetupHook, TeardownHook, check_hook
from rocket_sup.mounts import Mounts
from rocket_sup.pattern import Pattern, RouteError, parse_pattern, split_path
from rocket_sup.refusals import refusal
from rocket_sup.static import StaticFiles, StaticKeywords, StaticOptions
from rocket_sup.wsroute import WebSocketFunction, WebSocketHandler, WebSocketKeywords, WebSocketOptions

if TYPE_CHECKING:
    from rocket_sup.request import Request

# Returns the response value, or a coroutine of it.
Handler = Callable[["Request"], object]
H = TypeVar("H", bound=Handler)
W = TypeVar("W", bound=WebSocketFunction)
S = TypeVar("S", bound=SetupHook)
P = TypeVar("P", bound=PreRoutingHook)
T = TypeVar("T", bound=TeardownHook)
L = TypeVar("L", bound=LifeHook)

STANDARD_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2


class RouteConflict(RouteError):  # noqa: N818 - says what it is; its parent says that it is an error
    """Two routes of one method have equal patterns; the message names both functions with file and line."""


class Route:
    """One registered handler.

    Attributes:
        method: as sent on the wire; "*" for the fallback.
        pattern: as the application wrote it; "" for the fallback.
        handler: the function.
        is_async: it is a coroutine function.
        blocking: it is to be run in a thread.
        max_body: its own limit in bytes, or None for the configured one.
        takes_conduit: the handler is a coroutine function of the request and a `Conduit`, called as soon as
            the head has come. What it returns is the answer, unless it has begun one itself.
        outlives_client: the handler is not cancelled when its client leaves; its conduit is told.
    """

    __slots__ = (
        "blocking",
        "handler",
        "is_async",
        "max_body",
        "method",
        "outlives_client",
        "pattern",
        "takes_conduit",
    )

    def __init__(
        self,
        method: str,
        pattern: str,
        handler: Handler,
        *,
        blocking: bool = False,
        max_body: int | None = None,
        takes_conduit: bool = False,
        outlives_client: bool = False,
        stream: bool = False,
    ) -> None:
        if not callable(handler):
            raise RouteError(f"{method} {pattern}: {handler!r} is no handler, it cannot be called")
        self.method = method
        self.pattern = pattern
        self.handler = handler
        self.is_async = is_coroutine_handler(handler)
        self.blocking = blocking
        self.max_body = max_body
        self.takes_conduit = takes_conduit
        self.outlives_client = outlives_client
        if blocking and self.is_async:
            raise RouteError(
                f"{describe(handler)}: blocking=True runs a plain 'def' in a thread; this one is 'async def'"
            )
        if max_body is not None and max_body < 0:
            raise RouteError(f"{describe(handler)}: max_body={max_body} must not be negative")
        if stream:
            from rocket_sup.streamed import streamed  # it knows the loop, which the Supervisor never loads

            self.handler = cast(Handler, streamed(handler, blocking=blocking))
            self.takes_conduit = self.is_async = True
            self.blocking = False

    def __repr__(self) -> str:
        return f"<Route {self.method} {self.pattern} {describe(self.handler)}>"


class Router:
    """Collects routes and hooks, and finds the route of a request.

    Attributes:
        sole_route: serves every request of every method, also of one nobody knows: the whole of an
            application that has its own idea of routes. None when there are routes.
        mounts: other applications, each below a prefix.
    """

    def __init__(self) -> None:
        self.hooks = Hooks()
        self.fallback_route: Route | None = None
        self.sole_route: Route | None = None
        self.mounts = Mounts()
        self.known_methods: frozenset[str] = STANDARD_METHODS
        self._routes: list[tuple[Route, Pattern]] = []
        self._static: dict[str, dict[str, Route]] = {}  # by method, then path; the methods of `_tables`
        self._tables: dict[str, _Table] = {}
        self._is_frozen = False

    # -- registration

    def route(
        self,
        pattern: str,
        *,
        methods: Iterable[str],
        blocking: bool = False,
        max_body: int | None = None,
        stream: bool = False,
    ) -> Callable[[H], H]:
        """Register the decorated function for some methods of a pattern.

        Args:
            pattern: see `rocket_sup.pattern`.
            methods: standard or custom ones (`PURGE`), in the letter case of the wire.
            blocking: run the function in a thread, so that it may block. Not for `async def`.
            max_body: bytes, instead of the configured limit.
            stream: call the function as soon as the head has come; it reads the content while that comes, by
                `Request.stream`.

        Raises:
            RouteError: the pattern, a method or an option is not valid.
            LocalProtocolError: the router is already serving.
        """
        self._check_open()
        if not isinstance(pattern, str):
            raise RouteError(f"pattern {pattern!r}: must be text, as in @app.get('/path')")
        if isinstance(methods, str):
            raise RouteError(f"methods={methods!r}: must be a list of methods, as in methods=[{methods!r}]")
        names = tuple(dict.fromkeys(methods))
        if not names:
            raise RouteError(f"pattern {pattern!r}: no methods given")
        for name in names:
            _check_method(name)
        parsed = parse_pattern(pattern)

        def register(handler: H) -> H:
            self._check_open()
            for name in names:
                route = Route(name, pattern, handler, blocking=blocking, max_body=max_body, stream=stream)
                self._routes.append((route, parsed))
            self.known_methods |= frozenset(names)
            return handler

        return register

    def get(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for GET, and for HEAD unless that has a route of its own; see
        `route`.
        """
        return self.route(pattern, methods=("GET",), blocking=blocking, max_body=max_body, stream=stream)

    def post(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for POST; see `route`."""
        return self.route(pattern, methods=("POST",), blocking=blocking, max_body=max_body, stream=stream)

    def put(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for PUT; see `route`."""
        return self.route(pattern, methods=("PUT",), blocking=blocking, max_body=max_body, stream=stream)

    def patch(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for PATCH; see `route`."""
        return self.route(pattern, methods=("PATCH",), blocking=blocking, max_body=max_body, stream=stream)

    def delete(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for DELETE; see `route`."""
        return self.route(pattern, methods=("DELETE",), blocking=blocking, max_body=max_body, stream=stream)

    def head(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for HEAD, instead of the GET route's; see `route`."""
        return self.route(pattern, methods=("HEAD",), blocking=blocking, max_body=max_body, stream=stream)

    def options(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for OPTIONS, instead of the answer made from the table; see
        `route`.
        """
        return self.route(pattern, methods=("OPTIONS",), blocking=blocking, max_body=max_body, stream=stream)

    def trace(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for TRACE; see `route`."""
        return self.route(pattern, methods=("TRACE",), blocking=blocking, max_body=max_body, stream=stream)

    def connect(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for CONNECT; see `route`."""
        return self.route(pattern, methods=("CONNECT",), blocking=blocking, max_body=max_body, stream=stream)

    def add_route(self, route: Route) -> None:
        """Register a route that was made elsewhere, like one that takes a conduit.

        Raises:
            RouteError: the pattern or the method is not valid.
            LocalProtocolError: the router is already serving.
        """
        self._check_open()
        _check_method(route.method)
        self._routes.append((route, parse_pattern(route.pattern)))
        self.known_methods |= {route.method}

    def static(
        self, prefix: str, directory: str | os.PathLike[str], **options: Unpack[StaticKeywords]
    ) -> None:
        """Serve the files of a directory to GET and HEAD; see `rocket_sup.static.StaticOptions`.

        Args:
            prefix: literal path of the directory: "/assets", or "/" for all paths that no route has.
            directory: relative ones count from the working directory.

        Raises:
            RouteError: the prefix, the directory or an option is not valid.
            LocalProtocolError: the router is already serving.
        """
        files = StaticFiles(prefix, directory, StaticOptions(**options), not_found=self.not_found)
        self.get(f"{prefix.rstrip('/')}/**")(files)

    def websocket(self, pattern: str, **options: Unpack[WebSocketKeywords]) -> Callable[[W], W]:
        """Register the decorated `async def` of a `WebSocket` for a pattern. Another GET route with the same
        pattern serves the requests that ask for no WebSocket.

        Args:
            pattern: see `rocket_sup.pattern`.
            options: see `rocket_sup.wsroute.WebSocketOptions`.

        Raises:
            RouteError: the pattern or an option is not valid, or the function is no `async def`.
            LocalProtocolError: the router is already serving.
        """
        self._check_open()
        parsed = parse_pattern(pattern)
        own = WebSocketOptions(**options)

        def register(function: W) -> W:
            self._check_open()
            if not is_coroutine_handler(function):
                raise RouteError(f"{describe(function)}: a WebSocket is served by an 'async def'")
            handler = cast(Handler, WebSocketHandler(function, own))
            route = Route("GET", pattern, handler, takes_conduit=True, outlives_client=True)
            self._routes.append((route, parsed))
            return function

        return register

    def fallback(self, handler: H) -> H:
        """Register the function that answers paths no pattern matches, whatever the method.

        Raises:
            RouteConflict: there is one already.
            LocalProtocolError: the router is already serving.
        """
        self._check_open()
        if self.fallback_route is not None:
            first = describe(self.fallback_route.handler)
            raise RouteConflict(f"two fallbacks: {first} and {describe(handler)}")
        self.fallback_route = Route("*", "", handler)
        return handler

    def on_connection_setup(self, hook: S) -> S:
        """Register a function that decides about each new connection; see `rocket_sup.hooks`."""
        self._check_open()
        check_hook(hook)
        self.hooks.setup.append(hook)
        return hook

    def on_pre_routing(self, hook: P) -> P:
        """Register a function that sees each request before it is routed; see `rocket_sup.hooks`."""
        self._check_open()
        check_hook(hook)
        self.hooks.pre_routing.append(hook)
        return hook

    def on_connection_teardown(self, hook: T) -> T:
        """Register a function that is told when a connection is gone; see `rocket_sup.hooks`."""
        self._check_open()
        check_hook(hook)
        self.hooks.teardown.append(hook)
        return hook

    def on_startup(self, hook: L) -> L:
        """Register a function, plain or `async def`, that runs in each acceptor before its first request. If
        it raises, the acceptor does not start.
        """
        self._check_open()
        self.hooks.startup.append(hook)
        return hook

    def on_shutdown(self, hook: L) -> L:
        """Register a function, plain or `async def`, that runs in each acceptor after its last request; the
        one that was registered last runs first.
        """
        self._check_open()
        self.hooks.shutdown.append(hook)
        return hook

    def mount(self, prefix: str, other: object) -> None:
        """Serve everything below a prefix, whatever the method, with another application.

        Routes of this router come first; of several prefixes the longest wins. The routes of a mounted router
        are found as if they had been registered here, with the prefix before their patterns; its fallback
        and its hooks of startup and shutdown come with it.

        Args:
            prefix: as in `/old`; without parameters, and without a slash at its end, but for `/` itself.
            other: a router, an ASGI application or a WSGI application.

        Raises:
            RouteError: the prefix is not valid.
            LocalProtocolError: the router is already serving.
        """
        self._check_open()
        self.mounts.add(prefix, other)

    # -- serving

    def freeze(self) -> None:
        """Check all routes and build the tables; from here on nothing can be registered. Calling it again
        does nothing.

        Raises:
            RouteConflict: equal patterns for one method; every such pair is named.
            RouteError: what is mounted cannot be.
        """
        if self._is_frozen:
            return
        for prefix, other in self.mounts.pending:
            self._include(prefix, other)
        self.mounts.sort()
        self._join_websockets()
        by_method: dict[str, dict[object, tuple[Route, Pattern]]] = {}
        conflicts: list[str] = []
        for route, pattern in self._routes:
            routes = by_method.setdefault(route.method, {})
            first, _ = routes.setdefault(pattern.shape, (route, pattern))
            if first is not route:
                conflicts.append(
                    f"{route.method} {first.pattern} ({describe(first.handler)}) and "
                    f"{route.method} {route.pattern} ({describe(route.handler)}) match the same paths"
                )
        if conflicts:
            raise RouteConflict("\n".join(conflicts))
        if "GET" in by_method:
            by_method["HEAD"] = by_method["GET"] | by_method.get("HEAD", {})
        for method, routes in by_method.items():
            table = _Table()
            for route, pattern in routes.values():
                table.add(route, pattern)
            table.sort()
            self._tables[method] = table
            self._static[method] = {
                pattern.text: route for route, pattern in routes.values() if pattern.is_literal
            }
        self._is_frozen = True

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """Find the route of a request.

        Args:
            method: as sent.
            path: as sent, without the query.

        Returns: the route and its parameters, decoded; None when no pattern of this method matches.
        """
        static = self._static.get(method)
        if static is None:
            # Others see a tunnel before they see a route; see `dispatch.decide`.
            return (self.sole_route, {}) if self.sole_route is not None and method != "CONNECT" else None
        route = static.get(path)
        if route is not None:
            return route, {}
        segments = split_path(path)
        if segments is None:
            return None
        return self._tables[method].find(segments)

    def not_found(self, request: Request) -> object:
        """Answer for a path under which nothing is: what the fallback says, or 404."""
        if self.fallback_route is not None:
            return self.fallback_route.handler(request)
        return refusal(404, "nothing is here (RFC 9110 §15.5.5)")

    def all_routes(self) -> list[Route]:
        """List every route in the order of registration, the fallback, and the sole route."""
        routes = [*(route for route, _ in self._routes), *self.mounts.routes()]
        return [*routes, *(route for route in (self.fallback_route, self.sole_route) if route is not None)]

    def allowed_methods(self, path: str) -> tuple[str, ...]:
        """List the methods for which a path has a route: sorted, HEAD with GET, OPTIONS always; () when no
        pattern matches the path.
        """
        segments = split_path(path)
        if segments is None:
            return ()
        methods = {method for method, table in self._tables.items() if table.find(segments) is not None}
        return tuple(sorted(methods | {"OPTIONS"})) if methods else ()

    def _join_websockets(self) -> None:
        """Put the GET route with the pattern of a WebSocket behind it."""
        sockets: dict[str, WebSocketHandler] = {}
        for route, _ in self._routes:
            if isinstance(route.handler, WebSocketHandler):
                sockets.setdefault(route.pattern, route.handler)
        for entry in list(self._routes):
            route = entry[0]
            handler = sockets.get(route.pattern)
            if handler is None or handler.plain is not None or route.method != "GET":
                continue
            if not isinstance(route.handler, WebSocketHandler):
                handler.plain = route
                self._routes.remove(entry)

    def _include(self, prefix: str, other: object) -> None:
        """Take over what a mounted router has."""
        if not isinstance(other, Router):
            raise RouteError(
                f"mounted at {prefix or '/'}: {other!r} is no Router; other applications are made one by"
                " rocket_sup.adapters.recognition.prepare"
            )
        if other.hooks.setup or other.hooks.pre_routing or other.hooks.teardown:
            raise RouteError(
                f"mounted at {prefix or '/'}: a router with hooks of connections or requests; they belong to"
                " the outermost router"
            )
        for route, _ in other._routes:
            included = copy.copy(route)
            included.pattern = prefix + route.pattern
            self._routes.append((included, parse_pattern(included.pattern)))
        self.known_methods |= other.known_methods
        for whole in (other.sole_route, other.fallback_route):
            if whole is not None:
                self.mounts.place(prefix, whole)
        self.hooks.startup += other.hooks.startup
        self.hooks.shutdown += other.hooks.shutdown
        self.hooks.lives += other.hooks.lives
        for inner, innermost in other.mounts.pending:
            self._include(prefix + inner, innermost)

    def _check_open(self) -> None:
        if self._is_frozen:
            raise LocalProtocolError(
                "the router is serving already; register all routes and hooks before that"
            )


class _Table:
    """The routes of one method as a tree of leading literals.

    A node's candidates are the patterns whose leading literals end there, sorted by precedence and grouped by
    how many segments a path has, so that patterns of another length are never tried. Lengths beyond the
    longest can only match a `**`: these are in `endless`.
    """

    __slots__ = ("candidates", "children", "endless", "groups", "literal", "outer")

    def __init__(self) -> None:
        self.children: dict[str, _Table] = {}
        self.literal: Route | None = None
        self.candidates: list[tuple[Pattern, Route]] = []
        self.groups: list[list[tuple[Pattern, Route]]] = []
        self.endless: list[tuple[Pattern, Route]] = []
        self.outer: _Table | None = None  # the next node towards the root that has candidates

    def add(self, route: Route, pattern: Pattern) -> None:
        node = self
        for literal in pattern.leading:
            node = node.children.setdefault(literal, _Table())
        if pattern.is_literal:
            node.literal = route
        else:
            node.candidates.append((pattern, route))

    def sort(self, outer: _Table | None = None) -> None:
        """Order every node's candidates; the sort is stable, so that registration decides what is left."""
        self.outer = outer
        self.candidates.sort(key=lambda candidate: candidate[0].last)
        longest = max((pattern.length for pattern, _ in self.candidates), default=-1)
        self.groups = [[c for c in self.candidates if c[0].takes(length)] for length in range(longest + 1)]
        self.endless = [c for c in self.candidates if c[0].takes(longest + 1)]
        for child in self.children.values():
            child.sort(self if self.candidates else outer)

    def find(self, segments: list[str]) -> tuple[Route, dict[str, str]] | None:
        node = self
        for segment in segments:
            child = node.children.get(segment)
            if child is None:
                break
            node = child
        else:
            if node.literal is not None:
                return node.literal, {}
        length = len(segments)
        level: _Table | None = node
        while level is not None:
            groups = level.groups
            for pattern, route in groups[length] if length < len(groups) else level.endless:
                params = pattern.match(segments)
                if params is not None:
                    return route, params
            level = level.outer
        return None


def is_coroutine_handler(handler: Callable[..., object]) -> bool:
    """Tell whether calling a handler gives a coroutine: `async def`, a partial of one, or an object whose
    `__call__` is one.
    """
    while isinstance(handler, functools.partial):
        handler = handler.func
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


def describe(handler: Callable[..., object]) -> str:
    """Name a function as an operator looks for it: `create (app/users.py:12)`."""
    function = inspect.unwrap(handler)
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", type(function).__qualname__)
    code = getattr(function, "__code__", None)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code is not None else name


def _check_method(name: str) -> None:
    if not isinstance(name, str) or _TOKEN.fullmatch(name) is None:
        raise RouteError(f"method {name!r}: must be a token (RFC 9110 §9.1)")
    if name.upper() in STANDARD_METHODS and name not in STANDARD_METHODS:
        raise RouteError(
            f"method {name!r}: methods are case-sensitive, {name.upper()!r} is meant (RFC 9110 §9.1)"
        )
