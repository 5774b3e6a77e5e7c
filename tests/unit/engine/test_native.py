"""The door to the native module: it is found, or there is a reason that helps."""

from __future__ import annotations

import importlib
import importlib.util
from types import SimpleNamespace

import pytest

from rocket_sup.engine import native

WHOLE = SimpleNamespace(**dict.fromkeys(native._PARTS))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A whole module is installed, whatever there is really; the test may spoil it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(importlib, "import_module", lambda name: WHOLE)
    return monkeypatch


@pytest.mark.parametrize("environment", [{}, {"ROCKET_NATIVE": "1"}])
def test_the_module_is_found(installed: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """Without a reason."""
    assert (WHOLE, "") == native.find(environment)


def test_the_module_can_be_switched_off(installed: pytest.MonkeyPatch) -> None:
    """So that the portable engine is tried where both are there."""
    module, reason = native.find({"ROCKET_NATIVE": "0"})

    assert module is None
    assert "ROCKET_NATIVE=0" in reason


def test_a_module_that_was_not_built_is_told_how(installed: pytest.MonkeyPatch) -> None:
    """The reason says what to do, and what it costs not to."""
    installed.setattr(importlib.util, "find_spec", lambda name: None)

    assert (None, native.NOT_BUILT) == native.find({})
    assert "install Rust and reinstall, or accept about 1.4x the CPU" in native.NOT_BUILT


def test_a_module_that_cannot_be_loaded_says_why(installed: pytest.MonkeyPatch) -> None:
    """In the words of the dynamic linker."""

    def refuse(name: str) -> object:
        raise ImportError("GLIBC_2.99 not found")

    installed.setattr(importlib, "import_module", refuse)

    assert (None, "the native module cannot be loaded: GLIBC_2.99 not found") == native.find({})


def test_a_module_of_another_version_is_not_used(installed: pytest.MonkeyPatch) -> None:
    """It is known by what it lacks."""
    installed.setattr(importlib, "import_module", lambda name: SimpleNamespace(Reactor=None))
    module, reason = native.find({})

    assert module is None
    assert "of another version, without Lane, probe_uring" in reason


def test_it_is_looked_for_once() -> None:
    """Where the file is imported first; afterwards the answer stands."""
    assert native.load() is native.load()
