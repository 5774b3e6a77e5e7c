"""Answers of our own: a line of text that says what was wrong, and shows nothing of the application.

Pure: a status and a reason go in.
"""

from __future__ import annotations

from rocket_sup.http.semantics import REASONS, TEXT
from rocket_sup.response import Answer


def refusal(status: int, reason: str) -> Answer:
    """Make such an answer.

    Args:
        reason: what was found and what is allowed, with its place in the specification.
    """
    text = f"{status} {REASONS.get(status, '')}: {reason}\n"
    return Answer(status, b"Content-Type: %b\r\n" % TEXT, text.encode("utf-8"))
