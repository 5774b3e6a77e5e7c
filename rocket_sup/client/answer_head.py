"""The head of an HTTP/1.1 answer: matched whole against the grammar, and where its content ends.

Strict where leniency would let two readers disagree: no bare LF, no folded lines, no two lengths, no length
beside chunks. Nothing here talks to a socket. Specified in RFC 9112 §4, §5, §6.3.
"""

from __future__ import annotations

import enum
import re
from typing import Final

from rocket_sup.client.errors import ProtocolError
from rocket_sup.http.grammar import FIELD_LINE

# status-line = HTTP-version SP status-code SP [ reason-phrase ]. The blank after the code is left out by so
# many that nobody refuses it. Groups: minor version, status, reason, block of field lines.   RFC 9112 §4
# The block is not possessive: Python 3.11.2 gives up too early on such groups (gh-106052).
_HEAD: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*+))?((?:\r\n" + FIELD_LINE + rb")*)\r\n\r\n"
)
_DECISIVE: Final = re.compile(
    rb"\r\n(?:[Cc](?i:on(?:tent-(?:length|encoding)|nection))|[Tt](?i:ransfer-encoding)):[^\r]*+"
)
_LENGTHS: Final = re.compile(rb"([0-9]{1,18})(?:[\t ]*,[\t ]*\1)*")


class Ending(enum.Enum):
    """What ends the content of an answer."""

    NONE = "there is no content"
    LENGTH = "Content-Length"
    CHUNKED = "the last chunk"
    CLOSE = "the end of the connection"
    NEVER = "it is no content: from here on another protocol is spoken"


class AnswerHead:
    """One head, understood.

    Attributes:
        status: the number.
        reason: text of Latin-1.
        version: "HTTP/1.1" or "HTTP/1.0".
        block: field lines, each preceded by CRLF.
        ending: what ends the content.
        length: bytes of content where `ending` is LENGTH.
        coding: the value of Content-Encoding in lower case, or "".
        keeps: whether the server keeps the connection.
    """

    __slots__ = ("block", "coding", "ending", "keeps", "length", "reason", "status", "version")

    def __init__(self, data: bytes | bytearray, method: str, max_fields: int) -> None:
        """Understand a head.

        Args:
            data: it, with its final blank line and nothing behind.
            method: of the request.
            max_fields: more lines than this are refused.

        Raises:
            ProtocolError: it is none, or its fields contradict each other.
        """
        match = _HEAD.fullmatch(data)
        if match is None:
            raise ProtocolError(_what_is_wrong(data))
        minor, status, reason, block = match.groups()
        if block.count(b"\r\n") > max_fields:
            raise ProtocolError(f"the head has more than {max_fields} fields")
        self.status: Final = int(status)
        self.reason: Final = reason.decode("latin-1") if reason else ""
        self.block: Final = bytes(block)
        self.version: Final = "HTTP/1.1" if minor == b"1" else "HTTP/1.0"
        self.keeps = minor == b"1"
        self.length = 0
        self.coding = ""
        lengths = codings = b""
        for line in _DECISIVE.findall(block):
            name, _, value = line.partition(b":")
            value = value.strip(b" \t")
            size = len(name)
            if size == 16:  # CR LF content-length
                lengths = value if not lengths else lengths + b"," + value
                if not value:
                    lengths = b"-"
            elif size == 12:  # CR LF connection
                self._on_connection(value)
            elif name[2:3] in b"Tt":
                codings = value if not codings else codings + b"," + value
                if not value:
                    codings = b"-"
            else:
                text = value.decode("latin-1").lower()
                self.coding = f"{self.coding}, {text}" if self.coding else text
        self.ending: Final = self._ending(method, lengths, codings)
        if self.ending is Ending.CLOSE:
            self.keeps = False

    def _on_connection(self, value: bytes) -> None:
        options = [option.strip() for option in value.lower().split(b",")]
        if b"close" in options:
            self.keeps = False
        elif b"keep-alive" in options and self.version == "HTTP/1.0":
            self.keeps = True

    def _ending(self, method: str, lengths: bytes, codings: bytes) -> Ending:
        """Decide by the rules of RFC 9112 §6.3, in their order; a length is checked in any case."""
        status = self.status
        if lengths:
            match = _LENGTHS.fullmatch(lengths)
            if match is None:
                raise ProtocolError(
                    f"Content-Length is {lengths.decode('latin-1')!r}, must be one number (RFC 9112 §6.3)"
                )
            self.length = int(match[1])
        if status == 101 or (method == "CONNECT" and 200 <= status < 300):
            return Ending.NEVER
        if method == "HEAD" or status < 200 or status == 204 or status == 304:
            return Ending.NONE
        if codings:
            self._refuse_doubtful_coding(codings, lengths)
            return Ending.CHUNKED
        return Ending.LENGTH if lengths else Ending.CLOSE

    def _refuse_doubtful_coding(self, codings: bytes, lengths: bytes) -> None:
        if lengths:
            raise ProtocolError("content-length and transfer-encoding together (RFC 9112 §6.3)")
        if self.version == "HTTP/1.0":
            raise ProtocolError("transfer-encoding in HTTP/1.0 (RFC 9112 §6.1)")
        if codings.lower() != b"chunked":
            raise ProtocolError(
                f"Transfer-Encoding is {codings.decode('latin-1')!r}, must be chunked (RFC 9112 §6.1)"
            )


def _what_is_wrong(data: bytes | bytearray) -> str:
    line = bytes(data[: data.find(b"\r\n")][:80])
    if re.fullmatch(rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [\t\x20-\x7e\x80-\xff]*)?", line) or len(line) == 80:
        return "a line of the head is not a field line (RFC 9112 §5)"
    return f"{line.decode('latin-1')!r} is no status line of HTTP/1 (RFC 9112 §4)"
