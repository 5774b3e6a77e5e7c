"""A descriptor for lines: files, pipes, sockets; full, closed, not read, renamed."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rocket_sup.logfile import STDERR, STDOUT, LogFile

LINE = b"a line\n"


@pytest.fixture
def stdout(tmp_path: Path) -> Iterator[int]:
    """Let a test put something else in place of standard output, and put that back."""
    saved = os.dup(STDOUT)
    yield STDOUT
    os.dup2(saved, STDOUT)
    os.close(saved)


def redirect(fd: int) -> None:
    """Make `fd` the standard output, and close it."""
    os.dup2(fd, STDOUT)
    os.close(fd)


def test_lines_are_appended_to_a_file(tmp_path: Path) -> None:
    """What was there stays there."""
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    log = LogFile(str(path), standard=STDOUT)

    assert len(LINE) == log.try_write(LINE)
    log.close()
    assert b"old\n" + LINE == path.read_bytes()


def test_a_file_is_not_made_for_everybody_to_read(tmp_path: Path) -> None:
    """Lines of access are personal data."""
    log = LogFile(str(tmp_path / "log"), standard=STDOUT)
    log.close()

    assert 0 == (tmp_path / "log").stat().st_mode & 0o007


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    """At the start, when somebody can still be told."""
    with pytest.raises(FileNotFoundError):
        LogFile(str(tmp_path / "nowhere" / "log"), standard=STDOUT)


def test_a_full_disk_takes_nothing_and_raises_nothing() -> None:
    """/dev/full answers every write with ENOSPC."""
    log = LogFile("/dev/full", standard=STDOUT)

    assert 0 == log.try_write(LINE)
    log.close()


def test_a_pipe_without_a_reader_takes_nothing(stdout: int) -> None:
    """EPIPE; Python ignores SIGPIPE already."""
    reader, writer = os.pipe()
    redirect(writer)
    log = LogFile("", standard=stdout)
    os.close(reader)

    assert 0 == log.try_write(LINE)
    log.close()


def test_a_pipe_that_is_not_read_never_blocks(stdout: int) -> None:
    """It takes nothing once it is full, and takes lines again once it was read."""
    reader, writer = os.pipe()
    redirect(writer)
    log = LogFile("", standard=stdout)

    written = 0
    while taken := log.try_write(LINE * 100):
        written += taken
    assert not log.wait_writable(0.0)
    assert os.get_blocking(STDOUT), "the description shared with the shell stays as it was"
    received = 0
    while received < written:
        received += len(os.read(reader, 1 << 20))
    assert log.wait_writable(0.0)
    assert len(LINE) == log.try_write(LINE)
    log.close()
    os.close(reader)


def test_a_socket_that_is_not_read_never_blocks(stdout: int) -> None:
    """The journal gives us a stream socket, which cannot be opened anew."""
    reader, writer = socket.socketpair()
    redirect(writer.detach())
    log = LogFile("", standard=stdout)

    while log.try_write(LINE * 100):
        pass
    assert not log.wait_writable(0.0)
    assert os.get_blocking(STDOUT)
    assert reader.recv(len(LINE)) == LINE
    log.close()
    reader.close()


def test_a_regular_file_is_written_through_the_descriptor_we_were_given(stdout: int, tmp_path: Path) -> None:
    """`> out.log 2>&1` without append: our lines and those of others follow each other."""
    redirect(os.open(tmp_path / "out.log", os.O_WRONLY | os.O_CREAT))
    log = LogFile("", standard=stdout)

    os.write(STDOUT, b"one\n")
    log.try_write(b"two\n")
    os.write(STDOUT, b"three\n")

    assert b"one\ntwo\nthree\n" == (tmp_path / "out.log").read_bytes()
    log.close()


def test_without_proc_a_pipe_is_used_as_it_is(stdout: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then its reader can hold us up; better than no log."""
    reader, writer = os.pipe()
    redirect(writer)

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOENT, "no /proc")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        log = LogFile("", standard=stdout)

    assert len(LINE) == log.try_write(LINE)
    assert os.read(reader, 100) == LINE
    os.close(reader)
    log.close()


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_whole_lines_of_several_processes_do_not_mix(stdout: int, tmp_path: Path, kind: str) -> None:
    """Writers are told how long a piece may be."""
    if kind == "file":
        log = LogFile(str(tmp_path / "log"), standard=STDOUT)
        expected = 1 << 18
    else:
        reader, writer = os.pipe()
        redirect(writer)
        log = LogFile("", standard=stdout)
        os.close(reader)
        expected = select.PIPE_BUF

    assert expected == log.atomic_bytes
    log.close()


def test_after_rotation_lines_go_to_the_new_file(tmp_path: Path) -> None:
    """Under the same descriptor number, so that nobody who has it needs to know."""
    path = tmp_path / "log"
    log = LogFile(str(path), standard=STDOUT)
    log.try_write(b"old\n")
    path.rename(tmp_path / "log.1")

    log.reopen()
    log.try_write(b"new\n")
    log.close()

    assert (b"old\n", b"new\n") == ((tmp_path / "log.1").read_bytes(), path.read_bytes())


def test_a_rotation_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    """The directory is gone; the lines still go somewhere."""
    (tmp_path / "logs").mkdir()
    log = LogFile(str(tmp_path / "logs" / "log"), standard=STDOUT)
    (tmp_path / "logs").rename(tmp_path / "moved")

    with pytest.raises(FileNotFoundError):
        log.reopen()
    log.try_write(LINE)
    log.close()

    assert (tmp_path / "moved" / "log").read_bytes() == LINE


def test_a_standard_stream_is_neither_reopened_nor_closed() -> None:
    """It is not ours."""
    log = LogFile("", standard=STDERR)
    log.reopen()
    log.close()

    os.fstat(STDERR)


def test_a_closed_log_writes_into_no_other_file(tmp_path: Path) -> None:
    """Its number may be somebody else's by now; closing it again closes nothing."""
    log = LogFile(str(tmp_path / "log"), standard=STDOUT)
    log.close()
    other = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)

    assert log.try_write(LINE) == 0
    log.close()
    os.fstat(other)
    os.close(other)
    assert (tmp_path / "other").read_bytes() == b""
