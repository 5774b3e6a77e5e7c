"""Content codings: the client's weights first, then the server's order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.http.codings import choose


@pytest.mark.parametrize(
    ("field", "chosen"),
    [
        ("", "identity"),
        ("gzip", "gzip"),
        ("gzip, br", "br"),
        ("GZIP;Q=1.000", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip;q=0.5, br;q=0.4", "gzip"),
        ("gzip ; q=0.001", "gzip"),
        ("*", "br"),
        ("*;q=0.1, br;q=0", "gzip"),
        ("gzip;q=0, *", "br"),
        ("identity", "identity"),
        ("identity, gzip", "gzip"),
        ("identity;q=1, gzip;q=0.9", "identity"),
        ("identity;q=0", "identity"),
        ("*;q=0", "identity"),
        ("deflate", "identity"),
        ("gzip;q=2", "identity"),
        ("gzip;q=0.1234", "identity"),
        ("gzip;level=1", "identity"),
        ("gzip br", "identity"),
    ],
)
def test_rfc9110_12_5_3_the_heaviest_is_chosen(field: str, chosen: str) -> None:
    """Malformed elements are not there; nothing acceptable is the plain form."""
    assert chosen == choose(field, ["br", "gzip"])


@given(st.text(), st.lists(st.sampled_from(["br", "zstd", "gzip"]), unique=True))
def test_only_what_there_is_is_chosen(field: str, available: list[str]) -> None:
    """Whatever a client sends."""
    assert choose(field, available) in {"identity", *available}
