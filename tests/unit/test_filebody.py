"""Files as content."""

from __future__ import annotations

import os
from pathlib import Path

from rocket_sup.filebody import SETTLED_S, cut, make_boundary, representation_of
from rocket_sup.http.ranges import Span
from rocket_sup.http.selection import Representation
from rocket_sup.rootdir import open_file

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
