"""Whether a client has what it asks for already, or would change what it has not seen: conditional requests.

A resource tells what it is now by its `Validators`; a request says in five fields what its sender believes.
`evaluate` decides, in the order that the specification fixes, so that a request with several conditions has
one outcome. Fields that are malformed count as the specification says: a date that is none is not there, an
entity tag that is none equals nothing. Pure: it knows no files, no requests and no clock.

Spec: RFC 9110 §8.8, §13
"""

from __future__ import annotations

import calendar
import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE                                            RFC 9110 §8.8.3
_ENTITY_TAG: Final = re.compile('(W/)?"([\x21\x23-\x7e\x80-\xff]*+)"')
_LIST_GAP: Final = re.compile("[\t ,]*+")

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
_MONTH: Final = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME: Final = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_DATES: Final = (
    # IMF-fixdate, rfc850-date and asctime-date                                         RFC 9110 §5.6.7
    re.compile(
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT", re.A
    ),
    re.compile(
        rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT",
        re.A,
    ),
    re.compile(rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})", re.A),
)


class Outcome(enum.Enum):
    """What becomes of a conditional request."""

    PROCEED = "proceed"
    NOT_MODIFIED = "not modified"  # 304
    FAILED = "failed"  # 412


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one state of a representation from another.

    Attributes:
        etag: entity tag as it is sent, quotes and all; "" for none.
        modified_s: whole seconds since the epoch; None when nobody knows.
    """

    etag: str = ""
    modified_s: int | None = None


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditional fields of a request, as sent; None for a field that is not there.

    Attributes:
        if_match, if_none_match: lists, all lines of the field joined by commas.
        if_modified_since, if_unmodified_since: dates.
        if_range: one entity tag or date.
    """

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_unmodified_since: str | None = None
    if_range: str | None = None


def evaluate(conditions: Conditions, current: Validators | None, *, is_read: bool) -> Outcome:
    """Decide about a request by its conditions, without If-Range (`range_applies`).

    Args:
        current: of the representation that would be sent or changed; None when there is none yet.
        is_read: the method is GET or HEAD.

    Spec: RFC 9110 §13.2.2
    """
    if conditions.if_match is not None:
        if not _is_listed(conditions.if_match, current, is_strong=True):
            return Outcome.FAILED
    elif _is_changed_since(conditions.if_unmodified_since, current) is True:
        return Outcome.FAILED
    if conditions.if_none_match is not None:
        if _is_listed(conditions.if_none_match, current, is_strong=False):
            return Outcome.NOT_MODIFIED if is_read else Outcome.FAILED
    elif is_read and _is_changed_since(conditions.if_modified_since, current) is False:
        return Outcome.NOT_MODIFIED
    return Outcome.PROCEED


def range_applies(if_range: str | None, current: Validators) -> bool:
    """Say whether a part may be sent: it belongs to what the client has of the rest.

    Spec: RFC 9110 §13.1.5
    """
    if if_range is None:
        return True
    value = if_range.strip("\t ")
    tag = _ENTITY_TAG.fullmatch(value)
    if tag is not None:
        return tag[1] is None and value == current.etag
    date = parse_date(value)
    return date is not None and date == current.modified_s


def entity_tags(field: str) -> list[str]:
    """Cut a list of entity tags; what follows a malformed one is not read (RFC 9110 §8.8.3)."""
    tags: list[str] = []
    gap = _LIST_GAP.match(field)
    while gap is not None:
        tag = _ENTITY_TAG.match(field, gap.end())
        if tag is None:
            break
        gap = _LIST_GAP.match(field, tag.end())
        if gap is not None and gap.end() < len(field) and "," not in gap[0]:
            break
        tags.append(tag[0])
    return tags


def equal_strongly(one: str, other: str) -> bool:
    """Compare entity tags, neither of which may be weak (RFC 9110 §8.8.3.2)."""
    return one == other and not one.startswith("W/")


def equal_weakly(one: str, other: str) -> bool:
    """Compare entity tags by what they quote (RFC 9110 §8.8.3.2)."""
    return one.removeprefix("W/") == other.removeprefix("W/")


def parse_date(text: str) -> int | None:
    """Read a date in any of the three formats.

    Returns: whole seconds since the epoch; None for anything else. A year of two digits is taken from 1970 to
        2069, so that no clock is needed for a format that nobody has sent for decades.

    Spec: RFC 9110 §5.6.7
    """
    for form in _DATES:
        found = form.fullmatch(text)
        if found is not None:
            break
    else:
        return None
    year, month, day = int(found["year"]), _MONTHS[found["month"]], int(found["day"])
    if len(found["year"]) == 2:
        year += 1900 if year >= 70 else 2000
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"])
    if year < 1 or not 1 <= day <= _days_in(year, month) or hour > 23 or minute > 59 or second > 60:
        return None
    return calendar.timegm((year, month, day, hour, minute, second))


def _days_in(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]


def _is_listed(field: str, current: Validators | None, *, is_strong: bool) -> bool:
    if current is None:
        return False
    if field.strip("\t ") == "*":
        return True
    equal = equal_strongly if is_strong else equal_weakly
    return bool(current.etag) and any(equal(tag, current.etag) for tag in entity_tags(field))


def _is_changed_since(date: str | None, current: Validators | None) -> bool | None:
    """Compare with a date; None when the condition is not there, or cannot be judged."""
    if date is None or current is None or current.modified_s is None:
        return None
    since = parse_date(date.strip("\t "))
    return None if since is None else current.modified_s > since


def joined(values: Sequence[str]) -> str | None:
    """Join the lines of a list field; None when there are none (RFC 9110 §5.3)."""
    return ", ".join(values) if values else None


def single(values: Sequence[str]) -> str | None:
    """Take the line of a field that may stand once; several are none (RFC 9110 §13.1.3)."""
    return values[0] if len(values) == 1 else None
