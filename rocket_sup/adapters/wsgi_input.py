"""`wsgi.input`: the content of a request as a file, read while it comes.

It waits in the thread of the application; where the pieces come from is somebody else's business, and so is
how many of them are held. Reading ends where the content does.

Specified in PEP 3333, "Input and Error Streams".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator


class Content:
    """A file of bytes that is only read, in one thread at a time."""

    __slots__ = ("_at", "_is_ended", "_piece", "_take")

    def __init__(self, take: Callable[[], bytes]) -> None:
        """Wrap what waits for the next piece and gives it; b"" at the end, and again whenever it is asked.

        It may raise an `OSError`, for content that will never be whole, or a `RemoteProtocolError`.
        """
        self._take = take
        self._piece = b""
        self._at = 0  # where in the piece reading goes on
        self._is_ended = False

    def read(self, size: int | None = -1) -> bytes:
        """Read so many bytes, fewer only at the end; all of them for -1 or None."""
        if size is None or size < 0:
            return b"".join(self._pieces())
        parts = []
        while size > 0 and self._fill():
            part = self._piece[self._at : self._at + size]
            self._at += len(part)
            size -= len(part)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read1(self, size: int = -1) -> bytes:
        """Read what is there, waiting only for the first of it."""
        if not size or not self._fill():
            return b""
        part = self._piece[self._at : len(self._piece) if size < 0 else self._at + size]
        self._at += len(part)
        return part

    def readline(self, size: int | None = -1) -> bytes:
        """Read up to the end of the line, or as many bytes of it as are wanted."""
        most = -1 if size is None else size
        parts = []
        while most and self._fill():
            end = self._piece.find(b"\n", self._at) + 1
            until = end or len(self._piece)
            if 0 < most < until - self._at:
                until = self._at + most
            parts.append(self._piece[self._at : until])
            if most > 0:
                most -= until - self._at
            self._at = until
            if until == end:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """Read the lines that are left; with a hint, until they are at least so many bytes."""
        lines = []
        total = 0
        for line in self:
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def _fill(self) -> bool:
        """Have something in the piece; False at the end."""
        if self._at < len(self._piece):
            return True
        if self._is_ended:
            return False
        self._piece, self._at = self._take(), 0
        self._is_ended = not self._piece
        return not self._is_ended

    def _pieces(self) -> Iterator[bytes]:
        while self._fill():
            part = self._piece[self._at :] if self._at else self._piece
            self._piece, self._at = b"", 0
            yield part
