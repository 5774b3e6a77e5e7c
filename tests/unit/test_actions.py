"""Actions are values: they compare, they cannot be changed, and their words can be used as text."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from rocket_sup.actions import Answer, Cause, Kill, Reply, Report, ReportKind, Start


def test_actions_are_compared_by_kind_and_content() -> None:
    """A start and a kill of the same child differ."""
    assert Start("a") == Start("a")
    assert Start("a") != Start("b")
    assert Start("a") != Kill("a")


def test_actions_cannot_be_changed() -> None:
    """Whoever gets one may keep it."""
    with pytest.raises(FrozenInstanceError):
        Start("a").child_id = "b"  # type: ignore[misc]


@pytest.mark.parametrize("word", [*ReportKind, *Answer, *Cause])
def test_words_are_text(word: str) -> None:
    """They can be logged and sent as they are."""
    assert isinstance(word, str)
    assert word == f"{word}"


def test_what_is_not_known_is_left_out() -> None:
    """A report has no detail and a reply no pid unless given."""
    assert Report(ReportKind.PROGRESS, "a", None, {}) == Report(ReportKind.PROGRESS, "a")
    assert Reply(1, Answer.OK, None, None) == Reply(1, Answer.OK)
