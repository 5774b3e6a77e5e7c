"""Replacements are killed too, while they still import the application; their siblings serve everybody."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial

from loadtests.background import Background
from loadtests.constant_rate import Plan
from tests.faults.blows import Blow, acceptor_pids, kill_acceptor
from tests.faults.tree import Tree, TreeError
from tests.faults.verdict import Row, Verdict

ROUNDS = 3


def run(say: Callable[[str], None]) -> list[Row]:
    """Kill one that serves, then the one that is to replace it, three times."""
    verdict = Verdict("booting")
    with Tree("slow_start") as tree:
        try:
            tree.start()
            _run(tree, verdict, say)
        except (TreeError, OSError, RuntimeError) as error:
            verdict.check(
                "the scenario runs to its end", False, type(error).__name__, str(error).splitlines()
            )
    return verdict.rows


def _run(tree: Tree, verdict: Verdict, say: Callable[[str], None]) -> None:
    blows: list[Blow] = []
    with Background(Plan(port=tree.port, rate=100.0, kept=8, seconds=3600.0)) as load:
        time.sleep(1.0)
        for _ in range(ROUNDS):
            blows.append(kill_acceptor(tree))
            pid = _wait_booting(tree)
            os.kill(pid, signal.SIGKILL)
            say(f"booting: killed {blows[-1].target} and its replacement {pid}")
            tree.wait(partial(_is_gone, pid), "the booting one reaped")
            took = tree.wait(tree.is_healthy, "whole again after a failed boot", timeout_s=20.0)
            say(f"booting: whole again after {took:.1f} s")
        result = load.stop()
    failures = result.failures()
    lost = [record for record in failures if not any(blow.touched(record) for blow in blows)]
    demand = f"{ROUNDS} kills while booting: no request fails but those in flight on a killed acceptor"
    seen = f"{len(lost)} others, {len(failures) - len(lost)} in flight"
    verdict.check(demand, not lost, seen, map(str, lost))
    states = tree.status()["acceptors"]
    verdict.check("four acceptors, all ready", tree.is_healthy(), [row["state"] for row in states])


def _is_gone(pid: int) -> bool:
    return not os.path.exists(f"/proc/{pid}")


def _wait_booting(tree: Tree) -> int:
    """Process id of an acceptor that has been forked and is not ready."""
    found: list[int] = []

    def is_booting() -> bool:
        found[:] = acceptor_pids(tree, states=("booting", "starting"))
        return bool(found)

    tree.wait(is_booting, "a replacement that boots")
    return found[0]
