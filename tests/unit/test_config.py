"""The configuration object: complete descriptions, sound defaults, a round trip through JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from rocket_sup.config import (
    SECTIONS,
    ChildConfig,
    Config,
    IoUringConfig,
    ServerConfig,
    attribute_of,
    from_document,
    options_of,
    to_document,
)
from rocket_sup.options import Kind, Option, read

ALL = [
    (f"{name}.{key}", section, key, described)
    for name, section in [*SECTIONS.items(), ("children", ChildConfig)]
    for key, described in options_of(section).items()
]
NUMERIC = (Kind.INTEGER, Kind.NUMBER, Kind.BYTES)


@pytest.mark.parametrize(("name", "section", "key", "described"), ALL, ids=[each[0] for each in ALL])
def test_every_option_is_described(name: str, section: type[Any], key: str, described: Option) -> None:
    """Each has a sentence, numbers have a range, choices have words."""
    assert described.help.endswith(".")
    assert (described.kind in NUMERIC) == (
        described.minimum is not None and described.kind is not Kind.SHUTDOWN
    )
    assert (described.kind is Kind.CHOICE) == bool(described.choices)


@pytest.mark.parametrize(("name", "section", "key", "described"), ALL, ids=[each[0] for each in ALL])
def test_every_default_would_be_accepted(name: str, section: type[Any], key: str, described: Option) -> None:
    """A default is of the type and in the range that its option asks of everybody else."""
    default = getattr(section(), key)
    if described.kind is Kind.COMMAND:
        assert () == default  # required: there is no default
        return

    actual = read(described, default)

    assert (default, type(default)) == (actual, type(actual))


def test_no_flag_means_two_things() -> None:
    """Flags are unique over all sections."""
    flags = [flag for _, _, _, described in ALL for flag in described.flags]

    assert sorted(set(flags)) == sorted(flags)


def test_sections_and_fields_agree() -> None:
    """SECTIONS lists every field of Config but the children, and each is found by its name."""
    assert [*map(attribute_of, SECTIONS), "children"] == [each.name for each in dataclasses.fields(Config)]


def test_a_configuration_cannot_be_changed() -> None:
    """Every process of the tree may rely on what it was given."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        ServerConfig().port = 1  # type: ignore[misc]  # that is the point


def test_a_configuration_survives_json() -> None:
    """What one process sends, another rebuilds, tuples, tables and all."""
    config = Config(
        server=ServerConfig(handler="a:b", bind=("fd:3",)),
        engine_io_uring=IoUringConfig(buffers=64),
        children=(ChildConfig(name="q", command=("x", "y"), env={"A": "1"}, shutdown="infinity"),),
    )

    assert config == from_document(json.loads(json.dumps(to_document(config))))


def test_a_document_without_a_section_gets_its_defaults() -> None:
    """An older process may know fewer sections."""
    assert Config() == from_document({})
