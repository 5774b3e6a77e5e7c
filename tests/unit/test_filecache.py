"""What is known about files, within bounds."""

from __future__ import annotations

from pathlib import Path

from rocket_sup.filecache import LOOKUP_S, Cache, Entry, Variant
from rocket_sup.http.selection import Representation
from rocket_sup.http.validators import Validators
from rocket_sup.rootdir import stamp_of


def variant(content: bytes = b"", *, path: bytes = b"/nowhere", coding: str = "identity") -> Variant:
    """One file."""
    return Variant(
        segments=("x",),
        path=path,
        stamp=(0, 0, 0, 0),
        coding=coding,
        varies=False,
        there=Representation(len(content), "", Validators()),
        lasting=b"",
        describing=b"",
        whole_fields=b"",
        whole_parts=(),
        content=content,
    )


def entry(size: int = 0) -> Entry:
    """A path with so much content."""
    return Entry(variant(b"x" * size), [], now=0.0)


def test_the_oldest_make_room() -> None:
    """By number and by bytes; one that is put again is young again."""
    few = Cache(max_entries=2)
    for path in ("a", "b", "a", "c"):
        few.put(path, entry())
    small = Cache(max_bytes=10_000)
    for path in ("a", "b", "c"):
        small.put(path, entry(4000))

    assert [False, True, True] == [path in few._entries for path in ("b", "a", "c")]
    assert 2 == len(few)
    assert (None, 1) == (small.get("a"), len(small))
    assert 4000 <= small.held_bytes <= 10_000


def test_what_is_larger_than_everything_is_not_kept() -> None:
    """Nothing is left behind."""
    cache = Cache(max_bytes=10)
    cache.put("a", entry(100))

    assert (0, 0) == (len(cache), cache.held_bytes)


def test_dropping() -> None:
    """Gives the bytes back; twice is once."""
    cache = Cache()
    cache.put("a", entry(100))
    cache.drop("a")
    cache.drop("a")

    assert (0, 0, None) == (len(cache), cache.held_bytes, cache.get("a"))


def test_a_variant_is_current_until_its_file_changes(tmp_path: Path) -> None:
    """Or is gone."""
    path = tmp_path / "x"
    path.write_text("x")
    found = variant(path=bytes(path))
    found.stamp = stamp_of(path.stat())
    assert found.is_current()

    path.write_text("xx")
    assert not found.is_current()
    path.unlink()
    assert not found.is_current()


def test_a_client_gets_what_it_takes() -> None:
    """The favourite first; the plain file for who takes nothing else."""
    both = Entry(variant(), [variant(coding="br"), variant(coding="gzip")], now=7.0)

    assert ["br", "gzip", "identity"] == [
        both.variant_for(field).coding for field in ("gzip, br", "gzip", "deflate")
    ]
    assert 7.0 + LOOKUP_S == both.expires
