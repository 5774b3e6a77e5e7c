"""The soak: random traffic and random kills, for as long as it is asked to; nothing may grow.

`rabble.py` makes the traffic. Every now and then an acceptor is killed, rarely the Listener, or the tree is
reloaded. Memory is looked at process by process, between the time when one has settled and its last moment:
what grows with the traffic shows in those that live long, and the Supervisor lives through all of it.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.blows import Blow, acceptor_pids, kill_acceptor, kill_listener
from tests.faults.rabble import Rabble
from tests.faults.sockets import accepted
from tests.faults.tree import Tree, TreeError
from tests.faults.verdict import Row, Verdict

SCENARIO = "soak"
# Allocators take and return in steps: a process that settled may differ from itself by so much for ever.
LEEWAY_BYTES = 1 << 20
LEEWAY_SHARE = 0.10
# What is asked of a process that is killed fails, and what follows it on the same connection; a frozen one is
# not part of this. Nothing else is excused.
EXCUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Soak:
    """How long, and how often something is killed; the short version is for pytest.

    Attributes:
        settle_s: a process's memory is looked at from this age on.
        breath_s: a client's thread rests so long between two connections.
    """

    seconds: float = 3600.0
    pause_s: tuple[float, float] = (10.0, 40.0)
    settle_s: float = 60.0
    breath_s: float = 0.02


SHORT = Soak(seconds=12.0, pause_s=(1.0, 3.0), settle_s=3.0, breath_s=0.005)


class Memory:
    """Private memory of every process, from when it has settled to the last look."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._born: dict[int, float] = {}
        self._settled: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._names: dict[int, str] = {}

    def look(self, members: dict[int, str]) -> None:
        """Look at all. A process settles for as long again as it takes until it is looked at: its first
        traffic is not its usual one.
        """
        now = time.monotonic()
        for pid, name in members.items():
            age_s = now - self._born.setdefault(pid, now)
            if age_s < self._settle_s:
                continue
            with contextlib.suppress(OSError):
                size = private_bytes(pid)
                self._names[pid] = name
                self._last[pid] = size
                if pid not in self._settled or age_s < 2 * self._settle_s:
                    self._settled[pid] = max(size, self._settled.get(pid, 0))

    def grown(self) -> list[str]:
        """Who holds more than when it had settled."""
        return [
            f"{self._names[pid]} {pid}: {settled >> 10} KiB when settled, {self._last[pid] >> 10} at last"
            for pid, settled in self._settled.items()
            if self._last[pid] > settled * (1 + LEEWAY_SHARE) + LEEWAY_BYTES
        ]

    def watched(self) -> int:
        """How many processes lived long enough."""
        return len(self._settled)


def private_bytes(pid: int) -> int:
    """Memory that a process shares with nobody.

    Raises:
        OSError: it is gone.
    """
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_")) * 1024


def run(soak: Soak, say: Callable[[str], None]) -> list[Row]:
    """Run the soak, judge it."""
    verdict = Verdict(SCENARIO)
    shared_memory = set(os.listdir("/dev/shm"))
    options = {
        "timeouts": {"first_byte": 2, "head": 2, "body": 2, "idle": 5, "drain": 5},
        "log": {"level": "warning"},
    }
    with Tree("mixed", options) as tree:
        try:
            tree.start()
            _run(tree, soak, verdict, say)
        except (TreeError, OSError) as error:
            verdict.check(
                "the scenario runs to its end", False, type(error).__name__, str(error).splitlines()
            )
        added = sorted(set(os.listdir("/dev/shm")) - shared_memory)
        verdict.check("no leftover shared memory", not added, added or "none")
    return verdict.rows


def _run(tree: Tree, soak: Soak, verdict: Verdict, say: Callable[[str], None]) -> None:
    memory = Memory(soak.settle_s)
    blows: list[Blow] = []
    began = time.monotonic()
    with Rabble(tree.port, breath_s=soak.breath_s) as rabble:
        due = began + random.uniform(*soak.pause_s)
        while time.monotonic() < began + soak.seconds:
            time.sleep(min(1.0, soak.settle_s / 4))
            memory.look(tree.members())
            if time.monotonic() >= due:
                blow = _strike(tree)
                blows.append(blow)
                say(f"{blow}; {rabble.done.total()} clients so far, {len(rabble.failures)} failed")
                due = time.monotonic() + random.uniform(*soak.pause_s)
    memory.look(tree.members())
    kills = [blow for blow in blows if blow.kind == "kill"]
    unexcused = [
        f"{at - began:.3f} s: {what}"
        for at, what in rabble.failures
        if not any(blow.at <= at <= blow.at + EXCUSE_S for blow in kills)
    ]
    verdict.check(
        "every proper request is answered, but those of a killed process",
        not unexcused,
        f"{len(unexcused)} of {rabble.done.total()} clients, {len(blows)} faults; "
        f"{len(rabble.failures) - len(unexcused)} at a kill",
        unexcused,
    )
    grown = memory.grown()
    verdict.check("no process grows", not grown, f"{memory.watched()} watched, {len(grown)} grew", grown)
    _judge_remains(tree, verdict)


def _strike(tree: Tree) -> Blow:
    """Kill something, or reload, and wait until the tree is whole."""
    chance = random.random()
    if chance < 0.7:
        blow = kill_acceptor(tree)
        blow.leaving = {blow.target}
    elif chance < 0.85:
        blow = kill_listener(tree)
    else:
        blow = Blow("reload", time.monotonic())
        blow.answer = tree.order({"command": "reload"}, timeout_s=60.0)
        if not blow.answer.get("ok"):
            raise TreeError(f"reload was answered {blow.answer}")

    def is_over() -> bool:
        gone = not blow.target or not os.path.exists(f"/proc/{blow.target}")
        return gone and tree.is_healthy() and not blow.leaving.intersection(acceptor_pids(tree))

    tree.wait(is_over, f"whole again after {blow.kind}", timeout_s=30.0)
    blow.ended = time.monotonic()
    return blow


def _judge_remains(tree: Tree, verdict: Verdict) -> None:
    def is_empty() -> bool:
        return bool(tree.status()["connections"]["now"] == 0 and accepted(tree.port) == 0)

    try:
        tree.wait(is_empty, "the counter at zero", timeout_s=20.0)  # what lingers ends by its own deadline
        seen = "zero"
    except TreeError:
        seen = f"counter {tree.status()['connections']}, sockets {accepted(tree.port)}"
    verdict.check("the counter returns to exactly zero", seen == "zero", seen)
    assert tree.process is not None
    tree.process.terminate()
    code = tree.wait_exit(15.0)
    verdict.check("SIGTERM ends the tree with status 0", code == 0, code, tree.tail().splitlines())
    left = tree.members()
    verdict.check("no orphan process", not left, left or "none")
