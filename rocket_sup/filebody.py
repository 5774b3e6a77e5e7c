"""The content of an answer that is a file, or parts of one.

Small files are read: from some size on it is cheaper that the kernel sends them, and then an answer keeps the
file open until it was sent. Which parts are sent was decided by `http/selection.py`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rocket_sup.http.mediatypes import media_type_of
from rocket_sup.http.ranges import Span
from rocket_sup.http.selection import Ask, Representation, select
from rocket_sup.http.semantics import http_date
from rocket_sup.http.validators import Validators
from rocket_sup.rootdir import File, open_file
from rocket_sup.sources import FileSource, FileSpan

# Larger files are sent by the kernel: from here on a copy costs more than the calls that avoid it.
MAX_WHOLE: Final = 64 * 1024
# Clocks of file systems tick every few milliseconds, and a file may change twice within one tick: before it
# has been left alone for so long, an equal time proves nothing.
SETTLED_S: Final = 0.05


def representation_of(file: File, media_type: str, *, wall_s: float) -> Representation:
    """Say what an open file is to a client.

    The entity tag is strong once the file is left alone: its states differ in it even within one second. It
    is a digest, since an inode's number is nobody's business. A date in the future is not sent (RFC 9110
    §8.8.2.1).

    Args:
        wall_s: seconds since the epoch.
    """
    found = file.stat
    state = f"{found.st_ino} {found.st_size} {found.st_mtime_ns}".encode("ascii")
    modified_s = found.st_mtime_ns // 10**9
    weak = "W/" if wall_s - found.st_mtime < SETTLED_S else ""
    etag = f'{weak}"{hashlib.blake2b(state, digest_size=9).hexdigest()}"'
    validators = Validators(etag, modified_s if modified_s <= wall_s else None)
    return Representation(found.st_size, media_type, validators)


def cut(content: bytes, parts: Sequence[bytes | Span]) -> bytes:
    """Put together what is sent of content that is in memory."""
    if len(parts) == 1 and parts[0] == Span(0, len(content)):
        return content
    return b"".join(part if isinstance(part, bytes) else content[part.offset : part.end] for part in parts)


Parts = tuple[bytes | FileSpan, ...]


def sendable(parts: Sequence[bytes | Span]) -> Parts:
    """Write the parts as a source has them."""
    return tuple(part if isinstance(part, bytes) else FileSpan(part.offset, part.count) for part in parts)


class SharedSource(FileSource):
    """Parts of a file that other answers may be sending too; the last one closes it."""

    __slots__ = ("_file",)

    def __init__(self, file: File, parts: Parts, length: int) -> None:
        self.fd = file.fd
        self.parts = parts
        self.length = length
        self._file: File | None = file

    def close(self) -> None:
        """Have nothing to do with the file any more."""
        self.fd = -1
        self._file = None


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """What a file answers, as `Response.file` needs it.

    Attributes:
        fields: names and values, Content-Type among them when there is content.
        body: None for none.
    """

    status: int
    fields: list[tuple[str, str]]
    body: bytes | str | FileSource | None


def file_answer(path: str | os.PathLike[str], ask: Ask, *, media_type: str | None) -> FileAnswer:
    """Open a file and select what of it answers a request.

    Args:
        path: is trusted.
        ask: what the request says about conditions and parts.
        media_type: by the end of the name when None.

    Raises:
        OSError: there is no such file, it may not be read, or it is no regular file.
    """
    file = open_file(path)
    kind = media_type_of(os.fspath(path)) if media_type is None else media_type
    there = representation_of(file, kind, wall_s=time.time())
    selection = select(ask, there, make_boundary)
    validators = there.validators
    fields = [("ETag", validators.etag)]
    if selection.status == 412:
        return FileAnswer(412, [], "the file is not what the request expects (RFC 9110 §13.1)\n")
    if selection.status == 416:
        text = "the file has no such part (RFC 9110 §14.2)\n"
        return FileAnswer(416, [("Content-Range", selection.content_range)], text)
    if selection.status == 304:
        return FileAnswer(304, fields, None)
    fields.append(("Accept-Ranges", "bytes"))
    if validators.modified_s is not None:
        fields.append(("Last-Modified", http_date(validators.modified_s)))
    if selection.media_type:
        fields.append(("Content-Type", selection.media_type))
    if selection.content_range:
        fields.append(("Content-Range", selection.content_range))
    if there.size > MAX_WHOLE:
        source = SharedSource(file, sendable(selection.parts), selection.length)
        return FileAnswer(selection.status, fields, source)
    content = file.read(there.size)
    file.close()
    if len(content) < there.size:
        raise OSError(errno.EIO, "the file became shorter while it was read", os.fspath(path))
    return FileAnswer(selection.status, fields, cut(content, selection.parts))


def make_boundary() -> str:
    """Give a text that nobody has put into a file: 128 random bits."""
    return secrets.token_hex(16)
