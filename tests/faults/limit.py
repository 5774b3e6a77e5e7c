"""The limit on connections: 8 acceptors, `max_connections = 100`, 1,000 clients in the same moment.

Two witnesses count at every sample: the tree's own status, and the kernel, which knows the connections some
process has accepted. With "wait" everybody is served in the end; with "reject" everybody gets an answer, 200
or a readable 503 with Retry-After. In that mode the kernel sees the refused ones too while they are told, so
only the tree's count is held to the limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.faults.crowd import Crowd
from tests.faults.sockets import accepted
from tests.faults.tree import Tree, TreeError
from tests.faults.verdict import Row, Verdict

CLIENTS = 1000
LIMIT = 100


def run(overload: str, say: Callable[[str], None], *, clients: int = CLIENTS) -> list[Row]:
    """Let the crowd in, judge."""
    verdict = Verdict(f"limit, {overload}")
    server = {"num_acceptors": 8, "max_connections": LIMIT, "overload": overload, "backlog": 1024}
    with Tree(options={"server": server}) as tree:
        try:
            tree.start()
            _run(tree, overload, clients, verdict, say)
        except (TreeError, OSError) as error:
            verdict.check(
                "the scenario runs to its end", False, type(error).__name__, str(error).splitlines()
            )
    return verdict.rows


def _run(tree: Tree, overload: str, clients: int, verdict: Verdict, say: Callable[[str], None]) -> None:
    counts: list[int] = []
    peaks: list[int] = []
    kernel: list[int] = []

    def sample() -> None:
        connections = tree.status()["connections"]
        counts.append(connections["now"])
        peaks.append(connections["peak"])
        kernel.append(accepted(tree.port))

    crowd = Crowd(tree.port, clients, "/long/100")
    began = time.monotonic()
    try:
        is_done = crowd.run(60.0, sample)
        say(f"{clients} clients settled: {is_done}, after {time.monotonic() - began:.2f} s: {crowd.statuses}")
        answered = f"{dict(crowd.statuses)} after {time.monotonic() - began:.1f} s"
        verdict.check(
            "every client is answered in the end", is_done and not crowd.failures, answered, crowd.failures
        )
        demand = f"never more than {LIMIT} connections at any sample"
        verdict.check(demand, max(counts) <= LIMIT, f"most {max(counts)} in {len(counts)} samples")
        verdict.check("the tree's own peak agrees", max(peaks) <= LIMIT, max(peaks))
        if overload == "wait":
            demand = f"the kernel never sees more than {LIMIT} accepted"
            verdict.check(demand, max(kernel) <= LIMIT, f"most {max(kernel)}")
            verdict.check("all get 200", crowd.statuses == {200: clients}, dict(crowd.statuses))
        else:
            allowed = set(crowd.statuses) <= {200, 503} and crowd.statuses[200] >= LIMIT
            verdict.check(f"200 or 503, at least {LIMIT} times 200", allowed, dict(crowd.statuses))
            seen = f"{crowd.retry_after} of {crowd.statuses[503]}"
            verdict.check("each 503 says Retry-After", crowd.retry_after == crowd.statuses[503], seen)
    finally:
        crowd.close()
    try:
        took = tree.wait(lambda: tree.status()["connections"]["now"] == 0, "zero", timeout_s=10.0)
        verdict.check("the counter returns to exactly zero", True, f"after {took:.2f} s")
    except TreeError:
        status = tree.status()
        shown = [str(row) for row in status["acceptors"]]
        verdict.check("the counter returns to exactly zero", False, status["connections"], shown)
