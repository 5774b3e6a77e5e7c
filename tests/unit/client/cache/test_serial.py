"""Records as bytes: back as they were, and anything else is a miss."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.client.cache.serial import _HEAD, decode, encode
from rocket_sup.client.cache.stored import Catalogue, Heuristic, Moments, Variant, stored_response
from tests.unit.client.cache.exchanges import NOW, date, stored

LATIN = st.text(st.characters(max_codepoint=255), max_size=20)
VALUES = st.tuples(LATIN, st.one_of(st.none(), LATIN))


@given(
    st.integers(200, 599),
    st.lists(st.tuples(LATIN, LATIN), max_size=5).map(tuple),
    st.binary(max_size=200),
    st.lists(VALUES, max_size=3).map(tuple),
    st.booleans(),
    st.booleans(),
)
def test_a_response_comes_back_as_it_was(
    status: int,
    fields: tuple[tuple[str, str], ...],
    content: bytes,
    selecting: tuple[tuple[str, str | None], ...],
    is_shared: bool,
    is_forced: bool,
) -> None:
    """With all that is computed of it."""
    record = stored_response(
        status,
        fields,
        content,
        method="GET",
        moments=Moments(NOW, NOW + 0.25),
        selecting=selecting,
        is_shared=is_shared,
        is_forced=is_forced,
    )

    assert record == decode(encode(record))


def test_a_lifetime_that_was_guessed_comes_back() -> None:
    """Another process guesses otherwise, but not about this one."""
    fields = (("Last-Modified", date(-1000)),)
    moments = Moments(NOW, NOW)
    record = stored_response(200, fields, b"", method="GET", moments=moments, heuristic=Heuristic(0.5, 60))

    assert record == decode(encode(record))


def test_a_catalogue_comes_back_as_it_was() -> None:
    """With values that were absent."""
    catalogue = Catalogue((Variant("k", (("a", None), ("b", "")), 'W/"x"', NOW, NOW + 1),))

    assert catalogue == decode(encode(catalogue))
    assert Catalogue(()) == decode(encode(Catalogue(())))


@given(st.data())
def test_what_was_damaged_is_a_miss(data: st.DataObject) -> None:
    """Wherever a bit is flipped or the end is missing."""
    raw = bytearray(encode(stored("max-age=1")))
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]

    assert decode(bytes(raw)) is None


@given(st.binary(max_size=100))
def test_garbage_is_a_miss(raw: bytes) -> None:
    """Whatever else is in the store."""
    assert decode(raw) is None


@pytest.mark.parametrize(
    "description",
    [
        b"",
        b"{}",
        b"[]",
        b"1",
        b'{"variants":1}',
        b'{"variants":[[1]]}',
        b'{"status":"x"}',
        b'{"moments":[1]}',
    ],
)
def test_a_right_checksum_over_something_else_is_a_miss(description: bytes) -> None:
    """Another program's idea of the same layout."""
    raw = _HEAD.pack(b"RSC\x01", zlib.crc32(description), len(description)) + description

    assert decode(raw) is None


def test_another_version_is_a_miss() -> None:
    """It is written anew."""
    raw = encode(stored())

    assert decode(raw[:3] + b"\x02" + raw[4:]) is None


def test_text_that_cannot_be_written_is_refused() -> None:
    """A lone surrogate has no UTF-8."""
    with pytest.raises(ValueError, match="surrogate"):
        encode(stored(x="\ud800"))
