"""WSGI applications (PEP 3333): Flask, Django and everything else that is called with environ and
start_response.

Such an application is one route that serves every request of every method. It is called in the threads of the
acceptor (`wsgi_threads.py`), which is what most of them expect, or on the event loop, one request at a time
(`wsgi_loop.py`), which is the fastest way for those that never wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from rocket_sup.adapters.wsgi_environ import Environs
from rocket_sup.adapters.wsgi_files import FileWrapper
from rocket_sup.adapters.wsgi_loop import call_on_loop
from rocket_sup.adapters.wsgi_threads import call_in_threads
from rocket_sup.errors import LocalProtocolError
from rocket_sup.router import Handler, Route, Router

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

UNNAMED: Final = ("localhost", 80)  # PEP 3333 wants a name and a port, which a Unix socket does not have


def wsgi_router(
    app: WsgiApplication, *, root_path: str = "", threads: int = 1, server: tuple[str, int] = UNNAMED
) -> Router:
    """Make a router whose sole route is a WSGI application.

    Args:
        app: called with environ and start_response.
        root_path: where the application is mounted, "/shop": SCRIPT_NAME; taken from the front of a path that
            begins with it.
        threads: of the acceptor; 0 calls the application on the event loop, any other number in threads.
        server: name and port for SERVER_NAME and SERVER_PORT.

    Raises:
        LocalProtocolError: the root path is none.
    """
    root_path = root_path.rstrip("/")
    if root_path and not root_path.startswith("/"):
        raise LocalProtocolError(f'root_path "{root_path}" has to begin with a slash')
    environs = Environs(root_path=root_path, server=server, is_threaded=threads > 0, wrapper=FileWrapper)
    router = Router()
    if threads > 0:
        handler = cast("Handler", call_in_threads(app, environs))  # takes a conduit, too
        router.sole_route = Route("*", "", handler, takes_conduit=True, outlives_client=True)
    else:
        router.sole_route = Route("*", "", call_on_loop(app, environs))
    return router
