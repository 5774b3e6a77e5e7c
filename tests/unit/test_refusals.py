"""Answers of our own."""

from __future__ import annotations

from rocket_sup.refusals import refusal


def test_a_refusal_says_what_was_wrong() -> None:
    """One line of text, with the status and its name; a status nobody named has none."""
    answer = refusal(404, "nothing is here")

    assert (404, b"404 Not Found: nothing is here\n") == (answer.status, answer.body)
    assert b"Content-Type: text/plain; charset=utf-8\r\n" == answer.fields
    assert b"499 : gone\n" == refusal(499, "gone").body
