"""Rocket: a supervised HTTP server for Python on Linux.

The public names are resolved on first use, so that importing a pure module of this package loads no socket,
no event loop and no parser.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rocket_sup.embedding import serve_connection as serve_connection
    from rocket_sup.errors import WebSocketClosed as WebSocketClosed
    from rocket_sup.request import Request as Request
    from rocket_sup.response import Response as Response
    from rocket_sup.router import Router as Router
    from rocket_sup.websocket import WebSocket as WebSocket

__version__ = "0.1.0"

_HOMES = {
    "Router": "rocket_sup.router",
    "Request": "rocket_sup.request",
    "Response": "rocket_sup.response",
    "WebSocket": "rocket_sup.websocket",
    "WebSocketClosed": "rocket_sup.errors",
    "serve_connection": "rocket_sup.embedding",
}
__all__ = ["Request", "Response", "Router", "WebSocket", "WebSocketClosed", "__version__", "serve_connection"]


# PEP 562. Any: the type depends on the name; what stands under TYPE_CHECKING tells it to type checkers.
def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
