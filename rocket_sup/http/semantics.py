"""What an answer looks like on the wire: status lines, dates, and which answers have content.

The date is written once a second, and with it the heads of the commonest answers, so that such an answer is
put together from three pieces. Clocks are handed in; nothing here reads one. Specified in RFC 9110 §6.6.1,
§8.6, §15 and RFC 9112 §4, §6.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, cast

Encoder = Callable[[object], bytes]

TEXT: Final = b"text/plain; charset=utf-8"
HTML: Final = b"text/html; charset=utf-8"
JSON: Final = b"application/json"
BINARY: Final = b"application/octet-stream"

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

# What an answer says about the connection.
PERSIST: Final = b""  # HTTP/1.1 needs no word for going on
PERSIST_1_0: Final = b"Connection: keep-alive\r\n"
CLOSE: Final = b"Connection: close\r\n"

REASONS: Final[Mapping[int, str]] = {status.value: status.phrase for status in HTTPStatus} | {
    # RFC 9110 renamed these; the standard library follows only in later versions.
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
_STATUS_LINES: Final = {
    code: f"HTTP/1.1 {code} {reason}\r\n".encode("ascii") for code, reason in REASONS.items()
}

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(wall_s: float) -> str:
    """Write a time since the epoch as IMF-fixdate, for example `Sun, 06 Nov 1994 08:49:37 GMT`.

    Spec: RFC 9110 §5.6.7
    """
    t = time.gmtime(wall_s)
    return (
        f"{_DAYS[t.tm_wday]}, {t.tm_mday:02d} {_MONTHS[t.tm_mon - 1]} {t.tm_year:04d} "
        f"{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} GMT"
    )


def status_line(status: int) -> bytes:
    """Return the status line; a status nobody named has an empty reason, but its blank (RFC 9112 §4)."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def has_content(status: int) -> bool:
    """Say whether an answer with this status may have content (RFC 9110 §6.4.1)."""
    return status >= 200 and status not in (204, 304)


MAX_LENGTH: Final = 4096
LENGTHS: Final = tuple(b"%d\r\n\r\n" % size for size in range(MAX_LENGTH))  # the end of a head, made once
MAX_READY: Final = (
    64  # short texts come again: "ok", "pong", "true"; within one second, then the date is another
)
MAX_READY_BYTES: Final = 256


class Heads:
    """The parts of answers that change once a second.

    Attributes:
        expires: monotonic seconds; when this is over, `refresh`.
        date_line: the Date field with its CRLF.
        plain: by type of a handler's result, the head of a 200 up to `Content-Length: `, and what encodes
            the result.
        ready: whole answers, by the short ASCII text that a handler returned.
    """

    __slots__ = ("_encoders", "date_line", "expires", "plain", "ready")

    def __init__(self, encoders: Mapping[type, tuple[bytes, Encoder]]) -> None:
        """Take for each type its media type and its encoder; the first `refresh` is due at once."""
        self._encoders = encoders
        self.expires = float("-inf")
        self.date_line = b""
        self.plain: dict[type, tuple[bytes, Encoder]] = {}
        self.ready: dict[object, bytes] = {}

    def persistent_answer(self, kind: type, result: object) -> bytes | None:
        """Write a whole 200 for a result whose type says how; None when its type does not.

        Args:
            kind: `type(result)`.
            result: what a handler of a GET over HTTP/1.1 returned, on a connection that is kept.

        Raises:
            Exception: the result cannot be encoded.
        """
        plain = self.plain.get(kind)
        if plain is None:
            return None
        head, encode = plain
        body = encode(result)
        size = len(body)
        answer = b"".join((head, LENGTHS[size] if size < MAX_LENGTH else b"%d\r\n\r\n" % size, body))
        if (
            kind is str
            and len(body) == len(cast(str, result)) <= MAX_READY_BYTES
            and len(self.ready) < MAX_READY
        ):
            self.ready[result] = answer
        return answer

    def refresh(self, now: float, wall_s: float) -> None:
        """Write the date anew.

        Args:
            now: monotonic seconds.
            wall_s: seconds since the epoch; what is written expires when its second is over.
        """
        self.expires = now + 1.0 - wall_s % 1.0
        self.date_line = b"Date: %b\r\n" % http_date(wall_s).encode("ascii")
        self.ready.clear()
        start = status_line(200) + self.date_line
        self.plain = {
            kind: (b"%bContent-Type: %b\r\nContent-Length: " % (start, media_type), encode)
            for kind, (media_type, encode) in self._encoders.items()
        }


def serialise(
    status: int,
    date_line: bytes,
    fields: bytes,
    body: bytes,
    *,
    connection: bytes,
    is_head: bool,
    length: int,
) -> bytes:
    """Put an answer together.

    Args:
        status: 200 to 999.
        date_line: the Date field, or b"" when `fields` has one.
        fields: further field lines, each with its CRLF.
        body: the content, sent when the status and the method allow it.
        connection: `PERSIST`, `PERSIST_1_0` or `CLOSE`.
        is_head: the request was HEAD.
        length: of the content a GET would have.

    Spec: RFC 9110 §8.6, §9.3.2; RFC 9112 §6.3
    """
    start = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    if status in (204, 304):
        return b"%b%b%b%b\r\n" % (start, date_line, fields, connection)
    if is_head:
        return b"%b%b%bContent-Length: %d\r\n%b\r\n" % (start, date_line, fields, length, connection)
    return b"%b%b%bContent-Length: %d\r\n%b\r\n%b" % (start, date_line, fields, length, connection, body)
