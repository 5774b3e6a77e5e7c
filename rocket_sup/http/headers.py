"""Header fields: ordered, repeated where the sender repeated them, found without regard to letter case.

Names keep the letter case they were given; `-` and `_` are different characters. Values are text of
Latin-1, one character for one byte on the wire, as nothing else is known about them (RFC 9110 §5.5).
Nothing here talks to a socket or knows a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import overload

from rocket_sup.http.grammar import FIELD_PAIRS

HeaderSource = Mapping[str, str] | Iterable[tuple[str, str]]


class Headers:
    """A sequence of (name, value) pairs that can be asked by name."""

    __slots__ = ("_pairs",)

    def __init__(self, source: HeaderSource | Headers | None = None) -> None:
        """Copy the pairs of a mapping, of another `Headers`, or of any iterable of pairs."""
        if source is None:
            self._pairs: list[tuple[str, str]] = []
        elif isinstance(source, Headers):
            self._pairs = list(source._pairs)
        elif isinstance(source, Mapping):
            self._pairs = list(source.items())
        else:
            self._pairs = [(name, value) for name, value in source]

    @classmethod
    def from_block(cls, block: bytes) -> Headers:
        """Cut a block of validated field lines, each preceded by CRLF, into pairs."""
        headers = cls()
        pairs = FIELD_PAIRS.findall(block.decode("latin-1"))
        if b" \r" in block or b"\t\r" in block or block.endswith((b" ", b"\t")):
            pairs = [(name, value.rstrip("\t ")) for name, value in pairs]
        headers._pairs = pairs
        return headers

    def __getitem__(self, name: str) -> str:
        """Return the first value of a field; KeyError when there is none."""
        wanted = name.lower()
        for found, value in self._pairs:
            if found.lower() == wanted:
                return value
        raise KeyError(name)

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    @overload
    def get(self, name: str, default: str | None) -> str | None: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a field, or the default."""
        wanted = name.lower()
        for found, value in self._pairs:
            if found.lower() == wanted:
                return value
        return default

    def get_all(self, name: str) -> list[str]:
        """Return every value of a field in order; empty when there is none."""
        wanted = name.lower()
        return [value for found, value in self._pairs if found.lower() == wanted]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def has_any(self, names: frozenset[str]) -> bool:
        """Say whether there is a field of one of these names, which are in lower case."""
        return any(name.lower() in names for name, _ in self._pairs)

    def __setitem__(self, name: str, value: str) -> None:
        """Replace all lines of a field by one, in the place of the first."""
        wanted = name.lower()
        kept: list[tuple[str, str]] = []
        is_placed = False
        for pair in self._pairs:
            if pair[0].lower() != wanted:
                kept.append(pair)
            elif not is_placed:
                kept.append((name, value))
                is_placed = True
        if not is_placed:
            kept.append((name, value))
        self._pairs = kept

    def __delitem__(self, name: str) -> None:
        """Remove all lines of a field; KeyError when there is none."""
        wanted = name.lower()
        kept = [pair for pair in self._pairs if pair[0].lower() != wanted]
        if len(kept) == len(self._pairs):
            raise KeyError(name)
        self._pairs = kept

    def add(self, name: str, value: str) -> None:
        """Append one line, whatever lines of that name exist."""
        self._pairs.append((name, value))

    def setdefault(self, name: str, value: str) -> str:
        """Append a line unless the field exists; return its first value."""
        present = self.get(name)
        if present is None:
            self.add(name, value)
            return value
        return present

    def items(self) -> list[tuple[str, str]]:
        """Return all pairs, in order."""
        return list(self._pairs)

    def keys(self) -> list[str]:
        """Return the name of every line, in order, as often as it occurs."""
        return [name for name, _ in self._pairs]

    def values(self) -> list[str]:
        """Return the value of every line, in order."""
        return [value for _, value in self._pairs]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        """Compare order, values, and names without regard to letter case."""
        if not isinstance(other, Headers):
            return NotImplemented
        mine = [(name.lower(), value) for name, value in self._pairs]
        return mine == [(name.lower(), value) for name, value in other._pairs]

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Headers({self._pairs!r})"
