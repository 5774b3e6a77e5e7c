"""What is known about files that were asked for: their validators, their codings, and small ones whole.

An entry belongs to one path as clients write it. It is used as long as the file is in the state that it was
read in, which costs one `stat` per request and no open; after some seconds it is looked up anew, for a
compressed sibling may have come. The memory is bounded; the oldest entries go first. Everything here may be
called by several threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rocket_sup.filebody import Parts
from rocket_sup.http.codings import choose
from rocket_sup.http.selection import Representation
from rocket_sup.response import Answer
from rocket_sup.rootdir import File, Stamp, stamp_of

MAX_ENTRIES: Final = 4096
MAX_BYTES: Final = 16 * 1024 * 1024
# How long a compressed sibling that was added may go unnoticed.
LOOKUP_S: Final = 5.0


def _closed() -> File | None:
    """Nobody has it open."""
    return None


@dataclass(slots=True)
class Variant:
    """One file that a path may be answered with.

    Attributes:
        segments: below the root.
        path: for `os.stat`.
        stamp: the state it was read in.
        coding: "identity", or the content coding it is stored in.
        varies: other requests may be answered with a sibling.
        there: what it is to a client.
        lasting: field lines of every answer about it, of a 304 too.
        describing: field lines of an answer with content, but for Content-Type.
        content: of a small file; None for a large one.
        whole_fields: field lines of a 200.
        whole_parts: what a 200 sends of a large file.
        answer: a whole 200 of a small file, shared by all requests for it.
        opened: a large file, as long as some answer sends it.
    """

    segments: tuple[str, ...]
    path: bytes
    stamp: Stamp
    coding: str
    varies: bool
    there: Representation
    lasting: bytes
    describing: bytes
    whole_fields: bytes
    whole_parts: Parts
    content: bytes | None = None
    answer: Answer | None = None
    opened: Callable[[], File | None] = _closed

    def is_current(self) -> bool:
        """Say whether the file is as it was read; asks the kernel."""
        try:
            return stamp_of(os.stat(self.path)) == self.stamp
        except OSError:
            return False


class Entry:
    """What a path stands for.

    Attributes:
        plain: the file itself.
        coded: its compressed siblings, by coding, the favourite first.
        expires: monotonic seconds.
    """

    __slots__ = ("coded", "expires", "plain")

    def __init__(self, plain: Variant, coded: Sequence[Variant], *, now: float) -> None:
        self.plain = plain
        self.coded = {variant.coding: variant for variant in coded}
        self.expires = now + LOOKUP_S

    def variant_for(self, accept_encoding: str) -> Variant:
        """Choose what a client takes."""
        return self.coded.get(choose(accept_encoding, self.coded), self.plain)

    @property
    def cost(self) -> int:
        """Bytes of memory, about."""
        return 1024 + sum(len(each.content or b"") for each in (self.plain, *self.coded.values()))


class Cache:
    """Entries by path, within bounds."""

    def __init__(self, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._entries: dict[str, Entry] = {}
        self._bytes = 0
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self.get = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def held_bytes(self) -> int:
        """Bytes of memory, about."""
        return self._bytes

    def put(self, path: str, entry: Entry) -> None:
        """Remember an entry; the oldest make room for it."""
        with self._lock:
            self._forget(path)
            self._entries[path] = entry
            self._bytes += entry.cost
            while self._bytes > self._max_bytes or len(self._entries) > self._max_entries:
                self._forget(next(iter(self._entries)))

    def drop(self, path: str) -> None:
        """Forget an entry, if it is there."""
        with self._lock:
            self._forget(path)

    def _forget(self, path: str) -> None:
        entry = self._entries.pop(path, None)
        if entry is not None:
            self._bytes -= entry.cost
