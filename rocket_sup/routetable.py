"""The routes of one method: the pattern that matches a path, most specific first.

Built once, when an application is frozen; `router.py` says what the precedence is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rocket_sup.pattern import Pattern

if TYPE_CHECKING:
    from rocket_sup.router import Route


class RouteTable:
    """The routes of one method as a tree of leading literals.

    A node's candidates are the patterns whose leading literals end there, sorted by precedence and grouped by
    how many segments a path has, so that patterns of another length are never tried. Lengths beyond the
    longest can only match a `**`: these are in `endless`.
    """

    __slots__ = ("candidates", "children", "endless", "groups", "literal", "outer")

    def __init__(self) -> None:
        self.children: dict[str, RouteTable] = {}
        self.literal: Route | None = None
        self.candidates: list[tuple[Pattern, Route]] = []
        self.groups: list[list[tuple[Pattern, Route]]] = []
        self.endless: list[tuple[Pattern, Route]] = []
        self.outer: RouteTable | None = None  # the next node towards the root that has candidates

    def add(self, route: Route, pattern: Pattern) -> None:
        node = self
        for literal in pattern.leading:
            node = node.children.setdefault(literal, RouteTable())
        if pattern.is_literal:
            node.literal = route
        else:
            node.candidates.append((pattern, route))

    def sort(self, outer: RouteTable | None = None) -> None:
        """Order every node's candidates; the sort is stable, so that registration decides what is left."""
        self.outer = outer
        self.candidates.sort(key=lambda candidate: candidate[0].last)
        longest = max((pattern.length for pattern, _ in self.candidates), default=-1)
        self.groups = [[c for c in self.candidates if c[0].takes(length)] for length in range(longest + 1)]
        self.endless = [c for c in self.candidates if c[0].takes(longest + 1)]
        for child in self.children.values():
            child.sort(self if self.candidates else outer)

    def find(self, segments: list[str]) -> tuple[Route, dict[str, str]] | None:
        node = self
        for segment in segments:
            child = node.children.get(segment)
            if child is None:
                break
            node = child
        else:
            if node.literal is not None:
                return node.literal, {}
        length = len(segments)
        level: RouteTable | None = node
        while level is not None:
            groups = level.groups
            for pattern, route in groups[length] if length < len(groups) else level.endless:
                params = pattern.match(segments)
                if params is not None:
                    return route, params
            level = level.outer
        return None
