"""The long conversations of one wire, WebSockets above all: counted apart from requests, told to end.

A request ends by itself, and a drain waits for it. A conversation may go on for days: it enters here, is
asked to end when its acceptor drains, and leaves. What all conversations of a wire have in common is here
too: their settings, and the engine's way to move their messages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from rocket_sup.config_websocket import WebSocketConfig

if TYPE_CHECKING:
    from rocket_sup.wslane import Lane


class Session(Protocol):
    """A conversation."""

    def on_drain(self) -> None:
        """The acceptor wants to leave: say goodbye, and end soon."""


class Sessions:
    """All that are under way.

    Attributes:
        entered: how many there ever were.
        config: what WebSockets may take.
        make_lane: the engine's lanes for WebSockets, made like `wslane.PortableLane`; None for these.
    """

    __slots__ = ("_is_draining", "_sessions", "config", "entered", "make_lane")

    def __init__(self, config: WebSocketConfig | None = None) -> None:
        self.entered = 0
        self.config = config or WebSocketConfig()
        self.make_lane: Callable[..., Lane] | None = None
        self._sessions: set[Session] = set()
        self._is_draining = False

    def __len__(self) -> int:
        return len(self._sessions)

    def enter(self, session: Session) -> None:
        """Begin; one that begins while the acceptor drains is told so at once."""
        self._sessions.add(session)
        self.entered += 1
        if self._is_draining:
            session.on_drain()

    def leave(self, session: Session) -> None:
        """End; again does nothing."""
        self._sessions.discard(session)

    def drain(self) -> None:
        """Ask all to end, and whoever enters from now on."""
        self._is_draining = True
        for session in list(self._sessions):
            session.on_drain()
