"""Asking whether a stored response is still current, and what the answer does to it. Pure.

Spec: RFC 9111 §3.2, §4.3
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rocket_sup.client.cache.ask import Ask
from rocket_sup.client.cache.stored import (
    Catalogue,
    Heuristic,
    Moments,
    Pairs,
    Selecting,
    Stored,
    storable_fields,
    stored_response,
)
from rocket_sup.http.headers import Headers
from rocket_sup.http.validators import (
    Outcome,
    Validators,
    entity_tags,
    equal_strongly,
    equal_weakly,
    evaluate,
    parse_date,
)

# Describe the content that is stored, which a response without content does not change (RFC 9111 §3.2).
_OF_THE_CONTENT: Final = frozenset({"content-encoding", "content-length", "content-range"})


def has_validator(stored: Stored) -> bool:
    """Say whether the server can be asked if the response is still current."""
    return bool(stored.etag) or bool(stored.last_modified)


def conditions_for(stored: Stored) -> Pairs:
    """The fields that make a request conditional on one stored response (RFC 9111 §4.3.1)."""
    fields: list[tuple[str, str]] = []
    if stored.etag:
        fields.append(("If-None-Match", stored.etag))
    if stored.last_modified:
        fields.append(("If-Modified-Since", stored.last_modified))
    return tuple(fields)


def conditions_for_any(catalogue: Catalogue) -> Pairs:
    """The fields that name every stored response of a URI: the server says which fits (RFC 9111 §4.3.1)."""
    tags = list(dict.fromkeys(each.etag for each in catalogue.variants if each.etag))
    return (("If-None-Match", ", ".join(tags)),) if tags else ()


def is_confirmed(stored: Stored, headers: Headers) -> bool:
    """Say whether a 304 is about this stored response.

    One that names no validator is taken to be about the one response that was asked about: the request held
    nothing else that the server could have found unmodified.

    Args:
        headers: of the 304.

    Spec: RFC 9111 §4.3.4
    """
    etag = headers.get("etag")
    if etag is not None:
        equal = equal_weakly if etag.startswith("W/") else equal_strongly
        return equal(etag, stored.etag)
    modified = headers.get("last-modified")
    return modified is None or bool(stored.etag) or modified == stored.last_modified


def named_by(headers: Headers, catalogue: Catalogue) -> str | None:
    """The key of the most recent variant that a 304 is about; None for none (RFC 9111 §4.3.4)."""
    tags = entity_tags(headers.get("etag", ""))
    fitting = [each for each in catalogue.variants if each.etag and tags[:1] == [each.etag]]
    if not fitting:
        fitting = [each for each in catalogue.variants if tags and equal_weakly(tags[0], each.etag)]
    found = max(fitting, key=lambda each: each.date_s, default=None)
    return None if found is None else found.key


def freshened(
    stored: Stored,
    fields: Sequence[tuple[str, str]],
    moments: Moments,
    *,
    heuristic: Heuristic,
    selecting: Selecting | None = None,
) -> Stored:
    """The stored response with the fields of a 304, or of a response to HEAD, in the place of its own.

    Args:
        selecting: of the request that validated it, where that was another than the one it was stored for.

    Spec: RFC 9111 §3.2
    """
    new = [pair for pair in storable_fields(fields) if pair[0].lower() not in _OF_THE_CONTENT]
    # An age of before would count from the new moment on.
    replaced = {name.lower() for name, _ in new} | {"age"}
    kept = [pair for pair in stored.fields if pair[0].lower() not in replaced]
    return stored_response(
        stored.status,
        (*kept, *new),
        stored.content,
        method=stored.method,
        moments=moments,
        selecting=stored.selecting if selecting is None else selecting,
        is_shared=stored.is_shared,
        is_forced=stored.is_forced,
        heuristic=heuristic,
    )


def is_same_by_head(stored: Stored, headers: Headers) -> bool:
    """Say whether a 200 to HEAD describes what is stored for GET (RFC 9111 §4.3.5)."""
    etag, modified = headers.get("etag", ""), headers.get("last-modified", "")
    length = headers.get("content-length")
    return (
        bool(etag or modified)
        and etag == stored.etag
        and modified == stored.last_modified
        and (length is None or length == Headers(stored.fields).get("content-length", length))
    )


def is_not_modified(ask: Ask, stored: Stored) -> bool:
    """Say whether the caller's own copy is what is stored, so that it is answered with 304.

    Only a stored 200 can be compared with.

    Spec: RFC 9111 §4.3.2
    """
    if not ask.is_conditional or stored.status != 200:
        return False
    current = Validators(stored.etag, parse_date(stored.last_modified) if stored.last_modified else None)
    return evaluate(ask.conditions(), current, is_read=True) is Outcome.NOT_MODIFIED
