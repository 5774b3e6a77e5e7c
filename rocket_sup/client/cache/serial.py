"""Records as bytes, for stores that keep bytes: a version, a checksum, what is known, the content.

Layout: `RSC` and one byte of version; CRC-32 of all that follows; length of the description; description as
JSON; content. Whatever is not exactly that, of another version, cut short, or written by somebody else, reads
as None, which is a miss: a store may hold anything.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib
from typing import Any, Final

import orjson

from rocket_sup.client.cache.stored import Catalogue, Moments, Record, Stored, Variant, stored_response

_MAGIC: Final = b"RSC\x01"  # the last byte is the version; another one is a miss
_HEAD: Final = struct.Struct(">4sII")  # magic, checksum, length of the description


def encode(record: Record) -> bytes:
    """Write a record.

    Raises:
        ValueError: it has text that is not UTF-8, as a field value with a lone surrogate has.
    """
    content = b""
    if isinstance(record, Catalogue):
        known: object = {"variants": [dataclasses.astuple(each) for each in record.variants]}
    else:
        content = record.content
        known = {
            "status": record.status,
            "fields": record.fields,
            "method": record.method,
            "moments": [record.moments.asked, record.moments.received],
            "selecting": record.selecting,
            "shared": record.is_shared,
            "forced": record.is_forced,
            "lifetime": record.lifetime_s,
        }
    try:
        description = orjson.dumps(known)
    except TypeError as error:
        raise ValueError(str(error)) from None
    checksum = zlib.crc32(content, zlib.crc32(description))
    return b"".join((_HEAD.pack(_MAGIC, checksum, len(description)), description, content))


def decode(raw: bytes) -> Record | None:
    """Read a record; None for anything that `encode` of this version did not write."""
    if len(raw) < _HEAD.size:
        return None
    magic, checksum, length = _HEAD.unpack_from(raw)
    if magic != _MAGIC or len(raw) < _HEAD.size + length or checksum != zlib.crc32(raw[_HEAD.size :]):
        return None
    try:
        known = orjson.loads(raw[_HEAD.size : _HEAD.size + length])
        return _catalogue(known) if "variants" in known else _stored(known, raw[_HEAD.size + length :])
    except (ValueError, TypeError, KeyError):  # a right checksum over something else
        return None


def _catalogue(known: dict[str, Any]) -> Catalogue:
    return Catalogue(
        tuple(
            Variant(str(key), _selecting(selecting), str(etag), float(date_s), float(expires_s))
            for key, selecting, etag, date_s, expires_s in known["variants"]
        )
    )


def _stored(known: dict[str, Any], content: bytes) -> Stored:
    asked, received = known["moments"]
    read = stored_response(
        int(known["status"]),
        tuple((str(name), str(value)) for name, value in known["fields"]),
        content,
        method=str(known["method"]),
        moments=Moments(float(asked), float(received)),
        selecting=_selecting(known["selecting"]),
        is_shared=bool(known["shared"]),
        is_forced=bool(known["forced"]),
    )
    # The lifetime of before: another process may guess otherwise.
    lifetime_s = float(known["lifetime"])
    fresh_s = lifetime_s - read.initial_age_s if read.is_plain else 0.0
    return dataclasses.replace(read, lifetime_s=lifetime_s, fresh_s=fresh_s)


def _selecting(pairs: list[list[Any]]) -> tuple[tuple[str, str | None], ...]:
    return tuple((str(name), None if value is None else str(value)) for name, value in pairs)
