"""Who serves which sockets: the Listener's book of acceptors, and of those a former Listener left behind.

Acceptors have a number, from 1, which names their sockets, and during a replacement two of them share a
number. From this book follow the two answers that keep connections safe: which numbers may get new
connections, and who must empty the queues of the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rocket_sup.scoreboard import Slot, SlotState


@dataclass(slots=True)
class Member:
    """One acceptor that this Listener started.

    Attributes:
        child_id: its id in the tree, "acceptor-3", or "acceptor-3.2" for the second process since the tree
        began. number: which sockets it accepts on.
        generation: which reload it belongs to.
        slot: its row of the scoreboard; None between two lives.
        is_suspect: its heartbeat is late.
        is_leaving: it was asked to stop.
        adopted: numbers whose queues it empties beside its own.
        boot_report: why its last process did not become ready.
        engine: what moves its bytes, on which loop and why, as it told; None before.
    """

    child_id: str
    number: int
    generation: int
    slot: Slot | None = None
    is_suspect: bool = False
    is_leaving: bool = False
    adopted: set[int] = field(default_factory=set)
    boot_report: str = ""
    engine: dict[str, Any] | None = None

    @property
    def is_ready(self) -> bool:
        """It said ready and was not asked to stop."""
        return self.slot is not None and self.slot.state is SlotState.READY and not self.is_leaving

    @property
    def is_healthy(self) -> bool:
        """It may get new connections."""
        return self.is_ready and not self.is_suspect

    def died(self) -> None:
        """Note that its process is gone; a next life starts clean."""
        self.slot = None
        self.is_suspect = False
        self.adopted.clear()
        self.engine = None


class Roster:
    """All members, by child id."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}

    def of_number(self, number: int) -> list[Member]:
        """The members that share a number, oldest first."""
        return [member for member in self.members.values() if member.number == number]

    def current(self, number: int) -> Member | None:
        """The member that holds a number and is not leaving."""
        return next((m for m in reversed(self.of_number(number)) if not m.is_leaving), None)

    def healthy_numbers(self) -> set[int]:
        """The numbers whose sockets may get new connections."""
        return {member.number for member in self.members.values() if member.is_healthy}

    def is_anyone_ready(self) -> bool:
        """Some member serves, be it slowly."""
        return any(member.is_ready for member in self.members.values())

    def adopter_of(self, number: int) -> Member | None:
        """The member that empties the queue of a number that is not its own."""
        return next((member for member in self.members.values() if number in member.adopted), None)

    def choose_adopter(self, *, avoid: Iterable[int]) -> Member | None:
        """The healthy member with the fewest adopted queues; None when nobody is healthy.

        Args:
            avoid: numbers whose members must not be chosen.
        """
        refused = set(avoid)
        candidates = [m for m in self.members.values() if m.is_healthy and m.number not in refused]
        return min(candidates, key=lambda m: len(m.adopted), default=None)
