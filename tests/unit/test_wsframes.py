"""`rocket_sup.http.wsframes`: the portable framing. The cases hold for the native one, too."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.http.wsframes import (
    BINARY,
    CLOSE,
    LEAST_DEFLATED_BYTES,
    PING,
    PONG,
    TEXT,
    TRANSITIONS,
    Deflate,
    FrameState,
    PortableFrames,
    is_close_code,
    pack_close,
    unpack_close,
)
from tests.engine.frames import (
    CASES,
    FORGETFUL,
    MOST,
    PLAIN,
    Case,
    compressed,
    cut,
    deflated,
    feed_all,
    frame,
    unpack,
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_cases(case: Case) -> None:
    """All at once, and byte by byte."""
    whole = PortableFrames(MOST, case.deflate)
    single = PortableFrames(MOST, case.deflate)

    assert list(case.events) == feed_all(whole, [case.received])
    assert list(case.events) == feed_all(single, [bytes((byte,)) for byte in case.received])


@given(
    picks=st.lists(st.sampled_from(CASES), min_size=1, max_size=6),
    places=st.lists(st.integers(0, 5000), max_size=12),
)
def test_any_way_of_cutting_the_bytes_gives_the_same_events(picks: list[Case], places: list[int]) -> None:
    """What a network does to bytes is nothing to the machine."""
    received = b"".join(case.received for case in picks)
    deflate = picks[0].deflate

    whole = feed_all(PortableFrames(MOST, deflate), [received])
    pieces = feed_all(PortableFrames(MOST, deflate), cut(received, places))

    assert whole == pieces


@given(received=st.binary(max_size=300), places=st.lists(st.integers(0, 300), max_size=5))
def test_no_bytes_raise(received: bytes, places: list[int]) -> None:
    """Whatever is made up is an event, or a fault as the last event."""
    for deflate in (None, PLAIN):
        whole = feed_all(PortableFrames(MOST, deflate), [received])
        assert whole == feed_all(PortableFrames(MOST, deflate), cut(received, places))


@pytest.mark.parametrize("state", FrameState)
@pytest.mark.parametrize("opcode", range(16))
@pytest.mark.parametrize("last", [True, False])
def test_every_cell_of_the_table(state: FrameState, opcode: int, last: bool) -> None:
    """A frame leads where the table says, or is a fault where it says nothing."""
    before = {
        FrameState.BETWEEN: b"",
        FrameState.IN_TEXT: frame(TEXT, last=False),
        FrameState.IN_BINARY: frame(BINARY, last=False),
        FrameState.ENDED: frame(CLOSE),
    }[state]
    frames = PortableFrames(MOST)
    frames.feed(before)
    assert state is frames.state

    events = frames.feed(frame(opcode, last=last))

    if state is FrameState.ENDED:
        assert ([], FrameState.ENDED) == (events, frames.state)
    else:
        expected = TRANSITIONS.get((state, opcode | 0x80 * last))
        assert (expected or FrameState.ENDED) is frames.state
        if expected is None:
            assert b"\x03\xea" == events[0][1][:2]


def test_the_beginning_of_a_fault_is_enough() -> None:
    """A frame that is too large is refused before any of it came, and nothing is kept."""
    frames = PortableFrames(MOST)

    events = frames.feed(b"\x82\xfe\xff\xff")

    assert unpack_close(events[0][1])[0] == 1009


def test_a_frame_that_drips_is_copied_once() -> None:
    """Bytes of a large frame are kept until it is whole, and not looked at again and again."""
    frames = PortableFrames(1 << 20)
    received = frame(BINARY, bytes(1 << 20))
    for position in range(0, len(received) - 1, 10_000):
        assert frames.feed(received[position : min(position + 10_000, len(received) - 1)]) == []

    assert [bytes(1 << 20)] == frames.feed(received[-1:])


def test_inflated_messages_are_given_in_portions() -> None:
    """A read full of small messages that inflate to large ones does not fill the memory."""
    largest = 200_000
    frames = PortableFrames(largest, FORGETFUL)
    received = compressed(bytes(largest), BINARY) * 10

    first = frames.feed(received)

    assert 2 == len(first)
    assert frames.is_holding
    assert 8 == len(feed_all(frames, [b""]))
    assert not frames.is_holding


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_packed_messages_have_the_shortest_length(size: int) -> None:
    """The form of the length follows from the size."""
    frames = PortableFrames(MOST)

    assert (0x82, bytes(size)) == unpack(frames.pack_bytes(bytes(size)))
    assert (0x81, b"x" * size) == unpack(frames.pack_text("x" * size))


def test_packed_control_frames() -> None:
    """Ping, pong and close."""
    frames = PortableFrames(MOST)

    assert (0x89, b"p") == unpack(frames.pack_control(PING, b"p"))
    assert (0x8A, b"") == unpack(frames.pack_control(PONG, b""))
    assert (0x88, b"\x03\xe8bye") == unpack(frames.pack_control(CLOSE, pack_close(1000, "bye")))


def test_a_lone_surrogate_is_the_applications_error() -> None:
    """It cannot be sent as UTF-8."""
    with pytest.raises(UnicodeEncodeError):
        PortableFrames(MOST).pack_text("\ud800")


@pytest.mark.parametrize("deflate", [PLAIN, FORGETFUL, Deflate(out_bits=9)])
def test_what_is_packed_can_be_inflated(deflate: Deflate) -> None:
    """One window for all messages, or one for each; small ones are sent as they are."""
    frames = PortableFrames(MOST, deflate)
    inflater = zlib.decompressobj(-deflate.out_bits)
    message = b"many words " * 100
    sizes = []
    for _ in range(3):
        first, payload = unpack(frames.pack_bytes(message))
        if not deflate.out_takeover:
            inflater = zlib.decompressobj(-deflate.out_bits)
        sizes.append(len(payload))

        assert first == 0xC2
        assert message == inflater.decompress(payload + b"\x00\x00\xff\xff")
    assert deflate.out_takeover is (sizes[1] < sizes[0])
    small = bytes(LEAST_DEFLATED_BYTES - 1)
    assert (0x82, small) == unpack(frames.pack_bytes(small))


def test_a_window_as_agreed_is_enough() -> None:
    """A client that keeps a window of 9 bits is understood with one of 9 bits."""
    messages = [bytes([number % 7]) * 300 for number in range(10)]
    frames = PortableFrames(MOST, Deflate(in_bits=9))

    events = feed_all(frames, [frame(BINARY, each, bits=0x40) for each in deflated(*messages, bits=9)])

    assert messages == events


def test_close_codes() -> None:
    """What RFC 6455 §7.4 and the registry allow on the wire."""
    allowed = {code for code in range(70_000) if is_close_code(code)}

    assert {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)} == allowed


def test_the_payload_of_a_close() -> None:
    """A code with a reason; no payload is 1005; what is too long is cut between characters."""
    assert (3000, "grund: é") == unpack_close(pack_close(3000, "grund: é"))
    assert (1005, "") == unpack_close(b"")
    assert pack_close(1000, "é" * 100) == b"\x03\xe8" + "é".encode() * 61
