"""A second opinion on where a message with content ends: llhttp, the parser Node.js runs.

Request smuggling lives on two parsers that disagree about one message. Our own grammar decides; this module
shows every message that has content to llhttp as well, and a message on which the two disagree is refused
instead of served. llhttp alone would not do: it knows no custom methods, reports no limits, and its binding
cannot say at which byte a pipelined message ended. Heads without content have no framing to disagree about
and never come here.

Where llhttp is stricter than the RFC (blanks in chunk extensions, framing fields among trailers) it refuses
to go on; that is no disagreement about an end, and our grammar stands alone for that message.

llhttp is given a request line of its own (methods and targets are not its question), and no `Upgrade`,
which it would take for the end of HTTP on this connection.
"""

from __future__ import annotations

import re
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

_UPGRADE: Final = re.compile(rb"(?i:\r\nupgrade):")


class Witness:
    """Follows one message at a time; a head begins the next."""

    __slots__ = ("_abstains", "_completed", "_parser")

    def __init__(self) -> None:
        self._completed = 0  # messages that ended, in llhttp's opinion
        self._abstains = False  # it refused this message
        self._parser = self._make_parser()

    def on_message_complete(self) -> None:
        """Called by llhttp."""
        self._completed += 1

    def agrees_on_whole(self, version: str, fields: bytes, content: bytes | bytearray) -> bool:
        """Show a whole message with Content-Length; does llhttp find its end exactly after the content?"""
        return self.agrees_on_head(version, fields) and self.agrees_on_piece(content, is_last=True)

    def agrees_on_head(self, version: str, fields: bytes) -> bool:
        """Show a head that announces content; say whether llhttp expects content as well."""
        if b"pgrade" in fields or b"PGRADE" in fields:
            fields = _UPGRADE.sub(b"\r\nx-upgrade:", fields)
        self._completed = 0
        self._abstains = False
        # A new one each time: after `Connection: close` llhttp would take every further message for bytes
        # too many.
        self._parser = self._make_parser()
        return self._feed(b"POST / HTTP/%b%b\r\n\r\n" % (version.encode("ascii"), fields), expected=0)

    def agrees_on_piece(self, data: bytes | bytearray | memoryview, *, is_last: bool) -> bool:
        """Show bytes after the head; does llhttp find the end of the message exactly where we do?"""
        return self._feed(data, expected=1 if is_last else 0)

    def _feed(self, data: bytes | bytearray | memoryview, *, expected: int) -> bool:
        if self._abstains:
            return True
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._abstains = True
            return self._completed == 0
        return self._completed == expected

    def _make_parser(self) -> HttpRequestParser:
        parser = HttpRequestParser(self)
        # The grammar allows blanks before ";" (RFC 9112 §7.1.1).
        parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
        return parser
