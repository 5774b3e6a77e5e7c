"""Decide what a request is and where it ends: strictly, once, before anything is believed.

`parse_head` reads one head from received bytes and gives a `RequestHead` that already says how the content
is framed, whether the connection persists, and which host is meant. It either matches the grammar as a
whole or is refused: there is no repairing and no second guess. `has_head_end` is asked only about bytes
that did not match; it tells a head that is not complete yet from one that can never become valid, so that a
peer's mistake is answered at once and not when its deadline passes. Pure: bytes in, facts out.

Specified in RFC 9112 §2-6, RFC 9110 §7.2, §8.6, §10.1.1.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, Protocol

from rocket_sup.errors import RemoteProtocolError
from rocket_sup.http.grammar import (
    ABSOLUTE_FORM,
    CONTENT_LENGTH,
    DECISIVE_FIELD,
    FIELD_LINE,
    FORBIDDEN_IN_HEAD,
    HOST,
    REQUEST_HEAD,
    REQUEST_LINE,
    TOKEN,
)

CRLF: Final = b"\r\n"
HEAD_END: Final = b"\r\n\r\n"

_LENGTH_DIGITS: Final = 18  # the largest number of digits that always fits into 63 bits
_MAX_PORT: Final = 65535

_FIELD: Final = re.compile(FIELD_LINE)
_NAME: Final = re.compile(TOKEN)
_LINE: Final = re.compile(REQUEST_LINE)
_VERSION: Final = re.compile(rb"HTTP/[0-9]\.[0-9]")


class HeadLimits(Protocol):
    """The part of the configuration that bounds a head; `config.limits` is one."""

    @property
    def request_line(self) -> int: ...
    @property
    def head(self) -> int: ...
    @property
    def headers(self) -> int: ...


class RequestHead:
    """One valid request head.

    Attributes:
        method, target: as received.
        path: of the target, still percent-encoded; "*" for asterisk-form, the authority for CONNECT.
        query: of the target, without the question mark; "" when there is none.
        version: "1.1" or "1.0"; a higher minor version is served as 1.1 (RFC 9110 §2.5).
        fields: the field lines as received, each preceded by CRLF; with absolute-form, Host is the target's.
        content_length: bytes of content announced; 0 when there is none, -1 when it comes in chunks.
        keep_alive: the client wants the connection to go on.
        expects_continue: the client waits for 100 before it sends the content.
        unmet_expectation: it expects something nobody promised.
        end: index of the first byte after the head, in the bytes given to `parse_head`.
    """

    __slots__ = (
        "content_length",
        "end",
        "expects_continue",
        "fields",
        "keep_alive",
        "method",
        "path",
        "query",
        "target",
        "unmet_expectation",
        "version",
    )

    def __init__(self, method: str, target: str, version: str, fields: bytes, end: int) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.fields = fields
        self.end = end
        self.path = target
        self.query = ""
        self.content_length = 0
        self.keep_alive = version != "1.0"
        self.expects_continue = False
        self.unmet_expectation = False


def parse_head(data: bytes, start: int, limits: HeadLimits) -> RequestHead | None:
    """Read one request head.

    Args:
        data: received bytes.
        start: where the head begins; one empty line before it is skipped (RFC 9112 §2.2).
        limits: bounds on the request line (414), on the head and on the number of its fields (431).

    Returns: the head, or None when it is not complete.
    Raises:
        RemoteProtocolError: it is not, or can never become, a valid head; the status says which answer is
        due.

    Spec: RFC 9112 §3, §5, §6
    """
    if data.startswith(CRLF, start):
        start += 2
    match = REQUEST_HEAD.match(data, start)
    if match is None:
        if has_head_end(data, start, limits):
            raise _explain(data[start : data.index(HEAD_END, start)])
        return None
    method, target, major, minor, fields = match.groups()
    if match.start(5) - start > limits.request_line:
        raise _line_too_long(limits)
    if match.end() - start > limits.head or fields.count(CRLF) > limits.headers:
        raise _head_too_large(limits)
    if major != b"1":
        raise RemoteProtocolError("only HTTP/1.x is spoken here (RFC 9110 §15.6.6)", status=505)
    head = RequestHead(
        method.decode("ascii"),
        target.decode("ascii"),
        "1.0" if minor == b"0" else "1.1",
        fields,
        match.end(),
    )
    authority = _read_target(head, target)
    _read_decisive_fields(head, fields, authority)
    return head


def plain_head(match: re.Match[bytes]) -> RequestHead:
    """Make the head of a GET that `PLAIN_GET` matched: it has no content and decides nothing."""
    head = RequestHead("GET", match[1].decode("ascii"), "1.1", match[2], match.end())
    head.path, _, head.query = head.target.partition("?")
    return head


def has_head_end(data: bytes | bytearray, start: int, limits: HeadLimits, *, scanned: int = 0) -> bool:
    """Look for the end of a head, and refuse at once what can never become one.

    Args:
        data: received bytes.
        start: where the head begins; one empty line before it is skipped.
        limits: as for `parse_head`.
        scanned: index up to which the same bytes were looked at before, so that dripping bytes do not cost
            a scan each.

    Raises:
        RemoteProtocolError: these bytes can never become a valid head.
    """
    if data.startswith(CRLF, start):
        start += 2
    resume = max(start, scanned - len(HEAD_END) + 1)
    end = data.find(HEAD_END, resume)
    until = len(data) if end < 0 else end
    # A line of exactly the limit may have its CR already and its LF not yet.
    if (
        len(data) - start > limits.request_line + data.endswith(b"\r")
        and data.find(CRLF, start, start + limits.request_line + 2) < 0
    ):
        raise _line_too_long(limits)
    # A CR before the first byte belongs to the message before: it excuses no LF.
    if data.startswith(b"\n", start) or FORBIDDEN_IN_HEAD.search(data, resume, until) is not None:
        raise RemoteProtocolError("a bare CR, bare LF or control character in the head (RFC 9112 §2.2)")
    if until - start > limits.head - (0 if end < 0 else len(HEAD_END)):
        raise _head_too_large(limits)
    return end >= 0


def _explain(head: bytes) -> RemoteProtocolError:
    """Say why a complete head without forbidden bytes does not match the grammar."""
    line, *fields = head.split(CRLF)
    if _LINE.fullmatch(line) is None:
        version = line.rpartition(b" ")[2]
        if line.count(b" ") == 2 and version.startswith(b"HTTP/") and _VERSION.fullmatch(version) is None:
            return RemoteProtocolError("the protocol version is not HTTP/d.d (RFC 9112 §2.3)")
        return RemoteProtocolError("not a request line: method SP target SP version (RFC 9112 §3)")
    for field in fields:
        if field[:1] in (b" ", b"\t"):
            return RemoteProtocolError("a field line begins with a blank (RFC 9112 §2.2, §5.2)")
        name, colon, _ = field.partition(b":")
        if not colon or _NAME.fullmatch(name) is None:
            if name[-1:] in (b" ", b"\t"):
                return RemoteProtocolError("a blank between field name and colon (RFC 9112 §5.1)")
            return RemoteProtocolError("a field name is not a token, or has no colon (RFC 9112 §5)")
        if _FIELD.fullmatch(field) is None:
            return RemoteProtocolError("a field value holds a control character (RFC 9110 §5.5)")
    return RemoteProtocolError("the head does not follow the grammar (RFC 9112 §2.1)")


def _read_target(head: RequestHead, target: bytes) -> bytes | None:
    """Set path and query by the form of the target; return the authority of absolute-form, else None."""
    method = head.method
    if method == "CONNECT":
        match = HOST.fullmatch(target)
        if match is None or not match[2] or not _is_host(match):
            raise RemoteProtocolError("CONNECT takes host:port as its target (RFC 9112 §3.2.3)")
        return None
    if b"#" in target:
        raise RemoteProtocolError("a fragment in the request target (RFC 9112 §3.2)")
    if target.startswith(b"/"):
        if b"?" in target:
            head.path, _, head.query = head.target.partition("?")
        return None
    if target == b"*":
        if method != "OPTIONS":
            raise RemoteProtocolError("the target * is for OPTIONS only (RFC 9112 §3.2.4)")
        return None
    absolute = ABSOLUTE_FORM.fullmatch(target)
    if absolute is None:
        raise RemoteProtocolError("the request target has no form that this method allows (RFC 9112 §3.2)")
    authority, path, query = absolute.groups()
    if path is not None:
        head.path = path.decode("ascii")
    else:
        head.path = "*" if method == "OPTIONS" and query is None else "/"
    if query is not None:
        head.query = query[1:].decode("ascii")
    return bytes(authority)


def _read_decisive_fields(head: RequestHead, fields: bytes, authority: bytes | None) -> None:
    hosts: list[bytes] = []
    lengths: list[bytes] = []
    codings: list[bytes] = []
    options: list[bytes] = []
    for name, value in DECISIVE_FIELD.findall(fields):
        kind = name[:1]
        if kind in b"hH":
            hosts.append(value.rstrip(b"\t "))
        elif kind in b"tT":
            codings.append(value)
        elif kind in b"eE":
            _read_expectation(head, value)
        elif kind in b"uU":
            continue  # an upgrade that nobody here performs is ignored (RFC 9110 §7.8)
        elif len(name) == len(b"connection"):
            options.append(value)
        else:
            lengths.append(value.rstrip(b"\t "))
    _check_host(head, hosts, authority)
    if options:
        head.keep_alive = _persists(head.version, options)
    if codings:
        _read_codings(head, codings, has_length=bool(lengths))
    elif lengths:
        head.content_length = _read_length(lengths)
    if head.content_length == 0:
        head.expects_continue = False


def _read_expectation(head: RequestHead, value: bytes) -> None:
    """RFC 9110 §10.1.1: only 100-continue is defined, and it means nothing in HTTP/1.0."""
    if value.strip(b"\t ").lower() != b"100-continue":
        head.unmet_expectation = True
    elif head.version != "1.0":
        head.expects_continue = True


def _persists(version: str, lines: list[bytes]) -> bool:
    """RFC 9112 §9.3: close wins over keep-alive, in whichever line or order they stand."""
    options = [option.strip(b"\t ") for option in b",".join(lines).lower().split(b",")]
    if b"close" in options:
        return False
    return version != "1.0" or b"keep-alive" in options


def _check_host(head: RequestHead, hosts: list[bytes], authority: bytes | None) -> None:
    if len(hosts) != 1:
        if hosts:
            raise RemoteProtocolError("more than one Host field (RFC 9112 §3.2)")
        if head.version != "1.0":
            raise RemoteProtocolError("no Host field (RFC 9112 §3.2)")
    elif not _is_authority(hosts[0]):
        raise RemoteProtocolError("the Host field is not host[:port] (RFC 9112 §3.2)")
    if authority is None:
        return
    if not _is_authority(authority):
        raise RemoteProtocolError("the target's authority is not host[:port] (RFC 9110 §4.2)")
    # RFC 9112 §3.2.2: the target's authority replaces the Host received.
    head.fields = b"\r\nHost: " + authority + _HOST_LINE.sub(b"", head.fields)


_HOST_LINE: Final = re.compile(rb"\r\n[Hh][Oo][Ss][Tt]:[^\r]*+")


def _is_authority(text: bytes) -> bool:
    match = HOST.fullmatch(text)
    return match is not None and _is_host(match)


def _is_host(match: re.Match[bytes]) -> bool:
    address, port = match.groups()
    if port and (len(port) > 5 or int(port) > _MAX_PORT):
        return False
    if address is not None:
        try:
            ipaddress.IPv6Address(address.decode("ascii"))
        except ValueError:
            return False
    return True


def _read_codings(head: RequestHead, lines: list[bytes], *, has_length: bool) -> None:
    """Accept one final `chunked` and nothing else."""
    if has_length:
        raise RemoteProtocolError("content-length and transfer-encoding together (RFC 9112 §6.3)")
    if head.version == "1.0":
        raise RemoteProtocolError("transfer-encoding in HTTP/1.0 (RFC 9112 §6.1)")
    codings = [coding.strip(b"\t ").lower() for coding in b",".join(lines).split(b",")]
    if codings == [b"chunked"]:
        head.content_length = -1
        return
    if b"chunked" not in codings[:-1] and all(_NAME.fullmatch(coding) for coding in codings):
        raise RemoteProtocolError("a transfer coding other than chunked (RFC 9112 §6.1)", status=501)
    raise RemoteProtocolError("transfer-encoding is not one final chunked (RFC 9112 §6.1)")


def _read_length(values: list[bytes]) -> int:
    if len(values) > 1:
        raise RemoteProtocolError("more than one content-length (RFC 9112 §6.3)")
    digits = values[0]
    if CONTENT_LENGTH.fullmatch(digits) is None:
        raise RemoteProtocolError("content-length is not a decimal number (RFC 9110 §8.6)")
    digits = digits.lstrip(b"0")
    if len(digits) > _LENGTH_DIGITS:
        raise RemoteProtocolError("the content is too large (RFC 9110 §15.5.14)", status=413)
    return int(digits or b"0")


def _line_too_long(limits: HeadLimits) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"the request line is longer than {limits.request_line} bytes (RFC 9112 §3)", status=414
    )


def _head_too_large(limits: HeadLimits) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"the head is larger than {limits.head} bytes or {limits.headers} fields (RFC 6585 §5)", status=431
    )
