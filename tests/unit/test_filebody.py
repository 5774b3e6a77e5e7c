"""Files as content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rocket_sup.filebody import MAX_WHOLE, SETTLED_S, cut, file_answer, make_boundary, representation_of
from rocket_sup.http.headers import Headers
from rocket_sup.http.ranges import Span
from rocket_sup.http.selection import Representation, ask_of
from rocket_sup.rootdir import open_file
from rocket_sup.sources import FileSource, FileSpan

NOW = 2_000_000_000.0


def described(path: Path, mtime: float, *, now: float = NOW) -> Representation:
    """What a file with that age is."""
    os.utime(path, (mtime, mtime))
    return representation_of(open_file(path), "a/b", wall_s=now)


def test_validators_tell_states_apart(tmp_path: Path) -> None:
    """By inode, size and time, the time finer than a second; equal for the same state."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x")
    two.write_bytes(b"x")
    tags = [
        described(path, mtime).validators.etag for path in (one, two) for mtime in (1000.0, 1000.5, 1000.0)
    ]

    assert tags[0] == tags[2]
    assert 4 == len(set(tags))


def test_a_file_that_may_still_change_has_a_weak_tag(tmp_path: Path) -> None:
    """Within a tick of the clock two states look alike; afterwards the same tag is strong."""
    path = tmp_path / "x"
    path.write_bytes(b"x")
    young = described(path, NOW, now=NOW + SETTLED_S / 2).validators.etag
    old = described(path, NOW, now=NOW + SETTLED_S * 2).validators.etag

    assert f"W/{old}" == young


def test_rfc9110_8_8_2_1_no_date_lies_in_the_future(tmp_path: Path) -> None:
    """A clock that was wrong once would keep caches from ever asking again."""
    path = tmp_path / "x"
    path.write_bytes(b"x")

    assert None is described(path, NOW + 100).validators.modified_s
    assert int(NOW - 100) == described(path, NOW - 99.5).validators.modified_s


def test_parts_of_content() -> None:
    """The whole is the same object; parts and what stands between them are put together."""
    content = b"0123456789"

    assert content is cut(content, [Span(0, 10)])
    assert b"<12>89" == cut(content, [b"<", Span(1, 2), b">", Span(8, 2)])
    assert b"" == cut(content, [])


def test_boundaries_are_not_guessed() -> None:
    """Each is another one."""
    assert make_boundary() != make_boundary()


ANY = ask_of("GET", Headers())


def test_a_small_file_is_read(tmp_path: Path) -> None:
    """With its validators and its type, or another one."""
    path = tmp_path / "x.html"
    path.write_bytes(b"<p>")
    os.utime(path, (1000, 1000))
    answer = file_answer(path, ANY, media_type=None)
    fields = dict(answer.fields)

    assert (200, b"<p>") == (answer.status, answer.body)
    assert ("text/html; charset=utf-8", "bytes") == (fields["Content-Type"], fields["Accept-Ranges"])
    assert "Thu, 01 Jan 1970 00:16:40 GMT" == fields["Last-Modified"]
    assert "a/b" == dict(file_answer(str(path), ANY, media_type="a/b").fields)["Content-Type"]


def test_a_large_file_stays_open_until_it_is_sent(tmp_path: Path) -> None:
    """Its source has the descriptor."""
    path = tmp_path / "x"
    path.write_bytes(b"x" * (MAX_WHOLE + 1))
    answer = file_answer(path, ask_of("GET", Headers({"Range": "bytes=1-2,1000-"})), media_type="a/b")

    assert isinstance(answer.body, FileSource)
    assert 206 == answer.status
    assert [FileSpan(1, 2), FileSpan(1000, MAX_WHOLE - 999)] == [
        part for part in answer.body.parts if isinstance(part, FileSpan)
    ]
    assert os.fstat(answer.body.fd).st_size == MAX_WHOLE + 1
    answer.body.close()


@pytest.mark.parametrize(
    ("status", "field", "value"),
    [(304, "If-None-Match", "*"), (412, "If-Match", '"x"'), (416, "Range", "bytes=9-")],
)
def test_what_is_not_sent(tmp_path: Path, status: int, field: str, value: str) -> None:
    """Known, unexpected, not there: no descriptor stays open for it."""
    path = tmp_path / "x"
    path.write_bytes(b"x")
    before = os.listdir("/proc/self/fd")
    answer = file_answer(path, ask_of("GET", Headers({field: value})), media_type=None)

    assert (status, status == 304) == (answer.status, answer.body is None)
    assert ("Content-Range", "bytes */1") in answer.fields or status != 416
    assert before == os.listdir("/proc/self/fd")


def test_a_file_that_shrinks_while_it_is_read_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than was announced is never sent as if it were all."""
    path = tmp_path / "x"
    path.write_bytes(b"xx")
    monkeypatch.setattr(os, "pread", lambda fd, count, at: b"")

    with pytest.raises(OSError, match="shorter"):
        file_answer(path, ANY, media_type=None)


def test_what_is_not_known_is_not_said(tmp_path: Path) -> None:
    """A type that is left out, a date in the future; a part says which it is."""
    path = tmp_path / "x"
    path.write_bytes(b"xyz")
    os.utime(path, (2**33, 2**33))
    answer = file_answer(path, ask_of("GET", Headers({"Range": "bytes=1-1"})), media_type="")

    assert (206, b"y") == (answer.status, answer.body)
    assert {"ETag", "Accept-Ranges", "Content-Range"} == {name for name, _ in answer.fields}
