"""Which files the kernel may send."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from pathlib import Path

import pytest

from rocket_sup.adapters.wsgi_files import FileWrapper, Region, file_answer
from rocket_sup.adapters.wsgi_response import head_of
from rocket_sup.errors import LocalProtocolError
from rocket_sup.sources import FileSource, FileSpan


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of ten bytes."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


def test_a_file_on_disk_is_a_region(path: Path) -> None:
    """From where it is read next, buffered or not."""
    for buffering in (-1, 0):
        with path.open("rb", buffering=buffering) as file:
            file.read(3)

            assert FileWrapper(file).region() == Region(file.fileno(), 3, 7)


def test_a_temporary_file_is_one() -> None:
    """The standard library wraps it."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"ab")
        file.seek(0)

        assert FileWrapper(file).region() == Region(file.fileno(), 0, 2)


def test_past_its_end_there_is_nothing(path: Path) -> None:
    """A file may be sought anywhere."""
    with path.open("rb") as file:
        file.seek(99)

        assert FileWrapper(file).region() == Region(file.fileno(), 99, 0)


def test_what_reads_something_else_is_read(path: Path) -> None:
    """Its descriptor's bytes are not its own."""
    packed = path.with_suffix(".gz")
    packed.write_bytes(gzip.compress(b"hello"))

    class Shouting(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:  # type: ignore[override]
            return b"" if self.tell() else (super().read(size) or b"").upper()

    with gzip.open(packed) as file, Shouting(path) as other, path.open() as text:
        assert FileWrapper(file).region() is None
        assert FileWrapper(other).region() is None
        assert FileWrapper(text).region() is None
        assert FileWrapper(io.BytesIO(b"x")).region() is None
        assert b"".join(FileWrapper(file)) == b"hello"


def test_a_pipe_is_no_region() -> None:
    """Nobody knows how long it is."""
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert FileWrapper(file).region() is None


def test_a_closed_file_is_no_region(path: Path) -> None:
    """Reading says what is wrong."""
    with path.open("rb") as file:
        pass

    assert FileWrapper(file).region() is None
    with pytest.raises(ValueError, match="closed"):
        next(FileWrapper(file))


def test_it_is_read_in_blocks_and_closed(path: Path) -> None:
    """As PEP 3333 describes it."""
    file = path.open("rb")
    wrapper = FileWrapper(file, 4)

    assert list(wrapper) == [b"0123", b"4567", b"89"]
    wrapper.close()
    assert file.closed
    assert not hasattr(FileWrapper(iter([])), "close")


def test_an_answer_has_the_part_of_the_file_that_was_promised(path: Path) -> None:
    """All of it when nothing was; more there is not."""
    with path.open("rb") as file:
        region = FileWrapper(file).region()
        assert region is not None
        whole = file_answer(head_of("200 OK", []), region)
        part = file_answer(head_of("200 OK", [("Content-Length", "4")]), region)
        with pytest.raises(LocalProtocolError, match="10 bytes"):
            file_answer(head_of("200 OK", [("Content-Length", "11")]), region)

    assert (whole.length, part.length) == (10, 4)
    assert isinstance(part.source, FileSource)
    assert part.source.parts == (FileSpan(0, 4),)
    assert os.pread(part.source.fd, 4, 0) == b"0123"
