"""Header fields of an ASGI application: judged as one block, and remembered.

An application sends the same few header sections again and again: what became of them is looked up. A section
that was not seen before is joined to the lines that go onto the wire, matched against the grammar, and
searched for the fields that belong to the connection. Nobody splits an answer through a value: a block has to
be as many lines as there were pairs.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import Final

from rocket_sup.errors import LocalProtocolError
from rocket_sup.http.grammar import FIELD_LINE

# What applications send is mostly the same; a session cookie or an entity tag is new each time, and would
# drive out what is worth remembering if there were no end to it.
_REMEMBERED: Final = 512
_REMEMBERED_BYTES: Final = 1024

_BLOCK: Final = re.compile(rb"(?:" + FIELD_LINE + rb"\r\n)*+")
# These are the connection's, or tell it something; they are taken out of the block, but for Date.
_DECISIVE: Final = re.compile(
    rb"(?im:^(content-length|transfer-encoding|connection|keep-alive|upgrade|date):[\t ]*+([^\r]*+)\r\n)"
)
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")


class Fields:
    """A header section that may be sent.

    Attributes:
        lines: field lines, each with its CRLF, without those that belong to the connection.
        length: Content-Length; -1 if the application gave none.
        closes: the application wants the connection closed.
        has_date: `lines` has a Date.
        is_plain: none of the last three says anything.
    """

    __slots__ = ("closes", "has_date", "is_plain", "length", "lines")

    def __init__(self, block: bytes, count: int) -> None:
        """Judge a block of lines.

        Raises:
            LocalProtocolError: it cannot go onto the wire, or contradicts itself.
        """
        if _BLOCK.fullmatch(block) is None or block.count(b"\r\n") != count:
            raise LocalProtocolError(
                f"the header fields {block!r} are not {count} lines of a name that is a token and a value"
                " without controls (RFC 9110 §5.5)"
            )
        self.lines = block
        self.length = -1
        self.closes = False
        self.has_date = False
        for match in _DECISIVE.finditer(block):
            self._take(match[1].lower(), match[2].rstrip(b"\t "))
        if self.length >= 0 or _DECISIVE.search(block) is not None:
            self.lines = _DECISIVE.sub(_keep_date, block)
        self.is_plain = self.length < 0 and not self.closes and not self.has_date

    def with_length(self, length: int) -> Fields:
        """Give the same section with a Content-Length."""
        fields = copy.copy(self)
        fields.length = length
        fields.is_plain = False
        return fields

    def _take(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            if _LENGTH.fullmatch(value) is None or self.length not in (-1, int(value)):
                raise LocalProtocolError(f"content-length {value!r} (RFC 9110 §8.6)")
            self.length = int(value)
        elif name == b"connection":
            self.closes = self.closes or b"close" in [each.strip() for each in value.lower().split(b",")]
        elif name == b"date":
            self.has_date = True


def _keep_date(match: re.Match[bytes]) -> bytes:
    return match[0] if match[1].lower() == b"date" else b""


_known: dict[tuple[tuple[bytes, bytes], ...], Fields] = {}


def judge(headers: Iterable[tuple[bytes, bytes]]) -> Fields:
    """Give what the pairs of an application are on the wire.

    Args:
        headers: pairs of bytes; iterables of two will do.

    Raises:
        LocalProtocolError: they are no pairs of bytes, or cannot be sent.
    """
    try:
        pairs = tuple(headers)
        try:
            fields = _known.get(pairs)
        except TypeError:  # lists, which the specification allows
            pairs = tuple([(name, value) for name, value in pairs])
            fields = _known.get(pairs)
        if fields is None:
            block = b"".join([b"%b: %b\r\n" % (name, value) for name, value in pairs])
    except (TypeError, ValueError) as error:
        raise LocalProtocolError(f"headers {headers!r} are not pairs of bytes: {error}") from None
    if fields is None:
        fields = Fields(block, len(pairs))
        if len(block) <= _REMEMBERED_BYTES:
            if len(_known) >= _REMEMBERED:
                _known.clear()
            _known[pairs] = fields
    return fields
