"""Texts made from the options: a commented `rocket.toml`, the reference page, the table of `config
--explain`.

They are derived, so that no option can be missing from them and no default can be told wrongly. Tests compare
`config/rocket.toml` and `docs/configuration.md` with what is made here.
"""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from rocket_sup.config import SECTIONS, ChildConfig, options_of, section_of
from rocket_sup.config_load import PREFIX, Loaded
from rocket_sup.options import Kind, Option, plain

EXAMPLE_HANDLER = "examples.hello:app"

_WIDTH = 100
_HEAD = """\
# Every option of rocket-sup, at its default. The environment overrides this file (ROCKET_<SECTION>_<KEY>,
# for example ROCKET_SERVER_PORT; also PORT and WEB_CONCURRENCY), the command line overrides both.
# `rocket-sup check` reports every mistake; `rocket-sup config --explain` says where each value comes from.
"""
_CHILDREN_HEAD = """\
# Commands of yours in the tree, under the same restart rules: a queue worker, a scheduler, a sidecar.
# Write one such table for each; all keys but the first two may be left out.
"""
_CHILD_EXAMPLE: Mapping[str, str] = {"name": '"queue"', "command": '["python", "-m", "worker"]'}


def default_toml() -> str:
    """Write `config/rocket.toml`: every option at its default, with meaning, unit and range as comments."""
    parts = [_HEAD]
    for name, section in SECTIONS.items():
        lines = [f"# {inspect.getdoc(section)}", f"[{name}]"]
        for key, described in options_of(section).items():
            default = EXAMPLE_HANDLER if (name, key) == ("server", "handler") else _default(section, key)
            lines += ["", *_comment(described), f"{key} = {toml_value(default)}"]
        parts.append("\n".join(lines) + "\n")
    parts.append(_CHILDREN_HEAD + "#\n" + "\n".join(_commented_child()) + "\n")
    return "\n".join(parts)


def explained(loaded: Loaded) -> str:
    """Write every key with its value and where that came from, aligned."""
    rows: list[tuple[str, str, str]] = []
    for name, section in SECTIONS.items():
        values = section_of(loaded.config, name)
        for key in options_of(section):
            full = f"{name}.{key}"
            rows.append((full, toml_value(getattr(values, key)), loaded.origins[full]))
    for index, child in enumerate(loaded.config.children):
        for key in options_of(ChildConfig):
            full = f"children[{index}].{key}"
            rows.append((full, toml_value(getattr(child, key)), loaded.origins[full]))
    key_width = max(len(row[0]) for row in rows)
    value_width = min(40, max(len(row[1]) for row in rows))
    return "".join(
        f"{key:<{key_width}} = {value:<{value_width}}  # {origin}\n" for key, value, origin in rows
    )


def reference_markdown() -> str:
    """Write the tables of `docs/configuration.md`: one for each section."""
    parts = []
    for name, section in SECTIONS.items():
        parts.append(f"### `[{name}]`\n\n{inspect.getdoc(section)}\n\n{_table(name, section)}")
    parts.append(f"### `[[children]]`\n\n{inspect.getdoc(ChildConfig)}\n\n{_table('', ChildConfig)}")
    return "\n".join(parts)


def toml_value(value: object) -> str:
    """Write a value of a configuration as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return plain(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # a TOML basic string has JSON's escapes
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml_value(each) for each in value)}]"
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{toml_value(key)} = {toml_value(each)}" for key, each in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return str(value)


def _default(section: type[Any], key: str) -> object:
    defaults = section()
    return getattr(defaults, key)


def _comment(described: Option) -> Iterator[str]:
    text = " ".join([described.help, *_facts(described)])
    yield from textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _facts(described: Option) -> Iterator[str]:
    unit = described.unit[:1].upper() + described.unit[1:]
    if described.choices:
        yield f"One of {described.range_text()}."
    elif described.minimum is not None:
        yield f"{unit + ', ' if unit else 'Range '}{described.range_text()}."
    if described.kind is Kind.BYTES:
        yield 'A number, or a text such as "512K", "16M", "1G".'
    if described.special:
        yield f"{described.special}."


def _commented_child() -> Iterator[str]:
    yield "# [[children]]"
    for key, described in options_of(ChildConfig).items():
        for line in _comment(described):
            yield f"# {line}"
        yield f"# {key} = {_CHILD_EXAMPLE.get(key) or toml_value(_default(ChildConfig, key))}"


def _table(name: str, section: type[Any]) -> str:
    lines = ["| key | default | unit, range | meaning |", "|---|---|---|---|"]
    for each in fields(section):
        described: Option = each.metadata["option"]
        default = (
            "required" if "required" in described.help else f"`{toml_value(_default(section, each.name))}`"
        )
        cells = (f"`{each.name}`", default, _range_cell(described), _meaning_cell(described))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines.append("")
    if name:
        lines.append(f"In the environment: `{PREFIX}{name.upper().replace('.', '_')}_<KEY>`.\n")
    return "\n".join(lines)


def _range_cell(described: Option) -> str:
    if described.choices:
        return ", ".join(f"`{choice}`" for choice in described.choices)
    if described.minimum is None:
        return described.kind.value
    return f"{described.unit + ', ' if described.unit else ''}{described.range_text()}"


def _meaning_cell(described: Option) -> str:
    special = f" {described.special}." if described.special else ""
    flags = ", ".join(f"`{flag}`" for flag in described.flags if flag.startswith("-"))
    return f"{described.help}{special}" + (f" Flags: {flags}." if flags else "")
