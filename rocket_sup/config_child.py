"""A command of the operator's own in the tree: one table of [[children]]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rocket_sup.options import DAY, Kind, option


@dataclass(frozen=True, slots=True)
class ChildConfig:
    """A command of yours in the tree, under the same restart rules."""

    name: str = option("", Kind.TEXT, "Its id in the tree: letters, digits, `_`, `-`, `.`; required.")
    command: tuple[str, ...] = option((), Kind.COMMAND, "What to execute, found on PATH; no shell; required.")
    restart: str = option(
        "permanent",
        Kind.CHOICE,
        "Restart it always; unless it ended well (status 0); never.",
        choices=("permanent", "transient", "temporary"),
    )
    shutdown: float | str = option(
        5.0,
        Kind.SHUTDOWN,
        "Time between SIGTERM and SIGKILL; brutal_kill sends SIGKILL at once, infinity waits.",
        unit="seconds",
        between=(0, DAY),
    )
    significant: bool = option(
        False, Kind.BOOLEAN, "Its end may end the tree, as supervisor.auto_shutdown says; not when permanent."
    )
    ready: str = option(
        "exec",
        Kind.CHOICE,
        "When it counts as started: at once, or when it sends READY=1 to $NOTIFY_SOCKET, as for systemd.",
        choices=("exec", "notify"),
    )
    boot: float = option(
        60.0, Kind.NUMBER, "Time to become ready.", unit="seconds", between=(0, DAY), special="0: no deadline"
    )
    cwd: str = option("", Kind.TEXT, "Working directory.", special='"": that of rocket-sup')
    env: Mapping[str, str] = option({}, Kind.TABLE, "Environment variables added to those of rocket-sup.")
    backoff: bool = option(
        False, Kind.BOOLEAN, "Wait before each restart, from supervisor.backoff_initial up to backoff_max."
    )
