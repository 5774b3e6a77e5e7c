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
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, TypeVar, Unpack, cast, get_args

from rocket_sup.errorpages import ErrorPages, Page
from rocket_sup.errors import LocalProtocolError
from rocket_sup.hooks import Hooks, LifeHook, PreRoutingHook, SetupHook, TeardownHook, check_hook
from rocket_sup.middleware import Middleware, check_middleware
from rocket_sup.mounts import Mounts
from rocket_sup.pattern import Pattern, RouteError, parse_pattern, split_path
from rocket_sup.route import STANDARD_METHODS as STANDARD_METHODS
from rocket_sup.route import Handler as Handler
from rocket_sup.route import Route as Route
from rocket_sup.route import check_method
from rocket_sup.route import describe as describe
from rocket_sup.route import is_coroutine_handler as is_coroutine_handler
from rocket_sup.routetable import RouteTable
from rocket_sup.static import StaticFiles, StaticKeywords, StaticOptions
from rocket_sup.unrouted import NOTHING_HERE, unrouted
from rocket_sup.verbs import Verbs
from rocket_sup.wsroute import WebSocketFunction, WebSocketHandler, WebSocketKeywords, WebSocketOptions

if TYPE_CHECKING:
    from rocket_sup.request import Request

H = TypeVar("H", bound=Handler)
W = TypeVar("W", bound=WebSocketFunction)
S = TypeVar("S", bound=SetupHook)
P = TypeVar("P", bound=PreRoutingHook)
T = TypeVar("T", bound=TeardownHook)
L = TypeVar("L", bound=LifeHook)
M = TypeVar("M", bound=Middleware)
G = TypeVar("G", bound=Page)

TrailingSlash = Literal["strict", "redirect", "ignore"]


class RouteConflict(RouteError):  # noqa: N818 - says what it is; its parent says that it is an error
    """Two routes of one method have equal patterns; the message names both functions with file and line."""


class Router(Verbs):
    """Collects routes and hooks, and finds the route of a request.

    Attributes:
        sole_route: serves every request of every method, also of one nobody knows: the whole of an
            application that has its own idea of routes. None when there are routes.
        mounts: other applications, each below a prefix.
        trailing_slash: what becomes of `/a/` when only `/a` has a route, and the other way round.
        error_pages: see `error_page`.
        unrouted_route: answers for paths and methods without a route when there is middleware, which sees
            these answers too; else None.
    """

    def __init__(self, *, trailing_slash: TrailingSlash = "strict") -> None:
        """Make an application without routes.

        Args:
            trailing_slash: "strict", it is another path; "redirect", the client is sent to the one that has
                a route (308); "ignore", its handler serves both.

        Raises:
            RouteError: `trailing_slash` is something else.
        """
        if trailing_slash not in get_args(TrailingSlash):
            raise RouteError(
                f"trailing_slash={trailing_slash!r}; allowed: {', '.join(get_args(TrailingSlash))}"
            )
        self.trailing_slash = trailing_slash
        self.error_pages = ErrorPages()
        self.unrouted_route: Route | None = None
        self._middleware: list[Middleware] = []
        self.hooks = Hooks()
        self.fallback_route: Route | None = None
        self.sole_route: Route | None = None
        self.mounts = Mounts()
        self.known_methods: frozenset[str] = STANDARD_METHODS
        self._routes: list[tuple[Route, Pattern]] = []
        self._static: dict[str, dict[str, Route]] = {}  # by method, then path; the methods of `_tables`
        self._tables: dict[str, RouteTable] = {}
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
            check_method(name)
        parsed = parse_pattern(pattern)

        def register(handler: H) -> H:
            self._check_open()
            for name in names:
                route = Route(name, pattern, handler, blocking=blocking, max_body=max_body, stream=stream)
                self._routes.append((route, parsed))
            self.known_methods |= frozenset(names)
            return handler

        return register

    def add_route(self, route: Route) -> None:
        """Register a route that was made elsewhere, like one that takes a conduit.

        Raises:
            RouteError: the pattern or the method is not valid.
            LocalProtocolError: the router is already serving.
        """
        self._check_open()
        check_method(route.method)
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

    def middleware(self, function: M) -> M:
        """Register a function that every handler is called through, also what answers for paths without a
        route; see `rocket_sup.middleware` for its two forms. The first is the outermost.

        Raises:
            LocalProtocolError: the function has neither form, or the router is already serving.
        """
        self._check_open()
        check_middleware(function)
        self._middleware.append(function)
        return function

    def error_page(self, what: int | type[Exception]) -> Callable[[G], G]:
        """Register the decorated function to answer for a status or an exception; see
        `rocket_sup.errorpages`.

        Raises:
            LocalProtocolError: what is no such thing, or has a page; or the router is already serving.
        """

        def register(page: G) -> G:
            self._check_open()
            self.error_pages.add(what, page)
            return page

        return register

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
            table = RouteTable()
            for route, pattern in routes.values():
                table.add(route, pattern)
            table.sort()
            self._tables[method] = table
            self._static[method] = {
                pattern.text: route for route, pattern in routes.values() if pattern.is_literal
            }
        if self._middleware:
            self._surround()
        self._is_frozen = True

    def _surround(self) -> None:
        """Put the middleware around every handler, and around what answers without one."""
        self.unrouted_route = Route("*", "", functools.partial(unrouted, self))
        for route in self.all_routes():
            route.surround(self._middleware)

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
            return self.fallback_route.endpoint(request)
        return self.error_pages.refuse(request, 404, NOTHING_HERE)

    def all_routes(self) -> list[Route]:
        """List every route in the order of registration, and those without a pattern."""
        routes = [*(route for route, _ in self._routes), *self.mounts.routes()]
        others = (self.fallback_route, self.sole_route, self.unrouted_route)
        return [*routes, *(route for route in others if route is not None)]

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
        other._join_websockets()
        for route, _ in other._routes:
            included = copy.copy(route)
            included.pattern = prefix + route.pattern
            included.surround(other._middleware)
            self._routes.append((included, parse_pattern(included.pattern)))
        self.known_methods |= other.known_methods
        for whole in (other.sole_route, other.fallback_route):
            if whole is not None:
                if other._middleware:
                    whole = copy.copy(whole)
                    whole.surround(other._middleware)
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
