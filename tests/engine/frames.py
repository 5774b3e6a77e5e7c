"""Frames of WebSockets as a client writes them, and what every framing has to make of them."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from rocket_sup.http.wsframes import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FAILED,
    PING,
    PONG,
    TEXT,
    Deflate,
    Event,
    Frames,
    pack_close,
)

KEY = b"\x37\xfa\x21\x3d"  # RFC 6455 §5.7
MOST = 1000  # bytes of a message in these cases

MakeFrames = Callable[[int, Deflate | None], Frames]


def frame(opcode: int, payload: bytes = b"", *, last: bool = True, bits: int = 0, key: bytes = KEY) -> bytes:
    """Write a frame as a client does."""
    size = len(payload)
    first = (0x80 if last else 0) | bits | opcode
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 0x10000:
        head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
    return head + key + mask(payload, key)


def mask(payload: bytes, key: bytes = KEY) -> bytes:
    """Put a mask on, or take it off."""
    if len(payload) < 1000:
        return bytes(byte ^ key[index & 3] for index, byte in enumerate(payload))
    masked = bytearray(payload)  # quickly: each fourth byte has the same byte of the key
    for place in range(4):
        masked[place::4] = payload[place::4].translate(bytes(byte ^ key[place] for byte in range(256)))
    return bytes(masked)


def deflated(*messages: bytes, bits: int = 15) -> list[bytes]:
    """Compress messages one behind the other, as a client that keeps its window."""
    deflater = zlib.compressobj(wbits=-bits)
    return [(deflater.compress(each) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4] for each in messages]


def compressed(message: bytes, opcode: int = TEXT) -> bytes:
    """Write one compressed message."""
    return frame(opcode, deflated(message)[0], bits=0x40)


@dataclass(frozen=True)
class Case:
    """What is received, and what comes of it."""

    name: str
    received: bytes
    events: tuple[Event, ...]
    deflate: Deflate | None = None


def failed(code: int, reason: str) -> Event:
    """The event of a fault."""
    return (FAILED, pack_close(code, reason))


PLAIN = Deflate()
FORGETFUL = Deflate(in_takeover=False, out_takeover=False)
FIRST, SECOND = deflated(b"the same words", b"the same words")
# A message whose last block says that it is the last (RFC 7692 §7.2.3.4), and one that begins anew.
_final = zlib.compressobj(wbits=-15)
FINAL = _final.compress(b"Hello") + _final.flush() + b"\x00"

CASES = [
    Case("text", frame(TEXT, b"Hello"), ("Hello",)),
    Case("binary", frame(BINARY, b"\x00\xff"), (b"\x00\xff",)),
    Case("nothing in it", frame(TEXT) + frame(BINARY), ("", b"")),
    Case("many at once", frame(TEXT, b"a") * 20, ("a",) * 20),
    Case("beyond ASCII", frame(TEXT, "κόσμε 🚀".encode()), ("κόσμε 🚀",)),
    Case("125 bytes", frame(BINARY, b"x" * 125), (b"x" * 125,)),
    Case("126 bytes", frame(BINARY, b"x" * 126), (b"x" * 126,)),
    Case("as many as allowed", frame(TEXT, b"x" * MOST), ("x" * MOST,)),
    Case("fragments", frame(TEXT, b"Hel", last=False) + frame(CONTINUATION, b"lo"), ("Hello",)),
    Case(
        "a ping between fragments",
        frame(BINARY, b"a", last=False) + frame(PING, b"?") + frame(CONTINUATION, b"b"),
        ((PING, b"?"), b"ab"),
    ),
    Case(
        "a character cut in two",
        frame(TEXT, b"\xc3", last=False)
        + frame(CONTINUATION, b"", last=False)
        + frame(CONTINUATION, b"\xa9"),
        ("é",),
    ),
    Case("ping and pong", frame(PING, b"p") + frame(PONG), ((PING, b"p"), (PONG, b""))),
    Case("close", frame(CLOSE, pack_close(1000, "bye")), ((CLOSE, pack_close(1000, "bye")),)),
    Case("close without a code", frame(CLOSE), ((CLOSE, b""),)),
    Case("after a close", frame(CLOSE) + frame(TEXT, b"more") + b"\xff\xff", ((CLOSE, b""),)),
    Case(
        "close between fragments",
        frame(TEXT, b"a", last=False) + frame(CLOSE, b"\x03\xe9"),
        ((CLOSE, b"\x03\xe9"),),
    ),
    Case("a code of an application", frame(CLOSE, b"\x0f\xa0"), ((CLOSE, b"\x0f\xa0"),)),
    # -- faults
    Case(
        "not masked",
        frame(TEXT, b"a") + b"\x81\x01a",
        ("a", failed(1002, "a frame is not masked (RFC 6455 5.1)")),
    ),
    *(
        Case(
            f"reserved bit {bits:#x}",
            frame(TEXT, b"a", bits=bits),
            (failed(1002, "a reserved bit is set (RFC 6455 5.2)"),),
        )
        for bits in (0x40, 0x20, 0x10)
    ),
    *(
        Case(
            f"opcode {opcode}",
            frame(opcode, b"a"),
            (failed(1002, f"the opcode {opcode} is unknown (RFC 6455 5.2)"),),
        )
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    ),
    *(
        Case(
            f"fragmented control {opcode}",
            frame(opcode, last=False),
            (failed(1002, "a control frame is fragmented (RFC 6455 5.5)"),),
        )
        for opcode in (CLOSE, PING, PONG)
    ),
    Case(
        "long ping",
        frame(PING, b"x" * 126),
        (failed(1002, "a control frame has more than 125 bytes (RFC 6455 5.5)"),),
    ),
    Case(
        "continuation of nothing",
        frame(CONTINUATION, b"a"),
        (failed(1002, "a continuation without a beginning (RFC 6455 5.4)"),),
    ),
    Case(
        "message within a message",
        frame(TEXT, b"a", last=False) + frame(TEXT, b"b"),
        (failed(1002, "a message begins within another (RFC 6455 5.4)"),),
    ),
    Case(
        "length of 2 bytes for 1",
        b"\x81\xfe\x00\x7d" + KEY + b"x" * 125,
        (failed(1002, "a length is not written in the shortest way (RFC 6455 5.2)"),),
    ),
    Case(
        "length of 8 bytes for 2",
        b"\x81\xff" + (0xFFFF).to_bytes(8, "big") + KEY,
        (failed(1002, "a length is not written in the shortest way (RFC 6455 5.2)"),),
    ),
    Case(
        "length with its highest bit",
        b"\x82\xff" + (1 << 63).to_bytes(8, "big"),
        (failed(1002, "a length has its highest bit set (RFC 6455 5.2)"),),
    ),
    Case(
        "too large by its header alone",
        b"\x82\xff" + (1 << 62).to_bytes(8, "big"),
        (failed(1009, f"a message has more than {MOST} bytes"),),
    ),
    Case(
        "too large by one",
        frame(BINARY, b"x" * (MOST + 1)),
        (failed(1009, f"a message has more than {MOST} bytes"),),
    ),
    Case(
        "fragments too large together",
        frame(TEXT, b"x" * MOST, last=False) + frame(CONTINUATION, b"x"),
        (failed(1009, f"a message has more than {MOST} bytes"),),
    ),
    *(
        Case(
            f"not UTF-8: {text!r}",
            frame(TEXT, b"ok") + frame(TEXT, text),
            ("ok", failed(1007, "a text message is not UTF-8 (RFC 6455 8.1)")),
        )
        for text in (b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80")
    ),
    Case(
        "a cut character at the end of fragments",
        frame(TEXT, b"a", last=False) + frame(CONTINUATION, b"\xc3"),
        (failed(1007, "a text message is not UTF-8 (RFC 6455 8.1)"),),
    ),
    *(
        Case(
            f"close code {code}",
            frame(CLOSE, code.to_bytes(2, "big")),
            (failed(1002, "a close code is not valid (RFC 6455 7.4)"),),
        )
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
    ),
    Case("half a code", frame(CLOSE, b"\x03"), (failed(1002, "a close code is not valid (RFC 6455 7.4)"),)),
    Case(
        "a reason that is not UTF-8",
        frame(CLOSE, b"\x03\xe8\xff"),
        (failed(1007, "the reason of a Close is not UTF-8 (RFC 6455 5.5.1)"),),
    ),
    # -- compression, RFC 7692
    Case("compressed", compressed(b"Hello" * 50), ("Hello" * 50,), PLAIN),
    Case("compressed bytes", compressed(b"\x00" * 999, BINARY), (b"\x00" * 999,), PLAIN),
    Case("not compressed", frame(TEXT, b"Hello"), ("Hello",), PLAIN),
    Case(
        "a window that is kept",
        frame(TEXT, FIRST, bits=0x40) + frame(TEXT, SECOND, bits=0x40),
        ("the same words",) * 2,
        PLAIN,
    ),
    Case(
        "a window that is not kept",
        compressed(b"the same words") * 2,
        ("the same words",) * 2,
        FORGETFUL,
    ),
    Case(
        "compressed fragments",
        frame(TEXT, FIRST[:3], bits=0x40, last=False)
        + frame(CONTINUATION, FIRST[3:])
        + frame(TEXT, b"plain"),
        ("the same words", "plain"),
        PLAIN,
    ),
    Case("a last block", frame(TEXT, FINAL, bits=0x40) * 2, ("Hello", "Hello"), PLAIN),
    Case("nothing compressed", frame(TEXT, b"\x00", bits=0x40), ("",), PLAIN),
    Case("as much as allowed", compressed(b"x" * MOST), ("x" * MOST,), PLAIN),
    Case(
        "inflates too far",
        compressed(b"x" * (MOST + 1)),
        (failed(1009, f"a message inflates to more than {MOST} bytes"),),
        PLAIN,
    ),
    Case(
        "a bomb",
        compressed(b"x" * 500_000),
        (failed(1009, f"a message inflates to more than {MOST} bytes"),),
        PLAIN,
    ),
    Case(
        "cannot be inflated",
        frame(TEXT, b"\xff\xff\xff", bits=0x40),
        (failed(1007, "a compressed message cannot be inflated (RFC 7692 7.2.2)"),),
        PLAIN,
    ),
    Case(
        "inflates to no text",
        compressed(b"\xff"),
        (failed(1007, "a text message is not UTF-8 (RFC 6455 8.1)"),),
        PLAIN,
    ),
    Case(
        "a compressed continuation",
        frame(TEXT, b"a", last=False) + frame(CONTINUATION, b"b", bits=0x40),
        (failed(1002, "a reserved bit is set (RFC 6455 5.2)"),),
        PLAIN,
    ),
    Case(
        "a compressed ping",
        frame(PING, b"b", bits=0x40),
        (failed(1002, "a reserved bit is set (RFC 6455 5.2)"),),
        PLAIN,
    ),
]


def feed_all(frames: Frames, pieces: list[bytes]) -> list[Event]:
    """Feed pieces, taking all that is held back."""
    events: list[Event] = []
    for piece in pieces:
        events += frames.feed(piece)
        while frames.is_holding:
            events += frames.feed(b"")
    return events


def cut(received: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at some places."""
    edges = [0, *sorted(place % (len(received) + 1) for place in places), len(received)]
    return [received[start:end] for start, end in itertools.pairwise(edges)]


def unpack(packed: bytes) -> tuple[int, bytes]:
    """Read one frame of a server: its first byte and the payload; it is written in the shortest way."""
    first, size = packed[0], packed[1]
    assert size < 0x80, "a server masks nothing (RFC 6455 §5.1)"
    start = 2
    if size >= 126:
        start += 2 if size == 126 else 8
        size = int.from_bytes(packed[2:start], "big")
        assert size >= (126 if start == 4 else 0x10000)
    assert len(packed) == start + size
    return first, packed[start:]
