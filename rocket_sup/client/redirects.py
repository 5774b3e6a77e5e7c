"""Where a redirect leads: the next request, made of the last one and its answer.

Credentials stay where they were meant for: another origin gets none of them. Pure. Specified in RFC 9110
§15.4 and §10.2.2.
"""

from __future__ import annotations

from typing import Final

from rocket_sup.client.errors import BodyConsumed, ProtocolError, UrlError
from rocket_sup.client.messages import Request, Response
from rocket_sup.client.urls import Url
from rocket_sup.http.headers import Headers

# What was meant for one origin, and what was said about a body that is not sent any more.
_CREDENTIALS: Final = ("authorization", "cookie", "proxy-authorization", "host")
_ABOUT_CONTENT: Final = (
    *("content-type", "content-length", "content-encoding", "content-language", "content-location"),
    *("transfer-encoding", "digest", "content-digest", "last-modified", "expect"),
)


def next_request(request: Request, response: Response) -> Request:
    """Make the request that a redirect asks for.

    Raises:
        ProtocolError: where it leads is no http or https URL.
        BodyConsumed: the body would have to be sent again, and is gone.
    """
    location = response.headers.get("location", "")
    try:
        # Servers write UTF-8 where only ASCII is allowed; as Latin-1 it would be encoded twice.
        url = request.url.join(_as_meant(location))
    except UrlError as error:
        raise ProtocolError(f"the redirect leads nowhere: {error}", request=request) from None
    method = _method(request.method, response.status)
    headers = Headers(request.headers)
    body = request.body
    if method != request.method:
        body = b""
        _drop(headers, _ABOUT_CONTENT)
    elif not request.is_replayable:
        raise BodyConsumed(
            f"{response.status} wants the body again, and it cannot be read twice", request=request
        )
    extensions = dict(request.extensions)
    if extensions.pop("jar", False):
        _drop(headers, ("cookie",))  # the jar is asked again: the redirect may have set some
    if not is_same_place(request.url, url):
        _drop(headers, _CREDENTIALS)
        extensions.pop("cookies", None)
        extensions["auth"] = None
    elif url.origin != request.url.origin:
        _drop(headers, ("host",))
    following = Request(
        method,
        url,
        headers=headers,
        body=body,
        timeout=request.timeout,
        is_streamed=request.is_streamed,
        extensions=extensions,
    )
    following.deadline = request.deadline
    return following


def is_same_place(one: Url, other: Url) -> bool:
    """Whether credentials for one URL may go to another: the same origin, or its upgrade to https."""
    if one.origin == other.origin:
        return True
    ports = (one.port, other.port)
    return one.host == other.host and (one.scheme, other.scheme) == ("http", "https") and ports == (80, 443)


def _method(method: str, status: int) -> str:
    if status == 303 and method != "HEAD":
        return "GET"
    # Allowed by RFC 9110 §15.4.2 and §15.4.3 for this method alone, and done by everybody.
    if status in (301, 302) and method == "POST":
        return "GET"
    return method


def _as_meant(location: str) -> str:
    try:
        return location.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return location


def _drop(headers: Headers, names: tuple[str, ...]) -> None:
    for name in names:
        if name in headers:
            del headers[name]
