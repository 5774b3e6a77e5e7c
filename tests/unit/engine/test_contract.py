"""What obeys the contract has all of it, by the names and parameters written there."""

from __future__ import annotations

import inspect

import pytest

from rocket_sup.engine.contract import Counts, Engine, Wire
from rocket_sup.engine.native import NativeEngine
from rocket_sup.engine.portable import PortableEngine, PortableWire
from rocket_sup.service import Statistics


@pytest.mark.parametrize(
    ("protocol", "implementation"), [(Engine, PortableEngine), (Engine, NativeEngine), (Wire, PortableWire)]
)
def test_methods_take_what_the_contract_says(protocol: type, implementation: type) -> None:
    """Each method of the contract is there, with the same parameters by the same names."""
    methods = [
        name
        for name, member in vars(protocol).items()
        if inspect.isfunction(member) and not name.startswith("_")
    ]
    wanted = {name: list(inspect.signature(getattr(protocol, name)).parameters) for name in methods}

    assert wanted == {
        name: list(inspect.signature(getattr(implementation, name)).parameters) for name in methods
    }


def test_counters_have_the_names_of_the_contract() -> None:
    """Each starts at nothing."""
    names = [name for name, member in vars(Counts).items() if isinstance(member, property)]
    counts = Statistics()

    assert 6 == len(names)
    assert not any(
        any(value) if isinstance(value, list) else value for value in map(counts.__getattribute__, names)
    )
