"""Events: text and JSON, nothing forged, nothing raised, what was lost is counted."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.log import EventLog, escaped, json_line, text_line, timestamp

NOW = 1795204800.1239
MOMENT = "2026-11-20T20:00:00.123Z"


def text(**fields: Any) -> str:
    """One event as text."""
    return text_line(NOW, "info", "event", fields).decode()


def test_a_time_is_written_in_utc_with_milliseconds() -> None:
    """Sorted as text it is sorted by time."""
    assert MOMENT == timestamp(NOW)
    assert "1970-01-01T00:00:00.000Z" == timestamp(0.0)


def test_a_line_is_readable() -> None:
    """Time, level, event, fields."""
    line = text_line(NOW, "info", "acceptor_started", {"id": "acceptor-1", "pid": 4711})

    assert f"{MOMENT} info    acceptor_started id=acceptor-1 pid=4711\n" == line.decode()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ('say "x"', '"say \\"x\\""'),
        ("a=b", '"a=b"'),
        ("c:\\d", '"c:\\\\d"'),
        ("a\nb\tc\r", '"a\\nb\\tc\\r"'),
        ("\x1b[31m", '"\\u001b[31m"'),
        ("\x9b\x7f", '"\\u009b\\u007f"'),
        ("\u202eevil", '"\\u202eevil"'),
        ("\ud800", '"\\ud800"'),
        ("größe", "größe"),
        (None, "-"),
        (True, "true"),
        (0.30000000000000004, "0.3"),
        (3, "3"),
        ([1, 2], "1,2"),
        (("a b",), '"a b"'),
        ([], '""'),
        ({"a": 1}, "\"{'a': 1}\""),
    ],
)
def test_values_are_shown_unmistakably(value: object, shown: str) -> None:
    """Quoted when they could be misread, escaped when they could do something."""
    assert f"{MOMENT} info    event x={shown}\n" == text(x=value)


def test_a_traceback_is_spread_below_its_line() -> None:
    """Indented, so that no line of it can be taken for an event; escaped, but for tabs and ends of lines."""
    assert f"{MOMENT} info    event id=1\n    traceback:\n    | one\n    |   two\tx\\u001b\n" == text(
        traceback="one\n  two\tx\x1b\n", id=1
    )


def test_a_short_detail_stays_on_its_line() -> None:
    """Only texts of several lines are spread."""
    assert f"{MOMENT} info    event detail=short\n" == text(detail="short")


def test_an_endless_traceback_is_cut() -> None:
    """A recursion of 10,000 frames does not become a megabyte of log."""
    assert len(text(traceback="x\n" * 200_000)) < 600_000


def test_json_is_one_object_on_one_line() -> None:
    """Times, levels and events under their names; a field that is called like one gets an underscore."""
    line = json_line(
        NOW, "info", "event", {"id": "a", "n": 1, "level": 3, "path": Path("/x"), "t": "a\nb\x9b"}
    )

    assert 1 == line.count(b"\n")
    assert b"\x9b" not in line
    assert {
        "time": MOMENT,
        "level": "info",
        "event": "event",
        "id": "a",
        "n": 1,
        "level_": 3,
        "path": "/x",
        "t": "a\nb\x9b",
    } == json.loads(line)


@pytest.mark.parametrize("value", [2**80, "\ud800"])
def test_json_that_the_fast_encoder_refuses_is_written_anyway(value: object) -> None:
    """A line with everything as text is better than none."""
    assert str(value) == json.loads(json_line(NOW, "info", "event", {"x": value}))["x"]


@given(st.dictionaries(st.sampled_from(["a", "traceback", "detail"]), st.text(st.characters())))
def test_no_value_can_forge_a_line(fields: dict[str, str]) -> None:
    """Whatever is in a value: one line begins at the margin, and nothing in it moves a cursor."""
    for line in (text(**fields), json_line(NOW, "info", "event", fields).decode()):
        at_margin = [part for part in line.splitlines() if not part.startswith("    ")]
        assert 1 == len(at_margin)
        assert escaped(line.replace("\n", "").replace("\t", "")) == line.replace("\n", "").replace("\t", "")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["d", "i", "w", "e"]),
        ("info", ["i", "w", "e"]),
        ("warning", ["w", "e"]),
        ("error", ["e"]),
    ],
)
def test_events_below_the_level_are_left_out(tmp_path: Path, level: str, expected: list[str]) -> None:
    """Each level includes those above it."""
    log = EventLog(level=level, format="json", file=str(tmp_path / "log"))

    for write, event in ((log.debug, "d"), (log.info, "i"), (log.warning, "w"), (log.error, "e")):
        write(event)
    log.close()

    assert expected == [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert [log.is_enabled(each) for each in ("debug", "error")] == [level == "debug", True]


def test_a_field_may_have_any_name(tmp_path: Path) -> None:
    """`event` and `self` are names like others."""
    log = EventLog(file=str(tmp_path / "log"))
    log.info("x", event="y", self="z")
    log.close()

    assert (tmp_path / "log").read_text().endswith("x event=y self=z\n")


def test_events_go_to_standard_error_by_default(capfd: pytest.CaptureFixture[str]) -> None:
    """Where a service manager looks for them."""
    EventLog().info("here")

    assert "here" in capfd.readouterr().err


def reading_end(path: Path) -> int:
    """Make a named pipe and open its reading end."""
    os.mkfifo(path)
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def test_what_was_lost_is_counted_and_told_later(tmp_path: Path) -> None:
    """A reader that stops costs lines, never time; when it goes on, it learns how many."""
    pipe = reading_end(tmp_path / "pipe")
    log = EventLog(file=str(tmp_path / "pipe"))
    began = time.monotonic()

    for number in range(1000):
        log.info("event", number=number, filler="x" * 1000)
    took = time.monotonic() - began
    before = os.read(pipe, 1 << 20)
    log.info("again")
    after = os.read(pipe, 1 << 20).decode()

    kept = before.count(b" event ")
    assert 0 < kept < 1000
    assert f"log_lines_lost count={1000 - kept}\n" in after
    assert after.endswith(" again\n")
    assert took < 0.5
    log.close()
    os.close(pipe)


def test_a_line_that_was_cut_ends_before_the_next_one_begins(tmp_path: Path) -> None:
    """A line longer than a pipe takes at once may be torn; the next one is not drawn into it."""
    pipe = reading_end(tmp_path / "pipe")
    log = EventLog(file=str(tmp_path / "pipe"))

    log.info("long", x="y" * 200_000)
    os.read(pipe, 1 << 20)
    log.info("next")

    rest = os.read(pipe, 1 << 20).decode()
    assert rest.startswith("\n")
    assert ["log_lines_lost", "next"] == [line.split()[2] for line in rest.strip().splitlines()]
    log.close()
    os.close(pipe)


def test_a_full_disk_is_survived() -> None:
    """No exception, however often."""
    log = EventLog(file="/dev/full")
    for _ in range(3):
        log.error("event")
    log.close()


def test_a_log_is_reopened_after_rotation(tmp_path: Path) -> None:
    """And goes on in the old file when it cannot be, saying so there."""
    (tmp_path / "logs").mkdir()
    path = tmp_path / "logs" / "log"
    log = EventLog(file=str(path))
    path.rename(tmp_path / "old")
    log.reopen()
    log.info("new")
    (tmp_path / "logs").rename(tmp_path / "moved")
    log.reopen()
    log.close()

    lines = (tmp_path / "moved" / "log").read_text().splitlines()
    assert ["new", "log_not_reopened"] == [line.split()[2] for line in lines]
    assert "" == (tmp_path / "old").read_text()
