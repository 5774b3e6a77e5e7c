"""What the tests of the process tree share: the loop that the tree runs in, and a log that can be read."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from rocket_sup.log import EventLog
from rocket_sup.poller import Poller

PATIENCE_S = 10.0  # only a test that fails waits this long
TreeSignals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)


@pytest.fixture
def poller() -> Iterator[Poller]:
    """A loop of its own, whose descriptors and signal handlers end with the test."""
    before = {signum: signal.getsignal(signum) for signum in TreeSignals}
    poller = Poller()
    yield poller
    signal.set_wakeup_fd(-1)
    for signum, handler in before.items():
        signal.signal(signum, handler)
    # The product's loops end with their process and have no close(): the ends of the signal pipe are ours.
    left = list(poller._selector.get_map())
    poller._selector.close()
    os.close(poller._wakeup)
    os.close(left[0])

    assert len(left) == 1, f"still watched: {left[1:]}"


@pytest.fixture
def turn_until(poller: Poller) -> Callable[[Callable[[], object]], None]:
    """Give a function that turns the loop until a condition holds."""

    def turn(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            poller.run_once(deadline)

    return turn


class Journal:
    """A real log in a file, and what was written to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = EventLog(level="debug", format="json", file=str(path))

    def events(self) -> list[dict[str, Any]]:
        """All events so far."""
        return [orjson.loads(line) for line in self.path.read_bytes().splitlines()]

    def names(self) -> list[str]:
        """The names of all events so far."""
        return [event["event"] for event in self.events()]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A log that the test can read."""
    journal = Journal(tmp_path / "events.log")
    yield journal
    journal.log.close()
