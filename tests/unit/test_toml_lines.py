"""Lines of keys: every way TOML has to write one, and agreement with tomllib on what is there."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.toml_lines import Path, line_of, lines_of_keys


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a = 1\nb = 2\n", ("b",), 2),
        ("# a = 1\n\n  b = 2", ("b",), 3),
        ("[server]\nport = 1\n", ("server", "port"), 2),
        ("[server]\nport = 1\n", ("server",), 1),
        ("server.port = 1\n", ("server", "port"), 1),
        ("\nserver . port = 1\n", ("server", "port"), 2),
        ('"server"."the port" = 1\n', ("server", "the port"), 1),
        ("'server'.port = 1\n", ("server", "port"), 1),
        ("[ server ] # here\nport = 1", ("server", "port"), 2),
        ('a = """\nb = 1\n"""\nb = 2\n', ("b",), 4),
        ('a = """x\\"""\ny"""\nb = 2\n', ("b",), 3),
        ("a = '''\nb = 1\n'''\nb = 2\n", ("b",), 4),
        ('a = "[b]\\"" # "\nb = 2\n', ("b",), 2),
        ("a = '[b]\\'\nb = 2\n", ("b",), 2),
        ("a = [\n 1,\n # ]\n 2,\n]\nb = 2\n", ("b",), 6),
        ("a = [\n 1,\n # ]\n 2,\n]\nb = 2\n", ("a", 1), 4),
        ("a = [ [1, 2], [\n3 ] ]\nb = 2\n", ("a", 1, 0), 2),
        ("a = { b = 1, c = { d = 2 } }\ne = 3\n", ("a", "c", "d"), 1),
        ("a = [ { b = 1 },\n { b = 2 } ]\n", ("a", 1, "b"), 2),
        ("a = 2026-11-20 20:00:00 # x\nb = 2\n", ("b",), 2),
        ("[[children]]\nname = 'a'\n[[children]]\nname = 'b'\n", ("children", 1, "name"), 4),
        ("[[children]]\nname = 'a'\n[[children]]\nname = 'b'\n", ("children", 1), 3),
        ("[[children]]\n[children.env]\nA = '1'\n", ("children", 0, "env", "A"), 3),
        ("[[a]]\n[[a.b]]\n[[a.b]]\nc = 1\n[[a]]\n[[a.b]]\nc = 2\n", ("a", 1, "b", 0, "c"), 7),
        ("[[a]]\n[[a.b]]\n[[a.b]]\nc = 1\n", ("a", 0, "b", 1, "c"), 4),
        ("a = 1\r\nb = 2\r\n", ("b",), 2),
        ("a = {}\nb = []\nc = 1", ("c",), 3),
    ],
)
def test_the_line_of_a_key(text: str, path: Path, line: int) -> None:
    """Every form of key, in every kind of neighbourhood."""
    tomllib.loads(text)

    assert line == lines_of_keys(text)[path]


def test_a_path_that_is_not_written_has_the_line_of_what_encloses_it() -> None:
    """A missing key is reported where its table begins; one of nothing at all, at the top."""
    lines = lines_of_keys("\n[server]\nport = 1\n")

    assert (2, 1) == (line_of(lines, ("server", "handler")), line_of(lines, ("limits", "head")))


def test_a_document_that_is_not_toml_ends_the_scan() -> None:
    """The scanner is only ever given what tomllib accepted; given anything else it still ends."""
    assert 1 == lines_of_keys("[[[ =\n{ ]")[("",)]


KEYS = st.from_regex(r"[a-z_-]{1,6}", fullmatch=True)
SCALARS = st.one_of(
    st.integers(-5, 5),
    st.booleans(),
    st.text(st.characters(codec="ascii", exclude_characters="\x7f"), max_size=6),
)


def written(value: Any) -> str:
    """Write a value as TOML, spread over lines wherever the grammar allows it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + "".join(f"\\u{ord(c):04x}" if c in '"\\' or ord(c) < 32 else c for c in value) + '"'
    if isinstance(value, list):
        return "[\n" + ",\n".join(written(each) for each in value) + "\n]"
    return "{ " + ", ".join(f"{key} = {written(each)}" for key, each in value.items()) + " }"


def paths(value: Any, path: Path = ()) -> set[Path]:
    """All paths in a parsed document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path} | {each for key, part in inner for each in paths(part, (*path, key))}


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=4), max_size=4))
def test_the_scanner_sees_exactly_the_keys_that_tomllib_sees(document: dict[str, Any]) -> None:
    """Whatever the document, the paths with a line are the paths of its values."""
    text = "".join(
        f"[{name}]\n" + "".join(f"{key} = {written(each)} # c\n" for key, each in section.items())
        for name, section in document.items()
    )

    assert paths(tomllib.loads(text)) - {()} == set(lines_of_keys(text))
