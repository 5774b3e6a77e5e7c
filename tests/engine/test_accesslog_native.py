"""Native access lines are those of the portable log, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rocket_sup.accesslog import VALUE_CHARACTERS, AccessLog, Entry

native = pytest.importorskip(
    "rocket_sup.engine._native", reason="the native module is not built (cargo build --release -p rocket-py)"
)

MAX_S = 253402300799  # the last second of the year 9999
# What the wire can bring: a byte is a character.
values = st.one_of(
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60),
    st.text(st.characters(max_codepoint=0xFF), max_size=40),
    st.builds(
        lambda size, tail: "x" * size + tail,
        st.integers(VALUE_CHARACTERS - 6, VALUE_CHARACTERS + 3),
        st.text(st.characters(max_codepoint=0xFF), max_size=8),
    ),
)
entries = st.tuples(
    st.floats(0, MAX_S),
    st.sampled_from(["127.0.0.1", "::1", "-"]) | values,
    values,
    values,
    st.sampled_from(["1.1", "1.0", "-"]),
    st.integers(100, 999),
    st.integers(0, 1 << 63),
    st.floats(0, 1e9),
    st.none() | values,
    st.none() | values,
)
PLAIN: Entry = (1795204800.5, "127.0.0.1", "GET", "/a?b=c", "1.1", 200, 17, 0.000123, None, "curl/8")


@pytest.fixture(scope="module", params=["combined", "json"])
def log(request: pytest.FixtureRequest) -> Iterator[tuple[str, AccessLog]]:
    """A portable log and its format."""
    log = AccessLog(format=request.param, file="/dev/null")
    yield request.param, log
    log.close()


def native_lines(format: str, entries: list[Entry]) -> bytes:
    """Write the same entries natively, through one writer."""

    def raw(value: str | None) -> bytes | None:
        return None if value is None else value.encode("latin-1")

    return native.access_lines(
        format,
        [
            (int(e[0]), raw(e[1]), raw(e[2]), raw(e[3]), e[4], e[5], e[6], e[7], raw(e[8]), raw(e[9]))
            for e in entries
        ],
    )


# The portable log looks closely at a whole batch or at none of it, so a value that is long but harmless stays
# whole in company; alone, each line is what it is by itself.
@pytest.mark.slow
@settings(max_examples=100)
@given(st.lists(entries, min_size=1, max_size=4))
@example([PLAIN, (*PLAIN[:8], "", ""), (*PLAIN[:3], "/" + '"' * 2000, *PLAIN[4:])])
@example([(*PLAIN[:3], "x" * VALUE_CHARACTERS, *PLAIN[4:]), (*PLAIN[:3], "x" * 1025, *PLAIN[4:])])
def test_lines_are_the_same(log: tuple[str, AccessLog], entries: list[Entry]) -> None:
    """Whatever a client sends, in every second there is."""
    format, portable = log

    expected = b"".join(portable._formatted([entry]) for entry in entries)

    assert expected == native_lines(format, entries)


def test_a_batch_of_ordinary_requests_is_the_same(log: tuple[str, AccessLog]) -> None:
    """Also together, over several seconds."""
    format, portable = log
    batch: list[Entry] = [(PLAIN[0] + number / 100, *PLAIN[1:]) for number in range(256)]

    assert portable._formatted(batch) == native_lines(format, batch)
