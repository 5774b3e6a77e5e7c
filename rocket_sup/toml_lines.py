"""Find the line on which each key of a TOML document is written.

`tomllib` gives values without their places. This scanner walks a text that `tomllib` has already accepted, so
it need not judge it: it knows just enough of strings, comments, arrays, inline tables and headers to tell
where a key begins. It is pure.

Specified in TOML 1.0; paths are tuples of keys and list positions, `("children", 0, "name")`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Path = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_LITERAL = re.compile(r"'([^'\n]*)'")
_LONG_BASIC = re.compile(r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL)
_SCALAR = re.compile(r"[^,\]}#\n]*")
_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")


def lines_of_keys(text: str) -> Mapping[Path, int]:
    """Map every key, table header and list element of a valid document to its line, counted from 1."""
    return _Scanner(text).scan()


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """Return the line of a path, or of the nearest enclosing one that was written; 1 when none was."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._lines: dict[Path, int] = {}
        self._arrays: dict[Path, int] = {}  # array of tables -> index of its last element
        self._counted_to = 0
        self._line = 1

    def scan(self) -> Mapping[Path, int]:
        table: Path = ()
        self._skip(_GAP)
        while self._at < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
            self._skip(_GAP)
        return self._lines

    def _header(self) -> Path:
        is_array = self._text.startswith("[[", self._at)
        line = self._current_line()
        self._at += 2 if is_array else 1
        keys = self._dotted_key()
        self._at += 2 if is_array else 1
        table: Path = ()
        for position, key in enumerate(keys):
            table = (*table, key)
            self._lines.setdefault(table, line)
            if is_array and position == len(keys) - 1:
                self._arrays[table] = self._arrays.get(table, -1) + 1
            if table in self._arrays:
                table = (*table, self._arrays[table])
                self._lines.setdefault(table, line)
        return table

    def _pair(self, table: Path) -> None:
        line = self._current_line()
        path = table
        for key in self._dotted_key():
            path = (*path, key)
            self._lines.setdefault(path, line)
        self._skip(_BLANK)
        self._at += 1  # the equals sign
        self._skip(_BLANK)
        self._value(path)

    def _value(self, path: Path) -> None:
        text, at = self._text, self._at
        if text.startswith('"""', at):
            self._skip(_LONG_BASIC)
        elif text.startswith("'''", at):
            self._skip(_LONG_LITERAL)
        elif text.startswith('"', at):
            self._skip(_BASIC)
        elif text.startswith("'", at):
            self._skip(_LITERAL)
        elif text.startswith("[", at):
            self._sequence(path, is_array=True)
        elif text.startswith("{", at):
            self._sequence(path, is_array=False)
        else:
            self._skip(_SCALAR)

    def _sequence(self, path: Path, *, is_array: bool) -> None:
        self._at += 1
        index = 0
        self._skip(_GAP)
        while not self._text.startswith(("]", "}"), self._at) and self._at < len(self._text):
            if is_array:
                self._lines.setdefault((*path, index), self._current_line())
                self._value((*path, index))
            else:
                self._pair(path)
            self._skip(_GAP)
            if self._text.startswith(",", self._at):
                self._at += 1
            self._skip(_GAP)
            index += 1
        self._at += 1

    def _dotted_key(self) -> list[str]:
        keys = []
        while True:
            self._skip(_BLANK)
            keys.append(self._simple_key())
            self._skip(_BLANK)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _simple_key(self) -> str:
        for pattern in (_BARE_KEY, _BASIC, _LITERAL):
            match = pattern.match(self._text, self._at)
            if match is not None:
                self._at = match.end()
                return match[match.lastindex or 0]
        self._at += 1  # not reached in a valid document; moving on is what ends the scan of any other
        return ""

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match is not None else self._at + 1

    def _current_line(self) -> int:
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        return self._line
