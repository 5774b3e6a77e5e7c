"""What a process tree costs: on-CPU nanoseconds of all its threads, and memory that is its own.

`/proc/PID/task/*/schedstat` counts nanoseconds; `/proc/PID/stat` tells user from kernel in hundredths of a
second, good enough for a share over seconds. On loopback the sender's system call also pays for the
receiver's softirq, for every server alike.
"""

from __future__ import annotations

import os
from collections.abc import Iterator


def processes() -> Iterator[tuple[int, list[str]]]:
    """Each process and the fields of its `stat` from the third on: state, parent, ..."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as file:
                    yield int(entry), file.read().rsplit(")", 1)[1].split()
            except OSError:
                continue  # gone meanwhile


def descendants(root: int) -> list[int]:
    """The process and everything below it, as it is now."""
    children: dict[int, list[int]] = {}
    for pid, fields in processes():
        children.setdefault(int(fields[1]), []).append(pid)
    tree, todo = [], [root]
    while todo:
        pid = todo.pop()
        tree.append(pid)
        todo += children.get(pid, [])
    return tree


Times = dict[tuple[int, int], tuple[int, int]]


def times_ns(root: int) -> Times:
    """Nanoseconds on a core, and ready to run but without one, by (process, thread) of the tree."""
    times: Times = {}
    for pid in descendants(root):
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                    on_core, waiting, _ = map(int, file.read().split())
                times[pid, int(thread)] = (on_core, waiting)
        except OSError:
            continue  # gone meanwhile; a server that loses threads under load shows it in its log
    return times


def spent_ns(before: Times, after: Times) -> tuple[int, int]:
    """Both between two readings; a thread that began in between counts whole."""
    pairs = [(now, before.get(thread, (0, 0))) for thread, now in after.items()]
    return sum(now[0] - then[0] for now, then in pairs), sum(now[1] - then[1] for now, then in pairs)


def ticks(root: int) -> tuple[int, int]:
    """(user, kernel) clock ticks of the tree."""
    tree = set(descendants(root))
    user = kernel = 0
    for pid, fields in processes():
        if pid in tree:
            user += int(fields[11])
            kernel += int(fields[12])
    return user, kernel


def private_bytes(root: int) -> dict[int, int]:
    """Bytes that belong to each process of the tree alone: what would be free without it."""
    found: dict[int, int] = {}
    for pid in descendants(root):
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                lines = [line.split() for line in file if line.startswith("Private_")]
        except OSError:
            continue  # gone meanwhile
        found[pid] = sum(int(line[1]) * 1024 for line in lines)
    return found
