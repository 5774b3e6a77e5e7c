"""Names of downloads, in any script and without tricks."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.http.disposition import content_disposition
from rocket_sup.http.grammar import SENDABLE_VALUE


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("report.pdf", 'attachment; filename="report.pdf"'),
        ("two words.txt", 'attachment; filename="two words.txt"'),
        ("\u20ac rates", "attachment; filename=\"_ rates\"; filename*=UTF-8''%E2%82%AC%20rates"),
        ('a"b', "attachment; filename=\"a_b\"; filename*=UTF-8''a%22b"),
        ("50%.txt", "attachment; filename=\"50_.txt\"; filename*=UTF-8''50%25.txt"),
        ("../../etc/passwd", 'attachment; filename="passwd"'),
        ("C:\\x\\y.txt", 'attachment; filename="y.txt"'),
        ("a\r\nb", 'attachment; filename="a__b"'),
        ("", "attachment"),
        ("dir/", "attachment"),
    ],
)
def test_rfc6266_4_names(name: str, field: str) -> None:
    """A plain form for all, an encoded one where the plain one loses something."""
    assert field == content_disposition(name)


def test_content_may_be_shown() -> None:
    """With a name for who keeps it all the same."""
    assert 'inline; filename="a.txt"' == content_disposition("a.txt", kind="inline")


@given(st.text())
def test_every_name_can_be_sent(name: str) -> None:
    """Nobody splits an answer, or leaves the quotes, through a name."""
    field = content_disposition(name)

    assert SENDABLE_VALUE.fullmatch(field)
    assert re.fullmatch(r"attachment(; filename=\"[^\"\\]*\"(; filename\*=UTF-8''[^\"; ,]*)?)?", field)
