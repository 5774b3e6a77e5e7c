"""What a process tree costs: on-CPU nanoseconds of all its threads, and memory.

`/proc/PID/task/*/schedstat` counts nanoseconds, while `times` in `/proc/PID/stat` counts in hundredths of a
second. On loopback the sender's system call also pays for the receiver's softirq, for every server alike.
"""

from __future__ import annotations

import os


def descendants(root: int) -> list[int]:
    """The process and everything below it, as it is now."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as file:
                    parent = int(file.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue  # gone meanwhile
            children.setdefault(parent, []).append(int(entry))
    tree, todo = [], [root]
    while todo:
        pid = todo.pop()
        tree.append(pid)
        todo += children.get(pid, [])
    return tree


def cpu_ns(root: int) -> dict[tuple[int, int], int]:
    """On-CPU nanoseconds by (process, thread) of the tree."""
    times: dict[tuple[int, int], int] = {}
    for pid in descendants(root):
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                    times[pid, int(thread)] = int(file.read().split()[0])
        except OSError:
            continue  # gone meanwhile; a server that loses threads under load shows it in its log
    return times


def spent_ns(before: dict[tuple[int, int], int], after: dict[tuple[int, int], int]) -> int:
    """Nanoseconds between two readings; a thread that began in between counts whole."""
    return sum(value - before.get(thread, 0) for thread, value in after.items())


def memory_bytes(root: int) -> tuple[int, int]:
    """(resident, proportional) bytes of the tree: RSS counts shared pages in each process, PSS once."""
    resident = proportional = 0
    for pid in descendants(root):
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                for line in file:
                    if line.startswith("Rss:"):
                        resident += int(line.split()[1]) * 1024
                    elif line.startswith("Pss:"):
                        proportional += int(line.split()[1]) * 1024
        except OSError:
            continue  # gone meanwhile
    return resident, proportional
