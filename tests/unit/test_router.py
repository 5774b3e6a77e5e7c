"""The router: precedence, methods, conflicts, and what may be registered."""

from __future__ import annotations

import functools
import time
from itertools import product
from pathlib import Path
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rocket_sup.errors import LocalProtocolError
from rocket_sup.hooks import SetupDecision
from rocket_sup.pattern import RouteError
from rocket_sup.request import Request
from rocket_sup.response import Answer
from rocket_sup.router import STANDARD_METHODS, Route, RouteConflict, Router, describe
from rocket_sup.wsroute import WebSocketHandler, WebSocketOptions


def handler(req: object) -> str:
    """Answer anything."""
    return "ok"


def other(req: object) -> str:
    """Answer anything else."""
    return "other"


def router_of(*routes: tuple[str, str]) -> Router:
    """A frozen router with one handler for (method, pattern) pairs."""
    router = Router()
    for method, pattern in routes:
        router.route(pattern, methods=[method])(handler)
    router.freeze()
    return router


def find(router: Router, method: str, path: str) -> tuple[str, dict[str, str]] | None:
    """The pattern found, and its parameters."""
    found = router.find(method, path)
    return None if found is None else (found[0].pattern, found[1])


# -- precedence

KINDS = {"**": 3, "*": 2}


def naive_kind(segment: str) -> int:
    return KINDS.get(segment, 1 if segment.startswith(":") else 0)


def naive_match(pattern: list[str], path: list[str]) -> bool:
    """The meaning of a pattern, word for word and without any thought of speed."""
    if not pattern:
        return not path
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        return any(naive_match(rest, path[taken:]) for taken in range(len(path) + 1))
    if not path:
        return False
    fits = path[0] == first if naive_kind(first) == 0 else path[0] != ""
    return fits and naive_match(rest, path[1:])


def naive_find(patterns: list[str], path: str) -> str | None:
    """The stated precedence as a sort key."""

    def rank(index: int) -> tuple[bool, int, int, int]:
        segments = patterns[index].split("/")[1:]
        kinds = [naive_kind(segment) for segment in segments]
        leading = next((place for place, kind in enumerate(kinds) if kind), len(kinds))
        return leading < len(kinds), -leading, kinds[-1], index

    fitting = [i for i, p in enumerate(patterns) if naive_match(p.split("/")[1:], path.split("/")[1:])]
    return patterns[min(fitting, key=rank)] if fitting else None


def shape(pattern: str) -> str:
    return "/".join(":" if segment.startswith(":") else segment for segment in pattern.split("/"))


@st.composite
def tables(draw: st.DrawFn) -> list[str]:
    """Patterns over a tiny alphabet, so that they compete; no two of one shape, one `**` at most."""
    segment = st.sampled_from(["a", "b", "c", ":x", ":y", ":z", "*", "**"])
    lists = draw(st.lists(st.lists(segment, min_size=1, max_size=4), min_size=1, max_size=12))
    found: dict[str, str] = {}
    for parts in lists:
        names = [part for part in parts if part.startswith(":")]
        if parts.count("**") <= 1 and len(names) == len(set(names)):
            text = "/" + "/".join(parts)
            found.setdefault(shape(text), text)
    if draw(st.booleans()):
        found.setdefault("/", "/")
    return list(found.values()) or ["/"]


PATHS = ["/"] + ["/" + "/".join(p) for n in range(1, 5) for p in product(("a", "b", "d", ""), repeat=n)]


@settings(max_examples=150, deadline=None)
@given(tables())
@example(["/a/:x", "/:x/b", "/**/b", "/a/**", "/a/b"])
@example(["/:x/a", "/*/a", "/**"])
def test_precedence_is_that_of_the_plain_definition(patterns: list[str]) -> None:
    """For every table and path, the tree of literals answers as a sort over all matching patterns does."""
    router = router_of(*(("GET", pattern) for pattern in patterns))

    for path in PATHS:
        found = router.find("GET", path)

        assert naive_find(patterns, path) == (found and found[0].pattern), path


@pytest.mark.parametrize(
    ("patterns", "path", "winner"),
    [
        (("/users/:id", "/users/me"), "/users/me", "/users/me"),
        (("/:a/b/c", "/a/:b/:c"), "/a/b/c", "/a/:b/:c"),
        (("/a/**", "/a/*", "/a/:x"), "/a/b", "/a/:x"),
        (("/a/**", "/a/*"), "/a/b", "/a/*"),
        (("/a/:x/**", "/a/:x/b"), "/a/1/b", "/a/:x/b"),
        (("/a/*/c", "/a/:x/c"), "/a/1/c", "/a/*/c"),  # both end in a literal: first registered
        (("/a/:x/c", "/a/*/c"), "/a/1/c", "/a/:x/c"),
        (("/a/b/**", "/a/:x"), "/a/b", "/a/b/**"),  # two leading literals against one
        (("/a/b/:x/z", "/a/**"), "/a/b/c/d", "/a/**"),  # the deeper one does not match
    ],
)
def test_precedence(patterns: tuple[str, ...], path: str, winner: str) -> None:
    """Literal, then leading literals, then the kind of the last segment, then registration."""
    router = router_of(*(("GET", pattern) for pattern in patterns))

    found = router.find("GET", path)

    assert found is not None
    assert winner == found[0].pattern


def test_a_route_competes_only_within_its_method() -> None:
    """A better pattern of another method hides nothing."""
    router = router_of(("POST", "/users/new"), ("GET", "/users/:id"))

    assert find(router, "GET", "/users/new") == ("/users/:id", {"id": "new"})
    assert find(router, "POST", "/users/new") == ("/users/new", {})
    assert find(router, "POST", "/users/1") is None
    assert router.allowed_methods("/users/1") == ("GET", "HEAD", "OPTIONS")
    assert router.allowed_methods("/users/new") == ("GET", "HEAD", "OPTIONS", "POST")


def test_escaped_paths_find_literal_routes() -> None:
    """An escape that stands for a plain letter changes nothing; an escaped slash is no slash."""
    router = router_of(("GET", "/a/b"), ("GET", "/café"))

    assert find(router, "GET", "/%61/b") == ("/a/b", {})
    assert find(router, "GET", "/caf%C3%A9") == ("/café", {})
    assert find(router, "GET", "/a%2Fb") is None


def test_parameters_are_fresh_for_each_request() -> None:
    """A handler that writes into its parameters does not disturb the next request."""
    router = router_of(("GET", "/a"))
    first = router.find("GET", "/a")
    assert first is not None
    first[1]["x"] = "1"

    assert find(router, "GET", "/a") == ("/a", {})


# -- methods


def test_head_comes_from_get() -> None:
    """HEAD finds the GET route, unless it has one of an equal pattern."""
    router = Router()
    router.get("/a")(handler)
    router.get("/:x")(handler)
    router.head("/:y")(other)
    router.freeze()

    assert find(router, "HEAD", "/a") == ("/a", {})
    found = router.find("HEAD", "/b")
    assert found is not None
    assert found[0].handler is other
    assert found[1] == {"y": "b"}


def test_head_alone() -> None:
    """A HEAD route does not make a GET route."""
    router = router_of(("HEAD", "/a"))

    assert find(router, "GET", "/a") is None
    assert router.allowed_methods("/a") == ("HEAD", "OPTIONS")


def test_every_method_has_its_decorator() -> None:
    """The nine standard methods are registered under their own names."""
    router = Router()
    for method in STANDARD_METHODS:
        getattr(router, method.lower())("/x")(handler)
    router.freeze()

    assert router.allowed_methods("/x") == tuple(sorted(STANDARD_METHODS))
    for method in STANDARD_METHODS:
        found = router.find(method, "/x")
        assert found is not None
        assert found[0].method == method


def test_custom_methods() -> None:
    """Any token may be a method, several at once, in the letter case of the wire."""
    router = Router()
    router.route("/cache/:key", methods=["PURGE", "REPORT", "PURGE"])(handler)
    router.freeze()

    assert find(router, "PURGE", "/cache/1") == ("/cache/:key", {"key": "1"})
    assert find(router, "purge", "/cache/1") is None
    assert router.allowed_methods("/cache/1") == ("OPTIONS", "PURGE", "REPORT")
    assert router.known_methods == STANDARD_METHODS | {"PURGE", "REPORT"}


def test_paths_without_a_route_allow_nothing() -> None:
    """No pattern, or no text: no methods, so that the answer is 404 and not 405."""
    router = router_of(("GET", "/a/:x"))

    assert router.allowed_methods("/b") == ()
    assert router.allowed_methods("/a/%FF") == ()
    assert router.allowed_methods("*") == ()
    assert router.find("GET", "/a/%FF") is None
    assert router.find("GET", "*") is None
    assert router.find("BREW", "/a/1") is None


@pytest.mark.parametrize(
    ("methods", "why"),
    [
        (["get"], "'GET' is meant"),
        (["Get"], "'GET' is meant"),
        (["GE T"], "must be a token"),
        ([""], "must be a token"),
        (["GÉT"], "must be a token"),
        ([], "no methods given"),
        ("GET", "must be a list"),
    ],
)
def test_wrong_methods_are_refused(methods: list[str], why: str) -> None:
    """Methods are case-sensitive tokens, in a list."""
    with pytest.raises(RouteError, match=why):
        Router().route("/", methods=methods)


# -- registration


@pytest.mark.parametrize(
    ("first", "second"),
    [("/a", "/a"), ("/:a", "/:b"), ("/x/*", "/x/*"), ("/**", "/**"), ("/caf%C3%A9", "/café"), ("/%61", "/a")],
)
def test_equal_patterns_are_refused_at_freeze(first: str, second: str) -> None:
    """Names of parameters and escapes make no difference; both functions are named with their places."""
    router = Router()
    router.get(first)(handler)
    router.get(second)(other)

    with pytest.raises(RouteConflict) as refused:
        router.freeze()

    for function in (handler, other):
        assert f"{function.__name__} ({__file__}:{function.__code__.co_firstlineno})" in str(refused.value)


def test_all_conflicts_are_named_at_once() -> None:
    """One run tells everything."""
    router = Router()
    for pattern in ("/a", "/b", "/a", "/b"):
        router.get(pattern)(handler)

    with pytest.raises(RouteConflict) as refused:
        router.freeze()

    assert len(str(refused.value).splitlines()) == 2


def test_different_kinds_and_methods_are_no_conflict() -> None:
    """`:a`, `*` and `**` in one place are ranked, not refused; methods have tables of their own."""
    router = router_of(("GET", "/:a"), ("GET", "/*"), ("GET", "/**"), ("POST", "/:a"))

    assert find(router, "GET", "/1") == ("/:a", {"a": "1"})


def test_freeze_twice_is_freeze_once() -> None:
    """Freezing is idempotent, and nothing can be registered behind it."""
    router = router_of(("GET", "/a"))
    router.freeze()

    register = [
        lambda: router.get("/b"),
        lambda: router.fallback(handler),
        lambda: router.on_connection_setup(lambda client: SetupDecision.PROCEED),
        lambda: router.on_pre_routing(lambda request: None),
        lambda: router.on_connection_teardown(lambda client, error: None),
    ]
    for attempt in register:
        with pytest.raises(LocalProtocolError, match="serving already"):
            attempt()


def test_a_decorator_kept_past_freeze_is_refused() -> None:
    """The check is made when the function arrives, too."""
    router = Router()
    late = router.get("/late")
    router.freeze()

    with pytest.raises(LocalProtocolError, match="serving already"):
        late(handler)


def test_decorators_return_the_function() -> None:
    """A handler may be called, tested and registered again as it is."""
    router = Router()

    assert router.get("/a")(handler) is handler
    assert router.fallback(handler) is handler


def test_one_fallback() -> None:
    """The fallback is a route without pattern; a second one is refused."""
    router = Router()
    router.fallback(handler)

    assert router.fallback_route is not None
    assert router.fallback_route.handler is handler
    assert router.fallback_route.method == "*"
    with pytest.raises(RouteConflict, match=r"two fallbacks: handler .* and other "):
        router.fallback(other)


def test_hooks_are_kept_in_order() -> None:
    """Every hook that was registered is there, for its own moment."""
    router = Router()

    def setup(client: object) -> SetupDecision:
        return SetupDecision.PROCEED

    def teardown(client: object, error: Exception | None) -> None:
        pass

    assert router.on_connection_setup(setup) is setup
    assert router.on_pre_routing(handler) is handler
    assert router.on_pre_routing(other) is other
    assert router.on_connection_teardown(teardown) is teardown
    assert (router.hooks.setup, router.hooks.pre_routing, router.hooks.teardown) == (
        [setup],
        [handler, other],
        [teardown],
    )


def test_hooks_are_plain_functions() -> None:
    """A hook decides at once."""

    async def late(request: object) -> None:
        pass

    with pytest.raises(LocalProtocolError, match="'late' is 'async def'"):
        Router().on_pre_routing(late)


# -- routes


class AsyncCallable:
    """A handler that is an object."""

    async def __call__(self, req: object) -> str:
        """Answer."""
        return "ok"


async def async_handler(req: object) -> str:
    """Answer, later."""
    return "ok"


@pytest.mark.parametrize(
    ("function", "is_async"),
    [
        (handler, False),
        (async_handler, True),
        (functools.partial(async_handler), True),
        (functools.partial(functools.partial(handler)), False),
        (AsyncCallable(), True),
        (len, False),
    ],
)
def test_coroutine_functions_are_recognised(function: object, is_async: bool) -> None:
    """Also behind a partial, and as the call of an object."""
    assert is_async == Route("GET", "/", function).is_async  # type: ignore[arg-type]


def test_blocking_needs_a_plain_function() -> None:
    """A coroutine function in a thread would never be awaited."""
    with pytest.raises(RouteError, match="'async def'"):
        Router().get("/", blocking=True)(async_handler)


def test_options_reach_the_route() -> None:
    """`blocking` and `max_body` are the route's own."""
    router = Router()
    router.post("/", blocking=True, max_body=10)(handler)
    router.freeze()
    found = router.find("POST", "/")

    assert found is not None
    assert found[0].blocking
    assert found[0].max_body == 10
    assert repr(found[0]) == f"<Route POST / {describe(handler)}>"


@pytest.mark.parametrize("wrong", [None, "handler", 1])
def test_only_callables_are_handlers(wrong: object) -> None:
    """A handler that cannot be called is found at registration, not by a client."""
    with pytest.raises(RouteError, match="cannot be called"):
        Router().get("/")(wrong)  # type: ignore[type-var]


def test_a_decorator_without_its_pattern_is_refused() -> None:
    """`@app.get` above a function, without a call, is an easy slip."""
    with pytest.raises(RouteError, match="must be text"):
        Router().get(handler)  # type: ignore[arg-type]


def test_a_negative_limit_is_refused() -> None:
    """max_body is a number of bytes."""
    with pytest.raises(RouteError, match="max_body=-1"):
        Router().get("/", max_body=-1)(handler)


def test_functions_are_described_by_name_and_place() -> None:
    """Wrapped functions and partials show what is inside; what has no source shows its name."""

    @functools.wraps(handler)
    def wrapped(req: object) -> str:
        return handler(req)

    place = f"handler ({__file__}:{handler.__code__.co_firstlineno})"

    assert describe(handler) == place
    assert describe(wrapped) == place
    assert describe(functools.partial(handler)) == place
    assert describe(len) == "len"
    assert describe(AsyncCallable()) == "AsyncCallable"


@pytest.mark.parametrize("path", ["/" * 8000, "/a" * 4000, "/%2F" * 2000, "/x/" + "%41" * 2600])
def test_the_longest_paths_are_answered_quickly(path: str) -> None:
    """The cost of a path is bounded by its length, not by what patterns could make of it."""
    router = router_of(("GET", "/**/z"), ("GET", "/a/a/a/**/:x/z"), ("GET", "/:a/**/b/c"), ("GET", "/*/**/y"))

    started = time.perf_counter()
    for _ in range(10):
        assert router.find("GET", path) is None
    elapsed_s = time.perf_counter() - started

    assert elapsed_s < 0.5  # measured: 8 ms; a search that backtracks takes minutes


def test_a_directory_is_a_route_below_its_prefix(tmp_path: Path) -> None:
    """For GET and HEAD, beside more specific ones."""
    router = Router()
    router.static("/a/", tmp_path)
    router.get("/a/known")(handler)
    router.freeze()
    found = router.find("HEAD", "/a/x/y")

    assert found is not None
    assert "StaticFiles" == describe(found[0].handler)
    assert ("/a/**", {"**": ""}) == find(router, "GET", "/a")
    assert ("/a/known", {}) == find(router, "GET", "/a/known")
    assert None is router.find("POST", "/a/x")


def test_what_is_not_found_is_the_fallbacks() -> None:
    """Else 404."""
    router = Router()
    request = cast("Request", object())
    assert 404 == cast("Answer", router.not_found(request)).status

    router.fallback(handler)

    assert "ok" == router.not_found(request)


# -- WebSockets


async def talk(socket: object) -> None:
    """Say nothing."""


def test_a_websocket_is_a_get_route_of_its_own_kind() -> None:
    """The engine calls it before any content, and it outlives its client."""
    router = Router()
    router.websocket("/ws", subprotocols=["a"], origins=["https://example.com"], queue=3)(talk)
    router.freeze()

    found = router.find("GET", "/ws")
    assert found is not None
    route = found[0]
    assert (route.takes_conduit, route.outlives_client, route.is_async) == (True, True, True)
    assert isinstance(route.handler, WebSocketHandler)
    assert (
        WebSocketOptions(subprotocols=("a",), origins=("https://example.com",), queue=3)
        == route.handler.options
    )
    assert describe(talk) == describe(route.handler)
    assert ("GET", "HEAD", "OPTIONS") == router.allowed_methods("/ws")


@pytest.mark.parametrize("is_first", [True, False])
def test_a_get_route_with_the_same_pattern_stands_behind_it(is_first: bool) -> None:
    """It serves what asks for no WebSocket; in whatever order they were registered."""
    router = Router()
    if is_first:
        router.get("/ws/:id")(handler)
    router.websocket("/ws/:id")(talk)
    if not is_first:
        router.get("/ws/:id")(handler)
    router.post("/ws/:id")(other)
    router.freeze()

    found = router.find("GET", "/ws/1")
    assert found is not None
    assert isinstance(socket := found[0].handler, WebSocketHandler)
    assert socket.plain is not None
    assert handler is socket.plain.handler
    posted = router.find("POST", "/ws/1")
    assert posted is not None
    assert other is posted[0].handler


def test_two_websockets_of_one_pattern_are_in_conflict() -> None:
    """As are two GET routes beside one, or one with another name for the same segment."""
    two = Router()
    two.websocket("/ws")(talk)
    two.websocket("/ws")(talk)
    three = Router()
    three.websocket("/ws")(talk)
    three.get("/ws")(handler)
    three.get("/ws")(other)
    renamed = Router()
    renamed.websocket("/:a")(talk)
    renamed.get("/:b")(handler)

    for router in (two, three, renamed):
        with pytest.raises(RouteConflict):
            router.freeze()


def test_what_cannot_be_a_websocket() -> None:
    """A plain function, a bad pattern, and whatever comes too late."""
    router = Router()
    with pytest.raises(RouteError):
        router.websocket("/ws")(handler)  # type: ignore[arg-type]  # the point of it
    with pytest.raises(RouteError):
        router.websocket("ws")
    router.freeze()
    with pytest.raises(LocalProtocolError):
        router.websocket("/ws")


# --- mounts


def test_a_mounted_router_has_its_routes_below_its_prefix() -> None:
    """At any depth, with its fallback and its hooks of startup and shutdown; own routes come first."""
    app, inner, innermost = Router(), Router(), Router()
    app.get("/in/own")(handler)
    inner.get("/items/:id")(handler)
    inner.route("/x", methods=["PURGE"])(handler)
    inner.fallback(handler)
    inner.on_startup(lambda: None)
    inner.on_shutdown(lambda: None)
    innermost.get("/deep")(handler)
    inner.mount("/most", innermost)
    app.mount("/in", inner)
    app.freeze()

    found = app.find("GET", "/in/items/7")
    assert found is not None
    assert (found[0].pattern, found[1]) == ("/in/items/:id", {"id": "7"})
    assert app.find("GET", "/in/most/deep") is not None
    assert app.find("GET", "/in/own") is not None
    assert "PURGE" in app.known_methods
    assert app.mounts.find("/in/elsewhere") is not None
    assert (len(app.hooks.startup), len(app.hooks.shutdown)) == (1, 1)
    assert len(app.all_routes()) == 5


def test_what_is_mounted_cannot_repeat_a_route() -> None:
    """It is a conflict like any other."""
    app, inner = Router(), Router()
    app.get("/in/x")(handler)
    inner.get("/x")(handler)
    app.mount("/in", inner)

    with pytest.raises(RouteConflict):
        app.freeze()


def test_what_cannot_be_mounted() -> None:
    """Something that was not made a router; and one with hooks that would never run."""
    foreign, hooked, inner = Router(), Router(), Router()
    foreign.mount("/a", handler)
    inner.on_pre_routing(lambda _: None)
    hooked.mount("/a", inner)

    with pytest.raises(RouteError, match="no Router"):
        foreign.freeze()
    with pytest.raises(RouteError, match="hooks"):
        hooked.freeze()


def test_routes_made_elsewhere() -> None:
    """They stand in the same tables, and are checked like others."""
    router = Router()
    route = Route("BREW", "/pot/:id", handler)
    router.add_route(route)
    with pytest.raises(RouteError):
        router.add_route(Route("brew it", "/", handler))
    router.freeze()

    assert router.find("BREW", "/pot/1") == (route, {"id": "1"})
    assert "BREW" in router.known_methods
    with pytest.raises(LocalProtocolError):
        router.add_route(Route("GET", "/late", handler))


def test_a_sole_route_is_found_for_everything_but_tunnels() -> None:
    """Those are refused before anybody looks for a route."""
    router = Router()
    router.sole_route = Route("*", "", handler)
    router.freeze()

    assert router.find("GET", "/a") == router.find("FLY", "*") == (router.sole_route, {})
    assert router.find("CONNECT", "a:1") is None
    assert router.all_routes() == [router.sole_route]
