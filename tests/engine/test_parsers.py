"""The native parsers decide as the portable ones: same facts or same refusal, however bytes are cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rocket_sup.config import LimitsConfig
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.http.chunked import ChunkedContent
from rocket_sup.http.framing import RequestHead, has_head_end, parse_head
from rocket_sup.http.headers import Headers
from tests.unit import test_chunked as chunked_cases
from tests.unit import test_framing as head_cases

native = pytest.importorskip("rocket_sup.engine._native", reason="the native module is not built")

HOST_LINE = re.compile(rb"\r\n[Hh][Oo][Ss][Tt]:[^\r]*+")
WIDE = LimitsConfig()
NARROW = LimitsConfig(request_line=40, head=90, headers=3)
MAX_BODY = 200

Refusal = tuple[str, int, str]
Outcome = dict[str, object] | Refusal | None

limits = st.one_of(
    st.sampled_from([WIDE, NARROW]),
    st.builds(
        lambda line, head, fields: LimitsConfig(request_line=line, head=head, headers=fields),
        st.integers(0, 60),
        st.integers(0, 120),
        st.integers(0, 5),
    ),
)
cuts = st.lists(st.integers(0, 250), max_size=6)

# Pieces of which nearly every combination is accepted, so that what follows the grammar is compared too.
tokens = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=20).map(str.encode)
texts = st.binary(max_size=20).map(lambda text: bytes(byte for byte in text if byte == 9 or 31 < byte != 127))
options = st.sampled_from(
    [b"close", b"Close", b"keep-alive", b"KEEP-Alive", b"upgrade", b"", b"x", b"close x"]
)
lists = st.lists(options, min_size=1, max_size=3).map(b" ,".join)
codings = st.lists(st.sampled_from([b"chunked", b"Chunked", b"gzip", b"", b"x y"]), min_size=1, max_size=2)
lengths = st.one_of(
    st.from_regex(rb"\A[0-9]{1,20}\Z"), st.sampled_from([b"", b"+1", b"1 1", b"0" * 30 + b"1"])
)
hextets = st.lists(
    st.sampled_from(["", "0", "1", "ffff", "Abcd", "12345", "g", "1.2.3.4", "0.0.0.00", "1.2.3"])
)
addresses = st.one_of(
    hextets.map(lambda parts: "[" + ":".join(parts) + "]"),
    st.text("0123abFv.:[]%", max_size=16).map(lambda text: f"[{text}]"),
    st.text("a-.%01fF~!;@[]:/ ", max_size=10),
)
ports = st.sampled_from(["", ":", ":0", ":80", ":65535", ":65536", ":000080", ":-1", ":8 0"])
authorities = st.builds(lambda address, port: (address + port).encode(), addresses, ports)
paths = st.text('/?*ab%:.@[]"\\', max_size=12).map(lambda text: b"/" + text.encode())
targets = st.one_of(
    paths,
    paths,
    st.builds(
        lambda scheme, authority, rest: scheme + authority + rest.encode(),
        st.sampled_from([b"http://", b"http://", b"HTTPS://", b"ftp://", b"http:/"]),
        st.one_of(st.just(b"h"), st.just(b"h:1"), authorities),
        st.text("/?ab", max_size=6),
    ),
    st.one_of(authorities, st.sampled_from([b"*", b"/#", b"a:80", b"[::1]:80"])),
)
decisive = st.one_of(
    lists.map(lambda value: b"Connection:" + value),
    codings.map(lambda value: b"Transfer-Encoding: " + b",".join(value)),
    lengths.map(lambda value: b"Content-Length: " + value),
    st.sampled_from([b"Expect: 100-Continue", b"expect:x", b"EXPECT: 100-continue \t", b"Upgrade: x"]),
)
lines = st.one_of(st.builds(lambda name, text: name + b":" + text, tokens, texts), decisive)
hosts = st.one_of(
    st.just(b"Host: a\r\n"),
    st.just(b"host:\t[::1]:80 \r\n"),
    authorities.map(lambda value: b"Host: " + value + b"\r\n"),
    st.just(b""),
)
likely = st.builds(
    lambda method, target, version, host, fields: (
        b"%b %b HTTP/%b\r\n%b%b\r\n" % (method, target, version, host, b"".join(fields))
    ),
    st.one_of(st.sampled_from([b"GET", b"POST", b"OPTIONS", b"CONNECT"]), tokens),
    targets,
    st.sampled_from([b"1.1", b"1.1", b"1.0", b"1.7"]),
    hosts,
    st.lists(lines.map(lambda line: line + b"\r\n"), max_size=5),
)

framed = st.builds(
    lambda minor, fields: b"POST /a?b HTTP/1.%d\r\nHost: a\r\n%b\r\n" % (minor, b"".join(fields)),
    st.integers(0, 1),
    st.lists(lines.map(lambda line: line + b"\r\n"), max_size=3),
)


def harm(data: bytes, place: int, byte: int, how: str) -> bytes:
    """Change one byte, put one in or take one out."""
    place %= len(data)
    kept = data[place:] if how == "insert" else data[place + 1 :]
    return data[:place] + (b"" if how == "delete" else bytes([byte])) + kept


harmed = st.builds(
    harm,
    likely,
    st.integers(0, 300),
    st.one_of(st.sampled_from(b"\r\n\t \x00:,;/"), st.integers(0, 255)),
    st.sampled_from(["insert", "delete", "change"]),
)
anything = st.one_of(framed, likely, harmed, head_cases.heads, st.binary(max_size=60))


def portable_head(data: bytes, bounds: LimitsConfig, scanned: int) -> Outcome:
    """What the portable engine makes of bytes of which it saw so many before."""
    try:
        if scanned and not has_head_end(data, 0, bounds, scanned=scanned):
            return None
        head = parse_head(data, 0, bounds)
    except RemoteProtocolError as error:
        return "refused", error.status, str(error)
    return None if head is None else {name: getattr(head, name) for name in RequestHead.__slots__}


def native_head(data: bytes, bounds: LimitsConfig, scanned: int) -> Outcome:
    """The same of the native one; where the target names the host, as it is told to handlers."""
    try:
        facts = native.parse_head(data, in_bounds(bounds), scanned)
    except ValueError as error:
        return "refused", *error.args
    if facts is None:
        return None
    authority = facts.pop("authority")
    if authority is not None:
        facts["fields"] = b"\r\nHost: " + authority + HOST_LINE.sub(b"", facts["fields"])
    return dict(facts)


def in_bounds(bounds: LimitsConfig) -> tuple[int, int, int, int, int]:
    """Limits as the native parsers take them."""
    return bounds.request_line, bounds.head, bounds.headers, bounds.chunk_extensions, bounds.trailers


def arrive(
    read: Callable[[bytes, LimitsConfig, int], Outcome],
    data: bytes,
    bounds: LimitsConfig,
    ends: Iterable[int],
) -> list[Outcome]:
    """What is said each time that more bytes have arrived, until something is decided."""
    outcomes: list[Outcome] = []
    scanned = 0
    for end in sorted({min(end, len(data)) for end in ends} | {len(data)}):
        outcomes.append(read(data[:end], bounds, scanned))
        if outcomes[-1] is not None:
            break
        scanned = end
    return outcomes


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(max_examples=300)
@given(anything, limits)
@example(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", WIDE)
@example(b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", WIDE)
def test_whole_heads_are_read_alike(data: bytes, bounds: LimitsConfig) -> None:
    """Every fact, or status and words of the refusal."""
    assert portable_head(data, bounds, 0) == native_head(data, bounds, 0)


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(max_examples=300)
@given(anything, limits, cuts)
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", LimitsConfig(request_line=14), [15])
def test_heads_in_pieces_are_read_alike(data: bytes, bounds: LimitsConfig, ends: list[int]) -> None:
    """At every piece: not yet, the same refusal, or the same head."""
    assert arrive(portable_head, data, bounds, ends) == arrive(native_head, data, bounds, ends)


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(max_examples=200)
@given(anything, limits)
def test_heads_byte_by_byte_are_read_alike(data: bytes, bounds: LimitsConfig) -> None:
    """Every position is a cut."""
    ends = range(len(data))

    assert arrive(portable_head, data, bounds, ends) == arrive(native_head, data, bounds, ends)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", ["start", "request line", "field name", "field value", "end"])
def test_every_two_bytes_everywhere_are_read_alike(place: str) -> None:
    """All 65536 pairs, where each part of a head stands."""
    whole = b"GET /a HTTP/1.1\r\nHost: a\r\nX-Name: value\r\n\r\n"
    at = {"start": 0, "request line": 5, "field name": 29, "field value": 37, "end": len(whole) - 4}[place]
    for first in range(256):
        for second in range(256):
            data = whole[:at] + bytes([first, second]) + whole[at:]
            assert portable_head(data, WIDE, 0) == native_head(data, WIDE, 0)


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(max_examples=300)
@given(authorities)
def test_hosts_are_judged_alike(authority: bytes) -> None:
    """In the field, and in the two forms of a target that have one."""
    for data in (
        b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % authority,
        b"GET http://%b/ HTTP/1.0\r\n\r\n" % authority,
        b"CONNECT %b HTTP/1.0\r\n\r\n" % authority,
    ):
        assert portable_head(data, WIDE, 0) == native_head(data, WIDE, 0)


@given(framed, tokens)
def test_fields_are_found_alike(data: bytes, other: bytes) -> None:
    """By every name that is there, in another letter case, and by some that are not."""
    facts = native_head(data, WIDE, 0)
    if not isinstance(facts, dict):
        return
    fields = facts["fields"]
    assert isinstance(fields, bytes)
    headers = Headers.from_block(fields)
    for name in {"host", "", other.decode(), *(name.swapcase() for name, _ in headers.items())}:
        found = native.find_field(fields, name)

        assert headers.get(name) == (None if found is None else found.decode("latin-1"))


def portable_content(pieces: list[bytes], bounds: LimitsConfig) -> object:
    """Where chunked content ended, and what it was; or the refusal."""
    machine = ChunkedContent(bounds, MAX_BODY)
    fed = 0
    try:
        for piece in pieces:
            end = machine.feed(piece)
            if end >= 0:
                return fed + end, bytes(machine.content)
            fed += len(piece)
    except RemoteProtocolError as error:
        return "refused", error.status, str(error)
    return -1, bytes(machine.content)


def native_content(pieces: list[bytes], bounds: LimitsConfig) -> object:
    """The same of the native one."""
    try:
        return native.parse_chunked(pieces, in_bounds(bounds), MAX_BODY)
    except ValueError as error:
        return "refused", *error.args


chunk_limits = st.one_of(
    st.just(chunked_cases.LIMITS),
    st.builds(
        lambda extensions, trailers, fields: LimitsConfig(
            chunk_extensions=extensions, trailers=trailers, headers=fields
        ),
        st.integers(0, 30),
        st.integers(0, 30),
        st.integers(0, 3),
    ),
)
chunk_lines = st.text('0aF;=" \\\t\r\n\x00é', max_size=12).map(lambda text: text.encode("latin-1"))
contents = st.one_of(
    chunked_cases.contents,
    chunked_cases.valid,
    st.builds(lambda line: b"1" + line + b"\r\na\r\n0\r\n\r\n", chunk_lines),
    st.builds(
        harm,
        chunked_cases.valid,
        st.integers(0, 300),
        st.integers(0, 255),
        st.sampled_from(["insert", "delete", "change"]),
    ),
)


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(max_examples=300)
@given(contents, chunk_limits, cuts)
def test_chunks_are_read_alike(data: bytes, bounds: LimitsConfig, places: list[int]) -> None:
    """End and content, or status and words of the refusal, for any way of cutting."""
    positions = [0, *sorted({min(place, len(data)) for place in places}), len(data)]
    pieces = [data[start:stop] for start, stop in pairwise(positions)]

    assert portable_content(pieces, bounds) == native_content(pieces, bounds)


@given(contents, chunk_limits)
def test_chunks_byte_by_byte_are_read_alike(data: bytes, bounds: LimitsConfig) -> None:
    """Every position is a cut."""
    pieces = [bytes([byte]) for byte in data]

    assert portable_content(pieces, bounds) == native_content(pieces, bounds)
