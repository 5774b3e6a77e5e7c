"""Lines out of pieces of text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.client.lines import LineSplitter


@given(st.lists(st.text(alphabet="a\r\n\u2028")))
def test_any_cut_gives_the_same_lines(pieces: list[str]) -> None:
    """How the text was cut does not show; every line end ends one line."""
    text = "".join(pieces).replace("\r\n", "\n").replace("\r", "\n")
    expected = text.removesuffix("\n").split("\n") if text else []
    splitter = LineSplitter()

    found = [line for piece in pieces for line in splitter.feed(piece)] + splitter.end()

    assert expected == found
    assert [] == splitter.end()
