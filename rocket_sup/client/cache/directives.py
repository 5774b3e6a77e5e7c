"""Cache-Control, as a request and as a response may say it.

A directive that is malformed never makes a cache bolder: a lifetime that is no number counts as none at all,
so that the response is stale at once, and what stands inside a quoted string is not a directive. Names are
compared without regard to letter case; both forms of an argument, token and quoted string, are read. Pure:
text in, frozen objects out.

Spec: RFC 9111 §1.2.2, §4.2.1, §5.2; RFC 5861 §3, §4
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

FOREVER_S: Final = 2**31  # "a sufficiently large" value stands for all that are larger  RFC 9111 §1.2.2

# cache-directive = token [ "=" ( token / quoted-string ) ]                                RFC 9111 §5.2
# What is not one is skipped up to the next comma, but for commas inside of quotes.
_DIRECTIVE: Final = re.compile(
    r"[\t ,]++|(?P<name>[!#$%&'*+\-.^_`|~0-9A-Za-z]++)"
    r'(?:=(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"|(?P<token>[^\t ,"]*+)))?+[\t ]*+(?=,|\Z)'
    r'|(?:"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[^,])++',  # a quote that is not closed hides the rest
    re.S,
)
_SECONDS: Final = re.compile(r"[0-9]{1,100}+")
_REMEMBERED: Final = 256  # servers and callers say the same few things


@dataclass(frozen=True, slots=True)
class RequestDirectives:
    """What the sender of a request accepts of a cache; None for what it did not say.

    Attributes:
        max_age_s: the response may be this old at most (RFC 9111 §5.2.1.1).
        max_stale_s: and this long beyond its lifetime (§5.2.1.2); `FOREVER_S` when no limit was given.
        min_fresh_s: and must be fresh for this long still (§5.2.1.3).
        no_cache, no_store, only_if_cached: §5.2.1.4, §5.2.1.5, §5.2.1.7.
        stale_if_error_s: and this long beyond its lifetime when there is no other (RFC 5861 §4).
    """

    max_age_s: int | None = None
    max_stale_s: int | None = None
    min_fresh_s: int | None = None
    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    stale_if_error_s: int | None = None


@dataclass(frozen=True, slots=True)
class ResponseDirectives:
    """What a server allows caches; None for what it did not say.

    `no_cache` and `private` with names of fields count as without: RFC 9111 §5.2.2.4 and §5.2.2.7 expect it.

    Attributes:
        max_age_s, s_maxage_s: freshness lifetime, for all caches and for shared ones.
        stale_while_revalidate_s, stale_if_error_s: RFC 5861 §3, §4.
    """

    max_age_s: int | None = None
    s_maxage_s: int | None = None
    must_revalidate: bool = False
    must_understand: bool = False
    no_cache: bool = False
    no_store: bool = False
    private: bool = False
    proxy_revalidate: bool = False
    public: bool = False
    stale_while_revalidate_s: int | None = None
    stale_if_error_s: int | None = None


NOTHING_ASKED: Final = RequestDirectives()


@lru_cache(_REMEMBERED)
def _request_directives(field: str) -> RequestDirectives:
    said = dict(_directives(field))
    return RequestDirectives(
        max_age_s=_seconds(said, "max-age"),
        max_stale_s=FOREVER_S if said.get("max-stale") == "" else _seconds(said, "max-stale"),
        min_fresh_s=_seconds(said, "min-fresh", broken=FOREVER_S),
        no_cache="no-cache" in said,
        no_store="no-store" in said,
        only_if_cached="only-if-cached" in said,
        stale_if_error_s=_seconds(said, "stale-if-error"),
    )


def request_directives(cache_control: Sequence[str], *, pragma: Sequence[str] = ()) -> RequestDirectives:
    """Read the fields of a request.

    Args:
        cache_control: every line of the field.
        pragma: every line of that field, which counts only where there is no Cache-Control.

    Spec: RFC 9111 §5.2.1, §5.4
    """
    if cache_control:
        return _request_directives(", ".join(cache_control))
    if pragma and any(name == "no-cache" for name, _ in _directives(", ".join(pragma))):
        return RequestDirectives(no_cache=True)
    return NOTHING_ASKED


@lru_cache(_REMEMBERED)
def _response_directives(field: str) -> ResponseDirectives:
    said: dict[str, str] = {}
    for name, value in _directives(field):
        # Two lifetimes that differ: the response is considered stale (RFC 9111 §4.2.1).
        said[name] = value if said.get(name, value) == value else "?"
    return ResponseDirectives(
        max_age_s=_seconds(said, "max-age"),
        s_maxage_s=_seconds(said, "s-maxage"),
        must_revalidate="must-revalidate" in said,
        must_understand="must-understand" in said,
        no_cache="no-cache" in said,
        no_store="no-store" in said,
        private="private" in said,
        proxy_revalidate="proxy-revalidate" in said,
        public="public" in said,
        stale_while_revalidate_s=_seconds(said, "stale-while-revalidate"),
        stale_if_error_s=_seconds(said, "stale-if-error"),
    )


def response_directives(cache_control: Sequence[str]) -> ResponseDirectives:
    """Read the field of a response, given every line of it.

    Spec: RFC 9111 §5.2.2
    """
    return _response_directives(", ".join(cache_control))


def delta_seconds(text: str) -> int | None:
    """Read a number of seconds; None for anything else (RFC 9111 §1.2.2)."""
    return min(int(text), FOREVER_S) if _SECONDS.fullmatch(text) else None


def _directives(field: str) -> Iterator[tuple[str, str]]:
    """Every directive: its name in lower case, its argument without quotes, "" for none."""
    for found in _DIRECTIVE.finditer(field):
        if found["name"] is not None:
            quoted = found["quoted"]
            value = re.sub(r"\\(.)", r"\1", quoted, flags=re.S) if quoted is not None else found["token"]
            yield found["name"].lower(), value or ""


def _seconds(said: dict[str, str], name: str, *, broken: int = 0) -> int | None:
    """The argument of a directive that takes seconds; what is none counts as the most careful value."""
    if name not in said:
        return None
    seconds = delta_seconds(said[name])
    return broken if seconds is None else seconds
