"""Watch heartbeats: a machine that tells late from hung.

Two deadlines, because they cost differently. A heartbeat older than `suspect_s` only takes new connections
away, which is undone as soon as the loop turns again. One older than `hang_s` costs the process: its stacks
are dumped, then it is asked to go, then killed, with `GRACE_S` between the steps; if it recovers in between,
it is spared.

Pure: ages come in, verdicts go out.
"""

from __future__ import annotations

import enum
import signal
from collections.abc import Mapping
from dataclasses import dataclass

DUMP_SIGNAL = signal.SIGUSR2  # an acceptor answers it with all its stacks
GRACE_S = 1.0  # enough to write all stacks to a log, short against any hang deadline


class Pulse(enum.IntEnum):
    """How an acceptor's heartbeat looks; each stage includes the ones before it."""

    FRESH = 0
    SUSPECT = 1
    DUMPED = 2
    ASKED = 3
    KILLED = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """A change of one acceptor's pulse."""

    child_id: str
    before: Pulse
    after: Pulse
    age_s: float


class Vigil:
    """The pulses of all acceptors.

    Args:
        suspect_s: age from which no new connections are steered there.
        hang_s: age from which the process is replaced; 0: never.
    """

    def __init__(self, *, suspect_s: float, hang_s: float) -> None:
        self._suspect_s = suspect_s
        self._hang_s = hang_s
        self._pulses: dict[str, Pulse] = {}

    def change_deadlines(self, *, suspect_s: float, hang_s: float) -> None:
        """Use other deadlines from now on."""
        self._suspect_s = suspect_s
        self._hang_s = hang_s

    def pulse(self, child_id: str) -> Pulse:
        """The last known pulse; FRESH for one never looked at."""
        return self._pulses.get(child_id, Pulse.FRESH)

    def forget(self, child_id: str) -> None:
        """Forget the pulse of a process that is gone; its successor begins fresh."""
        self._pulses.pop(child_id, None)

    def check(self, ages: Mapping[str, float]) -> list[Verdict]:
        """Look at all heartbeats.

        Args:
            ages: seconds since each acceptor's loop last turned; those left out are forgotten.

        Returns:
            What changed. A pulse gets worse by one stage a call and better by any number, so that no step is
            left out.
        """
        verdicts = []
        for child_id in [child for child in self._pulses if child not in ages]:
            del self._pulses[child_id]
        for child_id, age_s in ages.items():
            before = self._pulses.get(child_id, Pulse.FRESH)
            after = min(self._stage(age_s), Pulse(min(before + 1, Pulse.KILLED)))
            if after is not before:
                self._pulses[child_id] = after
                verdicts.append(Verdict(child_id, before, after, age_s))
        return verdicts

    def _stage(self, age_s: float) -> Pulse:
        if self._hang_s and age_s >= self._hang_s:
            late = age_s - self._hang_s
            return Pulse.KILLED if late >= 2 * GRACE_S else Pulse.ASKED if late >= GRACE_S else Pulse.DUMPED
        return Pulse.SUSPECT if age_s >= self._suspect_s else Pulse.FRESH
