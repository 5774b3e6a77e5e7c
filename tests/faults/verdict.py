"""Rows of the verdict: what was demanded, what was seen, whether that is good enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Row:
    """One demand.

    Attributes:
        scenario: which run it belongs to.
        demand: what must hold, as a short sentence.
        seen: the measured value in words.
        passed: the verdict.
        evidence: lines that prove a violation: processes, times, log lines.
    """

    scenario: str
    demand: str
    seen: str
    passed: bool
    evidence: list[str] = field(default_factory=list)


class Verdict:
    """Collects the rows of one scenario."""

    def __init__(self, scenario: str) -> None:
        self.scenario = scenario
        self.rows: list[Row] = []

    def check(self, demand: str, passed: bool, seen: object, evidence: Iterable[str] = ()) -> bool:
        """Add a row; evidence is kept for violated ones only."""
        shown = [] if passed else list(evidence)[:40]
        self.rows.append(Row(self.scenario, demand, str(seen), passed, shown))
        return passed


def table(rows: Iterable[Row]) -> str:
    """All rows aligned, the evidence of violations below."""
    listed = list(rows)
    widths = [
        max((len(text) for text in column), default=0) for column in zip(*map(_cells, listed), strict=True)
    ]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(_cells(row), widths, strict=True)).rstrip()
        for row in listed
    ]
    for row in listed:
        if not row.passed:
            lines += [
                "",
                f"VIOLATED: {row.scenario}: {row.demand}: {row.seen}",
                *(f"    {line}" for line in row.evidence),
            ]
    violated = sum(not row.passed for row in listed)
    lines += ["", f"{len(listed)} demands, {violated} violated"]
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    return ("ok" if row.passed else "VIOLATED", row.scenario, row.demand, row.seen)
