"""The events of the server: one line each, as text for people or JSON for machines.

An event is a name in snake_case and fields. A line leaves in one write, so that lines of several processes do
not mix, and cannot be forged: control characters, quotes and bidirectional marks in a value are escaped. Only
fields of our own making that are texts of many lines (a traceback, the stacks of a hung process) are spread
below their line, each line indented.

Logging never fails and never waits for long: what cannot be written is counted, and the count is written when
the log takes lines again (`log_lines_lost`). A log belongs to no thread and no event loop, and survives a
fork.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any, Final

import orjson

from rocket_sup.logfile import STDERR, LogFile

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}

_BLOCKS = frozenset({"detail", "report", "stacks", "traceback"})
_BLOCK_CHARACTERS = 1 << 16
# C0 and C1 controls, DEL, line separators, bidirectional marks and overrides, lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_UNSAFE_IN_BLOCK = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))
_PLAIN = re.compile(r"[^\s\"=\\]+")
_PATIENCE_S = (
    0.02  # a reader that is merely slow gets this long once; after that lines are dropped until it reads
)


class EventLog:
    """A log of structured events; see the module."""

    __slots__ = ("_file", "_is_json", "_lost", "_threshold", "_torn")

    def __init__(self, *, level: str = "info", format: str = "text", file: str = "") -> None:
        """Open the log.

        Args:
            level: the least important level written: debug, info, warning or error.
            format: "text" or "json".
            file: path to append to; empty for standard error.

        Raises:
            OSError: the file cannot be opened.
        """
        self._file = LogFile(file, standard=STDERR)
        self._threshold = LEVELS[level]
        self._is_json = format == "json"
        self._lost = 0
        self._torn = False  # the last line was written in part: the next one begins with an end of line

    def debug(self, event: str, /, **fields: object) -> None:
        """Log what only somebody looking for a fault wants to read."""
        self._log("debug", event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Log what happens in a healthy server."""
        self._log("info", event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Log what was handled, and should not go on."""
        self._log("warning", event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Log what somebody has to look at."""
        self._log("error", event, fields)

    def is_enabled(self, level: str) -> bool:
        """Say whether events of this level are written."""
        return LEVELS[level] >= self._threshold

    def reopen(self) -> None:
        """Open the file again by its path, for logrotate; on failure go on with the old one and say so."""
        try:
            self._file.reopen()
        except OSError as error:
            self.error("log_not_reopened", file=self._file.path, reason=error.strerror or str(error))

    def close(self) -> None:
        """Close the file; standard error stays open."""
        self._file.close()

    def _log(self, level: str, event: str, fields: dict[str, Any]) -> None:  # any value: it is only shown
        if LEVELS[level] < self._threshold:
            return
        now = time.time()
        line = self._line(now, level, event, fields)
        if self._lost:
            # In one write with the line: alone it would fit into a gap that the next line does not fit into.
            line = self._line(now, "warning", "log_lines_lost", {"count": self._lost}) + line
        self._lost = 0 if self._write(line) else self._lost + 1

    def _line(self, now: float, level: str, event: str, fields: dict[str, Any]) -> bytes:
        return json_line(now, level, event, fields) if self._is_json else text_line(now, level, event, fields)

    def _write(self, line: bytes) -> bool:
        data = b"\n" + line if self._torn else line
        may_wait = not self._lost
        while data:
            taken = self._file.try_write(data)
            data = data[taken:]
            if taken:
                self._torn = bool(data)
            elif may_wait and self._file.wait_writable(_PATIENCE_S):
                may_wait = False  # once: a full disk is always "writable"
            else:
                return False
        return True


def timestamp(now: float) -> str:
    """Write a wall clock time as `2026-11-20T20:00:00.123Z`."""
    second, fraction = divmod(now, 1.0)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{int(fraction * 1000):03d}Z"


def text_line(now: float, level: str, event: str, fields: dict[str, Any]) -> bytes:
    """Write one event as `2026-11-20T20:00:00.123Z info    acceptor_started id=acceptor-1 pid=4711`."""
    line = [f"{timestamp(now)} {level:<7} {event}"]
    blocks = []
    for key, value in fields.items():
        if key in _BLOCKS and isinstance(value, str) and "\n" in value:
            blocks.append(_block(key, value))
        else:
            line.append(f"{key}={_shown(value)}")
    return ("\n".join([" ".join(line), *blocks]) + "\n").encode()


def json_line(now: float, level: str, event: str, fields: dict[str, Any]) -> bytes:
    """Write one event as a JSON object; a field that is called as one of ours gets an underscore."""
    document: dict[str, Any] = {"time": timestamp(now), "level": level, "event": event}
    for key, value in fields.items():
        document[f"{key}_" if key in document else key] = value
    try:
        text = orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except (
        TypeError,
        ValueError,
        RecursionError,
    ):  # a lone surrogate, an integer of more than 64 bits, a cycle
        text = json.dumps({key: str(value) for key, value in document.items()})
    return (_UNSAFE.sub(_escape, text) + "\n").encode()


def escaped(text: str) -> str:
    """Escape what could end a line, move the cursor of a terminal or hide text in it."""
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None or isinstance(value, bool):
        return str(value).lower() if value is not None else "-"
    if isinstance(value, (list, tuple)):
        value = ",".join(str(each) for each in value)
    text = value if isinstance(value, str) else str(value)
    if _PLAIN.fullmatch(text) and not _UNSAFE.search(text):
        return text
    return f'"{escaped(text.translate(_QUOTED))}"'


_QUOTED = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def _block(key: str, text: str) -> str:
    if len(text) > _BLOCK_CHARACTERS:
        text = text[:_BLOCK_CHARACTERS] + "\n..."
    safe = _UNSAFE_IN_BLOCK.sub(_escape, text)
    return "\n".join([f"    {key}:", *(f"    | {line}" for line in safe.rstrip("\n").split("\n"))])
