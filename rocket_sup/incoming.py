"""The content of one request on its way in: received bytes go in, content comes out, nothing is kept.

Both framings look the same from outside, and llhttp follows every message: a piece on which the two parsers
disagree is never given out. Specified in RFC 9112 §6, §7.1.
"""

from __future__ import annotations

from typing import Final

from rocket_sup.config import LimitsConfig
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.http.chunked import ChunkedContent
from rocket_sup.http.framing import RequestHead
from rocket_sup.http.witness import Witness

UNKNOWN: Final = -1


class Incoming:
    """Decodes the content of one message.

    Attributes:
        is_whole: all of it was given out.
        received: bytes of content given out.
        trailers: field lines, each preceded by CRLF; complete when the content is.
    """

    __slots__ = ("_chunks", "_needed", "_witness", "is_whole", "received", "trailers")

    def __init__(self) -> None:
        """Begin, and end, the content of a request that has none."""
        self.is_whole = True
        self.received = 0
        self.trailers = b""
        self._needed = 0
        self._chunks: ChunkedContent | None = None
        self._witness: Witness | None = None

    @classmethod
    def after(cls, head: RequestHead, limits: LimitsConfig, max_body: int) -> Incoming:
        """Begin after a head.

        Raises:
            RemoteProtocolError: llhttp sees another message in it.
        """
        incoming = cls()
        length = head.content_length
        if length:
            incoming.is_whole = False
            incoming._needed = length
            incoming._chunks = ChunkedContent(limits, max_body) if length < 0 else None
            incoming._witness = Witness()
            if not incoming._witness.agrees_on_head(head.version, head.fields):
                raise disagreement()
        return incoming

    @property
    def remaining(self) -> int:
        """Bytes of content still to come; `UNKNOWN` when it comes in chunks."""
        if self.is_whole:
            return 0
        return UNKNOWN if self._chunks is not None else self._needed

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Take received bytes.

        Returns: the content in them, and how many of them belong to this message.
        Raises:
            RemoteProtocolError: as `ChunkedContent.feed`, or llhttp disagrees.
        """
        size = len(data)
        if self._chunks is None:
            end = min(self._needed, size)
            self._needed -= end
            self.is_whole = self._needed == 0
            piece = data if end == size else data[:end]
        else:
            found = self._chunks.feed(data)
            self.is_whole = found >= 0
            end = found if found >= 0 else size
            piece = self._chunks.take()
            self.trailers = self._chunks.trailers
        seen = data if end == size else data[:end]
        if self._witness is not None and not self._witness.agrees_on_piece(seen, is_last=self.is_whole):
            raise disagreement()
        self.received += len(piece)
        return piece, end


def disagreement() -> RemoteProtocolError:
    """Say that a message means two things, and is therefore refused."""
    return RemoteProtocolError("two parsers see different ends of this message (RFC 9112 §11.2)")
