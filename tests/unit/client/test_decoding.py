"""Content codings: every one comes back as it was, and no bomb goes off."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import brotli
import pytest
import zstandard

from rocket_sup.client.decoding import ACCEPT_ENCODING, decode
from rocket_sup.client.errors import DecodingError, DecompressionBomb
from rocket_sup.client.messages import Response


def raw_deflate(data: bytes) -> bytes:
    """deflate without the header that RFC 9110 asks for, as some servers send it."""
    return zlib.compress(data, wbits=-15)


CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.compress),
}
CONTENT = b"".join(b"line %d\n" % number for number in range(20000))


def coded(content: bytes, coding: str, *, size: int | None = None) -> Response:
    """A response as it comes from a connection, whole or in pieces of a size."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), size or 1):
            yield content[start : start + (size or 1)]

    response = Response(200, content=content, stream=pieces() if size else None)
    response.extensions["coding"] = coding
    return response


async def read(response: Response, most: int = 10**9) -> bytes:
    """Decode and read."""
    decode(response, most)
    return await response.aread()


@pytest.mark.parametrize("name", CODINGS)
@pytest.mark.parametrize("size", [None, 1, 1000])
def test_there_and_back(name: str, size: int | None) -> None:
    """Whole and in pieces, nothing and much."""
    coding, encode = CODINGS[name]
    content = CONTENT[: 2000 if size == 1 else None]

    assert content == asyncio.run(read(coded(encode(content), coding, size=size)))
    assert b"" == asyncio.run(read(coded(encode(b""), coding, size=size)))
    assert b"" == asyncio.run(read(coded(b"", coding, size=size)))


@pytest.mark.parametrize("name", CODINGS)
@pytest.mark.parametrize("size", [None, 1000])
def test_what_is_broken_or_cut_short(name: str, size: int | None) -> None:
    """It is an error, not a part of the content."""
    coding, encode = CODINGS[name]
    whole = encode(CONTENT)

    for broken in (whole[:-5], b"this is no compressed content at all", whole[:20]):
        with pytest.raises(DecodingError):
            asyncio.run(read(coded(broken, coding, size=size)))


@pytest.mark.parametrize("name", CODINGS)
@pytest.mark.parametrize("size", [None, 65536])
def test_a_bomb(name: str, size: int | None) -> None:
    """A gigabyte of nothing stops at the limit, in little memory."""
    coding, encode = CODINGS[name]
    bomb = encode(bytes(200_000_000)) if name != "br" else brotli.compress(bytes(200_000_000), quality=1)
    most = 10_000_000
    tracemalloc.start()
    try:
        with pytest.raises(DecompressionBomb):
            asyncio.run(read(coded(bomb, coding, size=size), most))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 4 * most


def test_one_on_top_of_the_other() -> None:
    """The last one is taken off first; too many are an attack; unknown ones stay on."""
    twice = zlib.compress(gzip.compress(CONTENT))
    many = coded(b"x", ", ".join(["gzip"] * 4))
    unknown = coded(b"x", "gzip, secret")

    assert CONTENT == asyncio.run(read(coded(twice, "gzip, deflate")))
    assert b"x" == asyncio.run(read(unknown))
    assert b"x" == asyncio.run(read(coded(b"x", "identity")))
    with pytest.raises(DecodingError, match="4 content codings"):
        decode(many, 100)


def test_members_and_padding() -> None:
    """gzip may have several members, and zeros behind the last."""
    assert b"ab" == asyncio.run(read(coded(gzip.compress(b"a") + gzip.compress(b"b") + bytes(9), "gzip")))
    with pytest.raises(DecodingError):
        asyncio.run(read(coded(gzip.compress(b"a") + b"junk", "gzip")))


def test_the_connection_is_closed_when_the_reader_leaves() -> None:
    """A decoded stream passes on that nobody wants the rest."""
    closed: list[Any] = []

    class Pieces:
        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            return gzip.compress(b"a")

        async def aclose(self) -> None:
            closed.append(self)

    async def run() -> None:
        response = Response(200, stream=Pieces())
        response.extensions["coding"] = "gzip"
        decode(response, 100)
        async for _ in response.aiter_bytes():
            break
        await response.aclose()
        assert response.stream is None
        untouched = Response(200, stream=Pieces())
        untouched.extensions["coding"] = "gzip"
        decode(untouched, 100)
        await untouched.aclose()

    asyncio.run(run())
    assert 2 == len({id(stream) for stream in closed})


def test_what_is_asked_for() -> None:
    """All that can be decoded."""
    assert {"gzip", "deflate", "br", "zstd"} == set(ACCEPT_ENCODING.split(", "))
