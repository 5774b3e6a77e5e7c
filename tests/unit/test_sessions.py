"""`rocket_sup.sessions`: conversations are counted, and told to end."""

from __future__ import annotations

from rocket_sup.config_websocket import WebSocketConfig
from rocket_sup.sessions import Sessions


class Talk:
    """A conversation that counts how often it was asked to end."""

    def __init__(self) -> None:
        self.asked = 0

    def on_drain(self) -> None:
        """Remember it."""
        self.asked += 1


def test_sessions_are_counted_while_they_last() -> None:
    """Who has left is not counted, and leaving twice is no error."""
    sessions, talk = Sessions(), Talk()
    sessions.enter(talk)
    assert (len(sessions), sessions.entered) == (1, 1)
    sessions.leave(talk)
    sessions.leave(talk)
    assert (len(sessions), sessions.entered) == (0, 1)


def test_a_drain_asks_everyone_and_latecomers() -> None:
    """Nobody is forgotten, whether there at the time or entering afterwards; who has left is not asked."""
    sessions, early, gone, late = Sessions(), Talk(), Talk(), Talk()
    sessions.enter(early)
    sessions.enter(gone)
    sessions.leave(gone)

    sessions.drain()
    sessions.enter(late)

    assert (early.asked, gone.asked, late.asked) == (1, 0, 1)


class Quitter(Talk):
    """A conversation that leaves as soon as it is asked to."""

    def __init__(self, sessions: Sessions) -> None:
        super().__init__()
        self._sessions = sessions

    def on_drain(self) -> None:
        """Leave."""
        super().on_drain()
        self._sessions.leave(self)


def test_a_session_may_leave_while_all_are_asked() -> None:
    """Leaving at once does not disturb the round."""
    sessions = Sessions()
    talks = [Quitter(sessions) for _ in range(3)]
    for talk in talks:
        sessions.enter(talk)

    sessions.drain()

    assert [talk.asked for talk in talks] == [1, 1, 1]
    assert len(sessions) == 0


def test_what_all_conversations_have_in_common() -> None:
    """Their settings, and the engine's lanes; None for the portable ones."""
    settings = WebSocketConfig(queue=7)

    assert settings is Sessions(settings).config
    assert WebSocketConfig() == Sessions().config
    assert Sessions().make_lane is None
