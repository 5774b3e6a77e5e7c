"""Bodies of requests: from what a caller has to bytes, or to pieces of bytes, and their media type.

Forms are urlencoded, or multipart when there are files; files are read while they are sent. Specified in RFC
7578 and WHATWG HTML §4.10.21.8.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, cast

import orjson

from rocket_sup.client.errors import InvalidRequest
from rocket_sup.client.messages import Upload
from rocket_sup.http.mediatypes import media_type_of
from rocket_sup.http.query import format_query

Content = (
    bytes | bytearray | memoryview | str | Path | IO[bytes] | Iterable[bytes] | AsyncIterable[bytes] | Upload
)
FieldValue = str | bytes | int | float
Data = Mapping[str, FieldValue | Sequence[FieldValue]] | Iterable[tuple[str, FieldValue]]
FileContent = bytes | str | Path | IO[bytes]
FileEntry = FileContent | tuple[str, FileContent] | tuple[str, FileContent, str]
Files = Mapping[str, FileEntry] | Iterable[tuple[str, FileEntry]]

# One read of a file: large enough that the thread that reads it costs little beside the copying.
_PIECE: Final = 256 * 1024
_NEEDS_ESCAPE: Final = re.compile(r'[\r\n"]')
_ESCAPES: Final = {"\r": "%0D", "\n": "%0A", '"': "%22"}


def encode_content(
    *,
    content: Content | None = None,
    data: Data | None = None,
    files: Files | None = None,
    json: object = None,
    has_json: bool = False,
) -> tuple[bytes | Upload, str]:
    """Make a body of what a caller has; at most one of the three kinds.

    Args:
        has_json: whether `json` was given, as None is a document too.

    Returns: the body, and its media type or "".
    Raises:
        InvalidRequest: two kinds at once, or something no body can be made of.
    """
    if (content is not None) + (data is not None or files is not None) + has_json > 1:
        raise InvalidRequest("a request has one body: content, data with files, or json")
    if has_json:
        try:
            return orjson.dumps(json), "application/json"
        except TypeError as error:
            raise InvalidRequest(f"no JSON can be made of this: {error}") from None
    if files is not None:
        return _multipart(_entries(data) if data is not None else [], files)
    if data is not None:
        if isinstance(data, str | bytes):
            raise InvalidRequest("data is a form: a mapping or pairs; bytes and text are content")
        pairs = [(name, _text(value)) for name, value in _entries(data)]
        return format_query(pairs).encode("ascii"), "application/x-www-form-urlencoded"
    return _plain(content) if content is not None else (b"", "")


def _plain(content: Content) -> tuple[bytes | Upload, str]:
    if isinstance(content, bytes | Upload):
        return content, ""
    if isinstance(content, str):
        return content.encode(), "text/plain; charset=utf-8"
    if isinstance(content, bytearray | memoryview):
        return bytes(content), ""
    if isinstance(content, Path):
        upload = _file_upload(content)
        return upload, media_type_of(content.name)
    if isinstance(content, AsyncIterable):
        pieces = content
        return Upload(lambda: aiter(pieces)), ""
    if hasattr(content, "read"):
        return _handle_upload(cast(IO[bytes], content)), ""
    if isinstance(content, Iterable):
        blocks = content
        return Upload(lambda: _from_iterable(blocks), is_replayable=isinstance(content, list | tuple)), ""
    raise InvalidRequest(f"no body can be made of {type(content).__name__}")


async def _from_iterable(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _file_upload(path: Path) -> Upload:
    return Upload(lambda: _read_path(path), length=path.stat().st_size, is_replayable=True)


async def _read_path(path: Path) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
    finally:
        file.close()


def _handle_upload(file: IO[bytes]) -> Upload:
    start = length = None
    try:
        start = file.tell()
        length = file.seek(0, os.SEEK_END) - start
        file.seek(start)
    except (OSError, ValueError, AttributeError):  # a pipe: read once, nobody knows how much
        start = length = None
    return Upload(lambda: _read_handle(file, start), length=length, is_replayable=start is not None)


async def _read_handle(file: IO[bytes], start: int | None) -> AsyncIterator[bytes]:
    if start is not None:
        file.seek(start)
    while piece := await asyncio.to_thread(file.read, _PIECE):
        yield piece


def _entries(data: Data) -> list[tuple[str, FieldValue]]:
    pairs: list[tuple[str, FieldValue]] = []
    for name, value in data.items() if isinstance(data, Mapping) else data:
        if isinstance(value, list | tuple):
            pairs += [(name, each) for each in value]
        else:
            pairs.append((name, cast(FieldValue, value)))
    return pairs


def _text(value: FieldValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.decode() if isinstance(value, bytes) else str(value)


def _multipart(fields: list[tuple[str, FieldValue]], files: Files) -> tuple[Upload, str]:
    boundary = secrets.token_hex(16)
    parts: list[bytes | Upload] = []
    for name, value in fields:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_escaped(name)}"\r\n\r\n'
        parts += [head.encode() + (value if isinstance(value, bytes) else _text(value).encode()) + b"\r\n"]
    for name, entry in files.items() if isinstance(files, Mapping) else files:
        filename, content, kind = _file(entry)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_escaped(name)}";'
            f' filename="{_escaped(filename)}"\r\nContent-Type: {_escaped(kind)}\r\n\r\n'
        )
        parts += [head.encode(), content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    lengths = [part.length if isinstance(part, Upload) else len(part) for part in parts]
    known = [length for length in lengths if length is not None]
    upload = Upload(
        lambda: _pieces(parts),
        length=sum(known) if len(known) == len(lengths) else None,
        is_replayable=all(part.is_replayable for part in parts if isinstance(part, Upload)),
    )
    return upload, f"multipart/form-data; boundary={boundary}"


async def _pieces(parts: list[bytes | Upload]) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, Upload):
            async for piece in part.open():
                yield piece
        else:
            yield part


def _file(entry: FileEntry) -> tuple[str, bytes | Upload, str]:
    """The name, content and media type of a file of a form."""
    if isinstance(entry, tuple):
        content = _file_content(entry[1])
        return entry[0], content, entry[2] if len(entry) == 3 else media_type_of(entry[0])
    name = entry.name if isinstance(entry, Path) else os.path.basename(str(getattr(entry, "name", "upload")))
    return name, _file_content(entry), media_type_of(name)


def _file_content(content: FileContent) -> bytes | Upload:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    return _file_upload(content) if isinstance(content, Path) else _handle_upload(content)


def _escaped(text: str) -> str:
    """Escape what would end a quoted name, as browsers do (WHATWG HTML §4.10.21.8)."""
    return _NEEDS_ESCAPE.sub(lambda found: _ESCAPES[found[0]], text)
