"""Content codings: gzip and deflate always, br and zstd where their libraries are installed.

Compressed content is decompressed piece by piece, no piece larger than a mebibyte whatever the sender made of
it, and the sum is bounded: a few kilobytes can claim to be gigabytes. Specified in RFC 9110 §8.4.1, RFC 1950
to 1952, RFC 7932, RFC 8878.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Protocol

from rocket_sup.client.errors import DecodingError, DecompressionBomb
from rocket_sup.client.messages import Response

_PIECE: Final = 1024 * 1024
_MOST_CODINGS: Final = 3  # one on top of the other; more is no server, but an attack


class Decoder(Protocol):
    """Takes pieces of coded content, gives pieces of what it was."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take a piece. Raises: DecodingError."""
        ...

    def end(self) -> None:
        """No more comes. Raises: DecodingError: more should have."""
        ...


class _Zlib:
    """gzip, several members as well, and deflate with the zlib header or, as some send it, without."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_begun = False
        self._wbits = 31 if name == "gzip" else 15
        self._inflate = zlib.decompressobj(self._wbits)

    def feed(self, data: bytes) -> Iterator[bytes]:
        if not data:
            return
        if not self._is_begun and self._name == "deflate" and not _has_zlib_header(data):
            self._wbits = -15
            self._inflate = zlib.decompressobj(self._wbits)
        self._is_begun = True
        while data:
            if self._inflate.eof:
                if self._name != "gzip" or not data.strip(b"\0"):
                    return  # padding after the end; nothing that counts
                self._inflate = zlib.decompressobj(self._wbits)
            try:
                piece = self._inflate.decompress(data, _PIECE)
            except zlib.error as error:
                raise DecodingError(f"the content is not {self._name}: {error}") from None
            data = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            if piece:
                yield piece
            elif data and not self._inflate.eof:
                raise DecodingError(f"the content is not {self._name}")

    def end(self) -> None:
        if self._is_begun and not self._inflate.eof:
            raise DecodingError(f"the {self._name} content is cut short")


class _Brotli:
    """br, by the library Brotli."""

    def __init__(self) -> None:
        self._library: Any = import_module("brotli")  # Any: it has no types
        self._decompressor = self._library.Decompressor()
        self._is_begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._is_begun |= bool(data)
        while data or not self._decompressor.can_accept_more_data():
            try:
                piece = self._decompressor.process(data, output_buffer_limit=_PIECE)
            except self._library.error as error:
                raise DecodingError(f"the content is not br: {error}") from None
            data = b""
            if piece:
                yield piece
            elif self._decompressor.is_finished() or self._decompressor.can_accept_more_data():
                return

    def end(self) -> None:
        if self._is_begun and not self._decompressor.is_finished():
            raise DecodingError("the br content is cut short")


class _Zstd:
    """zstd, by the library zstandard."""

    def __init__(self) -> None:
        self._library: Any = import_module("zstandard")  # Any: not every installation has it
        # The window that every decoder of the web must support, and no more (RFC 8878 §3.1.1.1.2).
        self._decompressor = self._library.ZstdDecompressor(max_window_size=8 * 1024 * 1024)
        self._frame = self._decompressor.decompressobj(write_size=_PIECE)
        self._is_begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._is_begun |= bool(data)
        # One small piece of input cannot become more than its blocks of 128 KiB say.
        for start in range(0, len(data), 1024):
            part = data[start : start + 1024]
            while part:
                if self._frame.eof:
                    self._frame = self._decompressor.decompressobj(write_size=_PIECE)
                try:
                    piece = self._frame.decompress(part)
                except self._library.ZstdError as error:
                    raise DecodingError(f"the content is not zstd: {error}") from None
                part = self._frame.unused_data if self._frame.eof else b""
                if piece:
                    yield piece

    def end(self) -> None:
        if self._is_begun and not self._frame.eof:
            raise DecodingError("the zstd content is cut short")


_DECODERS: Final[dict[str, Callable[[], Decoder]]] = {
    "gzip": lambda: _Zlib("gzip"),
    "x-gzip": lambda: _Zlib("gzip"),
    "deflate": lambda: _Zlib("deflate"),
}
if find_spec("brotli") is not None:
    _DECODERS["br"] = _Brotli
if find_spec("zstandard") is not None:
    _DECODERS["zstd"] = _Zstd

ACCEPT_ENCODING: Final = ", ".join(name for name in _DECODERS if name != "x-gzip")


def decode(response: Response, max_decoded: int) -> None:
    """Take the content codings off a response, whole or streamed; unknown ones are left on.

    Raises:
        DecodingError: whole content is not what it says it is. A stream raises it when it is read.
        DecompressionBomb: it is larger than `max_decoded` bytes.
    """
    codings = [coding.strip() for coding in response.extensions.pop("coding", "").split(",")]
    codings = [coding for coding in codings if coding not in ("", "identity")]
    if not codings or any(coding not in _DECODERS for coding in codings):
        return
    if len(codings) > _MOST_CODINGS:
        raise DecodingError(f"{len(codings)} content codings on top of each other", request=response.request)
    decoders = [_DECODERS[coding]() for coding in reversed(codings)]
    chain = _Chain(decoders, max_decoded)
    try:
        if response.stream is not None:
            response.stream = _DecodedStream(response.stream, chain)
        elif response.content:
            response.content = b"".join(chain.feed(response.content))
            chain.end()
    except DecodingError as error:
        error.request = response.request
        raise


class _Chain:
    """Decoders one behind the other, and the sum of what comes out."""

    def __init__(self, decoders: list[Decoder], most: int) -> None:
        self._decoders = decoders
        self._most = most
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        for piece in self._through(data, 0):
            self._size += len(piece)
            if self._size > self._most:
                raise DecompressionBomb(f"decompressed, the content is larger than {self._most} bytes")
            yield piece

    def end(self) -> None:
        for decoder in self._decoders:
            decoder.end()

    def _through(self, data: bytes, place: int) -> Iterator[bytes]:
        if place == len(self._decoders):
            yield data
            return
        for piece in self._decoders[place].feed(data):
            yield from self._through(piece, place + 1)


class _DecodedStream:
    """A stream without its codings. No generator: closing one that never began would close nothing below."""

    def __init__(self, stream: AsyncIterator[bytes], chain: _Chain) -> None:
        self._stream = stream
        self._chain = chain
        self._ready: Iterator[bytes] = iter(())

    def __aiter__(self) -> _DecodedStream:
        return self

    async def __anext__(self) -> bytes:
        while True:
            for piece in self._ready:
                return piece
            try:
                data = await anext(self._stream)
            except StopAsyncIteration:
                self._chain.end()
                raise
            self._ready = self._chain.feed(data)

    async def aclose(self) -> None:
        """Nobody wants the rest."""
        close = getattr(self._stream, "aclose", None)
        if close is not None:
            await close()


def _has_zlib_header(data: bytes) -> bool:
    """Compression method 8 and a header that is a multiple of 31 (RFC 1950 §2.2)."""
    return data[0] & 0x0F == 8 and (len(data) < 2 or (data[0] << 8 | data[1]) % 31 == 0)
