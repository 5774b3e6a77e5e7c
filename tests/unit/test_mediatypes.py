"""Media types by the end of a name, the same on every machine."""

from __future__ import annotations

import pytest

from rocket_sup.http.mediatypes import media_type_of, with_charset


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("a/b.c/INDEX.HTM", "text/html; charset=utf-8"),
        ("app.min.js", "text/javascript; charset=utf-8"),
        ("x.json", "application/json"),
        ("x.svg", "image/svg+xml"),
        ("x.wasm", "application/wasm"),
        ("x.tar.gz", "application/gzip"),
        ("x.unheard-of", "application/octet-stream"),
        ("README", "application/octet-stream"),
        ("a.html/README", "application/octet-stream"),
        (".html", "application/octet-stream"),
        ("x.", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_the_end_of_the_name_decides(name: str, kind: str) -> None:
    """Its last part, in any letter case; not that of a directory, nor a hidden file's name."""
    assert kind == media_type_of(name)


def test_charsets() -> None:
    """Another one, none, or one that is there already."""
    assert "text/css; charset=latin-1" == media_type_of("x.css", charset="latin-1")
    assert "text/css" == media_type_of("x.css", charset="")
    assert "text/a; charset=b" == with_charset("text/a; charset=b", "utf-8")
