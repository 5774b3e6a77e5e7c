"""The content of an answer that is a file, or parts of one.

Small files are read: from some size on it is cheaper that the kernel sends them, and then an answer keeps the
file open until it was sent. Which parts are sent was decided by `http/selection.py`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final

from rocket_sup.http.ranges import Span
from rocket_sup.http.selection import Representation
from rocket_sup.http.validators import Validators
from rocket_sup.rootdir import File

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


def make_boundary() -> str:
    """Give a text that nobody has put into a file: 128 random bits."""
    return secrets.token_hex(16)
