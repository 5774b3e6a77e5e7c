"""The phases of a connection: what it waits for, and which may follow which.

The phase says what received bytes mean and which deadline runs. `connection.py` carries the transitions
out; a test walks them.
"""

from __future__ import annotations

import enum
from typing import Final


class Phase(enum.Enum):
    """What a connection waits for."""

    FRESH = "the first byte"
    IDLE = "the next request"
    HEAD = "the rest of a head"
    CONTENT = "the rest of a request's content"
    HANDLER = "a handler that suspended or runs in a thread"
    LINGER = "the client to read our last answer and close"
    CLOSED = "nothing"


# FRESH, IDLE and HEAD are one state of the parser, told apart for their deadlines. Everything may be
# followed by CLOSED.
PHASES: Final = {
    Phase.FRESH: {Phase.IDLE, Phase.HEAD, Phase.CONTENT, Phase.HANDLER, Phase.LINGER, Phase.CLOSED},
    Phase.IDLE: {Phase.IDLE, Phase.HEAD, Phase.CONTENT, Phase.HANDLER, Phase.LINGER, Phase.CLOSED},
    Phase.HEAD: {Phase.IDLE, Phase.CONTENT, Phase.HANDLER, Phase.LINGER, Phase.CLOSED},
    Phase.CONTENT: {Phase.IDLE, Phase.HEAD, Phase.HANDLER, Phase.LINGER, Phase.CLOSED},
    Phase.HANDLER: {Phase.IDLE, Phase.HEAD, Phase.CONTENT, Phase.LINGER, Phase.CLOSED},
    Phase.LINGER: {Phase.CLOSED},
    Phase.CLOSED: set(),
}

# Looking a member up in its class takes several times as long as a name of this module.
FRESH, IDLE, HEAD = Phase.FRESH, Phase.IDLE, Phase.HEAD
CONTENT, HANDLER, LINGER, CLOSED = Phase.CONTENT, Phase.HANDLER, Phase.LINGER, Phase.CLOSED
