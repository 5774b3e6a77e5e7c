"""What a constant-rate run saw: one record for each request, and the arithmetic over them.

Knows no sockets. A record keeps three times of the system-wide monotonic clock (CLOCK_MONOTONIC, the same in
every process of a machine), so that another process can lay its own events, a kill say, beside the requests.
Latency counts from the *intended* start: a server that stalls delays the requests behind the stall too, and a
driver that measured from the actual start would leave exactly those out (coordinated omission). Percentiles
are exact: every latency is kept and sorted.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, fields
from typing import Any


class Outcome(enum.StrEnum):
    """How one request ended; everything but OK is a failure, and the names say whose queue it was in."""

    OK = "ok"
    REFUSED = "refused"  # the connection attempt met a closed port
    RESET_BEFORE_BYTE = "reset_before_byte"  # RST after the connection stood, before any byte of the answer
    CLOSED_BEFORE_BYTE = "closed_before_byte"  # orderly end of stream, but no answer
    RESET_MID_ANSWER = "reset_mid_answer"
    TRUNCATED = "truncated"  # orderly end of stream inside the answer
    TIMEOUT = "timeout"  # no complete answer in time, also a connection that never came to stand
    BAD_STATUS = "bad_status"
    BAD_ANSWER = "bad_answer"  # not HTTP/1.1 as far as this driver can read
    NOT_SENT = "not_sent"  # the driver's own bound on requests in flight was reached
    UNREACHABLE = "unreachable"  # any other error of the socket; `detail` names it


@dataclass(slots=True)
class Record:
    """One request.

    Attributes:
        intended: when the schedule wanted it to start, monotonic seconds.
        started: when the driver came to it; the difference is the driver's own delay or a busy kept
            connection.
        finished: when its fate was known.
        outcome: see `Outcome`.
        kept: it belongs to a kept connection's schedule.
        reused: its connection had carried an answer before.
        port: local port, or 0 when there was none; tells which process held the other end.
        served_by: the process that answered, or answered last on this connection (`X-Served-By`); 0 when
            unknown.
        status: status code, or 0.
        detail: the error's text, for failures.
    """

    intended: float
    started: float
    finished: float
    outcome: Outcome
    kept: bool
    reused: bool
    port: int
    served_by: int
    status: int
    detail: str = ""

    @property
    def latency_s(self) -> float:
        """Seconds from the intended start."""
        return self.finished - self.intended

    @property
    def is_ok(self) -> bool:
        """Whether a complete answer with the expected status came."""
        return self.outcome is Outcome.OK


@dataclass(frozen=True, slots=True)
class Window:
    """A span of the monotonic clock, for example from a fault to its detection."""

    start: float
    end: float
    label: str = ""

    def covers(self, record: Record) -> bool:
        """Whether the request was in flight, or meant to start, at any moment of the window."""
        return record.intended < self.end and record.finished > self.start


@dataclass(frozen=True, slots=True)
class Latencies:
    """Exact percentiles in milliseconds over successful requests; all None when there were none."""

    count: int
    mean_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None


def percentile(ordered: Sequence[float], fraction: float) -> float:
    """Return the nearest-rank percentile of an ordered, non-empty sequence: always a value that was measured.

    Args:
        ordered: ascending.
        fraction: 0 < fraction <= 1.
    """
    return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)]


def summarise(latencies_s: Iterable[float]) -> Latencies:
    """Sort latencies (seconds) once and read the percentiles off."""
    ordered = sorted(latencies_s)
    if not ordered:
        return Latencies(0, None, None, None, None, None, None)

    def at(fraction: float) -> float:
        return round(percentile(ordered, fraction) * 1e3, 3)

    mean_ms = round(math.fsum(ordered) / len(ordered) * 1e3, 3)
    return Latencies(len(ordered), mean_ms, at(0.5), at(0.9), at(0.99), at(0.999), at(1.0))


@dataclass(slots=True)
class Result:
    """All requests of one run.

    Attributes:
        parameters: the plan it ran by.
        began, ended: monotonic seconds of the first intended start and of the last fate.
        records: in the order their fates became known.
        reconnects: kept connections that the server ended between requests (no failure: HTTP allows it at any
            time).
    """

    parameters: dict[str, Any]
    began: float
    ended: float
    records: list[Record] = field(default_factory=list)
    reconnects: int = 0

    def failures(self) -> list[Record]:
        """Every request that did not get its answer."""
        return [record for record in self.records if not record.is_ok]

    def outcomes(self) -> dict[str, int]:
        """Count by outcome, successes included; outcomes that did not occur are left out."""
        counts: dict[str, int] = {}
        for record in self.records:
            counts[record.outcome] = counts.get(record.outcome, 0) + 1
        return counts

    def between(self, start: float, end: float) -> list[Record]:
        """The requests meant to start in [start, end)."""
        return [record for record in self.records if start <= record.intended < end]

    def latencies(self, *, inside: Window | None = None, outside: Sequence[Window] = ()) -> Latencies:
        """Percentiles over the successful requests.

        Args:
            inside: only requests meant to start in this window; default all.
            outside: leave out requests that touch any of these windows.
        """
        chosen = self.records if inside is None else self.between(inside.start, inside.end)
        return summarise(
            record.latency_s
            for record in chosen
            if record.is_ok and not any(window.covers(record) for window in outside)
        )

    def driver_delay(self) -> Latencies:
        """How late the driver itself began requests on new connections: small in an honest run."""
        return summarise(record.started - record.intended for record in self.records if not record.kept)

    def summary(self) -> dict[str, Any]:
        """The run on one page: counts, percentiles, the driver's own delay."""
        return {
            "parameters": self.parameters,
            "seconds": round(self.ended - self.began, 3),
            "requests": len(self.records),
            "failed": len(self.failures()),
            "outcomes": self.outcomes(),
            "reconnects": self.reconnects,
            "latency": asdict(self.latencies()),
            "driver_delay": asdict(self.driver_delay()),
        }

    def to_document(self, *, with_records: bool = True) -> dict[str, Any]:
        """A JSON-able document; records become rows, their column names beside them."""
        document = {"summary": self.summary(), "began": self.began, "ended": self.ended}
        kept = self.records if with_records else self.failures()
        document["columns"] = [column.name for column in fields(Record)]
        document["records"] = [astuple(record) for record in kept]
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Result:
        """The inverse of `to_document`."""
        records = [Record(*row) for row in document["records"]]
        for record in records:
            record.outcome = Outcome(record.outcome)
        summary = document["summary"]
        return cls(
            summary["parameters"], document["began"], document["ended"], records, summary["reconnects"]
        )
