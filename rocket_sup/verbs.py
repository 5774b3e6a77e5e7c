"""A decorator for each standard method: `route` with one method, under its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from rocket_sup.route import Handler

H = TypeVar("H", bound=Handler)


class Verbs:
    """What a router has of this kind; `route` is its own."""

    def route(
        self,
        pattern: str,
        *,
        methods: Iterable[str],
        blocking: bool = False,
        max_body: int | None = None,
        stream: bool = False,
    ) -> Callable[[H], H]:
        """See `Router.route`."""
        raise NotImplementedError

    def get(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for GET, and for HEAD unless that has a route of its own; see
        `route`.
        """
        return self.route(pattern, methods=("GET",), blocking=blocking, max_body=max_body, stream=stream)

    def post(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for POST; see `route`."""
        return self.route(pattern, methods=("POST",), blocking=blocking, max_body=max_body, stream=stream)

    def put(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for PUT; see `route`."""
        return self.route(pattern, methods=("PUT",), blocking=blocking, max_body=max_body, stream=stream)

    def patch(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for PATCH; see `route`."""
        return self.route(pattern, methods=("PATCH",), blocking=blocking, max_body=max_body, stream=stream)

    def delete(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for DELETE; see `route`."""
        return self.route(pattern, methods=("DELETE",), blocking=blocking, max_body=max_body, stream=stream)

    def head(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for HEAD, instead of the GET route's; see `route`."""
        return self.route(pattern, methods=("HEAD",), blocking=blocking, max_body=max_body, stream=stream)

    def options(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for OPTIONS, instead of the answer made from the table; see
        `route`.
        """
        return self.route(pattern, methods=("OPTIONS",), blocking=blocking, max_body=max_body, stream=stream)

    def trace(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for TRACE; see `route`."""
        return self.route(pattern, methods=("TRACE",), blocking=blocking, max_body=max_body, stream=stream)

    def connect(
        self, pattern: str, *, blocking: bool = False, max_body: int | None = None, stream: bool = False
    ) -> Callable[[H], H]:
        """Register the decorated function for CONNECT; see `route`."""
        return self.route(pattern, methods=("CONNECT",), blocking=blocking, max_body=max_body, stream=stream)
