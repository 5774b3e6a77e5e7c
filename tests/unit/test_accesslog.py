"""Access lines: both formats, nothing forged, memory bounded, batches, rotation, and what a line costs."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup import accesslog
from rocket_sup.accesslog import BACKLOG_BYTES, BATCH, AccessLog
from rocket_sup.logfile import LogFile

REQUEST = ("127.0.0.1", "GET", "/a?b=c", "1.1", 200, 17, 0.000123, None, "curl/8")
COMBINED = re.compile(r'(\S+) - - \[([^\]]+)\] "(\S+) (.*?) (HTTP/1\.[01])" (\d{3}) (\d+) "(.*?)" "(.*?)"')


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until it is set."""
    now = [1795204800.5]
    monkeypatch.setattr(accesslog, "_now", lambda: now[0])
    return now


def lines(path: Path, log: AccessLog) -> list[str]:
    """Close the log and return what it wrote."""
    log.close()
    return path.read_text().splitlines()


def test_the_combined_format_is_apaches(tmp_path: Path, clock: list[float]) -> None:
    """To the last quote, whatever the locale."""
    log = AccessLog(format="combined", file=str(tmp_path / "log"))
    log.append(*REQUEST)

    assert ['127.0.0.1 - - [20/Nov/2026:20:00:00 +0000] "GET /a?b=c HTTP/1.1" 200 17 "-" "curl/8"'] == lines(
        tmp_path / "log", log
    )


def test_a_request_that_could_not_be_read_has_a_line_too(tmp_path: Path, clock: list[float]) -> None:
    """With the status it was answered with, and nothing made up; HTTP/1.0 is told apart."""
    log = AccessLog(file=str(tmp_path / "log"))
    log.append("::1", "-", "-", "-", 400, 0, 0.0, None, None)
    log.append("::1", "GET", "/", "1.0", 200, 0, 0.0, None, None)

    assert [
        '::1 - - [20/Nov/2026:20:00:00 +0000] "- - -" 400 0 "-" "-"',
        '::1 - - [20/Nov/2026:20:00:00 +0000] "GET / HTTP/1.0" 200 0 "-" "-"',
    ] == lines(tmp_path / "log", log)


def test_the_json_format_is_one_object_a_line(tmp_path: Path, clock: list[float]) -> None:
    """With the duration, which the other format has no place for."""
    log = AccessLog(format="json", file=str(tmp_path / "log"))
    log.append(*REQUEST)

    assert [
        {
            "time": "2026-11-20T20:00:00Z",
            "client": "127.0.0.1",
            "method": "GET",
            "target": "/a?b=c",
            "version": "HTTP/1.1",
            "status": 200,
            "bytes": 17,
            "duration_us": 123,
            "referer": "",
            "user_agent": "curl/8",
        }
    ] == [json.loads(line) for line in lines(tmp_path / "log", log)]


def test_each_line_has_the_second_of_its_request(tmp_path: Path, clock: list[float]) -> None:
    """A batch may span several."""
    log = AccessLog(file=str(tmp_path / "log"))
    for now in (1795204800.9, 1795204801.0, 1795204801.5, 1795204803.0):
        clock[0] = now
        log.append(*REQUEST)

    seconds = [line.split(" +0000]")[0][-2:] for line in lines(tmp_path / "log", log)]
    assert ["00", "01", "01", "03"] == seconds


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ('a"b', "a\\u0022b"),
        ("a\\b", "a\\u005cb"),
        ("a\nb", "a\\u000ab"),
        ("\x1b[2J", "\\u001b[2J"),
        ("é", "\\u00e9"),
        ("😀", "\\ud83d\\ude00"),
        ("\ud800", "\\ud800"),
        ("x" * 2000, "x" * 1024 + "..."),
    ],
)
@pytest.mark.parametrize("place", [1, 2, 7, 8])
def test_what_could_break_a_line_is_escaped(tmp_path: Path, value: str, shown: str, place: int) -> None:
    """In the method, the target and both header values; the other lines of the batch stay as they are."""
    request: list[Any] = list(REQUEST)
    request[place] = value
    log = AccessLog(file=str(tmp_path / "log"))
    log.append(*REQUEST)
    log.append(*request)

    first, second = lines(tmp_path / "log", log)
    assert '"GET /a?b=c HTTP/1.1"' in first
    assert shown in second


HOSTILE = st.text(st.characters(), max_size=40)


@given(
    st.lists(st.tuples(HOSTILE, HOSTILE, st.none() | HOSTILE, st.none() | HOSTILE), min_size=1, max_size=5)
)
def test_no_client_can_forge_a_line(requests: list[tuple[str, str, str | None, str | None]]) -> None:
    """Every batch gives one line an entry, which reads as what the client sent."""
    entries = [
        (0.0, "::1", method, target, "1.1", 200, 1, 0.5, referer, agent)
        for method, target, referer, agent in requests
    ]
    log = AccessLog(format="json", file="/dev/null")
    other = AccessLog(format="combined", file="/dev/null")

    as_json = log._formatted(entries).decode("ascii").splitlines()
    as_text = other._formatted(entries).decode("ascii").splitlines()
    log.close()
    other.close()

    assert [(method, target, referer or "", agent or "") for method, target, referer, agent in requests] == [
        (each["method"], each["target"], each["referer"], each["user_agent"])
        for each in map(json.loads, as_json)
    ]
    assert len(requests) == len(as_text)
    assert all(6 == line.count('"') for line in as_text)


def test_lines_are_written_in_batches(tmp_path: Path) -> None:
    """One write for many requests; `flush` writes the rest."""
    path = tmp_path / "log"
    log = AccessLog(file=str(path))
    for _ in range(BATCH - 1):
        log.append(*REQUEST)
    before = path.read_text().count("\n")
    log.append(*REQUEST)
    after = path.read_text().count("\n")
    log.append(*REQUEST)
    log.flush()

    assert (0, BATCH, BATCH + 1) == (before, after, path.read_text().count("\n"))
    log.close()


def test_a_stopped_reader_costs_lines_and_no_memory(tmp_path: Path) -> None:
    """The newest lines are kept, whole, and the others counted."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(file=str(tmp_path / "pipe"))
    total = 100 * BATCH
    for number in range(total):
        log.append("::1", "GET", f"/{number}", "1.1", 200, 1, 0.1, None, None)

    assert log.lost > 0
    assert len(log._backlog) <= BACKLOG_BYTES
    received = b""
    while log._backlog:
        received += os.read(reader, 1 << 20)
        log.flush()
    received += os.read(reader, 1 << 20)
    log.close()
    os.close(reader)

    got = received.decode().splitlines()
    assert all(COMBINED.fullmatch(line) for line in got)
    assert total == len(got) + log.lost
    assert f"/{total - 1}" in got[-1]


def test_pieces_for_a_pipe_are_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several acceptors write to one pipe: what is longer than PIPE_BUF could be mixed."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(file=str(tmp_path / "pipe"))
    pieces: list[bytes] = []
    real = log._file.try_write

    def record(_: LogFile, data: bytes) -> int:
        pieces.append(data)
        return real(data)

    monkeypatch.setattr(LogFile, "try_write", record)
    for _ in range(100):
        log.append(*REQUEST)
    log.append("h", "GET", "/" + "x" * 1000, "1.1", 200, 1, 0.1, "r" * 1000 + '"', '"' * 1000)
    log.flush()

    assert all(len(piece) <= 4096 for piece in pieces)
    assert all(piece.endswith(b"\n") for piece in pieces[:-2]), "only a line longer than PIPE_BUF is cut"
    assert 101 == b"".join(pieces).count(b"\n")
    os.read(reader, 1 << 20)
    log.close()
    os.close(reader)


def test_a_full_disk_is_survived() -> None:
    """Lines wait within bounds, then the oldest are lost."""
    log = AccessLog(file="/dev/full")
    for _ in range(60 * BATCH):
        log.append(*REQUEST)

    assert log.lost > 0
    log.close()


def test_rotation_loses_nothing(tmp_path: Path) -> None:
    """What was gathered belongs to the old file."""
    path = tmp_path / "log"
    log = AccessLog(file=str(path))
    log.append(*REQUEST)
    path.rename(tmp_path / "old")
    is_reopened = log.reopen()
    log.append(*REQUEST)

    assert (True, 1, 1) == (
        is_reopened,
        (tmp_path / "old").read_text().count("\n"),
        len(lines(path, log)),
    )


def test_a_rotation_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    """And says so by its answer."""
    (tmp_path / "logs").mkdir()
    log = AccessLog(file=str(tmp_path / "logs" / "log"))
    (tmp_path / "logs").rename(tmp_path / "moved")

    assert not log.reopen()
    log.append(*REQUEST)
    assert 1 == len(lines(tmp_path / "moved" / "log", log))


def test_lines_go_to_standard_output_by_default(capfd: pytest.CaptureFixture[str]) -> None:
    """Where containers expect them."""
    log = AccessLog()
    log.append(*REQUEST)
    log.flush()

    assert '"GET /a?b=c HTTP/1.1" 200' in capfd.readouterr().out


@pytest.mark.slow
def test_a_line_costs_little(tmp_path: Path) -> None:
    """0.56 us were measured on a quiet processor; the bound leaves room for a busy one."""
    log = AccessLog(file=str(tmp_path / "log"))
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"
    best = 1.0
    for _ in range(30):
        began = time.perf_counter()
        for _ in range(10 * BATCH):
            log.append("127.0.0.1", "GET", "/health?x=1", "1.1", 200, 2, 0.000123, None, agent)
        best = min(best, (time.perf_counter() - began) / (10 * BATCH))
    log.close()

    assert best < 3e-6
