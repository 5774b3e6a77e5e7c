"""Bodies out of what callers have."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path
from typing import Any

import pytest

from rocket_sup.client.content import encode_content
from rocket_sup.client.errors import InvalidRequest
from rocket_sup.client.messages import Upload
from rocket_sup.http.forms import parse_form


async def collected(upload: Upload) -> bytes:
    """All pieces."""
    return b"".join([piece async for piece in upload.open()])


@pytest.mark.parametrize(
    ("options", "body", "kind"),
    [
        ({}, b"", ""), ({"content": b"a"}, b"a", ""),
        ({"content": "ü"}, b"\xc3\xbc", "text/plain; charset=utf-8"),
        ({"content": memoryview(b"a")}, b"a", ""),
        ({"json": None, "has_json": True}, b"null", "application/json"),
        ({"data": {"a": [1, True], "b": b"x y"}}, b"a=1&a=true&b=x+y", "application/x-www-form-urlencoded"),
        ({"data": [("a", "&"), ("a", "")]}, b"a=%26&a=", "application/x-www-form-urlencoded"),
    ],
)  # fmt: skip
def test_bytes_at_once(options: dict[str, Any], body: bytes, kind: str) -> None:
    """What fits in memory anyway is bytes, with its media type."""
    assert (body, kind) == encode_content(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"content": b"", "data": {}}, {"data": {}, "json": 1, "has_json": True}, {"data": "a=1"},
        {"content": 5},
        {"json": object(), "has_json": True}, {"files": {}, "content": b""},
    ],
)  # fmt: skip
def test_what_is_no_body(options: dict[str, Any]) -> None:
    """Two bodies at once, or nothing that could be one."""
    with pytest.raises(InvalidRequest):
        encode_content(**options)


def test_uploads_know_what_they_can(tmp_path: Path) -> None:
    """A file has a length and can be read again, also from its middle; a pipe has neither."""
    path = tmp_path / "a.html"
    path.write_bytes(b"abc")
    from_path, kind = encode_content(content=path)
    assert isinstance(from_path, Upload)
    assert (3, True, "text/html; charset=utf-8") == (from_path.length, from_path.is_replayable, kind)
    file = io.BytesIO(b"abc")
    file.seek(1)
    from_file, _ = encode_content(content=file)
    assert isinstance(from_file, Upload)
    assert (2, True) == (from_file.length, from_file.is_replayable)
    reading, writing = os.pipe()
    os.write(writing, b"abc")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        from_pipe, _ = encode_content(content=pipe)
        assert isinstance(from_pipe, Upload)
        assert (None, False) == (from_pipe.length, from_pipe.is_replayable)

        async def main() -> None:
            for _ in range(2):
                assert b"abc" == await collected(from_path)
                assert b"bc" == await collected(from_file)
            assert b"abc" == await collected(from_pipe)

        asyncio.run(main())


def test_iterables() -> None:
    """A list can be sent again, a generator cannot."""
    again, _ = encode_content(content=[b"a", b"b"])
    once, _ = encode_content(content=iter([b"a"]))
    assert isinstance(again, Upload)
    assert isinstance(once, Upload)

    assert (True, False) == (again.is_replayable, once.is_replayable)
    assert b"ab" == asyncio.run(collected(again)) == asyncio.run(collected(again))


def test_multipart(tmp_path: Path) -> None:
    """Fields and files; the length is that of what is sent; names cannot break out of their quotes."""
    path = tmp_path / "p.png"
    path.write_bytes(b"\x89")
    with path.open("rb") as handle:
        upload, kind = encode_content(
            data={'n"\r\n': ["1", b"\xc3\xbc"]},
            files={
                "a": path,
                "b": handle,
                "c": ("c.txt", "text"),
                "d": ("d", b"d", "x/y"),
                "e": io.BytesIO(b"e"),
            },
        )
        assert isinstance(upload, Upload)
        body = asyncio.run(collected(upload))

    form = parse_form(kind, body)

    assert len(body) == upload.length
    assert upload.is_replayable
    assert ["1", "ü"] == form.get_all('n"\r\n')
    found = {name: (file.filename, file.content_type, file.body) for name, file in form.files.items()}
    assert {
        "a": ("p.png", "image/png", b"\x89"),
        "b": ("p.png", "image/png", b"\x89"),
        "c": ("c.txt", "text/plain; charset=utf-8", b"text"),
        "d": ("d", "x/y", b"d"),
        "e": ("upload", "application/octet-stream", b"e"),
    } == found


def test_multipart_of_unknown_length() -> None:
    """One part of unknown length makes the whole unknown."""
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        upload, _ = encode_content(files={"a": ("a", pipe)})

    assert isinstance(upload, Upload)
    assert (None, False) == (upload.length, upload.is_replayable)
