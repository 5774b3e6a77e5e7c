"""HTML forms: urlencoded and multipart bodies to text fields and files.

The body is whole and in memory, its size bounded before it comes here, so parts are found by searching the
bytes: each delimiter once, from left to right, and the cost is linear in the body. Reading is strict, for two
readers of one body must not disagree: no preamble, no epilogue, nothing behind a delimiter but its line end,
no `filename*`, no parameter twice, text in UTF-8 only. A library was weighed against this: `python-multipart`
earns its keep when bodies are streamed; for bodies in memory it adds a dependency whose history of advisories
is mostly about the leniency and the byte-by-byte search that are not needed here.

Spec: RFC 7578, RFC 2046 §5.1, WHATWG HTML §4.10.21.8 (how browsers escape names)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from rocket_sup.errors import RemoteProtocolError
from rocket_sup.http.multidict import MultiDict
from rocket_sup.http.query import parse_query

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110 §5.6.2, not a secret
_MEDIA_TYPE = re.compile(rf"({_TOKEN}/{_TOKEN})[ \t]*")
# One alternative per character class, so that no input makes it try twice.
_PARAMETER = re.compile(rf';[ \t]*(?:({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*)"))?[ \t]*')
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046 §5.1.1
_FIELD_LINE = re.compile(rf"({_TOKEN}):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_UTF8_NAMES = ("utf-8", "utf8", "us-ascii")
_PLAIN_ENCODINGS = ("7bit", "8bit", "binary")


@dataclass(frozen=True, slots=True)
class FormLimits:
    """Bounds on what a peer may make us build.

    Attributes:
        fields: pairs or parts in one form; 1000 is what PHP, Django and Werkzeug allow.
        part_head: bytes of one part's header section; browsers send about 200.
    """

    fields: int = 1000
    part_head: int = 8192


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """One file of a multipart form.

    Attributes:
        filename: as sent, but only what follows the last slash or backslash; "" if nothing usable was sent.
        content_type: as claimed by the sender; "application/octet-stream" if it made no claim.
        body: the content.
    """

    filename: str
    content_type: str
    body: bytes

    @property
    def size(self) -> int:
        """Bytes of content."""
        return len(self.body)


class Form(MultiDict[str]):
    """The text fields of a form as a mapping, and its files in `files`."""

    __slots__ = ("files",)

    def __init__(
        self, fields: tuple[tuple[str, str], ...] = (), *, files: tuple[tuple[str, UploadedFile], ...] = ()
    ) -> None:
        super().__init__(fields)
        self.files: MultiDict[UploadedFile] = MultiDict(files)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Form):
            return self.pairs() == other.pairs() and self.files == other.files
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.pairs(), self.files))


def parse_form(content_type: str, body: bytes, *, limits: FormLimits | None = None) -> Form:
    """Read a submitted form.

    Args:
        content_type: the value of the request's field; "" when it has none.
        body: the whole content.
        limits: default `FormLimits()`.

    Raises:
        RemoteProtocolError: 415 when the content is no form, or in another charset than UTF-8; 400 for any
            fault in it.

    Spec: RFC 7578, WHATWG URL §5.1
    """
    bounds = limits if limits is not None else FormLimits()
    media_type, parameters = parse_media_type(content_type)
    charset = parameters.get("charset", "utf-8").lower()
    if charset not in _UTF8_NAMES:
        raise RemoteProtocolError(
            f"form in charset {charset!r}; only UTF-8 is read (RFC 7578 §5.1.2)", status=415
        )
    if media_type == "application/x-www-form-urlencoded":
        return Form(parse_query(_text(body, "form"), max_fields=bounds.fields).pairs())
    if media_type == "multipart/form-data":
        return _parse_multipart(parameters.get("boundary", ""), body, bounds)
    raise RemoteProtocolError(
        f"{content_type!r} is no form; application/x-www-form-urlencoded and multipart/form-data are",
        status=415,
    )


def parse_media_type(value: str) -> tuple[str, dict[str, str]]:
    """Read a media type with its parameters.

    Returns: type and parameter names in lower case, values as sent; ("", {}) for "".
    Raises:
        RemoteProtocolError: 400; the grammar is broken, or a parameter stands twice.

    Spec: RFC 9110 §8.3.1
    """
    if not value:
        return "", {}
    match = _MEDIA_TYPE.match(value)
    if match is None:
        _refuse(f"{value!r} is no media type (RFC 9110 §8.3.1)")
    return match[1].lower(), _parse_parameters(value, match.end())


def _parse_parameters(value: str, start: int) -> dict[str, str]:
    parameters: dict[str, str] = {}
    while start < len(value):
        match = _PARAMETER.match(value, start)
        if match is None:
            _refuse(f"{value[start:]!r} is no parameter (RFC 9110 §5.6.6)")
        start = match.end()
        if match[1] is None:  # an empty parameter, which the grammar allows
            continue
        name = match[1].lower()
        if name in parameters:
            _refuse(f"parameter {name!r} stands twice")
        parameters[name] = match[2] if match[2] is not None else _unescape(match[3])
    return parameters


def _unescape(quoted: str) -> str:
    """Undo the escapes of a quoted string, but only those of `"` and of the backslash: browsers send `a\\b`
    as it is.
    """
    return re.sub(r'\\(["\\])', r"\1", quoted)


def _parse_multipart(boundary: str, body: bytes, limits: FormLimits) -> Form:
    if _BOUNDARY.fullmatch(boundary) is None:
        _refuse(f"boundary {boundary!r}: 1 to 70 of a restricted alphabet are needed (RFC 2046 §5.1.1)")
    delimiter = b"\r\n--" + boundary.encode("ascii")
    fields: list[tuple[str, str]] = []
    files: list[tuple[str, UploadedFile]] = []
    # The line end of the first delimiter is the one that ended the head; some clients send another.
    if body.startswith(delimiter[2:]):
        position = len(delimiter) - 2
    elif body.startswith(delimiter):
        position = len(delimiter)
    else:
        _refuse("the content does not start with its boundary (RFC 2046 §5.1.1)")
    while body.startswith(b"\r\n", position):
        if len(fields) + len(files) >= limits.fields:
            _refuse(f"more than {limits.fields} fields")
        end = body.find(delimiter, position)
        if end < 0:
            _refuse("the content ends before its last boundary (RFC 2046 §5.1.1)")
        _parse_part(body, position, end, limits, fields, files)
        position = end + len(delimiter)
    if body[position:] not in (b"--", b"--\r\n"):
        _refuse("a boundary is followed by neither a line end nor the end of the form (RFC 2046 §5.1.1)")
    return Form(tuple(fields), files=tuple(files))


def _parse_part(
    body: bytes,
    start: int,
    end: int,
    limits: FormLimits,
    fields: list[tuple[str, str]],
    files: list[tuple[str, UploadedFile]],
) -> None:
    # `start` is at the line end of the delimiter, so that an empty header section is found as well.
    head_end = body.find(b"\r\n\r\n", start, min(end, start + limits.part_head + 6))
    if head_end < 0:
        _refuse(f"a part has no header section, or one over {limits.part_head} bytes (RFC 7578 §4.2)")
    headers = _parse_part_head(_text(body[start + 2 : head_end], "header section of a part"))
    disposition, parameters = _parse_disposition(headers.get("content-disposition", ""))
    if disposition != "form-data" or "name" not in parameters:
        _refuse("a part has no 'content-disposition: form-data; name=...' (RFC 7578 §4.2)")
    encoding = headers.get("content-transfer-encoding", "binary").strip(" \t").lower()
    if encoding not in _PLAIN_ENCODINGS:
        _refuse(f"content-transfer-encoding {encoding!r} is not used in forms (RFC 7578 §4.7)")
    content_type = headers.get("content-type", "").strip(" \t")
    content = body[head_end + 4 : end]
    name = parameters["name"]
    if "filename" in parameters:
        filename = _base_name(parameters["filename"])
        files.append((name, UploadedFile(filename, content_type or "application/octet-stream", content)))
        return
    charset = parse_media_type(content_type)[1].get("charset", "utf-8").lower()
    if charset not in _UTF8_NAMES:
        _refuse(f"field {name!r} in charset {charset!r}; only UTF-8 is read (RFC 7578 §5.1.2)")
    fields.append((name, _text(content, f"field {name!r}")))


def _parse_part_head(text: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in text.split("\r\n"):
        match = _FIELD_LINE.fullmatch(line)
        if match is None:
            _refuse(f"{line!r} is no header field (RFC 9112 §5)")
        name = match[1].lower()
        if name in headers:
            _refuse(f"a part has two fields {name!r}")
        headers[name] = match[2]
    return headers


def _parse_disposition(value: str) -> tuple[str, dict[str, str]]:
    kind, mark, rest = value.partition(";")
    parameters = _parse_parameters(mark + rest, 0)
    for name, text in parameters.items():
        if name.endswith("*"):
            _refuse(f"parameter {name!r} is not allowed in forms (RFC 7578 §4.2)")
        parameters[name] = text.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
    return kind.strip(" \t").lower(), parameters


def _base_name(filename: str) -> str:
    """Drop folders, which some browsers send and attackers like; `.` and `..` are no names either."""
    name = re.split(r"[/\\]", filename)[-1]
    return "" if name in (".", "..") else name


def _text(content: bytes, what: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as problem:
        message = f"{what} is not UTF-8 (RFC 7578 §5.1.2)"
        raise RemoteProtocolError(message, status=400, offset=problem.start) from None


def _refuse(message: str) -> NoReturn:
    raise RemoteProtocolError(message, status=400)
