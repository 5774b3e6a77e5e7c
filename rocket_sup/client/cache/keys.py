"""Under which keys responses are stored, and which stored response a request selects.

The primary key is the method, which is GET for HEAD as well unless it was HEAD that was stored, and the
target URI. The secondary key is made of the values that the request has for the fields that Vary names.
Always among them are the fields that say who asks (`identity`): a response to one user is never given to
another through a store that both use. Pure.

Spec: RFC 9111 §2, §4.1
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Final

from rocket_sup.client.cache.stored import Catalogue, Selecting, Variant
from rocket_sup.http.headers import Headers

ANY: Final = "*"
IDENTITY: Final = ("authorization",)
_COMMA: Final = re.compile(r"[\t ]*+,[\t ]*+")
# Fields whose value is a list in which blanks around commas and letter case mean nothing
# (RFC 9110 §12.5, §8.3.1).
_CASELESS: Final = frozenset({"accept", "accept-charset", "accept-encoding", "accept-language"})


def primary_key(uri: str, *, method: str, is_shared: bool, namespace: str = "") -> str:
    """Name the place of a URI.

    Args:
        uri: absolute, as `Url` writes it, without its fragment.
        is_shared: private and shared caches never see each other's responses.
        namespace: keeps apart what else should not meet.
    """
    return f"{namespace}{'s' if is_shared else 'p'}:{'H' if method == 'HEAD' else 'G'}:{uri}"


def variant_key(primary: str, selecting: Selecting) -> str:
    """Name the place of the response that was selected by these values; not to be read back."""
    digest = hashlib.blake2b(digest_size=20)
    for name, value in selecting:
        digest.update(repr((name, value)).encode("utf-8", "surrogatepass"))
    return f"{primary}\n{digest.hexdigest()}"


def varied(vary: Sequence[str]) -> frozenset[str]:
    """The names in every line of Vary, in lower case; `ANY` among them matches no request."""
    return frozenset(name for line in vary for name in _COMMA.split(line.strip("\t ").lower()) if name)


def selecting_values(headers: Headers, names: Iterable[str], *, identity: Sequence[str]) -> Selecting:
    """What a request says in the fields that select a response, in a form that can be compared.

    Args:
        names: of fields, in lower case.
        identity: further ones, left out where the request has none of them: `Stored.selecting` is then empty
            for a response that does not vary.
    """
    values = {name: _normalised(name, headers.get_all(name)) for name in names if name not in identity}
    for name in identity:
        value = _normalised(name, headers.get_all(name))
        if value is not None:
            # Secrets are not kept where they are not needed.
            values[name] = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
    return tuple(sorted(values.items()))


def is_match(headers: Headers, selecting: Selecting, *, identity: Sequence[str]) -> bool:
    """Say whether a request may be answered by what these values selected (RFC 9111 §4.1)."""
    return selecting_values(headers, [name for name, _ in selecting], identity=identity) == selecting


def matching_variant(catalogue: Catalogue, headers: Headers, *, identity: Sequence[str]) -> Variant | None:
    """The variant that a request selects; None for none.

    Of several it is the most recent; one whose response had no Vary only when there is no other, as some
    resources forget Vary in their default response (RFC 9111 §4.1).
    """
    fitting = [each for each in catalogue.variants if is_match(headers, each.selecting, identity=identity)]
    return max(fitting, key=lambda each: (_is_varied(each, identity), each.date_s), default=None)


def with_variant(catalogue: Catalogue, added: Variant, *, now: float, at_most: int) -> Catalogue:
    """Add a variant in the place of what was stored under its key; expired and oldest ones go."""
    kept = [each for each in catalogue.variants if each.key != added.key and each.expires_s > now]
    return Catalogue(tuple([*kept, added][-at_most:]))


def _is_varied(variant: Variant, identity: Sequence[str]) -> bool:
    return any(name not in identity for name, _ in variant.selecting)


def _normalised(name: str, values: Sequence[str]) -> str | None:
    """One text for all ways to write the same field value (RFC 9111 §4.1)."""
    if not values:
        return None
    text = ", ".join(_COMMA.split(", ".join(value.strip("\t ") for value in values)))
    return text.lower() if name in _CASELESS else text
