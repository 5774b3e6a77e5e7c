"""Try again: after failures that may pass, no more often than allowed, later each time.

A transport around another one. Sent again is what is safe to send again: an idempotent request, or one that
never left. How long to wait is drawn at random below a limit that doubles ("full jitter"), so that clients
that failed together do not come back together; a server that says when (Retry-After) is believed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from time import time
from typing import Final

from rocket_sup.client.errors import (
    CircuitOpen,
    ConnectError,
    ConnectTimeout,
    ExchangeError,
    ReadError,
    ReadTimeout,
    TlsError,
    WriteError,
)
from rocket_sup.client.messages import Request, Response
from rocket_sup.client.transport import Transport
from rocket_sup.http.validators import parse_date

# Failures of a moment. Not: a server that breaks the rules, as it will break them again.
_PASSING: Final = (ConnectError, ConnectTimeout, ReadError, ReadTimeout, WriteError)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, after what, and how much later.

    Attributes:
        attempts: in all, the first included.
        statuses: answers that may be different the next time.
        first_delay_s: the most to wait before the second attempt; it doubles from there.
        max_delay_s: the most to wait before any; a server that wants more is not waited for.
    """

    attempts: int = 3
    statuses: frozenset[int] = frozenset({429, 502, 503, 504})
    first_delay_s: float = 0.2
    max_delay_s: float = 30.0


class RetryTransport:
    """Sends through another transport, again if need be."""

    def __init__(self, inner: Transport, retry: Retry, *, draw: Callable[[], float] = random.random) -> None:
        """Wrap a transport; `draw` gives numbers from 0 to 1."""
        self._inner = inner
        self._retry = retry
        self._draw = draw

    @property
    def open_connections(self) -> int:
        """Those of the transport inside."""
        return int(getattr(self._inner, "open_connections", 0))

    async def send(self, request: Request) -> Response:
        """Send a request until it is answered or the attempts are used up."""
        attempt = 1
        while True:
            try:
                response = await self._inner.send(request)
            except _PASSING as error:
                delay = self._delay(request, attempt)
                if delay is None or not _may_repeat(request, error):
                    raise
            else:
                if response.status not in self._retry.statuses or not _may_repeat(request, None):
                    return response
                delay = self._delay(request, attempt, retry_after(response))
                if delay is None:
                    return response
                await response.aclose()
            await asyncio.sleep(delay)
            attempt += 1

    async def close(self) -> None:
        """Close the transport inside."""
        await self._inner.close()

    def _delay(self, request: Request, attempt: int, asked: float = 0.0) -> float | None:
        """How long to wait before another attempt; None when there is none."""
        retry = self._retry
        if attempt >= retry.attempts or asked > retry.max_delay_s:
            return None
        most: float = min(retry.max_delay_s, retry.first_delay_s * 2 ** (attempt - 1))
        delay = max(asked, most * self._draw())
        if request.deadline is not None and asyncio.get_running_loop().time() + delay >= request.deadline:
            return None
        return delay


def retry_after(response: Response) -> float:
    """The seconds that a response asks for; 0 when it asks for nothing (RFC 9110 §10.2.3)."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    moment = parse_date(value)
    return 0.0 if moment is None else max(0.0, moment - time())


def _may_repeat(request: Request, error: ExchangeError | None) -> bool:
    if not request.is_replayable or isinstance(error, TlsError | CircuitOpen):
        return False
    return request.is_idempotent or (error is not None and not error.request_sent)
