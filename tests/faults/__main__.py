"""`python -m tests.faults`: all scenarios, one table of verdicts, exit status 1 when any demand is violated.

Takes a few minutes. Every process and socket is its own, on loopback; what it starts it ends.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Sequence

from tests.faults import booting, limit, orphaned, restarts, soak, storm, talks
from tests.faults import tree as trees
from tests.faults.verdict import Row, table

Say = Callable[[str], None]
Scenario = Callable[[Say, str], list[Row]]


def scenarios(*, short: bool, seconds: float = soak.SHORT.seconds) -> dict[str, Scenario]:
    """Every scenario by name, in the order they run."""
    size = storm.SHORT if short else storm.Storm()
    return {
        "storm": lambda say, keep: storm.run(size, say, keep),
        "booting": lambda say, _: booting.run(say),
        "supervisor": lambda say, _: orphaned.run(say),
        "limit": lambda say, _: [*limit.run("wait", say), *limit.run("reject", say)],
        "restarts": lambda say, _: restarts.run(say),
        "talks": lambda say, _: talks.run(talks.SHORT if short else talks.Talks(), say),
        "soak": lambda say, _: soak.run(soak.SHORT if short else soak.Soak(seconds=seconds), say),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    names = list(scenarios(short=True))
    usual = ",".join(name for name in names if name != "soak")
    parser.add_argument(
        "--only", default=usual, help="comma-separated, soak being another; default: %(default)s"
    )
    parser.add_argument(
        "--engine", default=trees.ENGINE, help="server.engine of every tree; default: %(default)s"
    )
    parser.add_argument(
        "--interface",
        choices=("router", "asgi"),
        default="router",
        help="of the application in most scenarios; default: %(default)s",
    )
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="of the soak; an hour shows most; default: %(default)s"
    )
    parser.add_argument("--short", action="store_true", help="a handful of each fault")
    parser.add_argument(
        "--seed", type=int, default=None, help="of the random moments; default: a new one, printed"
    )
    parser.add_argument("--keep", default="", help="directory for logs and records")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else time.time_ns() % 1_000_000
    random.seed(seed)
    trees.ENGINE = options.engine
    if options.interface == "asgi":
        trees.STEADY = "steady_asgi"
    if options.keep:
        os.makedirs(options.keep, exist_ok=True)
    chosen = options.only.split(",")
    if unknown := set(chosen) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    began = time.monotonic()

    def say(text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:7.1f} s  {text}\n")

    say(f"seed {seed}, engine {options.engine}")
    rows: list[Row] = []
    for name, scenario in scenarios(short=options.short, seconds=options.seconds).items():
        if name in chosen:
            say(f"scenario {name}")
            rows += scenario(say, options.keep)
    sys.stdout.write(table(rows) + "\n")
    return 1 if any(not row.passed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
