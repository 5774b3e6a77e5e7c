"""A WSGI application as a router."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from rocket_sup.adapters.wsgi import wsgi_router
from rocket_sup.errors import LocalProtocolError


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer."""
    start_response("200 OK", [])
    return [b"ok"]


def test_in_threads_it_takes_the_conduit() -> None:
    """Content and answer are streamed, and it ends by itself."""
    route = wsgi_router(app, threads=4).sole_route

    assert route is not None
    assert (route.takes_conduit, route.outlives_client, route.is_async) == (True, True, True)


def test_on_the_loop_it_is_a_plain_handler() -> None:
    """The shortest way."""
    route = wsgi_router(app, threads=0).sole_route

    assert route is not None
    assert (route.takes_conduit, route.is_async, route.blocking) == (False, False, False)


def test_a_root_path_begins_with_a_slash() -> None:
    """One that ends with one is the same without."""
    wsgi_router(app, root_path="/a/")
    wsgi_router(app, root_path="/")
    with pytest.raises(LocalProtocolError, match="slash"):
        wsgi_router(app, root_path="a")
