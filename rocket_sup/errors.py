"""Every error this package raises on purpose, sorted by fault and by who can be told.

A protocol error is `Local` when we or the application misused a machine and `Remote` when the peer broke the
rules; a `TransportError` leaves nobody to tell. Errors of the operator (`ConfigError`) carry every problem
found, not the first one. This module imports nothing of the package, so that each layer can raise what it
means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class RocketError(Exception):
    """The root of all errors raised on purpose by this package."""


class LocalProtocolError(RocketError):
    """We, or the application, asked a protocol machine for something it must refuse."""


class RemoteProtocolError(RocketError):
    """The peer broke the protocol.

    Attributes:
        status: the HTTP status to answer with, for example 400.
        offset: bytes into the message where the fault was seen, or None when unknown.
    """

    def __init__(self, message: str, *, status: int = 400, offset: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.offset = offset


class TransportError(RocketError):
    """The connection is gone; nobody is left to tell."""


class WebSocketClosed(RocketError):  # noqa: N818 - says what it is; mostly nobody's error
    """A WebSocket is closed: nothing comes and goes any more.

    Attributes:
        code: of the first Close that was seen; 1005 for one without a code, 1006 when there was none.
        reason: the text with it.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class SupervisionError(RocketError):
    """A child specification or a request to a supervisor is invalid."""


class ApplicationError(RocketError):
    """The application could not be imported, called or recognised.

    Attributes:
        report: the traceback, or the explanation, as the operator should read it.
    """

    def __init__(self, message: str, *, report: str = "") -> None:
        super().__init__(message)
        self.report = report


class EngineError(RocketError):
    """The engine that was asked for by name cannot serve here."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the configuration.

    Attributes:
        source: where it was written: a file with its line ("rocket.toml:12"), "environment" or "arguments".
        key: the full key, for example "server.port".
        message: what was found and what is allowed, one sentence.
    """

    source: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.source}: {self.key}: {self.message}"


class ConfigError(RocketError):
    """The configuration is wrong; all problems are listed at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
