"""Heads are read strictly, the same however they are cut, and no two parsers see different ones."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rocket_sup.config import LimitsConfig
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.http.framing import RequestHead, has_head_end, parse_head, plain_head
from rocket_sup.http.grammar import PLAIN_GET

LIMITS = LimitsConfig()
STATUSES = {400, 413, 414, 431, 501, 505}

# Pieces of which heads are made: right, wrong and nearly right, so that many combinations get far.
methods = st.sampled_from([b"GET", b"POST", b"OPTIONS", b"CONNECT", b"PURGE", b"get", b"", b"G T"])
targets = st.sampled_from(
    [
        b"/",
        b"/a?b=c",
        b"*",
        b"http://h:1/p?q",
        b"https://u@h/",
        b"h:80",
        b"/#",
        b"/\xff",
        b"",
        b"/a b",
        b"//x",
    ]
)
versions = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/1.", b"http/1.1"])
names = st.sampled_from(
    [
        *(b"Host", b"hOST", b"Connection", b"connection", b"Content-Length", b"Transfer-Encoding", b"Expect"),
        *(b"Upgrade", b"X", b"Cookie", b"Content-Type", b"Content-Length ", b" X", b"", b"H\xf6st", b"Hosts"),
    ]
)
values = st.sampled_from(
    [
        *(b"a", b"a:80", b"127.0.0.1:18080", b"[::1]", b"a b", b"", b"5", b"0", b"+5", b"5, 5", b"chunked"),
        *(
            b"gzip",
            b"chunked, chunked",
            b"keep-alive",
            b"Keep-Alive",
            b"close",
            b"100-continue",
            b"\xff",
            b"a\x00",
        ),
    ]
)
blanks = st.sampled_from([b" ", b"", b"\t", b"  "])
ends = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n"])
field_lines = st.builds(lambda n, b, v, a, e: n + b":" + b + v + a + e, names, blanks, values, blanks, ends)
heads = st.builds(
    lambda m, t, v, e, fields, last: m + b" " + t + b" " + v + e + b"".join(fields) + last,
    methods,
    targets,
    versions,
    ends,
    st.lists(
        st.one_of(field_lines, st.just(b"Host: a\r\n"), st.just(b"Connection: keep-alive\r\n")), max_size=6
    ),
    ends,
)


def facts(head: RequestHead) -> dict[str, object]:
    """Everything a head says."""
    return {name: getattr(head, name) for name in RequestHead.__slots__}


def outcome(data: bytes) -> object:
    """What reading a head gives: its facts, None, or the status of the refusal."""
    try:
        head = parse_head(data, 0, LIMITS)
    except RemoteProtocolError as error:
        return error.status if error.status in STATUSES else f"undocumented: {error.status}"
    return None if head is None else facts(head)


@given(st.one_of(heads, st.binary(max_size=100)))
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
def test_no_input_raises_anything_undocumented(data: bytes) -> None:
    """A head is read, incomplete, or refused with a status."""
    assert not isinstance(outcome(data), str)


@given(heads, st.integers(0, 200))
def test_what_a_part_says_the_whole_says_too(data: bytes, cut: int) -> None:
    """A part of an accepted head is never refused, and a part that is refused belongs to no accepted head."""
    part, whole = outcome(data[:cut]), outcome(data)

    if isinstance(whole, dict):
        assert part is None or part == whole
    if isinstance(part, dict):
        assert whole == part


@given(heads, st.lists(st.integers(0, 200), max_size=5))
def test_the_end_of_a_head_is_found_however_it_arrives(data: bytes, cuts: list[int]) -> None:
    """Searching on from where the last search stopped finds, or refuses, what a search of the whole does."""

    def search(positions: list[int]) -> bool | int:
        scanned = 0
        try:
            for position in positions:
                if has_head_end(data[:position], 0, LIMITS, scanned=scanned):
                    return True
                scanned = position
        except RemoteProtocolError as error:
            return error.status
        return False

    positions = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    whole = search([len(data)])
    in_parts = search(positions)

    # A complete head may be followed by bytes that are judged later, when the parts end before them.
    if whole is True and in_parts == 400:
        # A bare CR just before the end is left to the grammar when all comes at once: refused either way.
        with pytest.raises(RemoteProtocolError):
            parse_head(data, 0, LIMITS)
    else:
        assert in_parts == whole or in_parts is True


@given(heads)
@example(b"GET /a?b HTTP/1.1\r\nX: 1\r\nConnection: keep-alive\r\nHost: a:80\r\nCookie: \xff\r\n\r\n")
def test_the_short_way_gives_what_the_long_way_gives(data: bytes) -> None:
    """Whatever `PLAIN_GET` matches, `parse_head` reads as the very same head."""
    match = PLAIN_GET.match(data)

    if match is not None:
        assert facts(plain_head(match)) == outcome(data)


class Seen:
    """What llhttp understood."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.target = b""
        self.is_complete = False
        self.keep_alive: bool | None = None
        self.parser: httptools.HttpRequestParser

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.rstrip(b"\t ")))

    def on_headers_complete(self) -> None:
        self.keep_alive = self.parser.should_keep_alive()

    def on_message_complete(self) -> None:
        self.is_complete = True


@given(heads)
@example(b"POST /a?b HTTP/1.1\r\nHost: a\r\nX:\t1 \r\nContent-Length: 5\r\n\r\n")
def test_llhttp_sees_the_same_head(data: bytes) -> None:
    """What we accept means the same to llhttp, unless it is stricter: it is never a different message."""
    ours = outcome(data)
    if not isinstance(ours, dict) or ours["method"] not in ("GET", "POST", "OPTIONS"):
        return
    seen = Seen()
    seen.parser = parser = httptools.HttpRequestParser(seen)
    end = ours["end"]
    assert isinstance(end, int)
    try:
        parser.feed_data(data[:end])
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return  # stricter: an upgrade, a higher minor version, bytes in the target
    sent = [line.partition(b":") for line in data[:end].strip(b"\r\n").split(b"\r\n")[1:]]

    assert seen.target == str(ours["target"]).encode()
    assert seen.fields == [(name, value.strip(b"\t ")) for name, _, value in sent]
    assert seen.is_complete == (ours["content_length"] == 0)
    assert seen.keep_alive == ours["keep_alive"]


def test_a_head_says_everything_that_is_decided() -> None:
    """Framing, persistence, expectation, target."""
    head = parse_head(
        b"xxPOST /a%20b?c=d HTTP/1.0\r\nConnection: x, keep-alive\r\nContent-Length: 0042\r\n\r\nrest",
        2,
        LIMITS,
    )

    assert head is not None
    assert facts(head) == {
        "method": "POST",
        "target": "/a%20b?c=d",
        "path": "/a%20b",
        "query": "c=d",
        "version": "1.0",
        "fields": b"\r\nConnection: x, keep-alive\r\nContent-Length: 0042",
        "content_length": 42,
        "keep_alive": True,
        "expects_continue": False,
        "unmet_expectation": False,
        "end": 79,
    }


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "blank between field name and colon"),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "begins with a blank"),
        (b"GET / HTTP/1.1\r\nHost\r\n\r\n", "no colon"),
        (b"GET / HTTP/x\r\nHost: a\r\n\r\n", "HTTP/d.d"),
        (b"GET /\r\nHost: a\r\n\r\n", "method SP target SP version"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n\r\n", "no colon"),
        (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "control character"),
        (b"GET / HTTP/1.1\r\nHost: a\n", "bare LF"),
        (b"GET / HTTP/1.1\r\n\r\n", "no Host"),
    ],
)
def test_the_refusal_says_what_was_found_and_where_it_is_written(data: bytes, words: str) -> None:
    """So that whoever wrote the client can repair it; nothing of the input is echoed."""
    with pytest.raises(RemoteProtocolError, match=words) as caught:
        parse_head(data, 0, LIMITS)

    assert "(RFC " in str(caught.value)


def test_limits_are_exact() -> None:
    """The limit itself is allowed."""
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    exact = LimitsConfig(request_line=14, head=len(data), headers=1)

    assert parse_head(data, 0, exact) is not None
    for limits, status in (
        (LimitsConfig(request_line=13), 414),
        (LimitsConfig(head=len(data) - 1), 431),
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            parse_head(data, 0, limits)
        assert caught.value.status == status


def test_a_bare_cr_before_the_end_of_a_head_is_refused() -> None:
    """Found by the search when it comes in parts, by the grammar when it comes at once."""
    head = b"GET / HTTP/1.1\r\nHost: a \r\r\n\r\n"

    with pytest.raises(RemoteProtocolError) as caught:
        parse_head(head, 0, LIMITS)
    assert 400 == caught.value.status


def test_a_line_of_exactly_the_limit_may_be_cut_before_its_lf() -> None:
    """Its CR is no byte too many."""
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    exact = LimitsConfig(request_line=14)

    assert not any(has_head_end(data[:cut], 0, exact) for cut in range(len(data)))
    with pytest.raises(RemoteProtocolError, match="longer than 14 bytes"):
        has_head_end(b"GET / HTTP/1.10\r", 0, exact)


def test_a_cr_that_ends_the_content_before_excuses_no_lf() -> None:
    """The next head begins with a bare LF, and is refused before it is complete."""
    with pytest.raises(RemoteProtocolError, match="bare LF"):
        parse_head(b"content\r\nGET", len(b"content\r"), LIMITS)
