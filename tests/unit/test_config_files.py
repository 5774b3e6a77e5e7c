"""A directory instead of an application."""

from __future__ import annotations

import dataclasses

from rocket_sup.config_files import FilesConfig
from rocket_sup.static import StaticOptions


def test_the_options_are_those_of_a_static_directory() -> None:
    """Under the same names and with the same defaults, as far as a file can write them."""
    defaults = {each.name: each.default for each in dataclasses.fields(StaticOptions)}
    configured = {each.name: each.default for each in dataclasses.fields(FilesConfig)}
    del configured["directory"]

    assert configured == {name: defaults[name] or type(value)() for name, value in configured.items()}
