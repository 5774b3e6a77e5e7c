"""How many processors this process may really use.

The number in the machine is the wrong one in a container: the affinity mask and the CPU quota of every
control group above us count too. A quota of one and a half processors is rounded up to two. Reads `/proc` and
`/sys` once, at start; sched(7), cgroups(7).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def effective_processors(*, root: Path = Path("/"), affinity: int | None = None) -> int:
    """Return the processors this process may use: its affinity mask, or the lowest quota above it.

    Args:
        root: where `proc` and `sys` are, for tests.
        affinity: processors in the mask; asked from the kernel when None.

    Returns:
        At least 1.
    """
    allowed = len(os.sched_getaffinity(0)) if affinity is None else affinity
    quota = min(_quotas(root), default=math.inf)
    return max(1, allowed if math.isinf(quota) else min(allowed, math.ceil(quota)))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quota, in processors, of each group we are in, from ours up to the one at the mount."""
    groups = dict(_groups(root))
    for mount_root, mount_point, kind, options in _mounts(root):
        if kind == "cgroup2":
            read_quota, group = _quota_v2, groups.get("")
        elif kind == "cgroup" and "cpu" in options:
            read_quota, group = _quota_v1, groups.get("cpu")
        else:
            continue
        if group is None:
            continue
        # A mount may show a subtree only: what is visible of our group's path is the part below its root.
        below = PurePosixPath(group)
        parts = below.relative_to(mount_root).parts if below.is_relative_to(mount_root) else ()
        directory = root / mount_point.lstrip("/")
        for depth in range(len(parts), -1, -1):
            yield read_quota(directory.joinpath(*[part for part in parts[:depth] if part != "/"]))


def _groups(root: Path) -> Iterator[tuple[str, str]]:
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            yield controller, path


def _mounts(root: Path) -> Iterator[tuple[str, str, str, list[str]]]:
    for line in _read(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if len(left) >= 5 and len(right) >= 3:
            yield left[3], left[4], right[0], right[2].split(",")


def _quota_v2(directory: Path) -> float:
    words = _read(directory / "cpu.max").split()
    if len(words) != 2 or not words[0].isdigit() or not words[1].isdigit():
        return math.inf  # "max 100000", or no such file in the root group
    return int(words[0]) / int(words[1])


def _quota_v1(directory: Path) -> float:
    quota = _read(directory / "cpu.cfs_quota_us").strip()
    period = _read(directory / "cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else math.inf  # -1 is no quota


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
