"""Which stored responses a request makes invalid. Pure.

Spec: RFC 9111 §4.4
"""

from __future__ import annotations

from typing import Final

from rocket_sup.client.urls import Url
from rocket_sup.http.headers import Headers

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110 §9.2.1


def is_safe(method: str) -> bool:
    """Say whether a method is known to change nothing; an unknown one is not."""
    return method in _SAFE


def invalidated(method: str, url: Url, status: int, headers: Headers) -> list[Url]:
    """The URIs of which nothing may be reused any more without asking: after an unsafe method that succeeded.

    These are the target and what Location and Content-Location name, if it has the same origin; another
    origin could otherwise empty the cache of what is not its own.
    """
    if is_safe(method) or not 200 <= status < 400:
        return []
    found = [url]
    for name in ("location", "content-location"):
        for reference in headers.get_all(name):
            try:
                other = url.join(reference)
            except ValueError:  # UrlError among them
                continue  # names nothing that could be stored
            if other.origin == url.origin:
                found.append(other)
    return found
