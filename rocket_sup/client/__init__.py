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
    from rocket_sup.client.events import ServerSentEvent as ServerSentEvent
    from rocket_sup.client.events import aiter_events as aiter_events
    from rocket_sup.client.events import iter_events as iter_events
    from rocket_sup.client.messages import Request as Request
    from rocket_sup.client.messages import Response as Response
    from rocket_sup.client.messages import Upload as Upload
    from rocket_sup.client.mock import AsgiTransport as AsgiTransport
    from rocket_sup.client.mock import MockTransport as MockTransport
    from rocket_sup.client.onecall import send_request_with_cache as send_request_with_cache
    from rocket_sup.client.retries import Retry as Retry
    from rocket_sup.client.settings import Limits as Limits
    from rocket_sup.client.settings import Timeout as Timeout
    from rocket_sup.client.syncclient import Client as Client
    from rocket_sup.client.tls import Tls as Tls
    from rocket_sup.client.transport import Transport as Transport
    from rocket_sup.client.urls import Url as Url

_HOMES = {
    "AsgiTransport": "mock",
    "AsyncClient": "asyncclient",
    "Basic": "auth",
    "Bearer": "auth",
    "Client": "syncclient",
    "ClientError": "errors",
    "CookieJar": "cookies",
    "Digest": "auth",
    "Limits": "settings",
    "MockTransport": "mock",
    "Netrc": "auth",
    "Request": "messages",
    "Response": "messages",
    "Retry": "retries",
    "ServerSentEvent": "events",
    "Timeout": "settings",
    "Tls": "tls",
    "Transport": "transport",
    "Upload": "messages",
    "Url": "urls",
    "aiter_events": "events",
    "iter_events": "events",
    "send_request_with_cache": "onecall",
}
__all__ = [
    "AsgiTransport",
    "AsyncClient",
    "Basic",
    "Bearer",
    "Client",
    "ClientError",
    "CookieJar",
    "Digest",
    "Limits",
    "MockTransport",
    "Netrc",
    "Request",
    "Response",
    "Retry",
    "ServerSentEvent",
    "Timeout",
    "Tls",
    "Transport",
    "Upload",
    "Url",
    "aiter_events",
    "iter_events",
    "send_request_with_cache",
]


# PEP 562. Any: the type depends on the name; what stands under TYPE_CHECKING tells it to type checkers.
def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
