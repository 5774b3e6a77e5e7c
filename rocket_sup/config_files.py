"""A directory that is served instead of an application: `rocket-sup serve DIR`, or a section of the file.

Each option is one of `Router.static` (`rocket_sup/static.py`), under the same name.
"""

from __future__ import annotations

from dataclasses import dataclass

from rocket_sup.options import Kind, option


@dataclass(frozen=True, slots=True)
class FilesConfig:
    """A directory that is served instead of an application; see docs/static.md."""

    directory: str = option(
        "",
        Kind.TEXT,
        "Serve the files of this directory, from the working directory, and no application.",
        flags=("--directory",),
    )
    index: str = option(
        "index.html", Kind.TEXT, "The file that stands for its directory.", special='"": none does'
    )
    html: bool = option(False, Kind.BOOLEAN, "/about is also about.html.", flags=("--html",))
    spa: bool = option(
        False,
        Kind.BOOLEAN,
        "A path that is no file and has no dot in its last segment is the index of the directory: the"
        " application in the browser has its own routes.",
        flags=("--spa",),
    )
    listing: bool = option(
        False, Kind.BOOLEAN, "A directory without an index shows its names.", flags=("--listing",)
    )
    cache_control: str = option(
        "", Kind.TEXT, "The Cache-Control field of all files.", special='"": none', flags=("--cache-control",)
    )
    precompressed: bool = option(
        True, Kind.BOOLEAN, "Send a sibling .br, .zst or .gz to clients that take it."
    )
    follow_symlinks: bool = option(
        False, Kind.BOOLEAN, "Follow symbolic links out of the directory.", flags=("--follow-symlinks",)
    )
    dotfiles: bool = option(
        False,
        Kind.BOOLEAN,
        "Serve names with a leading dot, and not only .well-known.",
        flags=("--dotfiles",),
    )
