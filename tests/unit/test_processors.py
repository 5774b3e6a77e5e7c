"""Processors: the affinity mask and the quota of every control group above us, version 1 and 2."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rocket_sup.processors import effective_processors

V2 = "25 30 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "25 30 0:22 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
V1_DOCKER = "25 30 0:22 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n"
OTHER = (
    "1 2 8:1 / / rw - ext4 /dev/sda1 rw\nmalformed\n"
    "26 30 0:23 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


def tree(root: Path, groups: str, mounts: str, files: dict[str, str]) -> Path:
    """Make a root directory with what the kernel would show."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    (root / "proc/self/mountinfo").write_text(OTHER + mounts)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "expected"),
    [
        ("0::/app\n", V2, {"app/cpu.max": "200000 100000\n"}, 2),
        ("0::/app\n", V2, {"app/cpu.max": "150000 100000\n"}, 2),
        ("0::/app\n", V2, {"app/cpu.max": "10000 100000\n"}, 1),
        ("0::/app\n", V2, {"app/cpu.max": "max 100000\n"}, 8),
        ("0::/app\n", V2, {"app/cpu.max": "9900000 100000\n"}, 8),
        ("0::/app/deep\n", V2, {"app/deep/cpu.max": "max 100000\n", "app/cpu.max": "300000 100000\n"}, 3),
        ("0::/\n", V2, {"cpu.max": "100000 100000\n"}, 1),
        ("0::/app\n", V2, {}, 8),
        ("0::/app\n", V2, {"app/cpu.max": "garbage\n"}, 8),
        (
            "4:cpu,cpuacct:/app\n",
            V1,
            {"cpu/app/cpu.cfs_quota_us": "250000", "cpu/app/cpu.cfs_period_us": "100000"},
            3,
        ),
        (
            "4:cpu,cpuacct:/app\n",
            V1,
            {"cpu/app/cpu.cfs_quota_us": "-1", "cpu/app/cpu.cfs_period_us": "100000"},
            8,
        ),
        (
            "4:cpu,cpuacct:/docker/abc\n",
            V1_DOCKER,
            {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"},
            1,
        ),
        ("4:memory:/app\n", V1, {"cpu/app/cpu.cfs_quota_us": "1", "cpu/app/cpu.cfs_period_us": "100000"}, 8),
        ("", "", {}, 8),
    ],
)
def test_the_lowest_quota_counts(
    tmp_path: Path, groups: str, mounts: str, files: dict[str, str], expected: int
) -> None:
    """Rounded up, never above the affinity mask, never below one; what cannot be read is no quota."""
    assert expected == effective_processors(root=tree(tmp_path, groups, mounts, files), affinity=8)


def test_without_proc_the_mask_counts(tmp_path: Path) -> None:
    """A root without anything mounted."""
    assert 5 == effective_processors(root=tmp_path, affinity=5)


def test_the_real_machine_has_at_least_one() -> None:
    """And no more than the mask of this process."""
    assert 1 <= effective_processors() <= len(os.sched_getaffinity(0))
