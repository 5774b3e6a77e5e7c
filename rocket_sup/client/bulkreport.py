"""What happened in a bulk of requests: counted as it goes, in the same little memory however many there are.

Durations fall into buckets whose width grows with them, so that percentiles are right to within a tenth.
"""

from __future__ import annotations

from collections import Counter
from math import log
from typing import Final

from rocket_sup.client.errors import ClientError
from rocket_sup.client.messages import Response

_STEP: Final = log(1.1)
_SHORTEST_S: Final = 1e-6


class Durations:
    """How long things took."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0
        self.longest_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.count += 1
        if seconds > self.longest_s:
            self.longest_s = seconds
        self._buckets[int(log(seconds / _SHORTEST_S) / _STEP) if seconds > _SHORTEST_S else 0] += 1

    def percentile(self, percent: float) -> float:
        """The duration that so many percent did not exceed, in seconds, to within a tenth; 0 for none."""
        left = self.count * percent / 100
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                return min(self.longest_s, _SHORTEST_S * 1.1 ** (bucket + 1))
        return self.longest_s


class Report:
    """The numbers of one bulk; they grow while it runs.

    Attributes:
        done: requests that ended, in whatever way.
        statuses: answers by status.
        failures: errors by their kind; one with an errno or a cause of its own says that too.
        bytes: of content.
        durations: of answered requests.
        elapsed_s: since the first request.
        slowed: how often this machine had no descriptor or port left.
    """

    def __init__(self) -> None:
        self.done = 0
        self.statuses: Counter[int] = Counter()
        self.failures: Counter[str] = Counter()
        self.bytes = 0
        self.durations = Durations()
        self.elapsed_s = 0.0
        self.slowed = 0

    @property
    def failed(self) -> int:
        """Requests without an answer."""
        return self.done - self.durations.count

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.done / self.elapsed_s if self.elapsed_s else 0.0

    def add(self, outcome: Response | ClientError, seconds: float) -> None:
        """Count one outcome."""
        self.done += 1
        if isinstance(outcome, Response):
            self.statuses[outcome.status] += 1
            if outcome.stream is None:
                self.bytes += len(outcome.content)
            self.durations.add(seconds)
        else:
            cause = getattr(outcome, "cause_name", "")
            name = type(outcome).__name__
            self.failures[f"{name} ({cause})" if cause else name] += 1

    def line(self) -> str:
        """The state in one line."""
        failed = f"  {self.failed:,} failed" if self.failed else ""
        half = self.durations.percentile(50) * 1000
        return (
            f"{self.done:,} done{failed}  {self.rate:,.0f}/s  p50 {half:.1f} ms  {self.bytes / 1e6:,.1f} MB"
        )

    def __str__(self) -> str:
        speed = f"{self.elapsed_s:.1f} s, {self.rate:,.0f} a second"
        lines = [f"{self.done:,} requests in {speed}, {self.bytes:,} bytes"]
        if self.durations.count:
            at = {percent: self.durations.percentile(percent) * 1000 for percent in (50, 90, 99, 99.9)}
            shown = [f"p{percent:g} {value:.1f}" for percent, value in at.items()]
            longest = self.durations.longest_s * 1000
            lines.append(f"milliseconds: {', '.join(shown)}, longest {longest:.1f}")
        lines += [f"{count:>12,}  {status}" for status, count in sorted(self.statuses.items())]
        lines += [f"{count:>12,}  {name}" for name, count in self.failures.most_common()]
        if self.slowed:
            lines.append(f"slowed down {self.slowed:,} times: no descriptor or local port was left")
        return "\n".join(lines)
