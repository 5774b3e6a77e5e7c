"""Which content coding a client takes, of those there are.

Spec: RFC 9110 §12.5.3
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

# codings [ weight ]; weight = OWS ";" OWS "q=" qvalue                                  RFC 9110 §12.4.2
_ELEMENT: Final = re.compile(
    r"([!#$%&'*+\-.^_`|~0-9A-Za-z]++)(?:[\t ]*+;[\t ]*+[qQ]=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?", re.A
)
_ALIASES: Final = {"x-gzip": "gzip", "x-compress": "compress"}  # RFC 9110 §8.4.1


def choose(accept_encoding: str, available: Collection[str]) -> str:
    """Choose the coding to answer with.

    Args:
        accept_encoding: the value of the field, its lines joined; "" when there is none.
        available: codings, the server's favourite first; the plain representation is always there.

    Returns: the name of one, or "identity": also when the client takes nothing that there is, as an answer
        that it may still understand is better than none.
    """
    weights: dict[str, float] = {}
    for element in accept_encoding.split(","):
        found = _ELEMENT.fullmatch(element.strip("\t "))
        if found is not None:
            name = found[1].lower()
            weights[_ALIASES.get(name, name)] = float(found[2]) if found[2] else 1.0
    others = weights.get("*", 0.0)
    best, weight = "identity", weights.get("identity", 0.0)
    for name in available:
        wanted = weights.get(name, others)
        # A named coding beats the plain form at equal weight: to name it is the point of the field.
        if wanted > weight or (best == "identity" and wanted == weight > 0):
            best, weight = name, wanted
    return best
