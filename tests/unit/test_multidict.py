"""The mapping with repeated names."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.http.multidict import MultiDict


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers())))
def test_a_mapping_of_first_values_that_forgets_none(pairs: list[tuple[str, int]]) -> None:
    """`[]` is the first value, `get_all` has all of a name, `pairs` everything in order."""
    expected = defaultdict(list)
    for name, value in pairs:
        expected[name].append(value)

    found = MultiDict(pairs)

    assert {name: values[0] for name, values in expected.items()} == dict(found)
    assert list(expected) == list(found)
    assert len(expected) == len(found)
    assert tuple(pairs) == found.pairs()
    for name in "abcd":
        assert expected.get(name, []) == found.get_all(name)
        assert (name in expected) == (name in found)


def test_missing_names() -> None:
    """As in any mapping."""
    with pytest.raises(KeyError):
        MultiDict()["a"]
    assert MultiDict([("a", "1")]).get("b", "x") == "x"


def test_get_all_gives_a_copy() -> None:
    """Changing the list changes nothing in the mapping."""
    found = MultiDict([("a", 1)])
    found.get_all("a").append(2)

    assert [1] == found.get_all("a")


def test_equality_sees_all_pairs_in_order() -> None:
    """Two mappings with the same first values may still differ."""
    one = MultiDict([("a", 1), ("a", 2)])

    assert one == MultiDict([("a", 1), ("a", 2)])
    assert one != MultiDict([("a", 1)])
    assert one != {"a": 1}
    assert hash(one) == hash(MultiDict([("a", 1), ("a", 2)]))
    assert repr(one) == "MultiDict([('a', 1), ('a', 2)])"
