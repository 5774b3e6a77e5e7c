"""Where the control socket of a server is, for the server that makes it and the command that looks for it.

`control.socket` when it is set; else `control.sock` in `$RUNTIME_DIRECTORY` (systemd makes that one); else a
name taken from the first address, in `rocket-sup/` under `$XDG_RUNTIME_DIR`, or in `/tmp/rocket-sup-UID/`.
This module computes paths; making the directory, mode 0700, is `make_directory`, which refuses one that
another user owns.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from rocket_sup.binds import Bind, BindKind, binds_of
from rocket_sup.config import Config


def control_path(config: Config, environment: Mapping[str, str]) -> Path:
    """Return the path of the control socket of the server that has this configuration.

    A server on port 0 has no number yet: it is named by the id of the calling process, the supervisor.
    """
    if config.control.socket:
        return Path(config.control.socket)
    runtime = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if runtime:
        return Path(runtime, "control.sock")
    return default_directory(environment) / f"{_name(binds_of(config)[0])}.sock"


def default_directory(environment: Mapping[str, str]) -> Path:
    """Return the directory of sockets that were not given a path."""
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if runtime:
        return Path(runtime, "rocket-sup")
    return Path(f"/tmp/rocket-sup-{os.getuid()}")  # noqa: S108 - made with mode 0700 and checked for its owner


def make_directory(path: Path) -> None:
    """Make the directory of a control socket, mode 0700, if it is missing.

    Raises:
        PermissionError: it exists in `/tmp` and is not ours alone: somebody else could put a socket there.
        OSError: it cannot be made.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if path.parent == Path("/tmp"):  # noqa: S108 - the one place where strangers can be first
        is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if not is_ours or found.st_mode & 0o077:
            raise PermissionError(f"{path} must be a directory of user {os.getuid()} with mode 0700")


def sockets_in(directory: Path) -> list[Path]:
    """Return the sockets in a directory, sorted; none when it does not exist."""
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if path.suffix == ".sock" and path.is_socket())


def _name(bind: Bind) -> str:
    if bind.kind is BindKind.FD:
        return f"fd-{bind.fd}"
    if bind.kind is BindKind.UNIX:
        return re.sub(r"[^A-Za-z0-9_.-]", "-", bind.path.strip("/@."))[-64:]
    return str(bind.port) if bind.port else f"pid-{os.getpid()}"
