"""The files below one directory, and nothing else: how a path of a client becomes an open file.

A path comes as decoded segments, each of which names one entry of one directory, or is refused before the
kernel hears of it. What the kernel then found is looked at itself, not its name: the descriptor says where it
really is, after every symbolic link, and only what lies below the root is opened for reading, by way of that
same descriptor. So nothing that happens to the directories meanwhile can lead out of the root. Devices, pipes
and sockets are never opened: that might block, or act.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_PLACE: Final = os.O_PATH | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
# The only hidden directory that clients are meant to see, for certificates' challenges above all (RFC 8615).
_WELL_KNOWN: Final = ".well-known"
# Errors of a path, not of this process or of a disk: nothing that can be served is there.
_ABSENT: Final = frozenset(
    {
        *(errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM),
        *(errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.ENXIO),
    }
)

# Inode, size, and when content and attributes changed: two equal ones are the same state of the same file.
Stamp = tuple[int, int, int, int]


def stamp_of(found: os.stat_result) -> Stamp:
    """Tell one state of a file from another."""
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class File:
    """A regular file that is open for reading; closed by `close`, or with its last reference, so that
    several answers may share one.

    Attributes:
        fd: the descriptor; -1 once closed.
        stat: as it was when it was opened.
    """

    __slots__ = ("__weakref__", "fd", "stat")

    def __init__(self, fd: int, found: os.stat_result) -> None:
        self.fd = fd
        self.stat = found

    def read(self, most: int) -> bytes:
        """Read from the start, up to so many bytes; fewer when the file has become shorter."""
        pieces: list[bytes] = []
        at = 0
        while at < most and (piece := os.pread(self.fd, most - at, at)):
            pieces.append(piece)
            at += len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Close it; a second time does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory below the root.

    Attributes:
        names: of its entries that may be seen, sorted, directories with a slash; () unless asked for.
    """

    names: tuple[str, ...] = ()


class RootDirectory:
    """One directory whose files are served.

    It is found anew by its path each time, so that a new version may take its place.
    """

    def __init__(self, path: str | os.PathLike[str], *, follow_symlinks: bool, dotfiles: bool) -> None:
        """Take a directory.

        Args:
            path: relative ones count from the working directory, as of now.
            follow_symlinks: also out of the root.
            dotfiles: names that begin with a dot are served, and not only `.well-known`.

        Raises:
            OSError: it is not there, is no directory, or may not be entered; or there is no /proc.
        """
        self.path = os.path.abspath(os.fspath(path))
        self._follows = follow_symlinks
        self._shows_dotfiles = dotfiles
        place = os.open(self.path, _PLACE | os.O_DIRECTORY)
        try:
            os.readlink(_link(place))
        except FileNotFoundError:
            raise OSError(errno.ENOSYS, "/proc is not mounted, which says where files really are") from None
        finally:
            os.close(place)

    def admits(self, segments: Sequence[str]) -> bool:
        """Say whether each segment is a name that may be asked for."""
        for index, segment in enumerate(segments):
            if not segment or segment in (".", "..") or "/" in segment or "\\" in segment or "\0" in segment:
                return False
            if segment[0] == "." and not self._shows_dotfiles and (index or segment != _WELL_KNOWN):
                return False
        return True

    def path_of(self, segments: Sequence[str]) -> bytes:
        """Name an entry for `os.stat`; the segments were admitted."""
        return "/".join((self.path, *segments)).encode("utf-8", "surrogateescape")

    def open(self, segments: Sequence[str], *, lists: bool = False) -> File | Directory | None:
        """Open what is there.

        Args:
            segments: decoded; none of them for the root itself.
            lists: also read the names in a directory.

        Returns: an open file, a directory, or None when there is nothing that may be served.

        Raises:
            OSError: of this process or the disk: no descriptors, no memory, no reading.
        """
        if not self.admits(segments):
            return None
        try:
            return self._open("/".join(segments).encode("utf-8"), lists=lists)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise

    def _open(self, name: bytes, *, lists: bool) -> File | Directory | None:
        root = os.open(self.path, _PLACE | os.O_DIRECTORY)
        try:
            place = os.open(name, _PLACE, dir_fd=root) if name else os.dup(root)
            try:
                if not self._follows and not self._is_below(root, place):
                    return None
                mode = os.fstat(place).st_mode
                if stat.S_ISDIR(mode):
                    return Directory(self._names_in(place) if lists else ())
                return _opened(place) if stat.S_ISREG(mode) else None
            finally:
                os.close(place)
        finally:
            os.close(root)

    def _is_below(self, root: int, place: int) -> bool:
        top = os.readlink(_link(root)).rstrip("/")
        real = os.readlink(_link(place))
        if real == top or (not top and real == "/"):
            return True
        if not real.startswith(f"{top}/"):
            return False
        if self._shows_dotfiles:
            return True
        first, *others = real[len(top) + 1 :].split("/")
        return (first[:1] != "." or first == _WELL_KNOWN) and not any(each[:1] == "." for each in others)

    def _names_in(self, place: int) -> tuple[str, ...]:
        reading = os.open(_link(place), _READ | os.O_DIRECTORY)
        try:
            with os.scandir(reading) as entries:
                found = [(each.name, _is_dir(each)) for each in entries]
        finally:
            os.close(reading)
        shown = [(name, is_dir) for name, is_dir in found if self._shows_dotfiles or name[0] != "."]
        return tuple(sorted(f"{name}/" if is_dir else name for name, is_dir in shown))


def open_file(path: str | os.PathLike[str]) -> File:
    """Open a regular file by a path that can be trusted.

    Raises:
        OSError: there is none, it may not be read, or it is no regular file.
    """
    place = os.open(path, _PLACE)
    try:
        mode = os.fstat(place).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "a directory", os.fspath(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "no regular file", os.fspath(path))
        return _opened(place)
    finally:
        os.close(place)


def _opened(place: int) -> File:
    fd = os.open(_link(place), _READ)
    try:
        return File(fd, os.fstat(fd))
    except BaseException:
        os.close(fd)
        raise


def _link(fd: int) -> str:
    """Name the place where the kernel tells what a descriptor is, and opens it once more (proc_pid_fd(5))."""
    return f"/proc/self/fd/{fd}"


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False
