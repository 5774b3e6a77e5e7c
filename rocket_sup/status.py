"""What the running tree looks like, as one JSON-able document: for `rocket-sup status`, for monitors, for
tests.

All numbers come from the scoreboard, so that they are right even while the Listener is being replaced; the
Listener only adds what it alone knows (names, adoption, restarts), by messages it sends on every change.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from rocket_sup import scoreboard as board
from rocket_sup.actions import ChildStatus
from rocket_sup.channel import Message
from rocket_sup.scoreboard import Scoreboard, Slot, SlotState

_RATE_WINDOW_S = 1.0


class Rates:
    """Requests a second of each slot, over the last second or so."""

    def __init__(self, scoreboard: Scoreboard) -> None:
        self._scoreboard = scoreboard
        self._at = time.monotonic()
        self._requests: dict[int, tuple[int, int]] = {}
        self._rates: dict[int, float] = {}

    def sample(self) -> None:
        """Look at the counters; call this about once a second."""
        now = time.monotonic()
        elapsed = now - self._at
        if elapsed < _RATE_WINDOW_S / 2:
            return
        seen = {slot.index: (slot.pid, slot.read(board.REQUESTS)) for slot in self._scoreboard.used_slots()}
        self._rates = {
            index: (count - before[1]) / elapsed
            for index, (pid, count) in seen.items()
            if (before := self._requests.get(index)) is not None and before[0] == pid
        }
        self._requests = seen
        self._at = now

    def of(self, slot: Slot) -> float:
        """Requests a second of one slot."""
        return self._rates.get(slot.index, 0.0)


def acceptors(scoreboard: Scoreboard, listener_state: Message, rates: Rates) -> list[dict[str, Any]]:
    """Describe every acceptor process, those of earlier generations and Listeners too."""
    known = {
        entry["slot"]: entry for entry in listener_state.get("acceptors", ()) if entry["slot"] is not None
    }
    now_ns = time.monotonic_ns()
    rows = [_acceptor(slot, known.get(slot.index), rates, now_ns) for slot in scoreboard.used_slots()]
    waiting = [_without_process(e) for e in listener_state.get("acceptors", ()) if e["slot"] is None]
    return sorted(rows + waiting, key=lambda row: (row["number"], row["id"]))


def engines(listener_state: Message) -> list[dict[str, Any]]:
    """Describe what acceptors serve with: one entry for all that say the same, the most used first."""
    told = [entry["engine"] for entry in listener_state.get("acceptors", ()) if entry.get("engine")]
    counts = [
        {**engine, "acceptors": told.count(engine)} for i, engine in enumerate(told) if engine not in told[:i]
    ]
    return sorted(counts, key=lambda entry: -entry["acceptors"])


def connections(scoreboard: Scoreboard) -> dict[str, int]:
    """Describe the use of `max_connections`."""
    return {
        "now": scoreboard.connections(),
        "max": scoreboard.max_connections,
        "peak": scoreboard.peak(),
        "waiting": len(scoreboard.waiting()),
    }


def totals(scoreboard: Scoreboard) -> dict[str, Any]:
    """Describe all that was served since the tree began."""
    sums = scoreboard.totals()
    return {
        "requests": sums.requests,
        "bytes_in": sums.bytes_received,
        "bytes_out": sums.bytes_sent,
        "statuses": dict(zip(("other", "1xx", "2xx", "3xx", "4xx", "5xx"), sums.statuses, strict=True)),
    }


def children(statuses: Iterable[ChildStatus]) -> list[dict[str, Any]]:
    """Describe the Supervisor's children."""
    return [
        {
            "id": child.id,
            "pid": child.pid,
            "state": child.state.value,
            "restart": child.spec.restart.value,
            "type": child.type.value,
            "restarts": child.restarts,
        }
        for child in statuses
    ]


def _acceptor(slot: Slot, known: dict[str, Any] | None, rates: Rates, now_ns: int) -> dict[str, Any]:
    state = slot.state
    is_suspect = known is not None and known["is_suspect"]
    engine = (known or {}).get("engine") or {}
    return {
        "id": known["id"] if known is not None else f"acceptor-{slot.read_number()}.orphan",
        "number": slot.read_number(),
        "pid": slot.pid or None,  # whoever signals what stands here must not signal 0, which is everybody
        "state": "suspect" if is_suspect and state is SlotState.READY else state.name.lower(),
        "generation": slot.read(board.GENERATION),
        "connections": slot.read(board.CONNECTIONS),
        "websockets": slot.read(board.WEBSOCKETS),
        "in_flight": slot.read(board.IN_FLIGHT),
        "threads": {
            name: slot.read(board.THREADS + place) for place, name in enumerate(("size", "busy", "queued"))
        },
        "requests": slot.read(board.REQUESTS),
        "requests_per_s": round(rates.of(slot), 1),
        "bytes_in": slot.read(board.BYTES_RECEIVED),
        "bytes_out": slot.read(board.BYTES_SENT),
        "rss_bytes": slot.read(board.RSS_BYTES),
        "heartbeat_age_s": round(slot.heartbeat_age_s(now_ns), 3),
        "lag_s": slot.read(board.LAG_NS) / 1e9,
        "uptime_s": round((now_ns - slot.read(board.STARTED)) / 1e9, 1),
        "restarts": 0 if known is None else known["restarts"],
        "engine": engine.get("name"),
        "loop": engine.get("loop"),
        "socket": slot.read_number(),
    }


def _without_process(known: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": known["id"],
        "number": known["number"],
        "pid": None,
        "state": "restarting",
        "restarts": known["restarts"],
    }
