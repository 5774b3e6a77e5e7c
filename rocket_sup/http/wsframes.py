"""Frames of a WebSocket as a server reads and writes them: bytes go in, messages come out.

What is received is judged as soon as its header has come: nothing is kept of a frame that is malformed, and
none that is larger than a message may be. Fragments are put together, compressed messages inflated up to the
same limit. A fault is an event like others, and the last: whoever has the machine says goodbye with its code.
The native engine has another machine with the same methods (`crates/rocket-core/src/websocket`), which gives
the same events for the same bytes. Specified in RFC 6455 §5 and RFC 7692 §7.
"""

from __future__ import annotations

import enum
import zlib
from dataclasses import dataclass
from typing import Final, Protocol

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
FAILED: Final = 16  # no opcode: what was received is no WebSocket; the payload is that of the Close to send

# A message is `str` or `bytes`; anything else is its opcode, or FAILED, with its payload.
Event = str | bytes | tuple[int, bytes]

MOST_CONTROL_BYTES: Final = 125  # payload of a control frame, RFC 6455 §5.5
# Below this many bytes deflate saves less than a packet's header, and costs more than everything else.
LEAST_DEFLATED_BYTES: Final = 128
# Inflated messages given at once; what was received behind them waits for the next call.
_INFLATED_AT_ONCE: Final = 256 * 1024

_FINAL: Final = 0x80
_COMPRESSED: Final = 0x40  # RSV1, RFC 7692 §6
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_SIMPLE: Final = (_FINAL | TEXT, _FINAL | BINARY)
_LEVEL: Final = 6  # zlib's own default
_MEMORY: Final = 5  # of 9: 16 KiB for each connection that sends compressed, instead of 256; as `websockets`
_SYNC_TAIL: Final = b"\x00\x00\xff\xff"  # RFC 7692 §7.2.1


class FrameState(enum.Enum):
    """What was received so far."""

    BETWEEN = "whole messages"
    IN_TEXT = "the beginning of a text message"
    IN_BINARY = "the beginning of a binary message"
    ENDED = "a Close, or a fault: whatever else comes is dropped"


_B, _T, _Y, _E = FrameState.BETWEEN, FrameState.IN_TEXT, FrameState.IN_BINARY, FrameState.ENDED
# (state, final bit and opcode) → state; what is missing is a protocol error (RFC 6455 §5.4, §5.5).
TRANSITIONS: Final[dict[tuple[FrameState, int], FrameState]] = {
    (_B, _FINAL | TEXT): _B,
    (_B, _FINAL | BINARY): _B,
    (_B, TEXT): _T,
    (_B, BINARY): _Y,
    (_T, CONTINUATION): _T,
    (_T, _FINAL | CONTINUATION): _B,
    (_Y, CONTINUATION): _Y,
    (_Y, _FINAL | CONTINUATION): _B,
    **{(state, _FINAL | opcode): state for state in (_B, _T, _Y) for opcode in (PING, PONG)},
    **{(state, _FINAL | CLOSE): _E for state in (_B, _T, _Y)},
}


@dataclass(frozen=True, slots=True)
class Deflate:
    """What was agreed about compression (RFC 7692 §7.1).

    Attributes:
        in_bits: window of what the client sends, 8 to 15.
        in_takeover: the client's window outlives a message.
        out_bits: window of what we send, 9 to 15.
        out_takeover: our window outlives a message.
    """

    in_bits: int = 15
    in_takeover: bool = True
    out_bits: int = 15
    out_takeover: bool = True


class Frames(Protocol):
    """One connection's framing, portable or native."""

    @property
    def is_holding(self) -> bool:
        """There are whole messages that were not given yet: `feed` again, if need be with nothing."""

    def feed(self, data: bytes) -> list[Event]:
        """Take received bytes.

        Returns: what they complete, in order; after a Close or FAILED always nothing.
        """

    def pack_text(self, message: str) -> bytes:
        """Write a text message as a frame.

        Raises:
            UnicodeEncodeError: the text has a lone surrogate.
        """

    def pack_bytes(self, message: bytes) -> bytes:
        """Write a binary message as a frame."""

    def pack_control(self, opcode: int, payload: bytes) -> bytes:
        """Write a control frame, whose payload has at most 125 bytes."""


def is_close_code(code: int) -> bool:
    """Tell whether a code may be on the wire (RFC 6455 §7.4, and IANA's registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def pack_close(code: int, reason: str) -> bytes:
    """Write the payload of a Close; a reason that is too long is cut between two characters."""
    text = reason.encode("utf-8")[: MOST_CONTROL_BYTES - 2]
    return code.to_bytes(2, "big") + text.decode("utf-8", "ignore").encode("utf-8")


def unpack_close(payload: bytes) -> tuple[int, str]:
    """Read the payload of a Close that the machine has checked; 1005 when there is none."""
    if not payload:
        return 1005, ""
    return int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8")


class _FrameError(Exception):
    """What the peer sent is no WebSocket."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class PortableFrames:
    """See `Frames`.

    Attributes:
        state: what was received so far.
    """

    __slots__ = (
        "_deflate",
        "_deflater",
        "_gathered",
        "_held",
        "_inflater",
        "_is_compressed",
        "_max_message",
        "_needed",
        "is_holding",
        "state",
    )

    def __init__(self, max_message: int, deflate: Deflate | None = None) -> None:
        """Start behind the handshake.

        Args:
            max_message: bytes of a message, as sent and inflated; at least 125.
            deflate: what was agreed about compression; None for none.
        """
        self.state = FrameState.BETWEEN
        self.is_holding = False
        self._max_message = max_message
        self._deflate = deflate
        self._held = bytearray()  # the beginning of a frame
        self._needed = 2  # bytes of it without which nothing more can be said
        self._gathered = bytearray()  # the fragments of a message
        self._is_compressed = False  # that message is
        self._inflater: zlib._Decompress | None = None
        self._deflater: zlib._Compress | None = None

    def feed(self, data: bytes) -> list[Event]:
        """See `Frames`."""
        events: list[Event] = []
        if self.state is _E:
            return events
        held = self._held
        if held:
            held += data
            if len(held) < self._needed:
                return events
            data = bytes(held)
            held.clear()
        try:
            position = self._advance(data, events)
            held += memoryview(data)[position:]
        except _FrameError as fault:
            self.state = _E
            self._gathered.clear()
            events.append((FAILED, pack_close(fault.code, fault.reason)))
        return events

    def pack_text(self, message: str) -> bytes:
        """See `Frames`."""
        return self._pack(_FINAL | TEXT, message.encode("utf-8"))

    def pack_bytes(self, message: bytes) -> bytes:
        """See `Frames`."""
        return self._pack(_FINAL | BINARY, message)

    def pack_control(self, opcode: int, payload: bytes) -> bytes:
        """See `Frames`."""
        return bytes((_FINAL | opcode, len(payload))) + payload

    def _advance(self, data: bytes, events: list[Event]) -> int:
        """Take whole frames; return where the first begins that is not."""
        position, end = 0, len(data)
        inflated = 0
        self.is_holding = False
        self._needed = 2
        while end - position >= 2:
            first, size = data[position], data[position + 1] - _MASKED
            if first in _SIMPLE and 0 <= size <= MOST_CONTROL_BYTES and self.state is _B:
                # A short message in one frame, as most are: 2 µs instead of 3. What follows gives the same.
                start = position + 6
                if end < start + size:
                    self._needed = start + size - position
                    break
                message = _unmask(data[start - 4 : start], data[start : start + size])
                events.append(_decode(message) if first == _FINAL | TEXT else message)
                position = start + size
                continue
            state = self._check(first, size)
            start = position + 6
            if size > MOST_CONTROL_BYTES:
                width = 2 if size == 126 else 8
                start += width
                if end - position < 2 + width:
                    self._needed = 2 + width
                    break
                size = int.from_bytes(data[position + 2 : position + 2 + width], "big")
                self._check_size(size, width)
            if size > self._max_message - len(self._gathered) and not first & 8:
                raise _FrameError(1009, f"a message has more than {self._max_message} bytes")
            if end < start + size:
                self._needed = start + size - position
                break
            payload = _unmask(data[start - 4 : start], data[start : start + size])
            position = start + size
            if first & 8:
                self._on_control(first & 15, payload, events)
                self.state = state
                if state is _E:
                    return end
                continue
            whole, is_text = self._on_data(first, payload)
            self.state = state
            if whole is None:
                continue
            events.append(_decode(whole) if is_text else whole)
            if self._is_compressed:
                inflated += len(whole)
                if inflated >= _INFLATED_AT_ONCE and position < end:
                    self.is_holding = True
                    break
        return position

    def _check(self, first: int, size: int) -> FrameState:
        """Judge the first two bytes of a frame; return the state behind it."""
        reserved = first & _RESERVED
        if reserved and not (
            reserved == _COMPRESSED and self._deflate is not None and first & 15 in (TEXT, BINARY)
        ):
            raise _FrameError(1002, "a reserved bit is set (RFC 6455 5.2)")
        state = TRANSITIONS.get((self.state, first & ~_RESERVED))
        if state is None:
            raise _FrameError(1002, _complaint(first))
        if size < 0:
            raise _FrameError(1002, "a frame is not masked (RFC 6455 5.1)")
        if first & 8 and size > MOST_CONTROL_BYTES:
            raise _FrameError(1002, "a control frame has more than 125 bytes (RFC 6455 5.5)")
        return state

    def _check_size(self, size: int, width: int) -> None:
        if size < (126 if width == 2 else 0x10000):
            raise _FrameError(1002, "a length is not written in the shortest way (RFC 6455 5.2)")
        if size >= 1 << 63:
            raise _FrameError(1002, "a length has its highest bit set (RFC 6455 5.2)")

    def _on_control(self, opcode: int, payload: bytes, events: list[Event]) -> None:
        if opcode == CLOSE and payload:
            if len(payload) == 1 or not is_close_code(int.from_bytes(payload[:2], "big")):
                raise _FrameError(1002, "a close code is not valid (RFC 6455 7.4)")
            try:
                payload[2:].decode("utf-8")
            except UnicodeDecodeError:
                raise _FrameError(1007, "the reason of a Close is not UTF-8 (RFC 6455 5.5.1)") from None
        events.append((opcode, payload))

    def _on_data(self, first: int, payload: bytes) -> tuple[bytes | None, bool]:
        """Take a frame of a message; return the message if it is whole, and whether it is text."""
        is_text = first & 15 == TEXT or self.state is _T
        if first & 15:
            self._is_compressed = bool(first & _COMPRESSED)
        if not first & _FINAL:
            self._gathered += payload
            return None, is_text
        if self._gathered:
            payload = bytes(self._gathered + payload)
            self._gathered.clear()
        if self._is_compressed and self._deflate is not None:
            payload = self._inflate(payload, self._deflate)
        return payload, is_text

    def _inflate(self, payload: bytes, deflate: Deflate) -> bytes:
        inflater = self._inflater
        if inflater is None:
            inflater = zlib.decompressobj(-deflate.in_bits)
        room = self._max_message + 1
        pieces = []
        rest = payload + _SYNC_TAIL
        while True:
            try:
                piece = inflater.decompress(rest, room)
            except zlib.error:
                raise _FrameError(1007, "a compressed message cannot be inflated (RFC 7692 7.2.2)") from None
            pieces.append(piece)
            room -= len(piece)
            if room == 0:
                raise _FrameError(1009, f"a message inflates to more than {self._max_message} bytes")
            if not inflater.eof:
                break
            # A block that says it is the last: allowed, and what follows is a new stream (RFC 7692 §7.2.3.4).
            rest = inflater.unused_data
            inflater = zlib.decompressobj(-deflate.in_bits)
        self._inflater = inflater if deflate.in_takeover else None
        return b"".join(pieces)

    def _pack(self, first: int, payload: bytes) -> bytes:
        size = len(payload)
        if self._deflate is not None and size >= LEAST_DEFLATED_BYTES:
            first |= _COMPRESSED
            payload = self._compress(payload, self._deflate)
            size = len(payload)
        if size < 126:
            return bytes((first, size)) + payload
        if size < 0x10000:
            return bytes((first, 126, size >> 8, size & 255)) + payload
        return b"".join((bytes((first, 127)), size.to_bytes(8, "big"), payload))

    def _compress(self, payload: bytes, deflate: Deflate) -> bytes:
        deflater = self._deflater
        if deflater is None:
            deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, -deflate.out_bits, _MEMORY)
            if deflate.out_takeover:
                self._deflater = deflater
        return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[: -len(_SYNC_TAIL)]


def _complaint(first: int) -> str:
    """Say what is wrong with a final bit and an opcode."""
    opcode = first & 15
    if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
        return f"the opcode {opcode} is unknown (RFC 6455 5.2)"
    if opcode & 8:
        return "a control frame is fragmented (RFC 6455 5.5)"
    if opcode == CONTINUATION:
        return "a continuation without a beginning (RFC 6455 5.4)"
    return "a message begins within another (RFC 6455 5.4)"


def _unmask(key: bytes, payload: bytes) -> bytes:
    """Take the mask off (RFC 6455 §5.3), as one number: some 30 times as fast as byte by byte."""
    size = len(payload)
    mask = int.from_bytes((key * (size // 4 + 1))[:size], "little")
    return (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")


def _decode(message: bytes) -> str:
    try:
        return message.decode("utf-8")
    except UnicodeDecodeError:
        raise _FrameError(1007, "a text message is not UTF-8 (RFC 6455 8.1)") from None
