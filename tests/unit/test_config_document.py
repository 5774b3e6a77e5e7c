"""Texts made from the options: the files in the repository are what the code makes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from rocket_sup.config import SECTIONS, ChildConfig, Config, options_of, to_document
from rocket_sup.config_document import (
    EXAMPLE_HANDLER,
    default_toml,
    explained,
    reference_markdown,
    toml_value,
)
from rocket_sup.config_load import load

ROOT = Path(__file__).parents[2]


def test_the_file_in_the_repository_is_the_one_the_code_makes() -> None:
    """`rocket-sup config --default > config/rocket.toml` after every change of an option."""
    assert default_toml() == (ROOT / "config" / "rocket.toml").read_text()


def test_the_default_file_says_nothing_but_the_defaults() -> None:
    """Every key is there, with the value it has without the file, but for the application."""
    document = tomllib.loads(default_toml())
    expected = {name: {**section} for name, section in to_document(Config()).items() if name != "children"}
    expected["server"]["handler"] = EXAMPLE_HANDLER
    expected["engine"] = {"io_uring": expected.pop("engine.io_uring")}

    assert expected == document


def test_the_default_file_is_a_sound_configuration() -> None:
    """It can be used as it is, from the root of the repository."""
    loaded = load(ROOT / "config" / "rocket.toml", environment={}, arguments={})

    assert EXAMPLE_HANDLER == loaded.config.server.handler


def test_the_commented_child_is_complete_and_sound_when_uncommented(tmp_path: Path) -> None:
    """Taking away one "# " from each line of the example gives a child with every key."""
    text = default_toml()
    example = text[text.index("# [[children]]") :]
    path = tmp_path / "rocket.toml"
    path.write_text("".join(line.removeprefix("# ") for line in example.splitlines(keepends=True)))

    (child,) = tomllib.loads(path.read_text())["children"]
    assert list(options_of(ChildConfig)) == list(child)
    assert 1 == len(load(path, environment={}, arguments={"server.handler": "a:b"}).config.children)


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_the_other_files_are_sound(name: str) -> None:
    """They are meant to be copied."""
    loaded = load(ROOT / "config" / f"{name}.toml", environment={}, arguments={})

    assert EXAMPLE_HANDLER == loaded.config.server.handler


def test_lines_of_the_default_file_are_short() -> None:
    """It is read in terminals."""
    assert [] == [line for line in default_toml().splitlines() if len(line) > 110]


def test_the_reference_is_the_one_the_code_makes() -> None:
    """The tables between the two marks of docs/configuration.md."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    _, _, rest = page.partition("<!-- options -->\n")
    tables, _, _ = rest.partition("<!-- end -->")

    assert reference_markdown().strip() == tables.strip()


def test_the_explanation_has_every_key_with_its_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key, value and origin in columns, children too."""
    monkeypatch.chdir(tmp_path)
    Path("rocket.toml").write_text('[[children]]\nname = "q"\ncommand = "sh"\n')
    loaded = load(Path("rocket.toml"), environment={"PORT": "81"}, arguments={"server.handler": "a:b"})

    rows = dict(line.split(" = ", 1) for line in explained(loaded).splitlines())
    rows = {key.strip(): " ".join(rest.split()) for key, rest in rows.items()}
    assert '"a:b" # argument APPLICATION' == rows["server.handler"]
    assert "81 # environment PORT" == rows["server.port"]
    assert '["sh"] # rocket.toml:3' == rows["children[0].command"]
    assert "false # default" == rows["children[0].backoff"]
    assert {f"{name}.{key}" for name, section in SECTIONS.items() for key in options_of(section)} <= set(rows)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "true"),
        (5.0, "5"),
        (0.25, "0.25"),
        (7, "7"),
        ('a "b"\n', '"a \\"b\\"\\n"'),
        (("a", "b"), '["a", "b"]'),
        ({}, "{}"),
        ({"A B": "1"}, '{ "A B" = "1" }'),
    ],
)
def test_values_are_written_as_toml(value: object, expected: str) -> None:
    """What is written can be read back."""
    assert expected == toml_value(value)
    assert {"x": list(value) if isinstance(value, tuple) else value} == tomllib.loads(f"x = {expected}")
