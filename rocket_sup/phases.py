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
    LENT = "whoever has taken it over for an exchange"
    LINGER = "the client to read our last answer and close"
    CLOSED = "nothing"


_SERVING: Final = {Phase.HEAD, Phase.CONTENT, Phase.HANDLER, Phase.LENT, Phase.LINGER, Phase.CLOSED}

# FRESH, IDLE and HEAD are one state of the parser, told apart for their deadlines. Everything may be
# followed by CLOSED.
PHASES: Final = {
    Phase.FRESH: _SERVING | {Phase.IDLE},
    Phase.IDLE: _SERVING | {Phase.IDLE},
    Phase.HEAD: _SERVING - {Phase.HEAD} | {Phase.IDLE},
    Phase.CONTENT: _SERVING - {Phase.CONTENT} | {Phase.IDLE},
    Phase.HANDLER: _SERVING - {Phase.HANDLER} | {Phase.IDLE},
    # Content that nobody read is read and forgotten.
    Phase.LENT: {Phase.IDLE, Phase.CONTENT, Phase.LINGER, Phase.CLOSED},
    Phase.LINGER: {Phase.CLOSED},
    Phase.CLOSED: set(),
}

# Looking a member up in its class takes several times as long as a name of this module.
FRESH, IDLE, HEAD = Phase.FRESH, Phase.IDLE, Phase.HEAD
CONTENT, HANDLER, LENT = Phase.CONTENT, Phase.HANDLER, Phase.LENT
LINGER, CLOSED = Phase.LINGER, Phase.CLOSED
