"""Answers for a path or a method that no route serves: elsewhere, not allowed, not found.

What is asked of the table is asked here once more, as this is rare, and done as a handler where there is
middleware to see it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rocket_sup.response import Answer, Response, answer_from

if TYPE_CHECKING:
    from rocket_sup.request import Request
    from rocket_sup.router import Router

NOTHING_HERE: Final = "nothing is here (RFC 9110 §15.5.5)"
WRONG_METHOD: Final = "the path is known, the method is not allowed for it (RFC 9110 §15.5.6)"


def unrouted(router: Router, request: Request) -> Answer:
    """Answer a request that no route serves.

    Raises:
        Exception: whatever an error page raised, or whatever is wrong with what it returned.
    """
    path = known_path(router, request.path)
    if path != request.path and router.find(request.method, path) is not None:
        query = f"?{request.query_string}" if request.query_string else ""
        return answer_from(Response.redirect(f"{path}{query}", 308))
    methods = router.allowed_methods(path)
    if not methods:
        return router.error_pages.refuse(request, 404, NOTHING_HERE)
    if request.method == "OPTIONS":
        return Answer(204, allow_field(methods))
    answer = router.error_pages.refuse(request, 405, WRONG_METHOD)
    answer.fields += allow_field(methods)
    return answer


def known_path(router: Router, path: str) -> str:
    """Return the path with its trailing slash added or taken away, if the application wants that and has
    routes for that one alone; else the path itself.
    """
    if router.trailing_slash == "strict" or len(path) < 2 or router.allowed_methods(path):
        return path
    other = path[:-1] if path[-1] == "/" else f"{path}/"
    # A redirect to //host/ leads to another host.
    return other if path[1] not in "/\\" and router.allowed_methods(other) else path


def allow_field(methods: tuple[str, ...]) -> bytes:
    """Write the Allow field (RFC 9110 §10.2.1)."""
    return f"Allow: {', '.join(methods)}\r\n".encode("ascii")
