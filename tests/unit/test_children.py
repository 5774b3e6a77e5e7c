"""The children of one supervisor in start order."""

from __future__ import annotations

import pytest

from rocket_sup.child import Child, Purpose
from rocket_sup.children import Children
from rocket_sup.errors import SupervisionError
from rocket_sup.lifecycle import ChildEvent
from rocket_sup.spec import ChildSpec, ChildType, Restart, Strategy


@pytest.fixture
def children() -> Children:
    """Three workers."""
    return Children([ChildSpec("a"), ChildSpec("b"), ChildSpec("c")])


def ids(children: object) -> list[str]:
    """Their ids, in order."""
    return [child.id for child in children]  # type: ignore[attr-defined]


def fall(child: Child, *, due: float) -> None:
    """Bring a child to where its next attempt is owed."""
    child.begin(Purpose.RESTART, 0.0)
    child.enter(ChildEvent.FALL)
    child.deadline = due


def test_order_is_start_order(children: Children) -> None:
    """Forwards and backwards; a child added later is the last."""
    children.add(ChildSpec("aa"))

    assert ["a", "b", "c", "aa"] == ids(children)
    assert ["aa", "c", "b", "a"] == ids(reversed(children))


def test_a_child_is_found_by_its_id(children: Children) -> None:
    """Or not: one question tolerates that, the other names the id."""
    assert children.get("b") is children.find("b")
    assert children.find("x") is None
    with pytest.raises(SupervisionError, match="there is no child 'x'"):
        children.get("x")


def test_a_dropped_child_is_gone_even_if_another_has_its_id(children: Children) -> None:
    """It is the child that is asked for, not the name."""
    old = children.get("b")
    children.drop(old)
    children.drop(old)
    children.add(ChildSpec("b"))

    assert old not in children
    assert ["a", "c", "b"] == ids(children)


@pytest.mark.parametrize("restart", Restart)
def test_only_temporary_children_go_with_their_process(restart: Restart) -> None:
    """The others keep their specification."""
    children = Children([ChildSpec("a", restart=restart)])
    children.drop_if_temporary(children.get("a"))

    assert ([] if restart is Restart.TEMPORARY else ["a"]) == ids(children)


@pytest.mark.parametrize(
    ("strategy", "group"),
    [
        (Strategy.ONE_FOR_ONE, ["b"]),
        (Strategy.ONE_FOR_ALL, ["a", "b", "c"]),
        (Strategy.REST_FOR_ONE, ["b", "c"]),
    ],
)
def test_the_strategy_names_the_group(children: Children, strategy: Strategy, group: list[str]) -> None:
    """Those that are restarted when the second falls."""
    assert group == ids(children.group(strategy, children.get("b")))


def test_the_attempt_that_is_due_longest_comes_first(children: Children) -> None:
    """And none that is not due."""
    fall(children.get("a"), due=3.0)
    fall(children.get("c"), due=2.0)

    assert children.next_attempt(1.9) is None
    assert children.get("c") is children.next_attempt(2.0)
    assert children.get("c") is children.next_attempt(9.0)


def test_the_next_deadline_is_the_earliest(children: Children) -> None:
    """Attempts are left out where they have to wait anyway; without any there is none."""
    assert children.next_deadline(with_attempts=True) is None

    fall(children.get("a"), due=3.0)
    children.get("b").begin(Purpose.BOOT, 0.0)
    children.get("b").deadline = 4.0

    assert children.next_deadline(with_attempts=True) == 3.0
    assert children.next_deadline(with_attempts=False) == 4.0


def test_counting(children: Children) -> None:
    """Known, with a process, supervisors, workers."""
    children.add(ChildSpec("s", type=ChildType.SUPERVISOR)).begin(Purpose.ADDED, 0.0)
    count = children.count()

    assert (4, 1, 1, 3) == (count.specs, count.active, count.supervisors, count.workers)
    assert ["a", "b", "c", "s"] == ids(children.statuses())
