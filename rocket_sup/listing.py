"""The page that shows what is in a directory.

Pure: names in, markup out.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, unquote

_PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body>
<h1>{title}</h1>
<ul>
{items}
</ul>
</body>
</html>
"""


def listing(path: str, names: Sequence[str], *, has_parent: bool) -> str:
    """Write the page.

    Args:
        path: as requested, percent-encoded; only shown.
        names: of the entries, directories with a slash. One that is not UTF-8 cannot be asked for, and is
            left out.
        has_parent: the directory above is served too.
    """
    shown = ["../"] if has_parent else []
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            continue
        shown.append(name)
    # The dot keeps a name with a colon from being read as another scheme (RFC 3986 §4.2).
    items = "\n".join(f'<li><a href="./{quote(name)}">{html.escape(name)}</a></li>' for name in shown)
    return _PAGE.format(title=html.escape(unquote(path)), items=items)
