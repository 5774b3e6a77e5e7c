"""The answer of `rocket-sup status`, laid out for people.

It is tolerant on purpose: command and server may be of different versions, so that what is missing is shown
as "-" and what is unknown is left to `--json`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from rocket_sup.log import escaped

Document = Mapping[str, Any]  # JSON
Column = tuple[str, str, Callable[[Any], str]]

_ABSENT: Final = "-"


def status_text(answer: Document) -> str:
    """Lay out a whole status."""
    acceptors, children = _list(answer, "acceptors"), _list(answer, "children")
    blocks = [_head(answer), _table(acceptors, _ACCEPTORS)]
    if children:
        blocks.append(_table(children, _CHILDREN))
    return "\n\n".join(blocks)


def children_text(answer: Document) -> str:
    """Lay out the answer of `rocket-sup children`."""
    children = _list(answer, "children")
    return _table(children, _CHILDREN) if children else "no children"


def duration_text(seconds: float) -> str:
    """Write a duration by its two largest units: `3 d 4 h`, `5 m 7 s`, `12 s`."""
    left = int(seconds)
    parts: list[str] = []
    for name, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (name == "s" and not parts):
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])


def bytes_text(count: float) -> str:
    """Write a number of bytes with three digits or so: `512 B`, `3.4 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _head(answer: Document) -> str:
    supervisor, listener = _part(answer, "supervisor"), _part(answer, "listener")
    connections, totals = _part(answer, "connections"), _part(answer, "totals")
    binds = ", ".join(_text(bind) for bind in _list(listener, "binds")) or _ABSENT
    uptime = _shown(supervisor.get("uptime_s"), duration_text)
    lines = [
        f"rocket-sup {_text(answer.get('version'))}: {_text(supervisor.get('state'))},"
        f" pid {_text(supervisor.get('pid'))}, up {uptime}, generation {_text(supervisor.get('generation'))}",
        f"listener     {_text(listener.get('state'))}, pid {_text(listener.get('pid'))}, at {binds},"
        f" steering {_text(listener.get('steering'))}",
        *(_engine(each) for each in _list(answer, "engines") if isinstance(each, dict)),
        f"connections  {_text(connections.get('now'))} of {_text(connections.get('max'))},"
        f" peak {_text(connections.get('peak'))}",
    ]
    if totals:
        statuses = ", ".join(f"{name} {count}" for name, count in _part(totals, "statuses").items() if count)
        lines.append(f"requests     {_text(totals.get('requests'))}" + (f" ({statuses})" if statuses else ""))
    return "\n".join(lines)


def _engine(engine: Document) -> str:
    name, loop, reason = (_text(engine.get(key)) for key in ("name", "loop", "reason"))
    return f"engine       {name} on {loop}: {reason}"


def _part(document: Document, key: str) -> Document:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _list(document: Document, key: str) -> Sequence[Any]:
    value = document.get(key)
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return _ABSENT if value is None else escaped(str(value))


def _shown(value: object, show: Callable[[Any], str]) -> str:
    kind = dict if show is _threads else (int, float)
    return show(value) if isinstance(value, kind) else _text(value)


def _threads(value: Document) -> str:
    """Say how many of the threads are busy, and how many calls wait for one: `3/40`, `40/40+7`."""
    queued = value.get("queued")
    return escaped(f"{value.get('busy')}/{value.get('size')}" + (f"+{queued}" if queued else ""))


def _rate(value: float) -> str:
    return f"{value:.1f}"


def _age(value: float) -> str:
    return f"{value:.1f} s"


_ACCEPTORS: Final[Sequence[Column]] = (
    ("ACCEPTOR", "id", _text),
    ("PID", "pid", _text),
    ("STATE", "state", _text),
    ("GEN", "generation", _text),
    ("CONN", "connections", _text),
    ("WS", "websockets", _text),
    ("THR", "threads", _threads),
    ("REQUESTS", "requests", _text),
    ("REQ/S", "requests_per_s", _rate),
    ("IN", "bytes_in", bytes_text),
    ("OUT", "bytes_out", bytes_text),
    ("RSS", "rss_bytes", bytes_text),
    ("BEAT", "heartbeat_age_s", _age),
    ("RESTARTS", "restarts", _text),
)
_CHILDREN: Final[Sequence[Column]] = (
    ("CHILD", "id", _text),
    ("PID", "pid", _text),
    ("STATE", "state", _text),
    ("RESTART", "restart", _text),
    ("TYPE", "type", _text),
    ("RESTARTS", "restarts", _text),
)


def _table(rows: Iterable[Any], columns: Sequence[Column]) -> str:
    """Align rows: texts to the left, numbers to the right."""
    shown = [
        [_shown(row.get(key), show) if isinstance(row, dict) else _ABSENT for _, key, show in columns]
        for row in rows
    ]
    numeric = [
        all(isinstance(row.get(key), (int, float, type(None))) for row in rows if isinstance(row, dict))
        for _, key, _ in columns
    ]
    widths = [
        max([len(title), *(len(line[position]) for line in shown)])
        for position, (title, _, _) in enumerate(columns)
    ]
    lines = [
        "  ".join(
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in [[title for title, _, _ in columns], *shown]
    ]
    return "\n".join(lines)
