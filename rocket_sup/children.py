"""The children of one supervisor, in start order: found, counted, shown, dropped; and when the next is
due.

Start order is the order of boot, with children added later at the end; a restart changes nothing about
it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from rocket_sup.actions import ChildCount, ChildStatus
from rocket_sup.child import Child
from rocket_sup.errors import SupervisionError
from rocket_sup.lifecycle import HAS_PROCESS, ChildState
from rocket_sup.spec import ChildSpec, ChildType, Restart, Strategy


class Children:
    """An ordered collection of children with unique ids."""

    def __init__(self, specs: Iterable[ChildSpec]) -> None:
        self._by_id = {spec.id: Child(spec) for spec in specs}

    def __iter__(self) -> Iterator[Child]:
        return iter(self._by_id.values())

    def __reversed__(self) -> Iterator[Child]:
        return reversed(self._by_id.values())

    def __contains__(self, child: Child) -> bool:
        return self._by_id.get(child.id) is child

    def find(self, child_id: str) -> Child | None:
        """Return the child with this id, or None."""
        return self._by_id.get(child_id)

    def get(self, child_id: str) -> Child:
        """Return the child with this id.

        Raises:
            SupervisionError: there is none; the shell speaks of a process that it should not have.
        """
        child = self._by_id.get(child_id)
        if child is None:
            raise SupervisionError(f"there is no child {child_id!r}")
        return child

    def add(self, spec: ChildSpec) -> Child:
        """Add a child as the last one."""
        child = self._by_id[spec.id] = Child(spec)
        return child

    def drop(self, child: Child) -> None:
        """Forget a child; one that is forgotten already is no mistake."""
        self._by_id.pop(child.id, None)

    def drop_if_temporary(self, child: Child) -> None:
        """Forget a child whose specification goes with its process."""
        if child.spec.restart is Restart.TEMPORARY:
            self.drop(child)

    def group(self, strategy: Strategy, fallen: Child) -> list[Child]:
        """Return those that the strategy restarts when `fallen` fell, also those that were stopped before."""
        if strategy is Strategy.ONE_FOR_ONE:
            return [fallen]
        everyone = list(self)
        return everyone if strategy is Strategy.ONE_FOR_ALL else everyone[everyone.index(fallen) :]

    def next_attempt(self, now: float) -> Child | None:
        """Return the child whose next attempt has been due longest, or None when none is due."""
        due = (child for child in self if child.state is ChildState.RESTARTING and child.deadline <= now)
        return min(due, key=lambda child: child.deadline, default=None)

    def next_deadline(self, *, with_attempts: bool) -> float | None:
        """Return the earliest deadline, or None; attempts are left out while they have to wait anyway."""
        counted = (child for child in self if with_attempts or child.state is not ChildState.RESTARTING)
        earliest = min((child.deadline for child in counted), default=math.inf)
        return None if earliest == math.inf else earliest

    def statuses(self) -> list[ChildStatus]:
        """Return what others may see of each."""
        return [child.status() for child in self]

    def count(self) -> ChildCount:
        """Return how many are known, how many have a process, and how many are of which type."""
        supervisors = sum(child.spec.type is ChildType.SUPERVISOR for child in self)
        active = sum(child.state in HAS_PROCESS for child in self)
        return ChildCount(len(self._by_id), active, supervisors, len(self._by_id) - supervisors)
