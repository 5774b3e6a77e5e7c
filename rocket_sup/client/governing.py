"""Sparing servers: no more than so many requests a second to each host, and none to one that keeps failing.

Both are transports around another one. A rate is kept by a bucket of tokens for each host, and whoever finds
it empty waits his turn. A circuit opens after so many failures in a row; then requests fail at once, until
one of them is let through to see whether the host has recovered.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final, Generic, TypeVar

from rocket_sup.client.errors import (
    CircuitOpen,
    ConnectError,
    ExchangeError,
    ReadError,
    RequestTimeout,
    TotalTimeout,
)
from rocket_sup.client.messages import Request, Response
from rocket_sup.client.transport import Transport
from rocket_sup.client.urls import Origin

V = TypeVar("V")
_MOST_HOSTS: Final = 10_000  # of a client that visits millions, those that were asked last
_FAILURES: Final = (ConnectError, ReadError, RequestTimeout)


class _Hosts(Generic[V]):
    """Something for each origin, the ones not used for longest forgotten."""

    def __init__(self, make: Callable[[], V]) -> None:
        self._make = make
        self._known: OrderedDict[Origin, V] = OrderedDict()

    def of(self, origin: Origin) -> V:
        """What an origin has."""
        found = self._known.get(origin)
        if found is None:
            found = self._known[origin] = self._make()
            if len(self._known) > _MOST_HOSTS:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(origin)
        return found


class RateLimit:
    """Lets so many requests a second through to each host."""

    def __init__(
        self, inner: Transport, per_second: float, *, burst: int = 1, clock: Callable[[], float] = monotonic
    ) -> None:
        """Wrap a transport.

        Args:
            per_second: requests to one host.
            burst: requests that may come at once after a rest.
        """
        if not per_second > 0 or burst < 1:
            raise ValueError("a rate is greater than 0, a burst at least 1")
        self._inner = inner
        self._gap_s = 1 / per_second
        self._burst = burst
        self._clock = clock
        self._next: _Hosts[list[float]] = _Hosts(lambda: [float("-inf")])

    async def send(self, request: Request) -> Response:
        """Send a request when its turn has come.

        Raises:
            TotalTimeout: that would be after its deadline; it does not wait for nothing.
        """
        delay = self._turn(request.url.origin)
        if delay > 0:
            deadline = request.deadline
            if deadline is not None and asyncio.get_running_loop().time() + delay > deadline:
                raise TotalTimeout(
                    "no turn within the time of the request", request=request, request_sent=False
                )
            await asyncio.sleep(delay)
        return await self._inner.send(request)

    @property
    def open_connections(self) -> int:
        """Those of the transport inside."""
        return int(getattr(self._inner, "open_connections", 0))

    async def close(self) -> None:
        """Close the transport inside."""
        await self._inner.close()

    def _turn(self, origin: Origin) -> float:
        """Take the next turn; return how long it is until then.

        One number says it all: when the bucket will be full again (the virtual schedule of ATM's GCRA).
        """
        now = self._clock()
        full = self._next.of(origin)
        start = max(full[0], now)
        full[0] = start + self._gap_s
        return max(0.0, start - now - (self._burst - 1) * self._gap_s)


class _Circuit:
    """How one host has been doing."""

    __slots__ = ("failures", "is_probing", "opened_at")

    def __init__(self) -> None:
        self.failures = 0  # in a row
        self.opened_at: float | None = None
        self.is_probing = False


class CircuitBreaker:
    """Fails at once what would only fail late."""

    def __init__(
        self,
        inner: Transport,
        *,
        failures: int = 5,
        rest_s: float = 10.0,
        statuses: frozenset[int] = frozenset({502, 503, 504}),
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Wrap a transport.

        Args:
            failures: in a row, that open the circuit of a host.
            rest_s: how long it stays open before one request may try.
            statuses: answers that count as failures, beside errors of connections and timeouts.
        """
        self._inner = inner
        self._most = failures
        self._rest_s = rest_s
        self._statuses = statuses
        self._clock = clock
        self._circuits: _Hosts[_Circuit] = _Hosts(_Circuit)

    async def send(self, request: Request) -> Response:
        """Send a request, unless its host is known to fail.

        Raises:
            CircuitOpen: it is.
        """
        circuit = self._circuits.of(request.url.origin)
        is_probe = circuit.opened_at is not None
        if circuit.opened_at is not None:
            left = circuit.opened_at + self._rest_s - self._clock()
            if left > 0 or circuit.is_probing:
                error = CircuitOpen(f"{request.url.host} failed {circuit.failures} times in a row")
                error.request = request
                raise error
            circuit.is_probing = True
        try:
            response = await self._inner.send(request)
        except _FAILURES:
            self._on_failure(circuit)
            raise
        except ExchangeError:
            self._on_success(circuit)  # it is there, whatever it says
            raise
        finally:
            if is_probe:
                circuit.is_probing = False
        if response.status in self._statuses:
            self._on_failure(circuit)
        else:
            self._on_success(circuit)
        return response

    @property
    def open_connections(self) -> int:
        """Those of the transport inside."""
        return int(getattr(self._inner, "open_connections", 0))

    async def close(self) -> None:
        """Close the transport inside."""
        await self._inner.close()

    def _on_failure(self, circuit: _Circuit) -> None:
        circuit.failures += 1
        if circuit.failures >= self._most:
            circuit.opened_at = self._clock()

    def _on_success(self, circuit: _Circuit) -> None:
        circuit.failures = 0
        circuit.opened_at = None
