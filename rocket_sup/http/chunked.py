"""Decode chunked content: a machine that takes received bytes and keeps the content.

Lines are matched against the grammar as a whole and end in CRLF; data is followed by exactly CRLF. Chunk
extensions are checked, counted and thrown away; trailers are kept apart from the header fields, and change
nothing. What has to be held to find the end of a line is bounded by what is left of those two limits, and a
chunk's size is compared with the limit before any of its data is kept. Specified in RFC 9112 §7.1.
"""

from __future__ import annotations

import enum
from typing import Final, Protocol

from rocket_sup.errors import LocalProtocolError, RemoteProtocolError
from rocket_sup.http.grammar import CHUNK_LINE, FORBIDDEN_IN_HEAD, TRAILER_LINE

_SIZE_DIGITS: Final = 16


class ChunkLimits(Protocol):
    """The part of the configuration that bounds chunked content; `config.limits` is one."""

    @property
    def chunk_extensions(self) -> int: ...
    @property
    def trailers(self) -> int: ...
    @property
    def headers(self) -> int: ...


class ChunkState(enum.Enum):
    """What the decoder expects next."""

    SIZE = "a chunk-size line"
    DATA = "chunk data"
    DATA_END = "the CRLF after chunk data"
    TRAILERS = "a trailer field or the final empty line"
    DONE = "nothing: the content is complete"


class ChunkedContent:
    """Collects the content of one message.

    Attributes:
        state: what is expected next.
        content: what was decoded so far, and not taken.
        trailers: field lines, each preceded by CRLF.
    """

    __slots__ = (
        "_fields",
        "_left",
        "_limits",
        "_line",
        "_max_body",
        "_needed",
        "_spare",
        "content",
        "state",
        "trailers",
    )

    def __init__(self, limits: ChunkLimits, max_body: int) -> None:
        """Start before the first chunk.

        Args:
            limits: bytes of extensions and of trailers in the whole message, and the number of trailer
                fields.
            max_body: bytes of content allowed.
        """
        self.state = ChunkState.SIZE
        self.content = bytearray()
        self.trailers = b""
        self._limits = limits
        self._max_body = max_body
        self._left = max_body  # bytes of content that may still be announced
        self._line = b""  # the beginning of a line whose end has not come yet
        self._needed = 0  # bytes of the current chunk still to come
        self._spare = limits.chunk_extensions  # bytes that extensions, then trailers, may still take
        self._fields = 0

    def feed(self, data: bytes, start: int = 0) -> int:
        """Take received bytes.

        Args:
            data: what was received.
            start: where in it to begin.

        Returns: the index of the first byte after the content when it ends in these bytes, else -1.
        Raises:
            RemoteProtocolError: 400 for a broken frame or too many extensions, 413 for too much content,
            431 for too many trailers.
            LocalProtocolError: the content was complete before.
        State: any but DONE → any
        """
        if self.state is ChunkState.DONE:
            raise LocalProtocolError("chunked content is complete already")
        if self._line:
            data = self._line + data[start:] if start else self._line + data
            shift, start = (start - len(self._line), 0) if start else (-len(self._line), 0)
            self._line = b""
        else:
            shift = 0
        end = self._advance(data, start)
        return end if end < 0 else end + shift

    def take(self) -> bytes:
        """Take away what was decoded, so that content larger than memory can pass through."""
        content = bytes(self.content)
        self.content.clear()
        return content

    def _advance(self, data: bytes, position: int) -> int:
        size = len(data)
        while position < size:
            if self.state is ChunkState.DATA:
                piece = min(self._needed, size - position)
                self.content += memoryview(data)[position : position + piece]
                self._needed -= piece
                position += piece
                if self._needed == 0:
                    self.state = ChunkState.DATA_END
                continue
            line_end = data.find(b"\r\n", position)
            if line_end < 0:
                self._keep(data, position)
                return -1
            self._on_line(data[position:line_end])
            position = line_end + 2
            if self.state is ChunkState.DONE:
                return position
        return -1

    def _on_line(self, line: bytes) -> None:
        if self.state is ChunkState.SIZE:
            self._on_size_line(line)
        elif self.state is ChunkState.TRAILERS:
            self._on_trailer_line(line)
        elif line:
            raise RemoteProtocolError("chunk data is not followed by CRLF (RFC 9112 §7.1)")
        else:
            self.state = ChunkState.SIZE

    def _on_size_line(self, line: bytes) -> None:
        match = CHUNK_LINE.fullmatch(line)
        if match is None:
            raise RemoteProtocolError("not a chunk-size line (RFC 9112 §7.1)")
        digits, extensions = match.groups()
        self._spare -= len(extensions)
        if self._spare < 0:
            raise _too_many_extensions(self._limits)
        self._needed = int(digits, 16)
        if self._needed == 0:
            self.state = ChunkState.TRAILERS
            self._spare = self._limits.trailers
        elif self._needed > self._left:
            raise RemoteProtocolError(
                f"the content is larger than {self._max_body} bytes (RFC 9110 §15.5.14)", status=413
            )
        else:
            self._left -= self._needed
            self.state = ChunkState.DATA

    def _on_trailer_line(self, line: bytes) -> None:
        if not line:
            self.state = ChunkState.DONE
            return
        self._fields += 1
        self._spare -= len(line) + 2
        if self._spare < 0 or self._fields > self._limits.headers:
            raise _too_many_trailers(self._limits)
        if TRAILER_LINE.fullmatch(line) is None:
            raise RemoteProtocolError("a trailer is not a field line (RFC 9112 §7.1.2)")
        self.trailers += b"\r\n" + line

    def _keep(self, data: bytes, position: int) -> None:
        """Hold the beginning of a line, unless it can never become one."""
        held = len(data) - position
        if FORBIDDEN_IN_HEAD.search(data, position) is not None:
            raise RemoteProtocolError(
                "a bare CR, bare LF or control character between chunks (RFC 9112 §7.1)"
            )
        if self.state is ChunkState.DATA_END:
            if data[position:] != b"\r":
                raise RemoteProtocolError("chunk data is not followed by CRLF (RFC 9112 §7.1)")
        elif self.state is ChunkState.SIZE:
            if held > self._spare + _SIZE_DIGITS + 1:
                raise _too_many_extensions(self._limits)
        elif held > self._spare + 1:
            raise _too_many_trailers(self._limits)
        self._line = data[position:]


def _too_many_extensions(limits: ChunkLimits) -> RemoteProtocolError:
    allowed = limits.chunk_extensions
    return RemoteProtocolError(
        f"a chunk-size line is too long, or extensions take more than {allowed} bytes (RFC 9112 §7.1.1)"
    )


def _too_many_trailers(limits: ChunkLimits) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"the trailers are larger than {limits.trailers} bytes or {limits.headers} fields (RFC 9110 §6.5.1)",
        status=431,
    )
