"""The native parsers beside llhttp, the parser of Node.js: documented differences and no others.

`REFUSED` is what llhttp takes for a request and we refuse, `STOPPED` what we accept and llhttp does not,
`APART` what means something else to it; docs/parsing.md gives the reason of each. Everything else means the
same to both.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rocket_sup.config import LimitsConfig
from tests.engine import test_parsers as cases
from tests.unit import test_chunked as chunked_cases

native = pytest.importorskip("rocket_sup.engine._native", reason="the native module is not built")

BOUNDS = cases.in_bounds(LimitsConfig())
MAX_BODY = 10**6
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
METHODS = frozenset(["DELETE", "GET", "HEAD", "POST", "PUT", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PURGE"])

documented = (Path(__file__).parents[2] / "docs" / "parsing.md").read_text()


def asked(line: bytes, *fields: bytes) -> bytes:
    """A request without content; with a Host unless it has fields of its own."""
    return b"\r\n".join([line, *(fields or [b"Host: a"]), b"", b""])


def coded(value: bytes, version: bytes = b"1.1") -> bytes:
    """A request with this transfer coding and an empty content."""
    return b"POST / HTTP/%b\r\nHost: a\r\nTransfer-Encoding: %b\r\n\r\n0\r\n\r\n" % (version, value)


# What it is, as the document calls it; a request; what we answer.
REFUSED: list[tuple[str, bytes, int]] = [
    ("no `Host`", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("two `Host` fields", asked(b"GET / HTTP/1.1", b"Host: a", b"Host: a"), 400),
    ("a `Host` that is no host", asked(b"GET / HTTP/1.1", b"Host: a b"), 400),
    ("an empty `Host`", asked(b"GET / HTTP/1.1", b"Host:"), 400),
    ("a fragment", asked(b"GET /#a HTTP/1.1"), 400),
    ("`*` without OPTIONS", asked(b"GET * HTTP/1.1"), 400),
    ("`*` with more", asked(b"OPTIONS *? HTTP/1.1"), 400),
    ("CONNECT without a port", asked(b"CONNECT a HTTP/1.1"), 400),
    ("a user in the target", asked(b"GET http://u@h/ HTTP/1.1"), 400),
    ("a target without a host", asked(b"GET http:///p HTTP/1.1"), 400),
    ("another scheme", asked(b"GET ftp://h/ HTTP/1.1"), 400),
    ("another version", asked(b"GET / HTTP/2.0"), 505),
    ("another protocol", asked(b"DESCRIBE / RTSP/1.0"), 400),
    ("no version", asked(b"GET /"), 400),
    ("a broken version", asked(b"CONNECT  HTTP/"), 400),
    ("two spaces", asked(b"GET  / HTTP/1.1"), 400),
    ("two empty lines in front", asked(b"\r\n\r\nGET / HTTP/1.1"), 400),
    ("a bare LF in front", asked(b"\nGET / HTTP/1.1"), 400),
    ("a bare LF without a version", asked(b"GET /\nHost: a"), 400),
    ("chunks in HTTP/1.0", coded(b"chunked", b"1.0"), 400),
    ("another coding before the chunks", coded(b"gzip, chunked"), 501),
    ("an empty coding", coded(b", chunked"), 400),
    ("a coding that is no token", coded(b"x y, chunked"), 400),
    ("a chunk size of 17 digits", CHUNKED + b"00000000000000001\r\na\r\n0\r\n\r\n", 400),
    ("an extension without a name", CHUNKED + b"1;;a\r\na\r\n0\r\n\r\n", 400),
    ("an extension without its value", CHUNKED + b"1;a=\r\na\r\n0\r\n\r\n", 400),
]

STOPPED: list[tuple[str, bytes]] = [
    ("an unknown method", asked(b"BREW / HTTP/1.1")),
    ("a higher minor version", asked(b"GET / HTTP/1.2")),
    ("an upgrade", asked(b"GET / HTTP/1.1", b"Host: a", b"Connection: upgrade", b"Upgrade: x")),
    ("CONNECT", asked(b"CONNECT a:80 HTTP/1.1")),
    ("HTAB after `chunked`", coded(b"chunked\t")),
    ("blanks in extensions", CHUNKED + b"1 ; a = b\r\na\r\n0\r\n\r\n"),
    ("a length among the trailers", CHUNKED + b"1\r\na\r\n0\r\nContent-Length: 1\r\n\r\n"),
    ("a coding among the trailers", CHUNKED + b"1\r\na\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n"),
]

# What llhttp understands otherwise of who wants the connection to go on.
APART: list[tuple[str, bytes]] = [
    ("`Proxy-Connection`", asked(b"GET / HTTP/1.1", b"Host: a", b"Proxy-Connection: close")),
    ("`close` beside `keep-alive` in 1.0", asked(b"GET / HTTP/1.0", b"Connection: close, keep-alive")),
]

# Where to look for what may be in STOPPED: a wide guess. It excuses a refusal, never another meaning.
MAY_STOP = re.compile(
    rb"HTTP/1\.[2-9]\r\n|(?i:\r\nupgrade:)|(?i:chunked) *\t|[\t ][;=]|[;=][\t ]"
    rb"|(?s:\r\n\r\n.*\r\n)(?i:content-length|transfer-encoding):"
)


def may_be_apart(facts: dict[str, Any]) -> bool:
    """Say whether to look for it in APART."""
    fields = facts["fields"].lower()
    is_undecided = b"close" in fields and b"keep-alive" in fields
    return b"\r\nproxy-connection:" in fields or (facts["version"] == "1.0" and is_undecided)


class Seen:
    """What llhttp made of a request."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.target = b""
        self.content = b""
        self.completed = 0
        self.keep_alive: bool | None = None
        self.method = ""
        self.version = ""
        self.parser = httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.strip(b"\t ")))

    def on_headers_complete(self) -> None:
        self.keep_alive = self.parser.should_keep_alive()
        self.method = self.parser.get_method().decode()
        self.version = self.parser.get_http_version()

    def on_body(self, body: bytes) -> None:
        self.content += body

    def on_message_complete(self) -> None:
        self.completed += 1


def show(data: bytes) -> Seen | None:
    """Show bytes to llhttp: what it saw, or None when it refused or stopped before their end."""
    seen = Seen()
    try:
        seen.parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    return seen


def takes(data: bytes) -> bool:
    """Say whether llhttp takes the first request in these bytes for a whole and valid one."""
    seen = Seen()
    try:
        seen.parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        pass  # about what follows the first request
    return seen.completed > 0


class Ours(NamedTuple):
    """One whole request, as we understand it."""

    facts: dict[str, Any]
    content: bytes
    end: int


def read(data: bytes) -> Ours | None:
    """Read one request; None when there is more to come. Raises ValueError of status and reason."""
    facts = native.parse_head(data, BOUNDS, 0)
    if facts is None:
        return None
    start, length = facts["end"], facts["content_length"]
    if length >= 0:
        end = start + length
        return Ours(facts, data[start:end], end) if end <= len(data) else None
    fed, content = native.parse_chunked([data[start:]], BOUNDS, MAX_BODY)
    return Ours(facts, content, start + fed) if fed >= 0 else None


def assert_same(ours: Ours, seen: Seen) -> None:
    """Compare every fact that llhttp tells."""
    lines = [line.partition(b":") for line in ours.facts["fields"].split(b"\r\n")[1:]]
    fields = [(name, value.strip(b"\t ")) for name, _, value in lines]

    assert seen.method == ours.facts["method"]
    assert seen.target == ours.facts["target"].encode()
    assert seen.version == ours.facts["version"]
    assert seen.fields[: len(fields)] == fields
    assert ours.facts["content_length"] == -1 or len(seen.fields) == len(fields)
    assert seen.content == ours.content
    assert seen.completed == 1
    if not may_be_apart(ours.facts):
        assert seen.keep_alive == ours.facts["keep_alive"]


content_of_any_kind = st.one_of(st.binary(max_size=20), chunked_cases.valid, cases.contents)
requests = st.one_of(
    st.builds(lambda head, content: head + content, cases.anything, content_of_any_kind),
    st.builds(lambda head, content: head + content, cases.framed, content_of_any_kind),
    st.builds(lambda content: CHUNKED + content, cases.contents),
)


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(max_examples=200, derandomize=True)  # what another parser does is no commit's fault
@given(requests)
def test_what_we_accept_means_the_same_to_llhttp(data: bytes) -> None:
    """Method, target, version, fields, content, end and persistence; or llhttp stops where it is known to."""
    try:
        ours = read(data)
    except ValueError:
        return
    if ours is None:
        return
    data = data[: ours.end]
    seen = show(data)
    if seen is None:
        assert ours.facts["method"] not in METHODS - {"CONNECT"} or MAY_STOP.search(data), data
    else:
        assert_same(ours, seen)


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(max_examples=200, derandomize=True)
@given(requests)
def test_what_llhttp_accepts_is_refused_for_documented_reasons_only(data: bytes) -> None:
    """There is a row in REFUSED with the same reason."""
    reason = refusal(data)
    if reason is not None and takes(data):
        assert reason in {refusal(row[1]) for row in REFUSED}, data


def refusal(data: bytes) -> tuple[int, str] | None:
    """Why we refuse a request, or None."""
    try:
        read(data)
    except ValueError as error:
        return error.args
    return None


@pytest.mark.parametrize(("data", "status"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_llhttp_accepts_what_we_refuse(data: bytes, status: int) -> None:
    """Each documented difference is there."""
    reason = refusal(data)

    assert reason is not None
    assert status == reason[0]
    if not takes(data):
        pytest.skip(f"httptools {httptools.__version__} refuses it too: the row is done with")


@pytest.mark.parametrize("data", [row[1] for row in STOPPED], ids=[row[0] for row in STOPPED])
def test_we_accept_what_llhttp_does_not(data: bytes) -> None:
    """Each documented difference is there, and where the fuzzing test looks for it."""
    ours = read(data)

    assert ours is not None
    assert ours.end == len(data)
    assert ours.facts["method"] not in METHODS - {"CONNECT"} or MAY_STOP.search(data)
    if show(data) is not None:
        pytest.skip(f"httptools {httptools.__version__} accepts it too: the row is done with")


@pytest.mark.parametrize("data", [row[1] for row in APART], ids=[row[0] for row in APART])
def test_llhttp_understands_persistence_otherwise(data: bytes) -> None:
    """Each documented difference is there, and where the fuzzing test looks for it."""
    ours, seen = read(data), show(data)

    assert ours is not None
    assert may_be_apart(ours.facts)
    assert seen is not None
    if seen.keep_alive == ours.facts["keep_alive"]:
        pytest.skip(f"httptools {httptools.__version__} understands the same: the row is done with")


def test_the_document_lists_these_differences_and_no_others() -> None:
    """In this order."""
    tables = documented.partition("## Fuzzing")[0]
    rows = re.findall(r"^\| (?!request with)(.+?) \|", tables, re.MULTILINE)

    assert [row[0] for row in [*REFUSED, *STOPPED, *APART]] == rows
