"""What gives content in pieces, and what does not."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator

import pytest

from rocket_sup.sources import UNKNOWN, FileSource, FileSpan, Stream, as_piece, source_of


async def pieces() -> AsyncIterator[bytes]:
    """An asynchronous generator."""
    yield b""


def open_file() -> int:
    """A descriptor of a file."""
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def test_iterators_are_streams() -> None:
    """Of either kind; and a source is what it is."""
    for body, is_async in ((iter([b""]), False), (map(str, []), False), (pieces(), True)):
        stream = source_of(body)

        assert isinstance(stream, Stream)
        assert (stream.pieces, stream.length, stream.is_async) == (body, UNKNOWN, is_async)
        assert source_of(stream) is stream


@pytest.mark.parametrize("body", [[b"a"], (b"a",), {"a": 1}, b"a", "a", range(3), 7, None])
def test_whole_values_are_none(body: object) -> None:
    """A list is JSON, not pieces."""
    assert source_of(body) is None


def test_a_file_is_closed_once() -> None:
    """Also when nobody does it."""
    source = FileSource(open_file(), 2, 5)
    fd = source.fd
    assert (source.parts, source.length) == ((FileSpan(2, 5),), 5)
    source.close()
    source.close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)
    forgotten = FileSource(open_file(), 0, 1)
    fd = forgotten.fd
    del forgotten
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_parts_of_a_file() -> None:
    """The length is that of all."""
    source = FileSource.of_parts(open_file(), [b"ab", FileSpan(7, 3), b"c"])

    assert source.length == 6
    source.close()


def test_a_piece_is_bytes_or_text() -> None:
    """And nothing else."""
    assert [as_piece(piece) for piece in (b"a", bytearray(b"b"), memoryview(b"c"), "é")] == [
        b"a",
        b"b",
        b"c",
        "é".encode(),
    ]
    with pytest.raises(TypeError, match="a stream gave int"):
        as_piece(1)
