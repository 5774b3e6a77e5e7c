"""The gate: all listening sockets, and who may take newcomers from them.

Each change of who is healthy is carried to the kernel's steering program, and the queues of all others are
given to a healthy sibling to empty. Sockets are only ever added, never closed, while the tree lives.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Protocol

from rocket_sup.config import ServerConfig
from rocket_sup.log import EventLog
from rocket_sup.roster import Member, Roster
from rocket_sup.sockets import Bind, SocketOptions, extend, open_bind, steer

_MAX_FDS_PER_MESSAGE = 200  # below SCM_MAX_FD, 253


class Tell(Protocol):
    """Sends a message, with descriptors, to the Supervisor."""

    def __call__(self, kind: str, *, fds: Sequence[int] = (), **fields: object) -> None: ...


class TellMember(Protocol):
    """Sends a message, with descriptors, to an acceptor."""

    def __call__(self, member: Member, kind: str, *, fds: Sequence[int] = (), **fields: object) -> None: ...


class Gate:
    """The sockets of one Listener.

    Args:
        binds: those of a former Listener; the rest is bound by `open`.
        server: backlog and the mode of Unix sockets.
        roster: who is healthy.
        tell_supervisor: hears of every new socket and keeps duplicates.
        tell_member: tells an acceptor to adopt or release a queue.
        on_change: called after newcomers were steered anew.
    """

    def __init__(
        self,
        binds: Sequence[Bind],
        *,
        server: ServerConfig,
        roster: Roster,
        log: EventLog,
        tell_supervisor: Tell,
        tell_member: TellMember,
        on_change: Callable[[], None],
    ) -> None:
        self._binds = list(binds)
        self._options = SocketOptions(backlog=server.backlog, unix_mode=int(server.unix_mode, 8))
        self._roster = roster
        self._log = log
        self._tell_supervisor = tell_supervisor
        self._tell_member = tell_member
        self._on_change = on_change
        self.steered: set[int] = set()

    def open(self, addresses: Sequence[str], *, acceptors: int) -> None:
        """Listen on every address, with a socket for each acceptor.

        Raises:
            BindError: an address cannot be used.
        """
        self.extend(acceptors)
        for address in addresses[len(self._binds) :]:
            bind = open_bind(address, acceptors=acceptors, options=self._options)
            self._binds.append(bind)
            self._tell_supervisor(
                "bind", address=bind.address, is_steered=bind.is_steered, why_shared=bind.why_shared
            )
            self._hand_over(len(self._binds) - 1, bind.fds)

    def extend(self, acceptors: int) -> None:
        """Add sockets until every acceptor has its own.

        Raises:
            OSError: the kernel gives no more.
        """
        for index, bind in enumerate(self._binds):
            self._hand_over(index, extend(bind, acceptors=acceptors, options=self._options))

    def fds_for(self, number: int) -> tuple[int, ...]:
        """The descriptors that acceptor `number` accepts on."""
        return tuple(bind.fd_for(number) for bind in self._binds)

    def steer(self, also_healthy: set[int]) -> None:
        """Bring the kernel's steering and the adoptions in line with who is healthy.

        Args:
            also_healthy: numbers held by healthy acceptors that are not in the roster.
        """
        healthy = self._roster.healthy_numbers() | also_healthy
        if healthy and healthy != self.steered:
            self._attach(healthy)
        if any(bind.is_steered for bind in self._binds):
            self._adopt_queues(healthy)

    def close(self) -> None:
        """Give the addresses up at once: another tree may want them."""
        for bind in self._binds:
            for fd in bind.fds:
                os.close(fd)
        self._binds = []

    def _hand_over(self, index: int, fds: list[int]) -> None:
        """Give the Supervisor duplicates: they keep the queues alive if this process dies."""
        for start in range(0, len(fds), _MAX_FDS_PER_MESSAGE):
            self._tell_supervisor("sockets", bind=index, fds=fds[start : start + _MAX_FDS_PER_MESSAGE])

    def _attach(self, healthy: set[int]) -> None:
        for bind in self._binds:
            try:
                steer(bind, healthy)
            except OSError as error:
                self._log.error("steering_failed", bind=bind.address, error=str(error))
        self._log.info("steered", to=sorted(healthy), was=sorted(self.steered))
        self.steered = healthy
        self._on_change()

    def _adopt_queues(self, healthy: set[int]) -> None:
        for number in range(1, max(len(bind.fds) for bind in self._binds if bind.is_steered) + 1):
            adopter = self._roster.adopter_of(number)
            if number in healthy:
                if adopter is not None:
                    self._release(adopter, number)
            elif adopter is None or not adopter.is_healthy:
                self._assign(number, adopter)

    def _assign(self, number: int, former: Member | None) -> None:
        chosen = self._roster.choose_adopter(avoid=(number,))
        if chosen is None:
            return  # nobody is healthy: the queue keeps the connections until somebody is
        if former is not None:
            self._release(former, number)
        chosen.adopted.add(number)
        fds = [bind.fd_for(number) for bind in self._binds if bind.is_steered]
        self._tell_member(chosen, "adopt", fds=fds, number=number)

    def _release(self, member: Member, number: int) -> None:
        member.adopted.discard(number)
        self._tell_member(member, "release", number=number)
