"""What may happen to one child, and to its supervisor: states, events, and one table each.

`policy.py` decides; these tables say what it may decide. A pair that is missing from a table is refused
with a `SupervisionError`: it is a mistake of the shell (an exit reported twice, a ready message of a
process long gone) or of the machine, and never a thing that a child can do. The diagrams of
docs/supervision.md are drawn from the tables by `diagram`, and a test compares them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from rocket_sup.errors import SupervisionError

_State = TypeVar("_State", bound=enum.Enum)
_Event = TypeVar("_Event", bound=enum.Enum)


class ChildState(enum.Enum):
    """Where a child is between two processes."""

    STOPPED = "stopped"  # no process, and none is planned
    RESTARTING = "restarting"  # no process; the next attempt is owed
    STARTING = "starting"  # a process that has not said ready
    OVERDUE = "overdue"  # it missed its boot deadline and was killed; the next attempt is owed
    RUNNING = "running"  # it said ready
    FALLEN = "fallen"  # gone by itself while the supervisor was busy; the exit waits its turn
    STOPPING = "stopping"  # asked to leave
    KILLING = "killing"  # killed, not yet gone


class ChildEvent(enum.Enum):
    """What can happen to a child."""

    START = "start"  # the shell is told to start it
    READY = "ready"  # it said ready
    IGNORE = "ignore"  # it ended, saying that it is not needed
    OVERSTAY = "overstay"  # its boot deadline passed
    FALL = "fall"  # it is gone and shall come back
    END = "end"  # it is gone and shall not
    DEFER = "defer"  # it is gone; what follows is decided later
    ASK = "ask"  # the shell is told to ask it to leave
    KILL = "kill"  # the shell is told to kill it, or was already
    CANCEL = "cancel"  # the attempt it is owed is not made


class PolicyState(enum.Enum):
    """Where a supervisor is."""

    CREATED = "created"
    BOOTING = "booting"  # starting its children in order
    RUNNING = "running"
    BUSY = "busy"  # in the middle of a plan (a group restart, say); exits and calls wait their turn
    STOPPING = "stopping"  # ending its children in reverse order
    FINISHED = "finished"


class PolicyEvent(enum.Enum):
    """What can happen to a supervisor."""

    BOOT = "boot"
    PLAN = "plan"  # something begins that must not be interrupted
    SETTLE = "settle"  # it is done
    STOP = "stop"  # asked to, or out of patience


CHILD_TRANSITIONS: Final[Mapping[tuple[ChildState, ChildEvent], ChildState]] = MappingProxyType(
    {
        (ChildState.STOPPED, ChildEvent.START): ChildState.STARTING,
        (ChildState.RESTARTING, ChildEvent.START): ChildState.STARTING,
        (ChildState.RESTARTING, ChildEvent.CANCEL): ChildState.STOPPED,
        (ChildState.STARTING, ChildEvent.READY): ChildState.RUNNING,
        (ChildState.STARTING, ChildEvent.IGNORE): ChildState.STOPPED,
        (ChildState.STARTING, ChildEvent.OVERSTAY): ChildState.OVERDUE,
        (ChildState.STARTING, ChildEvent.FALL): ChildState.RESTARTING,
        (ChildState.STARTING, ChildEvent.END): ChildState.STOPPED,
        (ChildState.STARTING, ChildEvent.ASK): ChildState.STOPPING,
        (ChildState.STARTING, ChildEvent.KILL): ChildState.KILLING,
        (ChildState.OVERDUE, ChildEvent.READY): ChildState.OVERDUE,  # too late
        (ChildState.OVERDUE, ChildEvent.FALL): ChildState.RESTARTING,
        (ChildState.OVERDUE, ChildEvent.END): ChildState.STOPPED,
        (ChildState.OVERDUE, ChildEvent.KILL): ChildState.KILLING,
        (ChildState.RUNNING, ChildEvent.FALL): ChildState.RESTARTING,
        (ChildState.RUNNING, ChildEvent.END): ChildState.STOPPED,
        (ChildState.RUNNING, ChildEvent.DEFER): ChildState.FALLEN,
        (ChildState.RUNNING, ChildEvent.ASK): ChildState.STOPPING,
        (ChildState.RUNNING, ChildEvent.KILL): ChildState.KILLING,
        (ChildState.FALLEN, ChildEvent.FALL): ChildState.RESTARTING,
        (ChildState.FALLEN, ChildEvent.END): ChildState.STOPPED,
        (ChildState.STOPPING, ChildEvent.READY): ChildState.STOPPING,  # the two messages crossed
        (ChildState.STOPPING, ChildEvent.END): ChildState.STOPPED,
        (ChildState.STOPPING, ChildEvent.KILL): ChildState.KILLING,
        (ChildState.KILLING, ChildEvent.READY): ChildState.KILLING,
        (ChildState.KILLING, ChildEvent.END): ChildState.STOPPED,
    }
)

POLICY_TRANSITIONS: Final[Mapping[tuple[PolicyState, PolicyEvent], PolicyState]] = MappingProxyType(
    {
        (PolicyState.CREATED, PolicyEvent.BOOT): PolicyState.BOOTING,
        (PolicyState.CREATED, PolicyEvent.STOP): PolicyState.STOPPING,
        (PolicyState.BOOTING, PolicyEvent.SETTLE): PolicyState.RUNNING,
        (PolicyState.BOOTING, PolicyEvent.STOP): PolicyState.STOPPING,
        (PolicyState.RUNNING, PolicyEvent.PLAN): PolicyState.BUSY,
        (PolicyState.RUNNING, PolicyEvent.STOP): PolicyState.STOPPING,
        (PolicyState.BUSY, PolicyEvent.SETTLE): PolicyState.RUNNING,
        (PolicyState.BUSY, PolicyEvent.STOP): PolicyState.STOPPING,
        (PolicyState.STOPPING, PolicyEvent.SETTLE): PolicyState.FINISHED,
    }
)

HAS_PROCESS: Final = frozenset(
    {
        ChildState.STARTING,
        ChildState.OVERDUE,
        ChildState.RUNNING,
        ChildState.STOPPING,
        ChildState.KILLING,
    }
)
IN_TRANSIT: Final = HAS_PROCESS - {ChildState.RUNNING}  # a plan waits for a child that is in one of these


def next_state(
    table: Mapping[tuple[_State, _Event], _State], state: _State, event: _Event, who: str
) -> _State:
    """Look a transition up.

    Args:
        who: named in the error, for example "child 'a'".

    Raises:
        SupervisionError: the table has no such cell; whoever sent the event is wrong about the state.
    """
    target = table.get((state, event))
    if target is None:
        raise SupervisionError(f"{who} is {state.value} and cannot {event.value}")
    return target


def diagram(table: Mapping[tuple[_State, _Event], _State], initial: _State) -> str:
    """Draw a transition table as a mermaid state diagram, in the order of the table."""
    lines = ["stateDiagram-v2", f"    [*] --> {initial.value}"]
    lines += [
        f"    {state.value} --> {target.value}: {event.value}" for (state, event), target in table.items()
    ]
    return "\n".join(lines) + "\n"
