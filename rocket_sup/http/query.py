"""Query strings and urlencoded bodies: text to pairs and back.

The format is that of HTML forms: pairs joined by `&` (`;` is an ordinary character), name and value parted by
the first `=`, `+` for a blank, `%XX` for the bytes of UTF-8. Reading is strict: an escape that is cut short,
or bytes that are not UTF-8 (overlong forms and surrogates included), are the sender's fault and answered with
400, because a guess would let two readers of one request disagree.

Spec: WHATWG URL §5 (application/x-www-form-urlencoded), RFC 3986 §2.1
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote_plus, unquote_to_bytes

from rocket_sup.errors import RemoteProtocolError
from rocket_sup.http.multidict import MultiDict

_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def parse_query(text: str, *, max_fields: int = 1000) -> MultiDict[str]:
    """Read the pairs of a query string.

    Args:
        text: without the `?`, as sent.
        max_fields: more pairs than this are refused; 1000 is what PHP, Django and Werkzeug allow.

    Returns: the decoded pairs in their order; empty ones (`a=1&&b=2`) are skipped, and a name alone has the
        value "".
    Raises:
        RemoteProtocolError: 400; an escape or its bytes are not well formed, or there are too many pairs.

    Spec: WHATWG URL §5.1
    """
    if not text:
        return MultiDict()
    # Counted before cutting, so that a megabyte of "&" costs no million strings.
    if text.count("&") >= max_fields and sum(1 for part in text.split("&") if part) > max_fields:
        raise RemoteProtocolError(f"more than {max_fields} fields", status=400)
    pairs = []
    for part in text.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((_decode(name), _decode(value)))
    return MultiDict(pairs)


def format_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Write pairs as a query string, the inverse of `parse_query`.

    Returns: ASCII; everything but letters, digits and `-._~` is escaped.
    Spec: WHATWG URL §5.2
    """
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)


def _decode(text: str) -> str:
    text = text.replace("+", " ")
    if "%" not in text:
        return text
    broken = _BAD_ESCAPE.search(text)
    if broken is not None:
        found = text[broken.start() : broken.start() + 3]
        raise RemoteProtocolError(
            f"{found!r} is not '%' and two hexadecimal digits (RFC 3986 §2.1)", status=400
        )
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise RemoteProtocolError("an escaped text is not UTF-8 (WHATWG URL §5.1)", status=400) from None
