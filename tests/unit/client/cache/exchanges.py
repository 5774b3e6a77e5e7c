"""Stored responses and requests, written shortly."""

from __future__ import annotations

import calendar
import time

from rocket_sup.client.cache.ask import Ask, read_ask
from rocket_sup.client.cache.stored import Moments, Selecting, Stored, stored_response
from rocket_sup.http.headers import Headers

NOW = float(calendar.timegm((2030, 1, 2, 3, 4, 5)))


def date(offset_s: float = 0.0) -> str:
    """A date, relative to `NOW`."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(NOW + offset_s))


def ask(method: str = "GET", *, ttl_s: float | None = None, **fields: str) -> Ask:
    """A request; `cache_control=` stands for Cache-Control."""
    return read_ask(method, headers(**fields), ttl_s=ttl_s)


def headers(**fields: str) -> Headers:
    """Fields; `cache_control=` stands for Cache-Control."""
    return Headers({name.replace("_", "-"): value for name, value in fields.items()})


def stored(
    cache_control: str | None = None,
    *,
    status: int = 200,
    method: str = "GET",
    is_shared: bool = False,
    is_forced: bool = False,
    moments: Moments | None = None,
    selecting: Selecting = (),
    **fields: str,
) -> Stored:
    """A response received at `NOW`."""
    if cache_control is not None:
        fields["cache_control"] = cache_control
    return stored_response(
        status,
        tuple(headers(**fields).items()),
        b"content",
        method=method,
        moments=moments or Moments(NOW, NOW),
        selecting=selecting,
        is_shared=is_shared,
        is_forced=is_forced,
    )
