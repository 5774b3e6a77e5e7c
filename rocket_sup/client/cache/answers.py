"""Responses that a cache gives: what is stored with its age, and what it has to say about itself.

Spec: RFC 9111 §4, §4.3.2, §5.1; RFC 9211
"""

from __future__ import annotations

import math
from typing import Final

from rocket_sup.client.cache.ask import Ask
from rocket_sup.client.cache.policy import Decision
from rocket_sup.client.cache.stored import Stored
from rocket_sup.client.cache.validation import is_not_modified
from rocket_sup.client.messages import Request, Response
from rocket_sup.http.headers import Headers

# A 304 has what may have changed, and nothing about content that is not there (RFC 9110 §15.4.5).
_OF_CONTENT: Final = frozenset({"content-length", "content-encoding", "content-type", "content-range"})


def from_stored(
    stored: Stored, request: Request, ask: Ask, *, now: float, name: str, status: str = "hit"
) -> Response:
    """Answer with what is stored; with 304 if that is what the caller has.

    Args:
        name: of the cache, in Cache-Status.
        status: what else Cache-Status says (RFC 9211 §2).
    """
    age_s = stored.age_s(now)
    if ask.ttl_s is None:
        left_s = stored.lifetime_s - age_s
    else:
        left_s = ask.ttl_s - max(0.0, now - stored.moments.received)
    status = f"{name}; {status}; ttl={math.floor(left_s)}"
    response = answered(stored, request, age_s=age_s, status=status.encode("latin-1"))
    if is_not_modified(ask, stored):
        response.status = 304
        response.content = b""
        response.headers = Headers(
            [pair for pair in response.headers.items() if pair[0].lower() not in _OF_CONTENT]
        )
    return response


def answered(stored: Stored, request: Request, *, age_s: float, status: bytes) -> Response:
    """Answer with what is stored, as if it came from the wire: its fields are read when somebody asks.

    Args:
        status: the value of Cache-Status.
    """
    response = Response.from_wire(
        request,
        status=stored.status,
        block=b"%b\r\nAge: %d\r\nCache-Status: %b" % (stored.block, age_s, status),
        reason="",
        version="HTTP/1.1",
    )
    response.content = b"" if request.method == "HEAD" else stored.content
    response.from_cache = True
    return response


def gateway_timeout(request: Request, decision: Decision, *, name: str) -> Response:
    """Answer a request that must be answered from the store, and cannot (RFC 9111 §5.2.1.7)."""
    # The section sign is not ASCII, as a string in a structured field has to be (RFC 8941 §3.3.3).
    because = decision.because.replace("§", "section ")
    fields = [("Cache-Status", f'{name}; detail="{because}"')]
    return Response(504, Headers(fields), request=request)


def mark_forwarded(response: Response, decision: Decision, *, name: str, is_stored: bool = False) -> None:
    """Say in a server's response why it was asked (RFC 9211 §2.2)."""
    status = f"{name}; fwd={decision.forwarded}{'; stored' if is_stored else ''}"
    # A copy: what answers in the place of a server may give one response many times.
    response.headers = Headers(response.headers)
    response.headers.add("Cache-Status", status)


def conditional(request: Request, conditions: tuple[tuple[str, str], ...]) -> Request:
    """The request with conditions of the cache's own; itself if there are none."""
    if not conditions:
        return request
    sent = renewal(request)
    sent.is_streamed = request.is_streamed
    sent.deadline = request.deadline
    for name, value in conditions:
        sent.headers[name] = value
    return sent


def renewal(request: Request) -> Request:
    """The same request for the cache itself: nobody waits for it, and nobody else changes it."""
    return Request(
        request.method,
        request.url,
        headers=Headers(request.headers),
        body=request.body,
        timeout=request.timeout,
        extensions=dict(request.extensions),
    )
