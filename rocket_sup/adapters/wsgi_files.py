"""`wsgi.file_wrapper`: a file that an application answers with, sent by the kernel if it can be.

Only files whose bytes are surely those of their descriptor are sent so: a `GzipFile` has a descriptor, too,
and reads something else. Everything else is read block by block, as any iterable.

Specified in PEP 3333, "Optional Platform-Specific File Handling".
"""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from rocket_sup.adapters.wsgi_response import Head, bare_answer, too_little
from rocket_sup.http.semantics import has_content
from rocket_sup.response import Answer
from rocket_sup.sources import FileSource

BLOCK_BYTES: Final = 65536  # of a file that is read; PEP 3333 leaves it to us when the application says none


@dataclass(frozen=True, slots=True)
class Region:
    """A part of an open regular file.

    Attributes:
        fd: belongs to the file's object.
        offset, count: bytes.
    """

    fd: int
    offset: int
    count: int


class FileWrapper:
    """See PEP 3333."""

    def __init__(self, filelike: Any, block_size: int = BLOCK_BYTES) -> None:  # whatever has a `read`
        self._file = filelike
        self._block_bytes = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block: bytes = self._file.read(self._block_bytes)
        if not block:
            raise StopIteration
        return block

    def region(self) -> Region | None:
        """Say which part of which file is left to be read; None when only reading tells."""
        file = self._file
        if isinstance(file, tempfile._TemporaryFileWrapper):
            file = file.file
        if type(file) not in (
            io.FileIO,
            io.BufferedReader,
            io.BufferedRandom,
        ):  # a subclass may read anything
            return None
        if type(getattr(file, "raw", file)) is not io.FileIO:
            return None
        try:
            described = os.fstat(file.fileno())
            offset = file.tell()
        except (OSError, ValueError):  # a pipe; or closed, which reading will say better
            return None
        if not stat.S_ISREG(described.st_mode):
            return None
        return Region(file.fileno(), offset, max(0, described.st_size - offset))


def file_answer(head: Head, region: Region) -> Answer:
    """Make an answer of a part of a file, which its owner may close.

    Raises:
        LocalProtocolError: Content-Length promised more than there is.
    """
    if head.length > region.count and has_content(head.status):
        raise too_little(head, region.count)
    count = region.count if head.length < 0 else min(head.length, region.count)
    answer = bare_answer(head)
    answer.length = count
    answer.source = FileSource(os.dup(region.fd), region.offset, count)
    return answer
