"""The Supervisor's duplicates of all listening sockets: what lets the Listener die without losing a queue.

Sockets come from three places: from the service manager at the start (socket activation, and its descriptor
store, which kept them while the Supervisor itself was being replaced), and from the Listener, which binds the
rest. Each one that the tree bound is also put into the descriptor store, when there is a service manager that
has one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from rocket_sup.binds import binds_of
from rocket_sup.channel import Message
from rocket_sup.config import Config
from rocket_sup.ops.systemd import Notifier
from rocket_sup.sockets import Bind, display

_STORED = re.compile(r"rocket-(\d+)-(\d+)-([sg])")  # bind, position, shared or group


class HeldSockets:
    """All binds of the tree, as far as the Supervisor knows them.

    Attributes:
        binds: in the order of the configuration.
        addresses: what is to be bound; positions match `binds`.
    """

    def __init__(self, config: Config, passed: Sequence[tuple[int, str]], notifier: Notifier) -> None:
        self._notifier = notifier
        self.binds: list[Bind] = []
        stored = [(fd, match) for fd, name in passed if (match := _STORED.fullmatch(name))]
        activated = [fd for fd, name in passed if not _STORED.fullmatch(name)]
        if activated:
            self.addresses = tuple(f"fd:{fd}" for fd in activated)
        else:
            self.addresses = tuple(str(bind) for bind in binds_of(config))
            self._restore(stored)

    def fds(self) -> list[int]:
        """Every descriptor the Listener needs to inherit."""
        given = [int(a[len("fd:") :]) for a in self.addresses if a.startswith("fd:")]
        return [*given, *(fd for bind in self.binds for fd in bind.fds)]

    def on_bind(self, message: Message) -> None:
        """Note an address that the Listener has bound."""
        self.binds.append(Bind(message["address"], message["is_steered"], why_shared=message["why_shared"]))

    def on_sockets(self, message: Message, fds: list[int]) -> None:
        """Keep duplicates of sockets that the Listener made."""
        index = message["bind"]
        bind = self.binds[index]
        for fd in fds:
            bind.fds.append(fd)
            kind = "g" if bind.is_steered else "s"
            if not bind.address.startswith("fd:"):
                self._notifier.store_fds(f"rocket-{index}-{len(bind.fds)}-{kind}", [fd])

    def forget_unfinished(self) -> None:
        """Forget an address whose sockets were never handed over: the Listener died on the way."""
        self.binds[:] = [bind for bind in self.binds if bind.fds]

    def describe(self) -> list[dict[str, object]]:
        """Say where the tree listens, for `status`."""
        return [
            {"address": display(b), "sockets": len(b.fds), "steering": "cbpf" if b.is_steered else "shared",
             "why_shared": b.why_shared}
            for b in self.binds if b.fds
        ]  # fmt: skip

    def close(self) -> None:
        """Stop listening, for good: nobody will come back to these sockets."""
        for index, bind in enumerate(self.binds):
            for number, fd in enumerate(bind.fds, 1):
                os.close(fd)
                if not bind.address.startswith("fd:"):
                    self._notifier.remove_fds(f"rocket-{index}-{number}-{'g' if bind.is_steered else 's'}")
            bind.fds.clear()
            _remove_socket_file(bind.address)

    def _restore(self, stored: list[tuple[int, re.Match[str]]]) -> None:
        """Rebuild binds from the descriptor store; what does not match the configuration any more is
        closed."""
        found: dict[int, dict[int, int]] = {}
        kinds: dict[int, str] = {}
        for fd, match in stored:
            found.setdefault(int(match[1]), {})[int(match[2])] = fd
            kinds[int(match[1])] = match[3]
        for index, address in enumerate(self.addresses):
            positions = found.get(index, {})
            bind = Bind(address, kinds.get(index) == "g", [positions[n] for n in sorted(positions)])
            if not bind.fds or not _is_at(bind, address):
                break
            self.binds.append(bind)
            found.pop(index)
        for positions in found.values():
            for fd in positions.values():
                os.close(fd)


def _is_at(bind: Bind, address: str) -> bool:
    shown = display(bind)
    return shown == address or (
        address.endswith(":0") and shown.rpartition(":")[0] == address.rpartition(":")[0]
    )


def _remove_socket_file(address: str) -> None:
    path = address.removeprefix("unix:")
    if address.startswith("unix:") and not path.startswith("@"):
        try:
            os.unlink(path)
        except OSError:
            pass  # removed by somebody else, or its directory is gone
