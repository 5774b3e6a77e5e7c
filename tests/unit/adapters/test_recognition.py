"""Applications are recognised by how they are called."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from rocket_sup.adapters.recognition import Interface, kind_of, prepare
from rocket_sup.pattern import RouteError
from rocket_sup.router import Router


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


def asgi_plain(scope: Any, receive: Any, send: Any) -> Any: ...


async def asgi_wrapped(*args: Any, **kwargs: Any) -> None: ...


async def asgi_with_more(scope: Any, receive: Any, send: Any, *, option: int = 0) -> None: ...


def wsgi(environ: Any, start_response: Any) -> Any: ...


def asgi_2(scope: Any) -> Any: ...


class Asgi:
    """As Starlette has it."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Wsgi:
    """As Flask has it."""

    def __call__(self, environ: Any, start_response: Any) -> Any: ...


@pytest.mark.parametrize(
    ("app", "kind"),
    [
        (Router(), "router"),
        (asgi, "asgi"),
        (asgi_plain, "asgi"),
        (asgi_wrapped, "asgi"),
        (asgi_with_more, "asgi"),
        (Asgi(), "asgi"),
        (Asgi().__call__, "asgi"),
        (functools.partial(asgi_with_more, option=1), "asgi"),
        (wsgi, "wsgi"),
        (Wsgi(), "wsgi"),
        (Asgi, ""),
        (asgi_2, ""),
        (lambda: None, ""),
        (1, ""),
        (iter, ""),
        ("text", ""),
    ],
)
def test_what_an_application_looks_like(app: object, kind: str) -> None:
    """Three arguments, two arguments, or a router."""
    assert kind_of(app) == kind


@pytest.mark.parametrize("app", [asgi, wsgi])
def test_a_whole_application_is_one_route(app: object) -> None:
    """It is frozen, and serves everything."""
    router = prepare(app)

    assert router.sole_route is not None
    assert router.all_routes() == [router.sole_route]


def test_the_interface_can_be_said() -> None:
    """For what cannot be recognised, and what would be recognised wrongly."""
    assert prepare(asgi_2, Interface("asgi")).sole_route is not None
    wrong = prepare(wsgi, Interface("asgi")).sole_route
    assert wrong is not None
    assert wrong.is_async


def test_what_is_no_application() -> None:
    """The first address is a name and a port for WSGI, whatever it is."""
    with pytest.raises(RouteError, match="neither"):
        prepare(3)
    assert prepare(wsgi, Interface(server=("/run/site.sock", None))).sole_route is not None
    assert prepare(wsgi, Interface(server=("127.0.0.1", 80))).sole_route is not None


def test_what_is_mounted_is_adapted() -> None:
    """At any depth; a router stays one."""
    app, inner = Router(), Router()
    inner.mount("/a", asgi)
    app.mount("/in", inner)
    app.mount("/w", wsgi)

    prepare(app, Interface("router", "/outer"))

    assert app.mounts.find("/in/a/x") is not None
    assert app.mounts.find("/w") is not None
    assert app.mounts.find("/in/b") is None
    assert len(app.hooks.lives) == 1


def test_what_is_mounted_has_to_be_an_application() -> None:
    """It is said at start."""
    app = Router()
    app.mount("/a", object())

    with pytest.raises(RouteError, match="neither"):
        prepare(app)
