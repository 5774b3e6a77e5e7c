"""Long exchanges under faults: WebSockets and streams that are under way when processes die or are replaced.

What a killed process had in its hands is lost, and nothing else. A process that leaves (a reload, a scaling
down, the successors of a dead Listener) lets streams end and asks every conversation to come again (1012);
whoever comes again is accepted at once.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.faults.blows import Blow, kill_acceptor, kill_listener
from tests.faults.sockets import accepted
from tests.faults.storm import ordered, whole
from tests.faults.talkers import Ended, Talkers
from tests.faults.tree import Tree, TreeError
from tests.faults.verdict import Row, Verdict

SCENARIO = "talks"
COME_AGAIN = "1012"


@dataclass(frozen=True, slots=True)
class Talks:
    """How many of each; the short version is for pytest."""

    talks: int = 40
    streams: int = 10
    kills: int = 10
    listener_kills: int = 3
    reloads: int = 3
    scales: tuple[int, ...] = (5, 3, 4)


SHORT = Talks(talks=10, streams=3, kills=2, listener_kills=1, reloads=1, scales=(3, 4))


def run(talks: Talks, say: Callable[[str], None]) -> list[Row]:
    """Run the scenario, judge it."""
    verdict = Verdict(SCENARIO)
    with Tree("talking") as tree:
        try:
            tree.start()
            _run(tree, talks, verdict, say)
        except (TreeError, OSError) as error:
            verdict.check(
                "the scenario runs to its end", False, type(error).__name__, str(error).splitlines()
            )
    return verdict.rows


def _run(tree: Tree, talks: Talks, verdict: Verdict, say: Callable[[str], None]) -> None:
    blows: list[Blow] = []
    with Talkers(tree.port, talks=talks.talks, streams=talks.streams) as talkers:
        tree.wait(lambda: talkers.said > talks.talks and talkers.read > 0, "everybody talks")
        for blow in _blows(tree, talks):
            blows.append(blow)
            say(f"{blow}; {talkers.said} messages, {talkers.read} streams so far")
        before = talkers.said
        tree.wait(lambda: talkers.said > before + talks.talks, "everybody talks again")
    _judge(talkers, blows, verdict)
    _judge_remains(tree, verdict)


def _blows(tree: Tree, talks: Talks) -> Iterator[Blow]:
    for _ in range(talks.kills):
        time.sleep(random.uniform(0.8, 1.2))  # 7 restarts in 5 s are allowed
        yield whole(tree, kill_acceptor(tree))
    for _ in range(talks.listener_kills):
        time.sleep(random.uniform(1.5, 2.5))  # 3 restarts in 5 s are allowed
        yield whole(tree, kill_listener(tree))
    for _ in range(talks.reloads):
        time.sleep(random.uniform(0.1, 0.8))
        yield ordered(tree, "reload", {"command": "reload"})
    for acceptors in talks.scales:
        time.sleep(random.uniform(0.1, 0.8))
        yield ordered(tree, "scale", {"command": "scale", "acceptors": acceptors})


def _judge(talkers: Talkers, blows: list[Blow], verdict: Verdict) -> None:
    killed = [blow for blow in blows if blow.kind == "kill"]

    def is_excused(ended: Ended) -> bool:
        return any(ended.port in blow.held and ended.at >= blow.at for blow in killed)

    again = [ended for ended in talkers.talks_ended if ended.how == COME_AGAIN]
    broken = [ended for ended in talkers.talks_ended if ended.how != COME_AGAIN]
    lost = [ended for ended in broken if not is_excused(ended)]
    verdict.check(
        "a conversation ends with its killed process, or is asked to come again",
        not lost,
        f"{len(lost)} otherwise; {len(broken) - len(lost)} killed, {len(again)} asked; {talkers.said} said",
        [f"{ended.at:.3f} port {ended.port}: {ended.how}" for ended in lost] + [str(blow) for blow in blows],
    )
    replaced = sum(blow.kind in ("listener", "reload") for blow in blows)
    verdict.check("whoever is replaced asks", bool(again) or not replaced, len(again))
    cut = [ended for ended in talkers.streams_cut if not is_excused(ended)]
    verdict.check(
        "a stream is cut by the kill of its process only",
        not cut,
        f"{len(cut)} otherwise; {len(talkers.streams_cut) - len(cut)} killed, {talkers.read} came whole",
        [f"{ended.at:.3f} port {ended.port}: {ended.how}" for ended in cut] + [str(blow) for blow in blows],
    )
    refused = Counter(ended.how for ended in talkers.refused)
    verdict.check("nobody is refused", not refused, refused.total(), map(str, refused.items()))
    wrong = [f"{blow}: {blow.answer}" for blow in blows if blow.answer and not blow.answer.get("ok")]
    verdict.check("each order is carried out", not wrong, f"{len(wrong)} otherwise", wrong)


def _judge_remains(tree: Tree, verdict: Verdict) -> None:
    def is_empty() -> bool:
        status = tree.status()
        talking = sum(acceptor["websockets"] for acceptor in status["acceptors"])
        return bool(status["connections"]["now"] == talking == accepted(tree.port) == 0)

    try:
        tree.wait(is_empty, "the counters at zero", timeout_s=10.0)
        seen = "zero"
    except TreeError:
        seen = f"{tree.status()['connections']}, sockets {accepted(tree.port)}"
    verdict.check("the counters return to exactly zero", seen == "zero", seen)
    assert tree.process is not None
    tree.process.terminate()
    code = tree.wait_exit(15.0)
    verdict.check("SIGTERM ends the tree with status 0", code == 0, code, tree.tail().splitlines())
    left = tree.members()
    verdict.check("no orphan process", not left, left or "none")
