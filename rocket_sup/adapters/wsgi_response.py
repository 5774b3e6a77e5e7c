"""What a WSGI application says with `start_response`, and what it may not say.

Status and header fields are checked once and become field lines; applications repeat themselves, so the
result is remembered. Framing belongs to the connection: a Content-Length is a promise that is checked, and
the other fields between two neighbours (RFC 9110 §7.6.1) are left out, but `Connection: close`, which is
done. The reason phrase means nothing (RFC 9110 §15.1), and the engines send their own.

Specified in PEP 3333, "The start_response() Callable".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final

from rocket_sup.errors import LocalProtocolError
from rocket_sup.http.grammar import CONTENT_LENGTH, SENDABLE_NAME, SENDABLE_VALUE
from rocket_sup.http.semantics import has_content
from rocket_sup.response import Answer

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

MAX_KNOWN: Final = 512
MAX_KNOWN_BYTES: Final = 2048  # of field lines; some 2 MiB in all
_LENGTH_DIGITS: Final = 18
_BETWEEN_NEIGHBOURS: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"}
)


class Head:
    """A status and header fields that can be sent.

    Attributes:
        status: 200 to 999.
        fields: field lines, each with its CRLF, without framing fields.
        length: what Content-Length promised; -1 for nothing.
        closes: the application wants the connection closed.
        has_date: `fields` has a Date.
        is_plain: neither of these two.
    """

    __slots__ = ("closes", "fields", "has_date", "is_plain", "length", "status")

    def __init__(self, status: int) -> None:
        self.status = status
        self.fields = b""
        self.length = -1
        self.closes = False
        self.has_date = False
        self.is_plain = False


_known: dict[tuple[Any, ...], Head] = {}  # by what `start_response` was given: only texts were ever accepted


def head_of(status: object, headers: Iterable[Any]) -> Head:
    """Check what `start_response` was given, and remember it.

    Raises:
        LocalProtocolError: it cannot be sent; the application's fault.
    """
    pairs = tuple(headers)
    head = _read(status, pairs)
    head.is_plain = not head.closes and not head.has_date
    if len(head.fields) <= MAX_KNOWN_BYTES:
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        try:
            _known[status, pairs] = head
        except TypeError:  # pairs that are lists: no tuples, as PEP 3333 wants them, and still clear
            pass
    return head


def _read(status: object, headers: tuple[Any, ...]) -> Head:
    head = Head(_status_of(status))
    lines = []
    for pair in headers:
        try:
            name, value = pair
        except (TypeError, ValueError):
            raise LocalProtocolError(f"header {pair!r} is not a pair of name and value (PEP 3333)") from None
        if not isinstance(name, str) or SENDABLE_NAME.fullmatch(name) is None:
            raise LocalProtocolError(f"field name {name!r} is not a token (RFC 9110 §5.1)")
        if not isinstance(value, str) or SENDABLE_VALUE.fullmatch(value) is None:
            raise LocalProtocolError(
                f"the value of {name!r} is {value!r}; allowed: text of Latin-1 without CR, LF, NUL and other"
                " controls (RFC 9110 §5.5)"
            )
        kind = name.lower()
        if kind == "content-length":
            head.length = _length_of(value, head.length)
        elif kind in _BETWEEN_NEIGHBOURS:
            if kind == "connection" and "close" in [each.strip() for each in value.lower().split(",")]:
                head.closes = True
        else:
            head.has_date = head.has_date or kind == "date"
            lines.append(f"{name}: {value}\r\n")
    head.fields = "".join(lines).encode("latin-1")
    return head


def _status_of(status: object) -> int:
    if isinstance(status, str):
        digits, _, _ = status.partition(" ")
        if len(digits) == 3 and digits.isascii() and digits.isdecimal() and digits >= "200":
            return int(digits)
    raise LocalProtocolError(f'status {status!r}; allowed: text like "200 OK", from 200 to 999 (PEP 3333)')


def _length_of(value: str, before: int) -> int:
    if CONTENT_LENGTH.fullmatch(value.encode("latin-1")) is None or len(value) > _LENGTH_DIGITS:
        raise LocalProtocolError(f"content-length is {value!r}, not a decimal number (RFC 9110 §8.6)")
    if before not in (-1, int(value)):
        raise LocalProtocolError("two content-lengths that differ (RFC 9112 §6.3)")
    return int(value)


class Starting:
    """One request's `start_response`.

    Attributes:
        head: what was said last; None as long as nothing was.
        is_sent: the head is on its way: it cannot be taken back.
    """

    # Defaults of the class: to be made costs nothing.
    head: Head | None = None
    is_sent = False

    def start_response(
        self, status: str, headers: Iterable[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """See PEP 3333.

        Returns: `write`.
        Raises:
            LocalProtocolError: it was called before, without a failure to excuse that, or what it was given
                cannot be sent.
            BaseException: the failure in `exc_info`, when the head cannot be taken back any more.
        """
        if exc_info is not None:
            try:
                if self.is_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # its traceback has this frame: together they would be a circle
        elif self.head is not None:
            raise LocalProtocolError("start_response was called again without exc_info (PEP 3333)")
        try:
            head = _known.get((status, tuple(headers)))
        except TypeError:
            head = None
        self.head = head if head is not None else head_of(status, headers)
        return self.write

    def write(self, data: bytes) -> object:
        """Send a piece of content before those of the iterable; see PEP 3333."""
        raise NotImplementedError

    def said(self) -> Head:
        """Return the head, which has to be there before content is.

        Raises:
            LocalProtocolError: the application has not called `start_response`.
        """
        if self.head is None:
            raise LocalProtocolError("content came before start_response was called (PEP 3333)")
        return self.head


def content_of(piece: object) -> bytes:
    """Check one piece of content.

    Raises:
        LocalProtocolError: it is not bytes.
    """
    if not isinstance(piece, bytes):
        raise LocalProtocolError(f"content has to be bytes, not {type(piece).__name__} (PEP 3333)")
    return piece


def too_much(head: Head) -> LocalProtocolError:
    """More content than was promised."""
    return LocalProtocolError(
        f"there is more content than Content-Length said, {head.length} (RFC 9110 §8.6)"
    )


def too_little(head: Head, given: int) -> LocalProtocolError:
    """Less content than was promised."""
    return LocalProtocolError(
        f"there are {given} bytes of content, and Content-Length said {head.length} (RFC 9110 §8.6)"
    )


def bare_answer(head: Head, content: bytes = b"") -> Answer:
    """Make an answer of a head, whatever was promised."""
    answer = Answer(head.status, head.fields, content)
    answer.closes = head.closes
    answer.has_date = head.has_date
    return answer


def whole_answer(head: Head, content: bytes, *, is_head: bool) -> Answer:
    """Make an answer with all of its content.

    Raises:
        LocalProtocolError: Content-Length said something else.
    """
    answer = bare_answer(head, content)
    if head.length not in (-1, len(content)):
        if is_head:  # what GET would have; PEP 3333 leaves it to the application not to make it
            answer.length = head.length
        elif has_content(head.status):
            raise too_much(head) if head.length < len(content) else too_little(head, len(content))
    return answer


def is_sized(result: object, size: int) -> bool:
    """Say whether there are surely so many pieces; what has no length may have any number."""
    try:
        return len(result) == size  # type: ignore[arg-type]
    except TypeError:
        return False
