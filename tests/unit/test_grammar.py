"""The patterns of `http/grammar.py` are what the ABNF says, byte by byte."""

from __future__ import annotations

import re
import string
import time

import pytest

from rocket_sup.http import grammar

TCHAR = set((string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode())
FIELD_BYTES = {0x09, *range(0x20, 0x7F), *range(0x80, 0x100)}


def test_a_token_is_made_of_tchar_only() -> None:
    """RFC 9110 §5.6.2."""
    token = re.compile(grammar.TOKEN)

    assert {byte for byte in range(256) if token.fullmatch(bytes([byte]))} == TCHAR
    assert token.fullmatch(b"") is None


def test_a_field_value_holds_everything_but_controls() -> None:
    """RFC 9110 §5.5: HTAB is the one control that may stand in it."""
    line = re.compile(grammar.FIELD_LINE)

    assert {byte for byte in range(256) if line.fullmatch(b"X:" + bytes([byte]))} == FIELD_BYTES


def test_what_we_send_is_what_we_accept() -> None:
    """Names and values of answers follow the same grammar."""
    names = {c for c in range(256) if grammar.SENDABLE_NAME.fullmatch(chr(c))}
    values = {c for c in range(256) if grammar.SENDABLE_VALUE.fullmatch(chr(c))}

    assert names == TCHAR
    assert values == FIELD_BYTES
    assert grammar.SENDABLE_VALUE.fullmatch("\u0100") is None


def test_forbidden_bytes_are_those_that_no_head_can_hold() -> None:
    """CR and LF are forbidden alone, HTAB never, a CR at the very end may still get its LF."""
    alone = {byte for byte in range(256) if grammar.FORBIDDEN_IN_HEAD.search(b"a" + bytes([byte]) + b"b")}

    assert alone == set(range(0x20)) - {0x09} | {0x7F}
    assert grammar.FORBIDDEN_IN_HEAD.search(b"a\r\nb\r\n\r\n") is None
    assert grammar.FORBIDDEN_IN_HEAD.search(b"a\r") is None
    assert grammar.FORBIDDEN_IN_HEAD.search(b"a\r\r") is not None
    assert grammar.FORBIDDEN_IN_HEAD.search(b"\n") is not None


def test_content_length_is_ascii_digits() -> None:
    """RFC 9110 §8.6."""
    digits = {byte for byte in range(256) if grammar.CONTENT_LENGTH.fullmatch(bytes([byte]))}

    assert digits == set(b"0123456789")


@pytest.mark.parametrize(
    "pattern",
    [grammar.REQUEST_HEAD, grammar.PLAIN_GET, grammar.DECISIVE_FIELD, grammar.HOST, grammar.CHUNK_LINE],
)
@pytest.mark.parametrize(
    "hostile",
    [
        b"GET / HTTP/1.1" + b"\r\nHost: a" * 20_000,
        b"GET " + b"/?" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"A:" * 100_000,
        b"1" + b";a" * 100_000 + b'="',
        b"1;a=" + b'"\\' * 100_000,
        b"%41" * 70_000 + b"%",
        b"\r\nconnection:" + b" " * 200_000,
    ],
)
def test_no_input_takes_more_than_one_pass(pattern: re.Pattern[bytes], hostile: bytes) -> None:
    """Repetitions are possessive: 200 KB that match nearly are refused in milliseconds."""
    began = time.process_time()
    pattern.match(hostile)
    pattern.search(hostile[:20_000])

    assert time.process_time() - began < 1.0
