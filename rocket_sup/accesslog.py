"""One line for each answered request, at a small part of what the request costs.

`append` keeps the facts in a tuple; a batch is formatted and written at once, when `BATCH` of them have
gathered or when `flush` is called (once a second, and before a process leaves). Values of a client are not
examined one by one: a whole batch is formatted as if it were harmless, then everything harmless is taken out
of the bytes in one pass. What must be left is the quotes and line ends of the format itself; if it is not,
each entry of that batch is escaped with care.

Memory is bounded: by `BATCH` entries, by `VALUE_CHARACTERS` of each value in a line, and by `BACKLOG_BYTES`
of lines that the file did not take; beyond that the oldest are dropped and counted. The formats are Apache's
combined, and one JSON object per line; a value that was absent is "-" in the first and "" in the second.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Final

from rocket_sup.logfile import STDOUT, LogFile

BATCH: Final = 256  # about 40 KB of lines; larger batches measured no cheaper
BACKLOG_BYTES: Final = 1 << 20
VALUE_CHARACTERS: Final = 1024  # what is kept of a target or a header value that had to be looked at
_ORDINARY_LINE = 1024  # a batch of longer lines on average is looked at, too

Entry = tuple[float, str, str, str, str, int, int, float, "str | None", "str | None"]

_HARMLESS = bytes(code for code in range(0x20, 0x7F) if code not in b'"\\')
_UNSAFE = re.compile(r"[^ !#-\[\]-~]")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STATUS = [str(status) for status in range(1000)]  # a look-up is 40 ns cheaper than making the text
_now = time.time


class _Versions(dict[str, str]):
    def __missing__(self, version: str) -> str:
        return "-"  # not a request; and nothing is remembered of what a client may have made up


_VERSIONS = _Versions({"1.1": "HTTP/1.1", "1.0": "HTTP/1.0"})


class AccessLog:
    """The access log of one process.

    Attributes:
        lost: lines dropped because the file took none, since the log was opened.
        source: gives whole lines that were formatted elsewhere; asked at each `flush`.
    """

    __slots__ = ("_backlog", "_entries", "_file", "_format", "_left", "lost", "source")

    def __init__(self, *, format: str = "combined", file: str = "") -> None:
        """Open the log.

        Args:
            format: "combined" or "json".
            file: path to append to; empty for standard output.

        Raises:
            OSError: the file cannot be opened.
        """
        self._file = LogFile(file, standard=STDOUT)
        self._format: Callable[[Iterable[Entry], int], str] = combined if format == "combined" else json_lines
        self._left = _COMBINED_LEFT if format == "combined" else _JSON_LEFT
        self._entries: list[Entry] = []
        self._backlog = b""
        self.lost = 0
        self.source: Callable[[], bytes] | None = None

    def append(
        self,
        client_host: str,
        method: str,
        target: str,
        version: str,
        status: int,
        body_bytes: int,
        duration_s: float,
        referer: str | None,
        user_agent: str | None,
    ) -> None:
        """Note one answered request.

        Args:
            client_host: the peer's address; "-" when it has none, as over a Unix socket.
            method, target: of the request line, as received; "-" when it could not be read.
            version: "1.1" or "1.0".
            status, body_bytes: of the answer; the status below 1000.
            duration_s: from the first byte of the request to the last of the answer.
            referer, user_agent: header values; None when absent.
        """
        self.append_entry(
            (
                _now(),
                client_host,
                method,
                target,
                version,
                status,
                body_bytes,
                duration_s,
                referer,
                user_agent,
            )
        )

    def append_entry(self, entry: Entry) -> None:
        """Note one answered request whose facts are together already: wall clock seconds, then as for
        `append`."""
        entries = self._entries
        entries.append(entry)
        if len(entries) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered; what the file does not take is kept, within bounds, for the next time."""
        entries = self._entries
        if entries:
            self._backlog += self._formatted(entries)
            self._entries = []
        if self.source is not None:
            self._backlog += self.source()
        if self._backlog:
            self._write()

    def reopen(self) -> bool:
        """Write what has gathered, then open the file again by its path, for logrotate.

        Returns:
            False when it cannot be opened: the file that was open stays in use.
        """
        self.flush()
        try:
            self._file.reopen()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Write what has gathered and close the file; standard output stays open."""
        self.flush()
        self._file.close()

    def _formatted(self, entries: list[Entry]) -> bytes:
        data = self._lines(entries).encode("utf-8", "surrogatepass")
        is_harmless = data.translate(None, _HARMLESS) == self._left * len(entries)
        if is_harmless and len(data) <= _ORDINARY_LINE * len(entries):
            return data
        return self._lines([_made_harmless(entry) for entry in entries]).encode()

    def _lines(self, entries: list[Entry]) -> str:
        first = int(entries[0][0])
        if int(entries[-1][0]) == first:
            return self._format(entries, first)
        return "".join(
            self._format(group, second) for second, group in groupby(entries, lambda entry: int(entry[0]))
        )

    def _write(self) -> None:
        data, start = self._backlog, 0
        while start < len(data):
            end = _end_of_lines(data, start, start + self._file.atomic_bytes)
            taken = self._file.try_write(data[start:end])
            start += taken
            if start < end:
                break
        self._keep(data[start:])

    def _keep(self, data: bytes) -> None:
        """Keep what was not taken, without its oldest lines when it is too much."""
        if len(data) > BACKLOG_BYTES:
            cut = data.find(b"\n", len(data) - BACKLOG_BYTES) + 1
            self.lost += data.count(b"\n", 0, cut)
            data = data[cut:]
        self._backlog = data


def combined(entries: Iterable[Entry], second: int) -> str:
    """Format entries of one second as Apache's combined log does."""
    when = time.gmtime(second)
    month = _MONTHS[when.tm_mon - 1]  # strftime's %b is in the language of the locale
    stamp = time.strftime(f' - - [%d/{month}/%Y:%H:%M:%S +0000] "', when)
    names, versions = _STATUS, _VERSIONS
    return "".join(
        [
            f'{host}{stamp}{method} {target} {versions[version]}" {names[status]} {size} "{referer or "-"}"'
            f' "{agent or "-"}"\n'
            for _, host, method, target, version, status, size, _, referer, agent in entries
        ]
    )


def json_lines(entries: Iterable[Entry], second: int) -> str:
    """Format entries of one second as JSON objects; the values need no escape, or have it."""
    start = time.strftime('{"time":"%Y-%m-%dT%H:%M:%SZ","client":"', time.gmtime(second))
    names, versions = _STATUS, _VERSIONS
    return "".join(
        [
            f'{start}{host}","method":"{method}","target":"{target}","version":"{versions[version]}",'
            f'"status":{names[status]},"bytes":{size},"duration_us":{int(duration * 1e6)},'
            f'"referer":"{referer or ""}",'
            f'"user_agent":"{agent or ""}"}}\n'
            for _, host, method, target, version, status, size, duration, referer, agent in entries
        ]
    )


_SAMPLE: Entry = (0.0, "", "", "", "", 200, 0, 0.0, None, None)
_COMBINED_LEFT = combined([_SAMPLE], 0).encode().translate(None, _HARMLESS)
_JSON_LEFT = json_lines([_SAMPLE], 0).encode().translate(None, _HARMLESS)


def _made_harmless(entry: Entry) -> Entry:
    when, host, method, target, version, status, size, duration, referer, agent = entry
    return (
        when,
        _escaped(host),
        _escaped(method),
        _escaped(target),
        version,
        status,
        size,
        duration,
        _escaped(referer or ""),
        _escaped(agent or ""),
    )


def _escaped(value: str) -> str:
    """Escape so that neither format can be broken; `\\u0022` is a quote in JSON, and plain to a reader."""
    if len(value) > VALUE_CHARACTERS:
        value = value[:VALUE_CHARACTERS] + "..."
    return _UNSAFE.sub(_escape, value)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code > 0xFFFF:  # JSON writes it as a pair of surrogates, RFC 8259 §7
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    return f"\\u{code:04x}"


def _end_of_lines(data: bytes, start: int, most: int) -> int:
    """Return where the last whole line before `most` ends; `most` itself when one line alone is longer."""
    if most >= len(data):
        return len(data)
    end = data.rfind(b"\n", start, most) + 1
    return end if end > start else most
