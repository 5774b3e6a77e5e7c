"""A read-only mapping in which a name may have several values, in the order they were sent.

Queries and forms are lists of pairs that applications mostly read as dictionaries: `[]`, `get`, `in` and
iteration see each name once with its first value, `get_all` and `pairs` see everything. Pure data; it knows
nothing of how the pairs were written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

V = TypeVar("V")


class MultiDict(Mapping[str, V]):
    """Names with one or more values; equality compares all pairs in order."""

    __slots__ = ("_pairs", "_values")

    def __init__(self, pairs: Iterable[tuple[str, V]] = ()) -> None:
        self._pairs = tuple(pairs)
        self._values: dict[str, list[V]] = {}
        for name, value in self._pairs:
            self._values.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> V:
        return self._values[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get_all(self, name: str) -> list[V]:
        """Every value of a name, in the order sent; [] when there is none."""
        return list(self._values.get(name, ()))

    def pairs(self) -> tuple[tuple[str, V], ...]:
        """Every name with its value, repeats included, in the order sent."""
        return self._pairs

    def __eq__(self, other: object) -> bool:
        if isinstance(other, MultiDict):
            return self._pairs == other._pairs
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self._pairs)!r})"
