"""Where the content of an answer comes from when it comes in pieces: an iterator, or parts of a file.

Nothing is read here; `streaming.py` does that when the client takes it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rocket_sup.http.headers import Headers, HeaderSource

UNKNOWN: Final = -1

Piece = bytes | bytearray | memoryview | str  # text is sent as UTF-8
Pieces = AsyncIterable[Piece] | Iterable[Piece]
Trailers = HeaderSource | Headers
TrailerSource = Trailers | Callable[[], Trailers | Awaitable[Trailers]]


@dataclass(frozen=True, slots=True)
class FileSpan:
    """A part of the file that its source has open.

    Attributes:
        offset, count: bytes; all of them have to be there.
    """

    offset: int
    count: int


class FileSource:
    """Parts of one file, perhaps with bytes between them; the descriptor is closed when all is sent, or
    nothing will be.

    Attributes:
        fd: of a regular file, owned.
        parts: in the order of sending.
        length: bytes of all parts.
    """

    __slots__ = ("fd", "length", "parts")

    def __init__(self, fd: int, offset: int, count: int) -> None:
        self.fd = fd
        self.parts: Sequence[bytes | FileSpan] = (FileSpan(offset, count),)
        self.length = count

    @classmethod
    def of_parts(cls, fd: int, parts: Sequence[bytes | FileSpan]) -> FileSource:
        """Send several parts, as `multipart/byteranges` has them."""
        source = cls(fd, 0, 0)
        source.parts = tuple(parts)
        source.length = sum(part.count if isinstance(part, FileSpan) else len(part) for part in parts)
        return source

    def __del__(self) -> None:
        self.close()  # of an answer that nobody waits for any more

    def close(self) -> None:
        """Close the file; again does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class Stream:
    """An iterator that makes content.

    Attributes:
        pieces: is closed at the end, if it can be.
        length: bytes of all pieces; `UNKNOWN` when nobody knows.
        trailers: fields to be sent behind the content, or what gives them when it is complete; None for none.
        is_blocking: it is to be run in a thread.
    """

    __slots__ = ("is_blocking", "length", "pieces", "trailers")

    def __init__(
        self, pieces: Pieces, *, length: int | None = None, trailers: TrailerSource | None = None
    ) -> None:
        self.pieces = pieces
        self.length = UNKNOWN if length is None else length
        self.trailers = trailers
        self.is_blocking = False

    @property
    def is_async(self) -> bool:
        """The pieces come to `async for`."""
        return hasattr(self.pieces, "__anext__") or hasattr(self.pieces, "__aiter__")


def source_of(body: object) -> Stream | FileSource | None:
    """Tell whether a value gives its content in pieces: a source, or any iterator. A list is none: it is
    JSON.
    """
    if isinstance(body, (Stream, FileSource)):
        return body
    if hasattr(body, "__anext__") or hasattr(body, "__aiter__") or hasattr(body, "__next__"):
        return Stream(body)  # type: ignore[arg-type]  # what it gives is looked at piece by piece
    return None


def as_piece(piece: object) -> bytes:
    """Take one piece as bytes.

    Raises:
        TypeError: it is neither bytes nor text; the application's fault.
    """
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, str):
        return piece.encode("utf-8")
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"a stream gave {type(piece).__name__}; allowed: bytes, bytearray, memoryview, str")
