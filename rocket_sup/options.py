"""What one configuration option is: default, kind, unit, range and meaning, and how a written value is read.

The dataclasses of `config.py` carry an `Option` in the metadata of each field. Everything else that speaks of
options is derived from it: the checks, the flags of the command line, `config/rocket.toml`, the reference in
the documentation.

A value comes typed from TOML and as text from the environment and the command line; `read` takes both and
either returns the value in its final type or raises `ValueError` with a sentence that says what was found and
what is allowed.
"""

from __future__ import annotations

import difflib
import enum
import math
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB
DAY = 86400.0

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_SIZE = re.compile(r"(\d+) ?(?:([KMGT])(?:i?B)?|B)?", re.IGNORECASE | re.ASCII)
_FACTORS = {"": 1, "K": KIB, "M": MIB, "G": GIB, "T": TIB}
_INTEGER = re.compile(r"[+-]?\d+(?:_\d+)*", re.ASCII)


class Kind(enum.Enum):
    """The type a value is written in; the text is how the reference names it."""

    TEXT = "text"
    BOOLEAN = "true or false"
    INTEGER = "integer"
    NUMBER = "number"
    BYTES = 'integer, or text such as "512K", "16M", "1G"'
    CHOICE = "one of"
    LIST = "list of texts"
    COMMAND = "list of texts, or one text split as a shell would"
    SHUTDOWN = 'number, "brutal_kill" or "infinity"'
    TABLE = "table of texts"


@dataclass(frozen=True, slots=True)
class Option:
    """The description of one option.

    Attributes:
        kind: the type it is written in.
        help: one sentence or two for the operator.
        unit: "seconds", "bytes", ...; empty when it counts things or is text.
        minimum, maximum: the allowed range, both inclusive; None where there is no bound.
        choices: the allowed words of a `CHOICE`.
        special: what an outstanding value means, for example "0: the processors this process may use".
        flags: the names on the command line, best first; empty when it has none.
    """

    kind: Kind
    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    special: str = ""
    flags: tuple[str, ...] = ()

    def range_text(self) -> str:
        """Say what is allowed, for example `0 to 65535`, `"wait" or "reject"`; empty when anything is."""
        if self.choices:
            return any_of(self.choices)
        if self.minimum is None or self.maximum is None:
            return ""
        return f"{self._bound(self.minimum)} to {self._bound(self.maximum)}"

    def _bound(self, value: float) -> str:
        if self.kind is Kind.BYTES:
            for suffix, factor in (("T", TIB), ("G", GIB), ("M", MIB), ("K", KIB)):
                if value >= factor and value % factor == 0:
                    return f"{plain(value / factor)}{suffix}"
        return plain(value)


def option(
    default: T,
    kind: Kind,
    help: str,
    *,
    unit: str = "",
    between: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    special: str = "",
    flags: tuple[str, ...] = (),
) -> T:
    """Make a dataclass field that carries its `Option`, typed as its default as `dataclasses.field` is."""
    low, high = between if between else (None, None)
    described = Option(kind, help, unit, low, high, choices, special, flags)
    if isinstance(default, dict):
        return field(default_factory=dict, metadata={"option": described})  # type: ignore[return-value]
    return field(default=default, metadata={"option": described})


def plain(number: float) -> str:
    """Write a number without a needless fraction: 5.0 as `5`, 0.5 as `0.5`."""
    return str(int(number)) if float(number).is_integer() else str(number)


def any_of(words: Iterable[str]) -> str:
    """Write `"a", "b" or "c"`."""
    quoted = [f'"{word}"' for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Write `; did you mean "port"?` for the nearest known word, or nothing when none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def read(described: Option, raw: object) -> object:
    """Turn a written value into its final type.

    Args:
        described: the option it was written for.
        raw: a value of TOML, or the text of an environment variable or argument.

    Returns:
        str, bool, int, float, tuple of str, or dict of str to str, by the kind.

    Raises:
        ValueError: the operator's mistake; the text says what is allowed.
    """
    value = _READERS[described.kind](described, raw)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_range(described, value, raw)
    return value


def _check_range(described: Option, value: float, raw: object) -> None:
    low, high = described.minimum, described.maximum
    if low is not None and high is not None and not low <= value <= high and not math.isinf(value):
        raise ValueError(f"{shown(raw)} is outside the range {_allowed(described)}")


def shown(raw: object) -> str:
    """Write a value the way TOML would, shortened, for an error."""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    text = f'"{raw}"' if isinstance(raw, str) else repr(raw)
    return text if len(text) <= 80 else text[:77] + "..."


def _allowed(described: Option) -> str:
    unit = f" {described.unit}" if described.unit else ""
    return f"{described.range_text()}{unit}".strip()


def _expected(described: Option, raw: object, what: str) -> ValueError:
    allowed = _allowed(described)
    return ValueError(f"{shown(raw)} is not {what}" + (f" ({allowed})" if allowed else ""))


def _read_text(described: Option, raw: object) -> str:
    if not isinstance(raw, str):
        raise _expected(described, raw, "text in quotes")
    if "\0" in raw:
        raise ValueError(f"{shown(raw)} has a NUL character in it")
    return raw


def _read_boolean(described: Option, raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    word = raw.lower() if isinstance(raw, str) else ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise _expected(described, raw, "true or false")


def _read_integer(described: Option, raw: object) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and _INTEGER.fullmatch(raw):
        return int(raw)
    raise _expected(described, raw, "an integer")


def _read_number(described: Option, raw: object) -> float:
    value = math.nan
    if isinstance(raw, (int, float)) and not isinstance(raw, bool):
        value = float(raw)
    elif isinstance(raw, str):
        try:
            value = float(raw)
        except ValueError:
            value = math.nan
    if not math.isfinite(value):
        raise _expected(described, raw, "a number")
    return value


def _read_bytes(described: Option, raw: object) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    match = _SIZE.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        raise _expected(described, raw, 'a size such as 1048576, "512K", "16M" or "1G"')
    return int(match[1]) * _FACTORS[(match[2] or "").upper()]


def _read_choice(described: Option, raw: object) -> str:
    if isinstance(raw, str) and raw in described.choices:
        return raw
    hint = did_you_mean(raw.lower(), described.choices) if isinstance(raw, str) else ""
    raise ValueError(f"{shown(raw)} is not {any_of(described.choices)}{hint}")


def _read_list(described: Option, raw: object) -> tuple[str, ...]:
    if isinstance(raw, str):
        raw = [part.strip() for part in raw.split(",")]
    if not isinstance(raw, (list, tuple)) or not all(isinstance(part, str) and part for part in raw):
        raise _expected(described, raw, "a list of texts")
    return tuple(raw)


def _read_command(described: Option, raw: object) -> tuple[str, ...]:
    if isinstance(raw, str):
        try:
            raw = shlex.split(raw)
        except ValueError as error:
            raise ValueError(f"{shown(raw)} cannot be split into words: {error}") from None
    if not isinstance(raw, (list, tuple)) or not all(isinstance(part, str) for part in raw):
        raise _expected(described, raw, 'a command such as ["python", "worker.py"] or "python worker.py"')
    if not raw or not raw[0]:
        raise ValueError("the command is empty")
    return tuple(raw)


def _read_shutdown(described: Option, raw: object) -> float | str:
    if isinstance(raw, str) and raw in ("brutal_kill", "infinity"):
        return raw
    try:
        return _read_number(described, raw)
    except ValueError:
        hint = did_you_mean(raw, ("brutal_kill", "infinity")) if isinstance(raw, str) else ""
        raise ValueError(
            f'{shown(raw)} is not a number of seconds, "brutal_kill" or "infinity"{hint}'
        ) from None


def _read_table(described: Option, raw: object) -> dict[str, str]:
    if not isinstance(raw, Mapping):
        raise _expected(described, raw, 'a table such as { NAME = "value" }')
    wrong = [key for key, value in raw.items() if not isinstance(value, str) or "=" in key or not key]
    if wrong:
        raise ValueError(f"{any_of(wrong)} must be a name without '=' and have a text in quotes as its value")
    return dict(raw)


_READERS = {
    Kind.TEXT: _read_text,
    Kind.BOOLEAN: _read_boolean,
    Kind.INTEGER: _read_integer,
    Kind.NUMBER: _read_number,
    Kind.BYTES: _read_bytes,
    Kind.CHOICE: _read_choice,
    Kind.LIST: _read_list,
    Kind.COMMAND: _read_command,
    Kind.SHUTDOWN: _read_shutdown,
    Kind.TABLE: _read_table,
}
