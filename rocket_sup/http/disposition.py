"""How content is to be kept: the Content-Disposition of a download, with a name in any script.

Spec: RFC 6266 §4, RFC 8187
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

_UNQUOTABLE: Final = re.compile(r'[^\x20-\x7e]|["\\%]')
_ATTR_CHARACTERS: Final = "!#$&+-.^_`|~"  # RFC 8187 §3.2.1


def content_disposition(name: str, *, kind: str = "attachment") -> str:
    """Write the field's value.

    Args:
        name: of the file; what stands before the last slash or backslash is dropped, controls are replaced.
        kind: "attachment" to have it kept, "inline" to have it shown.
    """
    name = re.split(r"[/\\]", name)[-1]
    name = "".join("_" if ord(each) < 32 or ord(each) == 127 else each for each in name)
    if not name:
        return kind
    plain = _UNQUOTABLE.sub("_", name)
    if plain == name:
        return f'{kind}; filename="{name}"'
    encoded = quote(name.encode("utf-8", "replace"), safe=_ATTR_CHARACTERS)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
