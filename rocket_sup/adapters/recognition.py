"""Recognise an application by how it is called, and make a router of it.

A router is served as it is. An ASGI application is called with three arguments, a WSGI application with two:
each becomes a router with a single route, so that nothing behind this knows the difference. What is mounted
in a router goes the same way.
"""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from typing import Final, cast

from rocket_sup.adapters.asgi import Application, ServerAddress, asgi_router
from rocket_sup.adapters.lifespan import LifespanMode
from rocket_sup.adapters.wsgi import UNNAMED, WsgiApplication, wsgi_router
from rocket_sup.pattern import RouteError
from rocket_sup.router import Router, is_coroutine_handler


@dataclass(frozen=True, slots=True)
class Interface:
    """How an application is served.

    Attributes:
        kind: "router", "asgi", "wsgi", or "auto": what it looks like.
        root_path: where a proxy in front of us has put it.
        lifespan: of ASGI applications: "on", "off", or "auto".
        server: where it is reached: (host, port), or (path, None); None if nobody knows.
        threads: that run a WSGI application; 0 runs it on the event loop.
    """

    kind: str = "auto"
    root_path: str = ""
    lifespan: LifespanMode = "auto"
    server: ServerAddress | None = None
    threads: int = 1


AUTO: Final = Interface()


def kind_of(app: object) -> str:
    """Tell what an application looks like: "router", "asgi", "wsgi", or "" for none of them."""
    if isinstance(app, Router):
        return "router"
    if not callable(app) or isinstance(app, type):
        return ""
    is_async = is_coroutine_handler(app)
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):  # written in C, and silent about its parameters
        return "asgi" if is_async else ""
    positional = [
        each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    is_open = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    least = len([each for each in positional if each.default is each.empty])
    if least == 3 or (is_async and least < 3 <= (3 if is_open else len(positional))):
        return "asgi"
    return "wsgi" if least == 2 and not is_async else ""


def prepare(app: object, interface: Interface = AUTO) -> Router:
    """Make a frozen router of any application, whatever is mounted in it included.

    Raises:
        RouteError: it, or something that is mounted in it, is no application; or its routes conflict.
    """
    router = _adapted(app, interface, prefix="")
    router.freeze()
    return router


def _adapted(app: object, interface: Interface, *, prefix: str) -> Router:
    kind = kind_of(app) if interface.kind == "auto" else interface.kind
    if isinstance(app, Router):
        pending = app.mounts.pending
        inner = dataclasses.replace(interface, kind="auto")
        pending[:] = [(below, _adapted(other, inner, prefix=prefix + below)) for below, other in pending]
        return app
    if kind == "asgi":
        return asgi_router(
            cast("Application", app),
            root_path=interface.root_path,
            prefix=prefix,
            lifespan=interface.lifespan,
            server=interface.server,
        )
    if kind == "wsgi":
        host, port = interface.server or UNNAMED
        return wsgi_router(
            cast("WsgiApplication", app),
            root_path=interface.root_path + prefix,
            threads=interface.threads,
            server=UNNAMED if port is None else (host, port),
        )
    raise RouteError(f"{app!r} is neither a Router nor an ASGI nor a WSGI application")
