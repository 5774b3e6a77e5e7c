"""Read HTTP/1.1 answers: a machine that takes received bytes and gives heads and pieces of content.

Heads are matched by our own grammar (`answer_head.py`); chunks are cut by llhttp, in C, which is shown a head
of our own, so that it decides about nothing else. What comes after an answer is excess: nothing was asked.

Every loop over what a server sends is bounded: heads by bytes and fields, informational answers and trailers
with them, chunk framing by the bytes it may take without content. Specified in RFC 9112 §4 to §8.
"""

from __future__ import annotations

import enum
from typing import Final

from httptools import HttpParserError, HttpResponseParser

from rocket_sup.client.answer_head import AnswerHead, Ending
from rocket_sup.client.errors import BodyTooLarge, Disconnected, IncompleteBody, ProtocolError
from rocket_sup.client.settings import Limits
from rocket_sup.http.headers import Headers

_CHUNKED_HEAD: Final = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"


class Reading(enum.Enum):
    """What comes next."""

    NOTHING = "nothing was asked"
    HEAD = "the head of an answer"
    CONTENT = "its content"
    TUNNEL = "another protocol"
    DONE = "nothing: the answer is complete"


_HEAD: Final = Reading.HEAD
_CONTENT: Final = Reading.CONTENT


class AnswerReader:
    """Follows the answers of one connection, one at a time.

    Attributes:
        state: what comes next.
        head: of the answer, once it is there; informational ones are left out.
        pieces: content that was not taken yet.
        trailers: fields after the content.
        has_continue: 100 came (RFC 9110 §10.1.1).
        has_excess: more came than belongs to the answer; the connection is of no further use.
        has_begun: any byte of an answer came.
    """

    __slots__ = (
        "_bytes_without_content",
        "_head_bytes",
        "_held",
        "_limits",
        "_max_body",
        "_method",
        "_needed",
        "_parser",
        "_size",
        "_trailer_pairs",
        "has_begun",
        "has_continue",
        "has_excess",
        "head",
        "pieces",
        "state",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = bytearray()  # the beginning of a head
        self._head_bytes = 0  # of heads of this answer, informational ones included
        self._method = ""
        self._max_body: int | None = None
        self._needed = 0  # bytes of content to come, where there is a length
        self._size = 0  # bytes of content so far
        self._parser: HttpResponseParser | None = None
        self._bytes_without_content = 0
        self._trailer_pairs: list[tuple[str, str]] = []
        self.state = Reading.NOTHING
        self.head: AnswerHead | None = None
        self.pieces: list[bytes] = []
        self.has_continue = False
        self.has_excess = False
        self.has_begun = False

    @property
    def trailers(self) -> Headers | None:
        """Fields after the content; None when there were none."""
        return Headers(self._trailer_pairs) if self._trailer_pairs else None

    def expect(self, method: str, max_body: int | None) -> None:
        """An answer to this method comes next.

        Args:
            method: of the request.
            max_body: bytes of content that are allowed; None is any number.

        State: NOTHING or DONE → HEAD
        """
        self._method = method
        self._max_body = max_body
        self._head_bytes = 0
        self._size = 0
        self.state = _HEAD
        self.head = None
        self.pieces = []
        self.has_continue = False
        self.has_begun = False
        if self._trailer_pairs:
            self._trailer_pairs = []

    def feed(self, data: bytes) -> None:
        """Take received bytes.

        Raises:
            ProtocolError: the server broke the rules.
            BodyTooLarge: there is more content than allowed.
        State: any → any but NOTHING
        """
        if self.state is _CONTENT:
            self._on_content(data)
        elif self.state is _HEAD:
            self.has_begun = True
            self._on_head(data)
        elif self.state is Reading.TUNNEL:
            self.pieces.append(data)
        else:
            self.has_excess = True

    def end(self) -> None:
        """The server sends no more.

        Raises:
            IncompleteBody, ProtocolError: it should have.
            Disconnected: there was no byte of an answer.
        State: CONTENT, TUNNEL → DONE
        """
        if self.state is _HEAD:
            if not self.has_begun:
                raise Disconnected("the server closed the connection without an answer", was_idle=False)
            raise ProtocolError("the connection ended inside the head of the answer (RFC 9112 §8)")
        head = self.head
        if self.state is _CONTENT and head is not None and head.ending is not Ending.CLOSE:
            raise IncompleteBody(self._what_is_missing(head))
        if self.state is not Reading.NOTHING:
            self.state = Reading.DONE

    def take(self) -> bytes:
        """Return the content that came since the last time."""
        pieces = self.pieces
        if len(pieces) == 1:
            return pieces.pop()
        self.pieces = []
        return b"".join(pieces)

    def _on_head(self, data: bytes) -> None:
        while True:
            if self._held:
                searched = max(0, len(self._held) - 3)
                self._held += data
                end = self._held.find(b"\r\n\r\n", searched)
                whole: bytes | bytearray = self._held
            else:
                end = data.find(b"\r\n\r\n")
                whole = data
            taken = len(whole) if end < 0 else end + 4
            if self._head_bytes + taken > self._limits.max_head:
                raise ProtocolError(f"the head of the answer is larger than {self._limits.max_head} bytes")
            if end < 0:
                if whole is data:
                    self._held += data
                if len(self._held) >= 5 and not self._held.startswith(b"HTTP/"):
                    raise ProtocolError("what the server speaks is not HTTP/1 (RFC 9112 §4)")
                return
            self._head_bytes += taken
            head = AnswerHead(
                whole if taken == len(whole) else whole[:taken], self._method, self._limits.max_fields
            )
            rest = bytes(whole[taken:])
            if self._held:
                self._held = bytearray()
            if head.status >= 200 or head.status == 101:
                self._on_answer(head, rest)
                return
            self.has_continue |= head.status == 100
            if not rest:
                return
            data = rest

    def _on_answer(self, head: AnswerHead, rest: bytes) -> None:
        self.head = head
        ending = head.ending
        if ending is Ending.NEVER:
            self.state = Reading.TUNNEL
            if rest:
                self.pieces.append(rest)
            return
        if ending is Ending.NONE or (ending is Ending.LENGTH and head.length == 0):
            self.state = Reading.DONE
            self.has_excess = bool(rest)
            return
        self.state = _CONTENT
        if ending is Ending.LENGTH:
            self._needed = head.length
            if self._max_body is not None and head.length > self._max_body:
                raise self._too_large()
        elif ending is Ending.CHUNKED:
            self._bytes_without_content = 0
            parser = HttpResponseParser(self)
            parser.feed_data(_CHUNKED_HEAD)
            self._parser = parser  # only now: the fields of that head are no trailers
        if rest:
            self._on_content(rest)

    def _on_content(self, data: bytes) -> None:
        size = len(data)
        if self._parser is not None:
            self._on_chunks(self._parser, data)
        elif self.head is not None and self.head.ending is Ending.LENGTH:
            needed = self._needed - size
            if needed > 0:
                self._needed = needed
                self.pieces.append(data)
                return
            if needed == 0:
                self.pieces.append(data)
            else:
                self.pieces.append(data[: self._needed])
                self.has_excess = True
            self.state = Reading.DONE
        else:
            self.on_body(data)

    def _on_chunks(self, parser: HttpResponseParser, data: bytes) -> None:
        before = self._size
        try:
            parser.feed_data(data)
        except HttpParserError as error:
            if isinstance(error.__context__, BodyTooLarge | ProtocolError):
                raise error.__context__ from None
            if self.state is not Reading.DONE:
                raise ProtocolError(f"the chunks of the answer are broken: {error} (RFC 9112 §7.1)") from None
            self.has_excess = True
        if self.state is Reading.DONE:
            self._parser = None
        elif self._size != before:
            self._bytes_without_content = 0
        else:
            self._bytes_without_content += len(data)
            if self._bytes_without_content > self._limits.max_head:
                raise ProtocolError(
                    f"more than {self._limits.max_head} bytes of chunks without content (RFC 9112 §7.1.1)"
                )

    def on_body(self, data: bytes) -> None:
        """Called by llhttp: a piece of content."""
        self._size += len(data)
        if self._max_body is not None and self._size > self._max_body:
            raise self._too_large()
        self.pieces.append(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by llhttp: a trailer, or a field of the head that it was shown."""
        if self._parser is not None:
            if len(self._trailer_pairs) >= self._limits.max_fields:
                raise ProtocolError(f"the answer has more than {self._limits.max_fields} trailers")
            self._trailer_pairs.append((name.decode("latin-1"), value.decode("latin-1").strip(" \t")))

    def on_message_complete(self) -> None:
        """Called by llhttp: the last chunk and the trailers came."""
        self.state = Reading.DONE

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"the content of the answer is larger than {self._max_body} bytes")

    def _what_is_missing(self, head: AnswerHead) -> str:
        if head.ending is Ending.LENGTH:
            return f"the connection ended {self._needed} of {head.length} bytes before the content did"
        return "the connection ended before the last chunk"
