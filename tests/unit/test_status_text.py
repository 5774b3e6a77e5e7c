"""The status for people: aligned, and tolerant of whatever another version answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.status_text import bytes_text, children_text, duration_text, status_text

CHILDREN = [
    {
        "id": "listener",
        "pid": 7,
        "state": "running",
        "restart": "permanent",
        "type": "supervisor",
        "restarts": 0,
    },
    {
        "id": "queue",
        "pid": None,
        "state": "restarting",
        "restart": "transient",
        "type": "worker",
        "restarts": 12,
    },
]
ANSWER: dict[str, Any] = {
    "ok": True,
    "version": "0.1.0",
    "supervisor": {"pid": 6, "uptime_s": 3725.4, "generation": 2, "state": "running"},
    "listener": {
        "pid": 7,
        "state": "running",
        "binds": ["0.0.0.0:8080", "[::]:8080"],
        "steering": "cbpf",
    },
    "engines": [
        {"name": "python", "loop": "uvloop", "reason": "asked for", "is_fallback": False, "acceptors": 2}
    ],
    "acceptors": [
        {
            "id": "acceptor-1",
            "pid": 8,
            "state": "ready",
            "generation": 2,
            "connections": 17,
            "websockets": 5,
            "threads": {"size": 40, "busy": 3, "queued": 0},
            "requests": 123456,
            "requests_per_s": 1234.56,
            "bytes_in": 1536,
            "bytes_out": 5 << 30,
            "rss_bytes": 300 << 20,
            "heartbeat_age_s": 0.051,
            "restarts": 0,
            "socket": 0,
        },
        {"id": "acceptor-2", "pid": None, "state": "restarting", "restarts": 3},
    ],
    "connections": {"now": 17, "max": 10000, "peak": 230},
    "totals": {"requests": 123456, "statuses": {"2xx": 123450, "4xx": 6, "5xx": 0}},
    "children": CHILDREN,
}

TEXT = """\
rocket-sup 0.1.0: running, pid 6, up 1 h 2 m, generation 2
listener     running, pid 7, at 0.0.0.0:8080, [::]:8080, steering cbpf
engine       python on uvloop: asked for
connections  17 of 10000, peak 230
requests     123456 (2xx 123450, 4xx 6)

ACCEPTOR    PID  STATE       GEN  CONN  WS  THR   REQUESTS   REQ/S       IN      OUT      RSS   BEAT  RESTARTS
acceptor-1    8  ready         2    17   5  3/40    123456  1234.6  1.5 KiB  5.0 GiB  300 MiB  0.1 s         0
acceptor-2    -  restarting    -     -   -  -            -       -        -        -        -      -         3

CHILD     PID  STATE       RESTART    TYPE        RESTARTS
listener    7  running     permanent  supervisor         0
queue       -  restarting  transient  worker            12"""


def test_the_status_is_laid_out_for_people() -> None:
    """Words to the left, numbers to the right, nothing behind the last column."""
    assert TEXT == status_text(ANSWER)


def test_children_have_a_table_of_their_own() -> None:
    """The same as at the end of the status."""
    assert TEXT.split("\n\n")[2] == children_text({"children": CHILDREN})
    assert "no children" == children_text({"children": []})


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"acceptors": None, "listener": None, "children": [None, {}, {"id": 3}]},
        {"acceptors": [{"threads": {}}, {"threads": {"busy": "\n"}}, {"rss_bytes": {}}]},
        {"acceptors": [{"rss_bytes": "?", "id": None}], "connections": {"now": "many"}},
    ],
)
def test_what_is_missing_is_shown_as_missing(answer: dict[str, Any]) -> None:
    """A command must show what there is of a server of another version."""
    assert "-" in status_text(answer)


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(list(ANSWER)), JSON))
def test_no_answer_breaks_the_layout(answer: dict[str, Any]) -> None:
    """Any JSON at all gives some text without control characters."""
    text = status_text(answer)

    assert text.replace("\n", "").isprintable() or not any(ord(c) < 32 for c in text.replace("\n", ""))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 m"),
        (67, "1 m 7 s"),
        (3600, "1 h"),
        (90061, "1 d 1 h"),
        (86401, "1 d 1 s"),
    ],
)
def test_durations_have_two_units(seconds: float, expected: str) -> None:
    """The largest two that are not zero."""
    assert expected == duration_text(seconds)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (200 * 1024, "200 KiB"), (1 << 40, "1.0 TiB")],
)
def test_sizes_have_three_digits_or_so(count: int, expected: str) -> None:
    """In powers of 1024."""
    assert expected == bytes_text(count)


@pytest.mark.parametrize(
    ("threads", "shown"),
    [({"size": 40, "busy": 3, "queued": 0}, " 3/40 "), ({"size": 4, "busy": 4, "queued": 17}, " 4/4+17 ")],
)
def test_threads_are_shown_with_what_waits_for_them(threads: dict[str, int], shown: str) -> None:
    """As busy/size+queued."""
    assert shown in status_text({"acceptors": [{"id": "acceptor-1", "threads": threads, "requests": 1}]})
