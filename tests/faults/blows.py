"""The faults themselves, and what is known about each: when, to whom, and which connections that process
held.

A process that is to be killed is stopped for the milliseconds that reading its sockets takes. Only so can "at
most the requests in flight on the killed process" be checked request by request: a failed one is excused
exactly when its connection was held by that process at that moment. The stop makes the test harder, not
easier: connections queue on the process's listening socket meanwhile and must be adopted.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass, field

from loadtests.results import Record
from tests.faults.sockets import ESTABLISHED, clients_of, tcp_sockets
from tests.faults.tree import Tree


@dataclass(slots=True)
class Blow:
    """One fault.

    Attributes:
        kind: kill, freeze, listener, reload, broken or scale.
        at: monotonic seconds.
        struck: when a killed process had closed its connections: what is sent on them until then is lost with
        them,
            a few milliseconds after the signal. A process is stopped before it is killed.
        ended: when the tree was whole again, or the order was answered.
        target: process id, or 0.
        leaving: acceptors that must have been replaced when it is over.
        held: client ports of the connections the target held.
        answer: what the tree answered, for orders.
    """

    kind: str
    at: float
    struck: float = 0.0
    ended: float = 0.0
    target: int = 0
    leaving: set[int] = field(default_factory=set)
    held: set[int] = field(default_factory=set)
    answer: dict[str, object] = field(default_factory=dict)

    def touched(self, record: Record) -> bool:
        """Whether a request was in flight on the process this blow hit, from the blow to its end."""
        end = self.ended if self.kind == "freeze" else self.struck
        return record.port in self.held and record.finished >= self.at and record.started <= end

    def __str__(self) -> str:
        target = f" of {self.target}" if self.target else ""
        return f"{self.kind}{target} at {self.at:.3f}, over after {self.ended - self.at:.3f} s"


def acceptor_pids(tree: Tree, *, states: tuple[str, ...] = ("ready",)) -> list[int]:
    """Process ids of the acceptors in these states."""
    return [row["pid"] for row in tree.status()["acceptors"] if row["pid"] and row["state"] in states]


def kill_acceptor(tree: Tree) -> Blow:
    """SIGKILL to one acceptor at random."""
    pid = random.choice(acceptor_pids(tree))
    blow = Blow("kill", time.monotonic(), target=pid)
    os.kill(pid, signal.SIGSTOP)
    wait_stopped(pid)
    blow.held = clients_of(pid, tree.port)
    os.kill(pid, signal.SIGKILL)
    wait_gone(pid)
    wait_closed(tree.port, blow.held)
    blow.struck = time.monotonic()
    return blow


def freeze_acceptor(tree: Tree) -> Blow:
    """SIGSTOP to one acceptor at random, for good: the tree has to notice."""
    pid = random.choice(acceptor_pids(tree))
    blow = Blow("freeze", time.monotonic(), target=pid)
    os.kill(pid, signal.SIGSTOP)
    wait_stopped(pid)
    blow.held = clients_of(pid, tree.port)
    return blow


def kill_listener(tree: Tree) -> Blow:
    """SIGKILL to the Listener; its successor replaces all acceptors."""
    pid, leaving = tree.status()["listener"]["pid"], set(acceptor_pids(tree))
    os.kill(pid, signal.SIGKILL)
    return Blow("listener", time.monotonic(), target=pid, leaving=leaving)


def wait_gone(pid: int) -> None:
    """Wait until a killed process has closed its descriptors, which the kernel does before it is a zombie."""
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                if file.read().rpartition(") ")[2][:1] in "ZX":
                    return
        except (FileNotFoundError, ProcessLookupError):  # reaped before it was opened, or before it was read
            return


def wait_closed(port: int, clients: set[int]) -> None:
    """Wait until the kernel has ended a dead process's connections: those of a ring, some milliseconds after
    the process is gone. Until then their clients cannot know that nobody serves them.
    """
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        if not any(sock.peer_port in clients and sock.state == ESTABLISHED for sock in tcp_sockets(port)):
            return


def wait_stopped(pid: int) -> None:
    """Wait until a process has really stopped: the signal is delivered when it next runs."""
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file,
        ):
            if file.read().rsplit(")", 1)[1].split()[0] in "TtZX":
                return
