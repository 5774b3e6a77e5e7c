"""What is mounted in a router: whole applications, each below a prefix of the path.

Asked only when no route matches, so that a walk over the few prefixes there are is quick enough. A prefix is
compared segment by segment after decoding, as patterns are: `/old` takes `/old` and `/old/x`, not `/older`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rocket_sup.pattern import Kind, RouteError, parse_pattern, split_path

if TYPE_CHECKING:
    from rocket_sup.router import Route


class Mounts:
    """The mounted applications of one router.

    Attributes:
        pending: prefix and application, in the order of `add`; whoever makes routers of other applications
            puts these in their place before the router is frozen.
    """

    __slots__ = ("_placed", "pending")

    def __init__(self) -> None:
        self.pending: list[tuple[str, object]] = []
        self._placed: list[tuple[list[str], Route]] = []

    def add(self, prefix: str, other: object) -> None:
        """Note an application.

        Raises:
            RouteError: the prefix is not valid, or taken.
        """
        if not isinstance(prefix, str) or not prefix.startswith("/"):
            raise RouteError(f"mount {prefix!r}: a prefix begins with a slash")
        prefix = prefix if prefix != "/" else ""
        if prefix.endswith("/") or any(
            kind is not Kind.LITERAL for kind, _ in parse_pattern(prefix or "/").shape
        ):
            raise RouteError(f"mount {prefix!r}: a prefix has no parameters, and no slash at its end")
        if any(taken == prefix for taken, _ in self.pending):
            raise RouteError(f"mount {prefix or '/'!r}: something is mounted there already")
        self.pending.append((prefix, other))

    def place(self, prefix: str, route: Route) -> None:
        """Have everything below a prefix served by a route, unless a longer prefix matches."""
        self._placed.append((split_path(prefix) or [], route))

    def sort(self) -> None:
        """Order the prefixes, the longest first."""
        self._placed.sort(key=lambda each: -len(each[0]))

    def routes(self) -> list[Route]:
        """List the routes that were placed."""
        return [route for _, route in self._placed]

    def find(self, path: str) -> Route | None:
        """Find what serves a path.

        Args:
            path: as sent, without the query.
        """
        if not self._placed:
            return None
        segments = split_path(path)
        if segments is None:
            return None
        for prefix, route in self._placed:
            if segments[: len(prefix)] == prefix:
                return route
        return None
