"""Cut text that comes in pieces into lines: LF, CR LF and CR end one, also when a piece ends between the two.

Pure. U+2028 and its like end no line, as neither JSON lines nor Server-Sent Events know them.
"""

from __future__ import annotations


class LineSplitter:
    """Takes pieces of text, gives lines."""

    __slots__ = ("_after_cr", "_rest")

    def __init__(self) -> None:
        self._rest: list[str] = []  # pieces of a line whose end has not come
        self._after_cr = False  # the last piece ended in CR: an LF belongs to it

    def feed(self, text: str) -> list[str]:
        """Take a piece and return the lines that end in it, without their ends."""
        if self._after_cr and text:
            text = text.removeprefix("\n")
            self._after_cr = False
        if not text:
            return []
        self._after_cr = text[-1] == "\r"
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        *whole, rest = text.split("\n")
        if whole:
            whole[0] = "".join([*self._rest, whole[0]])
            self._rest = []
        if rest:
            self._rest.append(rest)
        return whole

    def end(self) -> list[str]:
        """Return the last line if it had no end."""
        rest = "".join(self._rest)
        self._rest = []
        return [rest] if rest else []
