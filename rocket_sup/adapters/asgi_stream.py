"""An answer that an ASGI application sends in pieces: framed, and written to the conduit as it comes.

The framing is the application's Content-Length if it gave one, else chunks; HTTP/1.0 knows none, and its
connection ends with the content. An answer that has no content (HEAD, 204, 304) swallows it. The head waits
for the first piece, so that both leave in one packet.
"""

from __future__ import annotations

from typing import Final

from rocket_sup.adapters.asgi_fields import Fields
from rocket_sup.conduit import Conduit
from rocket_sup.errors import LocalProtocolError
from rocket_sup.http.semantics import CLOSE, PERSIST, PERSIST_1_0, has_content, status_line
from rocket_sup.request import Request

_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"


class StreamedAnswer:
    """An answer that was begun.

    Attributes:
        is_chunked: its content goes out in chunks, and may be followed by trailers.
        has_content: what is written goes out at all.
    """

    __slots__ = (
        "_conduit",
        "_content_bytes",
        "_head",
        "_keep_alive",
        "_left",
        "_status",
        "has_content",
        "is_chunked",
    )

    def __init__(
        self, request: Request, conduit: Conduit, status: int, fields: Fields, *, has_trailers: bool
    ) -> None:
        """Begin the answer on the conduit.

        Args:
            has_trailers: the client takes trailers, and the application has some: content goes in chunks.
        """
        conduit.begin()
        is_modern = request.http_version != "1.0"
        self._conduit = conduit
        self._status = status
        self._content_bytes = 0
        self.has_content = has_content(status) and request.method != "HEAD"
        self._left = -1  # bytes that Content-Length leaves; -1 when there is none
        self.is_chunked = False
        self._keep_alive = conduit.keep_alive and not fields.closes
        framing = b""
        if fields.length >= 0 and not (has_trailers and is_modern):
            if has_content(status):
                framing = b"Content-Length: %d\r\n" % fields.length
            self._left = fields.length if self.has_content else -1
        elif self.has_content:
            self.is_chunked = is_modern
            self._keep_alive = self._keep_alive and is_modern
            framing = _CHUNKED if is_modern else b""
        connection = CLOSE if not self._keep_alive else PERSIST if is_modern else PERSIST_1_0
        self._head = b"%b%b%b%b%b\r\n" % (
            status_line(status),
            b"" if fields.has_date else conduit.date_line,
            fields.lines,
            framing,
            connection,
        )

    def write(self, content: bytes) -> bool:
        """Send a piece.

        Returns: as `Conduit.write`.
        Raises:
            LocalProtocolError: it is more than Content-Length announced.
        """
        head, self._head = self._head, b""
        if not content or not self.has_content:
            return self._conduit.write(head) if head else True
        self._count(len(content))
        if self.is_chunked:
            return self._conduit.write(b"%b%x\r\n%b\r\n" % (head, len(content), content))
        return self._conduit.write(head + content if head else content)

    def write_file(self, fd: int, offset: int, count: int) -> bool:
        """Send a part of a file; behind it belongs `end_file`, when the conduit has room again.

        Returns: as `Conduit.send_file`; True also when there is nothing to send.
        Raises:
            LocalProtocolError: as `write`.
        """
        head, self._head = self._head, b""
        if not count or not self.has_content:
            return self._conduit.write(head) if head else True
        self._count(count)
        if self.is_chunked:
            head += b"%x\r\n" % count
        if head:
            self._conduit.write(head)
        return self._conduit.send_file(fd, offset, count)

    def end_file(self, count: int) -> None:
        """Say that so much of a file was sent."""
        if self.is_chunked and count:
            self._conduit.write(b"\r\n")

    def end(self, trailers: bytes = b"") -> None:
        """Say that the content is whole.

        Args:
            trailers: field lines, each with its CRLF.

        Raises:
            LocalProtocolError: it is less than Content-Length announced.
        """
        if self._left > 0:
            raise LocalProtocolError(f"the content is {self._left} bytes shorter than its Content-Length")
        head, self._head = self._head, b""
        if self.is_chunked:
            self._conduit.write(b"%b0\r\n%b\r\n" % (head, trailers))
        elif head:
            self._conduit.write(head)
        self._conduit.finish(self._status, self._content_bytes, keep_alive=self._keep_alive)

    def _count(self, size: int) -> None:
        self._content_bytes += size
        if self._left >= 0:
            if size > self._left:
                raise LocalProtocolError(
                    f"the content is at least {size - self._left} bytes longer than its Content-Length"
                )
            self._left -= size
