"""The Supervisor itself is killed, with SIGKILL.

Its tree must drain and leave by itself within the deadline, finishing what it had begun; started again it
serves at the same address. With socket activation, where the service manager holds the listening socket,
clients notice nothing at all.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable

from loadtests.background import Background
from loadtests.constant_rate import Driver, Plan
from loadtests.results import Outcome
from tests.faults.tree import Tree, TreeError
from tests.faults.verdict import Row, Verdict

DRAIN_S = 5  # as in the tree's configuration
MARGIN_S = 2  # for noticing, and for the last process to be reaped


def run(say: Callable[[str], None]) -> list[Row]:
    """Both ways."""
    return [*_run("supervisor killed", _without_activation, say), *_run("activation", _with_activation, say)]


def _run(
    scenario: str, body: Callable[[Tree, Verdict, Callable[[str], None]], None], say: Callable[[str], None]
) -> list[Row]:
    verdict = Verdict(scenario)
    with Tree() as tree:
        try:
            body(tree, verdict, say)
        except (TreeError, OSError, RuntimeError) as error:
            verdict.check(
                "the scenario runs to its end", False, type(error).__name__, str(error).splitlines()
            )
    return verdict.rows


def kill_supervisor(tree: Tree) -> None:
    """SIGKILL, and reap it: nobody else would."""
    os.kill(tree.supervisor, signal.SIGKILL)
    assert tree.process is not None
    tree.process.wait()


def wait_empty(tree: Tree, timeout_s: float) -> float | None:
    """Seconds until no process of the tree is left, or None."""
    began = time.monotonic()
    while tree.members():
        if time.monotonic() - began > timeout_s:
            return None
        time.sleep(0.05)
    return time.monotonic() - began


def _without_activation(tree: Tree, verdict: Verdict, say: Callable[[str], None]) -> None:
    tree.start()
    plan = Plan(port=tree.port, rate=20.0, seconds=1.0, path="/long/1500")
    with Background(plan) as load:  # 20 requests of 1.5 s each, all begun before the kill
        time.sleep(
            1.6
        )  # interpreter start and the plan's second: the driver runs, all its requests are in flight
        kill_supervisor(tree)
        killed_at = time.monotonic()
        result = load.wait()
    took = wait_empty(tree, DRAIN_S + MARGIN_S)
    say(f"supervisor killed: tree gone after {took}, requests {result.outcomes()}")
    begun = [record for record in result.records if record.started < killed_at - 0.05]
    lost = [record for record in begun if not record.is_ok]
    demand = "requests begun before are answered"
    verdict.check(demand, bool(begun) and not lost, f"{len(lost)} of {len(begun)} lost", map(str, lost))
    demand = f"its processes leave within {DRAIN_S} s (and {MARGIN_S})"
    verdict.check(demand, took is not None, f"{took} s", map(str, tree.members().items()))
    began = time.monotonic()
    tree.start()
    again = Driver(Plan(port=tree.port, rate=50.0, seconds=1.0)).run()
    seen = f"{again.outcomes()}, {time.monotonic() - began:.1f} s after the start"
    verdict.check("started again it serves at the same address", not again.failures(), seen)


def _with_activation(tree: Tree, verdict: Verdict, say: Callable[[str], None]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("127.0.0.1", tree.port))
        listening.listen(1024)
        tree.start(listening=listening)
        plan = Plan(port=tree.port, rate=100.0, kept=5, seconds=3600.0)
        with Background(plan) as load:
            for number in range(3):
                time.sleep(1.5)
                kill_supervisor(tree)
                say(f"activation: killed {number + 1} of 3, {len(tree.members())} processes drain")
                restart(tree, listening)
            time.sleep(1.5)
            result = load.stop()
        failures = result.failures()
        counts = result.outcomes()
        refused = counts.get(Outcome.REFUSED, 0)
        shown = [str(record) for record in failures]
        verdict.check("3 kills with socket activation: no connection refused", not refused, refused, shown)
        verdict.check("and no request lost", not failures, counts, shown)
        verdict.check("longest answer", True, f"{result.latencies().max_ms} ms")
        os.kill(tree.supervisor, signal.SIGTERM)
        code = tree.wait_exit(15.0)
        verdict.check("SIGTERM ends the tree with status 0", code == 0, code, tree.tail().splitlines())
        left = wait_empty(tree, DRAIN_S + MARGIN_S)
        verdict.check("no orphan process", left is not None, tree.members() or "none")


def restart(tree: Tree, listening: socket.socket) -> None:
    """Start the tree again at once, as a service manager does; the old processes may still be draining."""
    tree.start(listening=listening)
