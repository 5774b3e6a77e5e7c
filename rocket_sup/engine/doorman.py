"""The doorman of a native wire: connections are claimed, taken and served without Python.

It only speaks up when it is stuck: there is no place, or something failed. What is done about that is the
business of `admission.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rocket_sup.engine.contract import Accepted, Stop
from rocket_sup.engine.desk import Desk


class NativeDoorman:
    """See `Doorman`.

    Args:
        http: takes the connections.
        desk: is told where it is stuck.
    """

    def __init__(self, http: Any, desk: Desk) -> None:
        self._http = http
        self._watched: dict[int, Callable[[int, Accepted], None]] = {}
        desk.on_stuck = self._on_stuck

    def watch(self, listening_fd: int, on_stuck: Callable[[int, Accepted], None]) -> None:
        """See `Doorman`."""
        self._http.listen(listening_fd)
        self._watched[listening_fd] = on_stuck

    def unwatch(self, listening_fd: int) -> None:
        """See `Doorman`."""
        if self._watched.pop(listening_fd, None) is not None:
            self._http.unlisten(listening_fd)

    def accept(self, listening_fd: int, most: int) -> Accepted:
        """See `Doorman`."""
        taken, stop, errno = self._http.accept(listening_fd, most)
        return Accepted(taken, Stop(stop), errno)

    def _on_stuck(self, listening_fd: int, taken: int, stop: str, errno: int) -> None:
        self._watched[listening_fd](listening_fd, Accepted(taken, Stop(stop), errno))
