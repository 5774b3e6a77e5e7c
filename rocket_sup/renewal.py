"""Renewal: reloads, recycling and restarts, one acceptor at a time, each beside the one it replaces.

What new acceptors are made of is the *edition*: a configuration and its generation. A reload sets a new one;
when the first acceptor of it does not start, the old edition is back and the old acceptors serve on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rocket_sup.config import Config
from rocket_sup.log import EventLog
from rocket_sup.rollout import Rollout, Rollouts
from rocket_sup.roster import Member, Roster


@dataclass(frozen=True, slots=True)
class Edition:
    """What new acceptors are made of."""

    config: Config
    generation: int


class AnswerTo(Protocol):
    """Answers the Supervisor's order of this token."""

    def __call__(self, token: object, *, ok: bool, **fields: object) -> None: ...


class Renewal:
    """The replacements of one Listener.

    Args:
        edition: what the acceptors at hand are made of.
        start: starts one more acceptor of a number.
        terminate: asks an acceptor to drain.
        answer: answers an order.
        on_edition: called after `edition` has changed.
    """

    def __init__(
        self,
        edition: Edition,
        *,
        roster: Roster,
        log: EventLog,
        start: Callable[[int], None],
        terminate: Callable[[Member], None],
        answer: AnswerTo,
        on_edition: Callable[[], None],
    ) -> None:
        self.edition = edition
        self._last_good = edition
        self._roster = roster
        self._log = log
        self._start = start
        self._terminate = terminate
        self._answer = answer
        self._on_edition = on_edition
        self._rollouts = Rollouts()

    def reload(self, edition: Edition, token: object) -> None:
        """Replace every acceptor by one of a new edition."""
        self._last_good, self.edition = self.edition, edition
        self._on_edition()
        numbers = deque(sorted({m.number for m in self._roster.members.values() if not m.is_leaving}))
        self._log.info("reload_started", generation=edition.generation, acceptors=list(numbers))
        self._add(Rollout(numbers, cause="reload", token=token))

    def restart(self, name: str, token: object) -> None:
        """Replace one acceptor, named with or without its birth: "acceptor-3" or "acceptor-3.2"."""
        wanted = name.partition(".")[0]
        known = {f"acceptor-{m.number}": m.number for m in self._roster.members.values() if not m.is_leaving}
        if wanted in known:
            self._add(Rollout(deque([known[wanted]]), cause="restart", token=token))
        else:
            error = f"no acceptor {name!r}; there are: {', '.join(sorted(known))}"
            self._answer(token, ok=False, error=error)

    def recycle(self, number: int, cause: str) -> None:
        """Replace an acceptor that has asked for it."""
        self._add(Rollout(deque([number]), cause=cause))

    def on_ready(self, member: Member) -> None:
        """Note that a new acceptor is ready: if it is a replacement, the old one leaves."""
        if self._rollouts.number == member.number:
            for old in self._roster.of_number(member.number):
                if old is not member and not old.is_leaving:
                    self._terminate(old)
            self._rollouts.replaced()
        self._go_on()

    def on_not_started(self, member: Member, report: str) -> None:
        """Note that a new acceptor did not start: if it was a replacement, its rollout is called off."""
        if self._rollouts.number == member.number:
            failed = self._rollouts.fail()
            self._log.error(
                "rollout_failed",
                cause=failed.cause,
                replaced=failed.replaced,
                consequence="the old acceptors serve on",
            )
            if failed.cause == "reload":
                self.edition = self._last_good
                self._on_edition()
            if failed.token is not None:
                error = "the new code did not start; the old serves on"
                self._answer(failed.token, ok=False, error=error, report=report)
        self._go_on()

    def _add(self, rollout: Rollout) -> None:
        self._rollouts.add(rollout)
        self._go_on()

    def _go_on(self) -> None:
        done = self._rollouts.take_finished()
        if done is not None:
            generation = self.edition.generation
            self._log.info("rollout_done", cause=done.cause, replaced=done.replaced, generation=generation)
            if done.token is not None:
                self._answer(done.token, ok=True, replaced=done.replaced, generation=generation)
        number = self._rollouts.next_number()
        if number is not None:
            self._start(number)
