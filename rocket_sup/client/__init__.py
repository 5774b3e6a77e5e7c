"""An HTTP client: `Client` for threads, `AsyncClient` for asyncio, the same surface.

Names are resolved on first use, so that a program that imports one thing does not load all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rocket_sup.client.asyncclient import AsyncClient as AsyncClient
    from rocket_sup.client.auth import Basic as Basic
    from rocket_sup.client.auth import Bearer as Bearer
    from rocket_sup.client.auth import Digest as Digest
    from rocket_sup.client.auth import Netrc as Netrc
    from rocket_sup.client.cookies import CookieJar as CookieJar
    from rocket_sup.client.errors import ClientError as ClientError
    from rocket_sup.client.messages import Request as Request
    from rocket_sup.client.messages import Response as Response
    from rocket_sup.client.messages import Upload as Upload
    from rocket_sup.client.retries import Retry as Retry
    from rocket_sup.client.settings import Limits as Limits
    from rocket_sup.client.settings import Timeout as Timeout
    from rocket_sup.client.syncclient import Client as Client
    from rocket_sup.client.tls import Tls as Tls
    from rocket_sup.client.transport import Transport as Transport
    from rocket_sup.client.urls import Url as Url

_HOMES = {
    "AsyncClient": "asyncclient",
    "Basic": "auth",
    "Bearer": "auth",
    "Client": "syncclient",
    "ClientError": "errors",
    "CookieJar": "cookies",
    "Digest": "auth",
    "Limits": "settings",
    "Netrc": "auth",
    "Request": "messages",
    "Response": "messages",
    "Retry": "retries",
    "Timeout": "settings",
    "Tls": "tls",
    "Transport": "transport",
    "Upload": "messages",
    "Url": "urls",
}
__all__ = [
    "AsyncClient",
    "Basic",
    "Bearer",
    "Client",
    "ClientError",
    "CookieJar",
    "Digest",
    "Limits",
    "Netrc",
    "Request",
    "Response",
    "Retry",
    "Timeout",
    "Tls",
    "Transport",
    "Upload",
    "Url",
]


# PEP 562. Any: the type depends on the name; what stands under TYPE_CHECKING tells it to type checkers.
def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
