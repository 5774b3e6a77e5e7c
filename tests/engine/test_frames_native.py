"""The native framing of WebSockets: the portable one's cases, and the same events for whatever bytes."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rocket_sup.engine.native import load
from rocket_sup.http.wsframes import BINARY, PING, TEXT, Deflate, Frames, PortableFrames, pack_close
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

native = load()[0]
if native is None:
    pytest.skip(load()[1], allow_module_level=True)


def native_frames(max_message: int = MOST, deflate: Deflate | None = None) -> Frames:
    """The machine under test."""
    assert native is not None
    frames: Frames = native.Frames(max_message, deflate)
    return frames


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_cases(case: Case) -> None:
    """All at once, and byte by byte."""
    whole = native_frames(MOST, case.deflate)
    single = native_frames(MOST, case.deflate)

    assert list(case.events) == feed_all(whole, [case.received])
    assert list(case.events) == feed_all(single, [bytes((byte,)) for byte in case.received])


payloads = st.one_of(st.binary(max_size=300), st.text(max_size=100).map(str.encode))
made_up = st.builds(
    frame,
    st.integers(0, 15),
    payloads,
    last=st.booleans(),
    bits=st.sampled_from([0, 0, 0, 0x40, 0x20]),
    key=st.binary(min_size=4, max_size=4),
)
sensible = st.one_of(
    st.builds(frame, st.sampled_from([TEXT, BINARY]), st.text(max_size=300).map(str.encode)),
    st.builds(frame, st.just(PING), st.binary(max_size=125)),
    st.builds(compressed, st.text(max_size=300).map(str.encode)),
    st.sampled_from(CASES).map(lambda case: case.received),
)


@settings(max_examples=400)
@given(
    received=st.lists(st.one_of(sensible, made_up, st.binary(max_size=20)), max_size=6).map(b"".join),
    places=st.lists(st.integers(0, 2000), max_size=8),
    deflate=st.sampled_from([None, PLAIN, FORGETFUL, Deflate(in_bits=9)]),
)
def test_both_machines_see_the_same(received: bytes, places: list[int], deflate: Deflate | None) -> None:
    """However the bytes are cut, and whatever they are."""
    pieces = cut(received, places)

    assert feed_all(PortableFrames(MOST, deflate), [received]) == feed_all(
        native_frames(MOST, deflate), pieces
    )


@given(payload=st.binary(max_size=60))
def test_both_inflate_the_same(payload: bytes) -> None:
    """Also what no deflater has written."""
    received = frame(BINARY, payload, bits=0x40) * 2

    assert feed_all(PortableFrames(MOST, PLAIN), [received]) == feed_all(
        native_frames(MOST, PLAIN), [received]
    )


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_packed_messages_have_the_shortest_length(size: int) -> None:
    """The form of the length follows from the size."""
    frames = native_frames()

    assert (0x82, bytes(size)) == unpack(frames.pack_bytes(bytes(size)))
    assert (0x81, b"x" * size) == unpack(frames.pack_text("x" * size))
    assert (0x88, b"\x03\xe8") == unpack(frames.pack_control(8, pack_close(1000, "")))


def test_a_lone_surrogate_is_the_applications_error() -> None:
    """It cannot be sent as UTF-8."""
    with pytest.raises(UnicodeEncodeError):
        native_frames().pack_text("\ud800")


@pytest.mark.parametrize("deflate", [PLAIN, FORGETFUL, Deflate(out_bits=9)])
def test_what_is_packed_can_be_inflated(deflate: Deflate) -> None:
    """By zlib, whatever the window, and however little or much there is to gain."""
    frames = native_frames(MOST, deflate)
    inflater = zlib.decompressobj(-deflate.out_bits)
    noise = b"".join(zlib.crc32(number.to_bytes(4, "big")).to_bytes(4, "big") for number in range(20_000))
    for message in (b"many words " * 100, b"many words " * 100, noise, bytes(1_000_000), noise[:128]):
        first, payload = unpack(frames.pack_bytes(message))
        if not deflate.out_takeover:
            inflater = zlib.decompressobj(-deflate.out_bits)

        assert first == 0xC2
        assert message == inflater.decompress(payload + b"\x00\x00\xff\xff")
    assert (0x82, bytes(127)) == unpack(frames.pack_bytes(bytes(127)))


def test_inflated_messages_are_given_in_portions() -> None:
    """A read full of small messages that inflate to large ones does not fill the memory."""
    largest = 200_000
    frames = native_frames(largest, FORGETFUL)

    assert 2 == len(frames.feed(compressed(bytes(largest), BINARY) * 10))
    assert frames.is_holding
    assert 8 == len(feed_all(frames, [b""]))
    assert not frames.is_holding


def test_a_frame_that_drips() -> None:
    """It is given when it is whole."""
    frames = native_frames(1 << 20)
    received = frame(BINARY, bytes(1 << 20))
    for position in range(0, len(received) - 1, 10_000):
        assert [] == frames.feed(received[position : min(position + 10_000, len(received) - 1)])

    assert [bytes(1 << 20)] == frames.feed(received[-1:])


def test_a_window_as_agreed_is_enough() -> None:
    """A client that keeps a window of 9 bits is understood with one of 9 bits."""
    messages = [bytes([number % 7]) * 300 for number in range(10)]
    frames = native_frames(MOST, Deflate(in_bits=9))

    events = feed_all(frames, [frame(BINARY, each, bits=0x40) for each in deflated(*messages, bits=9)])

    assert messages == events
