"""Cookies: kept as servers set them, sent back to whom they belong.

A small jar by RFC 6265. Instead of the list of public suffixes, which changes weekly, one rule: none is taken
for a domain without a dot in it (`com`), or for one that its sender is not in. What is kept is bounded, so
that no server can fill memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final

from rocket_sup.client.urls import Url
from rocket_sup.http.validators import parse_date

_MOST_OF_A_DOMAIN: Final = 180  # as Chromium keeps
_MOST_DOMAINS: Final = 3000
_LONGEST: Final = 4096  # name and value together, RFC 6265 §6.1
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ADDRESS: Final = re.compile(r"[0-9.]+|.*:.*")


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie.

    Attributes:
        expires_at: seconds since the epoch; None lasts as long as the jar.
        is_host_only: whether subdomains are not meant.
    """

    name: str
    value: str
    domain: str
    path: str
    expires_at: float | None = None
    is_secure: bool = False
    is_host_only: bool = True


class CookieJar(MutableMapping[str, str]):
    """Cookies of many hosts. As a mapping it has names and values; what is put in goes to every host."""

    def __init__(self, cookies: Mapping[str, str] | None = None, *, clock: Callable[[], float]) -> None:
        """Start with cookies for every host; `clock` tells seconds since the epoch."""
        self._clock = clock
        self._domains: dict[str, dict[tuple[str, str], Cookie]] = {}
        for name, value in (cookies or {}).items():
            self[name] = value

    def header_for(self, url: Url) -> str:
        """The value of Cookie for a request, or ""."""
        if not self._domains:
            return ""
        now = self._clock()
        found: list[Cookie] = []
        for domain in _domains_of(url.host):
            for key, cookie in list(self._domains.get(domain, {}).items()):
                if cookie.expires_at is not None and cookie.expires_at <= now:
                    self._remove(domain, key)
                elif _is_meant(cookie, url, domain):
                    found.append(cookie)
        found.sort(key=lambda cookie: -len(cookie.path))  # RFC 6265 §5.4, step 2
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in found)

    def store(self, url: Url, line: str) -> None:
        """Keep what one Set-Cookie says, if the sender may say it."""
        cookie = self._parse(url, line)
        if cookie is None:
            return
        key = (cookie.path, cookie.name)
        if cookie.expires_at is not None and cookie.expires_at <= self._clock():
            self._remove(cookie.domain, key)
            return
        kept = self._domains.setdefault(cookie.domain, {})
        kept[key] = cookie
        if len(kept) > _MOST_OF_A_DOMAIN:
            del kept[next(iter(kept))]
        if len(self._domains) > _MOST_DOMAINS:
            del self._domains[next(iter(self._domains))]

    def cookies(self) -> list[Cookie]:
        """All of them."""
        return [cookie for kept in self._domains.values() for cookie in kept.values()]

    def __getitem__(self, name: str) -> str:
        for cookie in self.cookies():
            if cookie.name == name:
                return cookie.value
        raise KeyError(name)

    def __setitem__(self, name: str, value: str) -> None:
        self._domains.setdefault("", {})["/", name] = Cookie(name, value, "", "/")

    def __delitem__(self, name: str) -> None:
        found = [cookie for cookie in self.cookies() if cookie.name == name]
        if not found:
            raise KeyError(name)
        for cookie in found:
            self._remove(cookie.domain, (cookie.path, name))

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(cookie.name for cookie in self.cookies()))

    def __bool__(self) -> bool:
        return bool(self._domains)  # asked for every request

    def __len__(self) -> int:
        return len({cookie.name for cookie in self.cookies()})

    def _remove(self, domain: str, key: tuple[str, str]) -> None:
        kept = self._domains.get(domain, {})
        kept.pop(key, None)
        if not kept:
            self._domains.pop(domain, None)

    def _parse(self, url: Url, line: str) -> Cookie | None:
        """RFC 6265 §5.2 and §5.3."""
        if len(line) > 2 * _LONGEST or _CONTROLS.search(line):
            return None
        first, *attributes = line.split(";")
        name, equals, value = first.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name or len(name) + len(value) > _LONGEST:
            return None
        said: dict[str, str] = {}
        for attribute in attributes:
            key, _, content = attribute.partition("=")
            said[key.strip().lower()] = content.strip()
        domain = said.get("domain", "").lower().lstrip(".")
        is_host_only = not domain or domain == url.host
        if not is_host_only and ("." not in domain or not _is_below(url.host, domain)):
            return None
        path = said.get("path", "")
        is_secure = "secure" in said
        if (is_secure and url.scheme != "https") or not _keeps_prefix(name, said, url, bool(domain)):
            return None
        return Cookie(
            name,
            value,
            url.host if is_host_only else domain,
            path if path.startswith("/") else _default_path(url.path),
            expires_at=self._expiry(said),
            is_secure=is_secure,
            is_host_only=not domain,
        )

    def _expiry(self, said: Mapping[str, str]) -> float | None:
        age = said.get("max-age", "")
        if re.fullmatch(r"-?[0-9]{1,18}", age):
            return self._clock() + int(age)
        expires = said.get("expires", "")
        # Netscape wrote dashes into the date, and many servers still do.
        moment = parse_date(expires)
        return parse_date(expires.replace("-", " ")) if moment is None else moment


def _domains_of(host: str) -> Iterator[str]:
    """Every domain whose cookies a host may get: all hosts', its own, those it is in."""
    yield ""
    yield host
    if not _ADDRESS.fullmatch(host):
        while "." in host:
            host = host.partition(".")[2]
            yield host


def _is_below(host: str, domain: str) -> bool:
    return host.endswith("." + domain) and not _ADDRESS.fullmatch(host)


def _is_meant(cookie: Cookie, url: Url, domain: str) -> bool:
    if cookie.is_host_only and domain not in ("", url.host):
        return False
    if cookie.is_secure and url.scheme != "https":
        return False
    path = url.path
    return path.startswith(cookie.path) and (
        cookie.path.endswith("/") or path[len(cookie.path) : len(cookie.path) + 1] in ("", "/")
    )


def _default_path(path: str) -> str:
    """RFC 6265 §5.1.4."""
    return path.rpartition("/")[0] or "/"


def _keeps_prefix(name: str, said: Mapping[str, str], url: Url, has_domain: bool) -> bool:
    """What `__Host-` and `__Secure-` promise (RFC 6265bis §4.1.3)."""
    if name.startswith(("__Secure-", "__Host-")) and ("secure" not in said or url.scheme != "https"):
        return False
    return not name.startswith("__Host-") or (not has_domain and said.get("path") == "/")
