"""The page of a directory."""

from __future__ import annotations

from rocket_sup.listing import listing


def test_names_are_escaped_twice() -> None:
    """Once for the address, once for the markup; a colon makes no scheme."""
    page = listing("/a%3Cb/", ["javascript:x", "<&>", "sub/"], has_parent=True)

    assert "<title>/a&lt;b/</title>" in page
    assert '<a href="./../">../</a>' in page
    assert '<a href="./javascript%3Ax">javascript:x</a>' in page
    assert '<a href="./%3C%26%3E">&lt;&amp;&gt;</a>' in page
    assert '<a href="./sub/">sub/</a>' in page


def test_what_cannot_be_asked_for_is_not_shown() -> None:
    """A name that is not UTF-8, and a parent that is not served."""
    page = listing("/", ["\udcff", "a"], has_parent=False)

    assert 1 == page.count("<li>")
