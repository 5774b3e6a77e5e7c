"""Files below one directory, and nothing else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from rocket_sup.rootdir import Directory, File, RootDirectory, open_file, stamp_of


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A root with a file, a directory, and a neighbour that is none of its business."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.txt").write_text("a")
    (tmp_path / "root-2").mkdir()
    (tmp_path / "root-2" / "b.txt").write_text("b")
    return root


def strict(top: Path) -> RootDirectory:
    """The careful settings."""
    return RootDirectory(top, follow_symlinks=False, dotfiles=False)


def content_of(found: File | Directory | None) -> bytes | None:
    """What was opened, read to its end."""
    return found.read(found.stat.st_size) if isinstance(found, File) else None


def test_files_and_directories(top: Path) -> None:
    """By decoded segments; what is not there is None."""
    root = strict(top)

    assert b"a" == content_of(root.open(["sub", "a.txt"]))
    assert Directory() == root.open([]) == root.open(["sub"])
    assert Directory(("a.txt",)) == root.open(["sub"], lists=True)
    assert Directory(("sub/",)) == root.open([], lists=True)
    assert None is root.open(["sub", "b.txt"])
    assert None is root.open(["sub", "a.txt", "x"])
    assert None is root.open(["x" * 300])


@pytest.mark.parametrize(
    "segments",
    [[".."], ["sub", "..", "sub"], ["."], [""], ["sub", ""], ["/etc"], ["a/b"], ["a\\b"], ["a\0"], [".git"]],
)
def test_names_that_are_never_asked_for(top: Path, segments: list[str]) -> None:
    """Dots, slashes of both kinds, NUL, nothing, and what is hidden."""
    assert not strict(top).admits(segments)
    assert None is strict(top).open(segments)


def test_only_well_known_is_not_hidden(top: Path) -> None:
    """At the top; everything with a dot when that is asked for."""
    assert strict(top).admits([".well-known", "x"])
    assert not strict(top).admits(["sub", ".well-known"])
    assert not strict(top).admits([".well-known", ".x"])
    assert RootDirectory(top, follow_symlinks=False, dotfiles=True).admits([".git", ".x"])


def test_links_are_judged_by_where_they_lead(top: Path) -> None:
    """A neighbour whose name begins alike is outside; what is hidden stays hidden under another name."""
    (top / ".hidden").write_text("hidden")
    (top / ".well-known").mkdir()
    (top / ".well-known" / "t").write_text("t")
    for name, target in {
        "near": "../root-2/b.txt",
        "absolute": str(top / "sub" / "a.txt"),
        "round": "../root/sub",
        "top": ".",
        "shown": ".hidden",
        "known": ".well-known/t",
        "lost": "nowhere",
        "circle": "circle",
    }.items():
        (top / name).symlink_to(target)
    root = strict(top)
    lax = RootDirectory(top, follow_symlinks=True, dotfiles=False)
    hidden_too = RootDirectory(top, follow_symlinks=False, dotfiles=True)

    assert [None] * 4 == [root.open([name]) for name in ("near", "shown", "lost", "circle")]
    assert b"a" == content_of(root.open(["absolute"]))
    assert b"a" == content_of(root.open(["round", "a.txt"]))
    assert b"a" == content_of(root.open(["top", "top", "sub", "a.txt"]))
    assert b"t" == content_of(root.open(["known"]))
    assert b"b" == content_of(lax.open(["near"]))
    assert b"hidden" == content_of(hidden_too.open(["shown"]))
    assert None is hidden_too.open(["near"])


def test_names_in_a_directory(top: Path) -> None:
    """Sorted, directories marked, links to them too; one in a circle is a name like others."""
    (top / ".hidden").write_text("hidden")
    (top / "z").symlink_to("sub")
    (top / "circle").symlink_to("circle")

    assert Directory(("circle", "sub/", "z/")) == strict(top).open([], lists=True)
    shown = RootDirectory(top, follow_symlinks=False, dotfiles=True).open([], lists=True)
    assert Directory((".hidden", "circle", "sub/", "z/")) == shown


def test_the_root_of_everything_can_be_served() -> None:
    """`/` has no other name to be below of."""
    root = RootDirectory("/", follow_symlinks=False, dotfiles=False)

    assert Directory() == root.open([])
    assert isinstance(root.open(["proc"]), Directory)


def test_pipes_and_devices_are_not_opened(top: Path) -> None:
    """A pipe without a writer would block whoever opens it."""
    os.mkfifo(top / "pipe")

    assert None is strict(top).open(["pipe"])
    assert None is RootDirectory("/dev", follow_symlinks=True, dotfiles=False).open(["zero"])
    with pytest.raises(OSError, match="no regular file"):
        open_file(top / "pipe")


def test_what_is_no_directory_is_refused_at_once(top: Path) -> None:
    """An application that serves it does not start."""
    for path in (top / "nowhere", top / "sub" / "a.txt"):
        with pytest.raises(OSError, match=r"No such file|Not a directory"):
            strict(path)


def test_a_lack_of_descriptors_is_no_missing_file(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client learns of a failure, and does not forget the page."""
    root = strict(top)

    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match="Too many"):
        root.open(["sub"])


def test_nothing_stays_open(top: Path) -> None:
    """Whatever the outcome; a file until it is closed or forgotten."""
    (top / "near").symlink_to("../root-2/b.txt")
    os.mkfifo(top / "pipe")
    before = os.listdir("/proc/self/fd")
    root = strict(top)
    for segments in ([], ["sub"], ["near"], ["pipe"], ["nowhere"], ["sub", "a.txt"]):
        root.open(segments, lists=True)
    file = root.open(["sub", "a.txt"])
    assert isinstance(file, File)
    file.close()
    file.close()
    open_file(top / "sub" / "a.txt")

    assert before == os.listdir("/proc/self/fd")


def test_a_file_by_a_path_of_ones_own(top: Path) -> None:
    """Without a root; a directory is none."""
    file = open_file(top / "sub" / "a.txt")

    assert b"a" == file.read(10)
    with pytest.raises(IsADirectoryError):
        open_file(top)


def test_a_file_that_cannot_be_looked_at_is_closed(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its descriptor is nobody's otherwise."""
    before = os.listdir("/proc/self/fd")
    looks = iter([os.stat(top / "sub" / "a.txt")])

    def look(_fd: int) -> os.stat_result:
        found = next(looks, None)
        if found is None:
            raise OSError(errno.EIO, "Input/output error")
        return found

    monkeypatch.setattr(os, "fstat", look)
    with pytest.raises(OSError, match="Input/output"):
        open_file(top / "sub" / "a.txt")
    monkeypatch.undo()

    assert before == os.listdir("/proc/self/fd")


def test_a_stamp_tells_states_apart(top: Path) -> None:
    """Other content, another file, other rights."""
    path = top / "sub" / "a.txt"
    first = stamp_of(path.stat())
    assert first == stamp_of(path.stat())

    path.write_text("aa")

    assert first != stamp_of(path.stat())


def test_paths_for_looking(top: Path) -> None:
    """As the kernel takes them."""
    assert os.fsencode(top) + "/sub/é".encode() == strict(top).path_of(["sub", "é"])


def test_without_proc_nothing_is_served(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said at the start: every file would be missing."""
    monkeypatch.setattr("rocket_sup.rootdir._link", lambda fd: f"/nowhere/{fd}")

    with pytest.raises(OSError, match="/proc is not mounted"):
        strict(top)
