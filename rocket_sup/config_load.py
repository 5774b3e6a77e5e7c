"""Read the configuration: `rocket.toml`, under the environment, under the arguments.

Every layer is read to its end and every mistake is kept, with its place, so that one run shows them all. Then
the layers are laid over each other, a `Config` is built, and the checks that compare options run on the
result.

The environment names an option `ROCKET_<SECTION>_<KEY>`, and knows `PORT`, `WEB_CONCURRENCY` and
`FORWARDED_ALLOW_IPS`; an empty variable counts as unset. A layer that sets host or port and no bind takes
away the bind of the layers below it: the nearest word on the address wins.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rocket_sup.config import SECTIONS, ChildConfig, Config, attribute_of, options_of
from rocket_sup.config_check import findings
from rocket_sup.errors import ConfigError, Problem
from rocket_sup.options import Option, did_you_mean, read
from rocket_sup.toml_lines import Path as KeyPath
from rocket_sup.toml_lines import line_of, lines_of_keys

PREFIX: Final = "ROCKET_"
WELL_KNOWN: Final[Mapping[str, str]] = {
    "PORT": "server.port",
    "WEB_CONCURRENCY": "server.num_acceptors",
    "FORWARDED_ALLOW_IPS": "proxy.trusted",
}
DEFAULT: Final = "default"

_OPTIONS: Final[Mapping[str, Option]] = {
    f"{name}.{key}": described
    for name, section in SECTIONS.items()
    for key, described in options_of(section).items()
}
_CHILD_OPTIONS: Final = options_of(ChildConfig)
_GROUPS: Final = frozenset(
    name.rpartition(".")[0] for name in SECTIONS if "." in name
)  # of sections, without keys
_VARIABLES: Final[Mapping[str, str]] = {PREFIX + key.replace(".", "_").upper(): key for key in _OPTIONS}
_TOML_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and where it came from.

    Attributes:
        config: the checked result.
        origins: for each full key ("server.port", "children[0].name") "default", "rocket.toml:12",
            "environment PORT" or "argument --port".
        path: the file that was read, if any.
    """

    config: Config
    origins: Mapping[str, str]
    path: Path | None


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a configuration is read from, kept so that a reload can read it again."""

    path: Path | None
    environment: Mapping[str, str]
    arguments: Mapping[str, object]

    def load(self, *, needs_handler: bool = True) -> Loaded:
        """Read it again; see `load`."""
        return load(
            self.path,
            environment=self.environment,
            arguments=self.arguments,
            needs_handler=needs_handler,
        )


@dataclass(slots=True)
class _Layer:
    """The values of one source, in their final types, each with the place it was written at."""

    values: dict[str, object] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    children: list[ChildConfig] = field(default_factory=list)


def load(
    path: Path | None,
    *,
    environment: Mapping[str, str],
    arguments: Mapping[str, object],
    needs_handler: bool = True,
) -> Loaded:
    """Read, merge and check the configuration.

    Args:
        path: the file, or None for none.
        environment: normally `os.environ`.
        arguments: values of the command line by full key, for example `{"server.port": "9000"}`; texts or
            final types.
        needs_handler: whether a missing application is a mistake.

    Returns:
        The configuration with the origin of every key.

    Raises:
        ConfigError: the operator's mistakes, all of them.
    """
    problems: list[Problem] = []
    layers = [
        _read_file(path, problems),
        _read_environment(environment, problems),
        _read_arguments(arguments, problems),
    ]
    merged = _merge(layers)
    sections = {
        attribute_of(name): section(**_values_of(name, merged.values)) for name, section in SECTIONS.items()
    }
    config = Config(**sections, children=tuple(merged.children))  # type: ignore[arg-type]  # keys and classes agree
    _cross_check(config, merged.origins, path, problems, needs_handler=needs_handler)
    if problems:
        raise ConfigError(problems)
    origins = {key: merged.origins.get(key, DEFAULT) for key in _OPTIONS}
    origins.update((key, origin) for key, origin in merged.origins.items() if key.startswith("children["))
    return Loaded(config, origins, path)


def _values_of(section: str, values: Mapping[str, object]) -> dict[str, Any]:  # the types were read by kind
    return {
        key.rpartition(".")[2]: value for key, value in values.items() if key.rpartition(".")[0] == section
    }


def _merge(layers: list[_Layer]) -> _Layer:
    merged = _Layer()
    for layer in layers:
        moves_address = "server.host" in layer.values or "server.port" in layer.values
        if moves_address and "server.bind" not in layer.values:
            merged.values.pop("server.bind", None)
            merged.origins.pop("server.bind", None)
        merged.values.update(layer.values)
        merged.origins.update(layer.origins)
        merged.children.extend(layer.children)
    return merged


def _cross_check(
    config: Config,
    origins: Mapping[str, str],
    path: Path | None,
    problems: list[Problem],
    *,
    needs_handler: bool,
) -> None:
    already = {problem.key for problem in problems}
    is_named = bool(config.server.handler or config.files.directory)
    if needs_handler and not is_named and "server.handler" not in already:
        sentence = (
            'no application is named; write handler = "package.module:attribute", or name it as the argument'
        )
        problems.append(Problem(str(path or "arguments"), "server.handler", sentence))
    for key, sentence in findings(config):
        if key not in already:
            problems.append(Problem(origins.get(key, DEFAULT), key, sentence))


# The file


def _read_file(path: Path | None, problems: list[Problem]) -> _Layer:
    layer = _Layer()
    if path is None:
        return layer
    text = _text_of(path, problems)
    if text is None:
        return layer
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problems.append(_syntax_problem(path, text, str(error)))
        return layer
    _FileReader(path, lines_of_keys(text), layer, problems).read(document)
    return layer


def _text_of(path: Path, problems: list[Problem]) -> str | None:
    try:
        data = path.read_bytes()
        return data.decode()
    except OSError as error:
        problems.append(Problem(str(path), "file", f"cannot be read: {error.strerror or error}"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.append(Problem(f"{path}:{line}", "file", "is not UTF-8, as TOML must be"))
    return None


def _syntax_problem(path: Path, text: str, message: str) -> Problem:
    place = _TOML_PLACE.search(message)
    line = int(place[1]) if place else text.rstrip("\n").count("\n") + 1
    column = f" (column {place[2]})" if place else ""
    sentence = message[: place.start()] if place else message.removesuffix(" (at end of document)")
    return Problem(f"{path}:{line}", "syntax", f"{sentence}{column}")


@dataclass(slots=True)
class _FileReader:
    path: Path
    lines: Mapping[KeyPath, int]
    layer: _Layer
    problems: list[Problem]

    def read(self, document: Mapping[str, Any]) -> None:
        for name, content in document.items():
            if name == "children":
                self._read_children(content)
            else:
                self._read_section((name,), content)

    def _read_section(self, path: tuple[str, ...], content: Any) -> None:  # any TOML value
        name = ".".join(path)
        if name in _GROUPS and isinstance(content, dict):
            for part, within in content.items():
                self._read_section((*path, part), within)
        elif name not in SECTIONS:
            self._problem(path, name, _unknown_section(name, content))
        elif not isinstance(content, dict):
            self._problem(path, name, f"is a section; write [{name}] and its keys below")
        else:
            for key, raw in content.items():
                value = self._read_value(_OPTIONS.get(f"{name}.{key}"), (*path, key), f"{name}.{key}", raw)
                if value is not None:
                    self.layer.values[f"{name}.{key}"] = value

    def _read_children(self, content: object) -> None:
        if not isinstance(content, list) or not all(isinstance(child, dict) for child in content):
            self._problem(
                ("children",), "children", "is a list of tables; write [[children]] before each of them"
            )
            return
        for index, raw in enumerate(content):
            full = f"children[{index}]"
            values = {
                key: self._read_value(
                    _CHILD_OPTIONS.get(key), ("children", index, key), f"{full}.{key}", each
                )
                for key, each in raw.items()
            }
            for required in ("name", "command"):
                if required not in raw:
                    self._problem(("children", index), f"{full}.{required}", "is missing, and is required")
            known: dict[str, Any] = {key: value for key, value in values.items() if value is not None}
            for key in _CHILD_OPTIONS:
                self.layer.origins.setdefault(f"{full}.{key}", DEFAULT)
            self.layer.children.append(ChildConfig(**known))

    def _read_value(self, described: Option | None, path: KeyPath, full: str, raw: object) -> object:
        if described is None:
            self._problem(path, full, _unknown_key(full))
            return None
        self.layer.origins[full] = self._place(path)
        try:
            return read(described, raw)
        except ValueError as error:
            self._problem(path, full, str(error))
            return None

    def _problem(self, path: KeyPath, key: str, sentence: str) -> None:
        self.problems.append(Problem(self._place(path), key, sentence))

    def _place(self, path: KeyPath) -> str:
        return f"{self.path}:{line_of(self.lines, path)}"


def _unknown_section(name: str, content: object) -> str:
    if isinstance(content, dict):
        known = [*SECTIONS, "children"]
        return f"there is no section [{name}]{did_you_mean(name, known) or '; there are ' + ', '.join(known)}"
    group, _, key = name.rpartition(".")
    place = f"[{group}] has sections only" if group else "stands before any section"
    homes = _homes_of(key)
    if homes:
        return f"{place}; it belongs to {' or '.join(homes)}"
    return f"{place}{did_you_mean(key, [full.rpartition('.')[2] for full in _OPTIONS])}"


def _unknown_key(full: str) -> str:
    section, _, key = full.rpartition(".")
    known = list(_CHILD_OPTIONS) if section.startswith("children") else list(options_of(SECTIONS[section]))
    homes = _homes_of(key)
    if homes:
        return f"there is no such key here; it belongs to {' or '.join(homes)}"
    return f"there is no such key{did_you_mean(key, known) or '; there are ' + ', '.join(known)}"


def _homes_of(key: str) -> list[str]:
    """The sections that have such a key, as headers."""
    return [f"[{full.rpartition('.')[0]}]" for full in _OPTIONS if full.rpartition(".")[2] == key]


# The environment and the arguments


def _read_environment(environment: Mapping[str, str], problems: list[Problem]) -> _Layer:
    layer = _Layer()
    for variable, key in (
        *WELL_KNOWN.items(),
        *_VARIABLES.items(),
    ):  # the longer name is the more deliberate one
        text = environment.get(variable, "")
        if text:
            _read_one(layer, key, text, f"environment {variable}", problems)
    problems.extend(_misnamed(environment))
    return layer


def _misnamed(environment: Mapping[str, str]) -> list[Problem]:
    """Find variables meant for us; those of other programs (ROCKET_CHAT_URL) are not our business."""
    sections = tuple(f"{PREFIX}{attribute_of(name).upper()}_" for name in SECTIONS)
    problems = []
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable in _VARIABLES or _SERVICE_LINK.search(variable):
            continue
        near = difflib.get_close_matches(variable, list(_VARIABLES), n=1, cutoff=0.85)
        if near or variable.startswith(sections):
            hint = f"; did you mean {near[0]}?" if near else did_you_mean(variable, _VARIABLES)
            problems.append(Problem(f"environment {variable}", variable, f"names no option{hint}"))
    return problems


def _read_arguments(arguments: Mapping[str, object], problems: list[Problem]) -> _Layer:
    layer = _Layer()
    for key, raw in arguments.items():
        flags = _OPTIONS[key].flags
        _read_one(layer, key, raw, f"argument {flags[0] if flags else key}", problems)
    return layer


def _read_one(layer: _Layer, key: str, raw: object, origin: str, problems: list[Problem]) -> None:
    layer.origins[key] = origin
    try:
        layer.values[key] = read(_OPTIONS[key], raw)
    except ValueError as error:
        hint = ""
        if isinstance(raw, str) and raw.startswith("tcp://"):
            hint = "; Kubernetes sets this for a service of that name: enableServiceLinks: false turns it off"
        problems.append(Problem(origin, key, f"{error}{hint}"))
