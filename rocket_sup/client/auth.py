"""Who we are: Basic, Bearer, Digest, and what ~/.netrc says.

An `Auth` puts a field into a request before it is sent; one that needs a challenge first is asked again when
the answer is 401. Specified in RFC 7617, RFC 6750, RFC 7616.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Final, Protocol

from rocket_sup.client.errors import InvalidRequest
from rocket_sup.client.messages import Request, Response

_PARAMETER: Final = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|$)\s*')
_DIGESTS: Final[Mapping[str, Callable[[bytes], str]]] = {
    "MD5": lambda text: hashlib.md5(text, usedforsecurity=False).hexdigest(),
    "SHA-256": lambda text: hashlib.sha256(text).hexdigest(),
    "SHA-512-256": lambda text: hashlib.new("sha512_256", text).hexdigest(),
}


class Auth(Protocol):
    """Proves who we are."""

    def apply(self, request: Request) -> None:
        """Put into a request what can be said before any challenge."""
        ...

    def on_challenge(self, request: Request, response: Response) -> bool:
        """The answer was 401: prepare for one more attempt, or say that there is no use."""
        ...


class Basic:
    """A name and a password, readable for whoever reads the connection."""

    def __init__(self, user: str, password: str) -> None:
        if ":" in user:
            raise InvalidRequest("a user's name has no colon in Basic (RFC 7617 §2)")
        self._value = "Basic " + b64encode(f"{user}:{password}".encode()).decode("ascii")

    def apply(self, request: Request) -> None:
        request.headers["Authorization"] = self._value

    def on_challenge(self, request: Request, response: Response) -> bool:
        return False


class Bearer:
    """A token."""

    def __init__(self, token: str) -> None:
        self._value = f"Bearer {token}"

    def apply(self, request: Request) -> None:
        request.headers["Authorization"] = self._value

    def on_challenge(self, request: Request, response: Response) -> bool:
        return False


class Netrc:
    """What a netrc file says about the host that is asked, as Basic; nothing for other hosts."""

    def __init__(self, path: str | Path | None = None) -> None:
        """Read the file; ~/.netrc when None.

        Raises:
            OSError: there is none.
            InvalidRequest: it cannot be understood.
        """
        try:
            self._entries = netrc(None if path is None else str(path))
        except NetrcParseError as error:
            raise InvalidRequest(f"netrc: {error}") from None

    def apply(self, request: Request) -> None:
        found = self._entries.authenticators(request.url.host)
        if found is not None:
            Basic(found[0], found[2] or "").apply(request)

    def on_challenge(self, request: Request, response: Response) -> bool:
        return False


class Digest:
    """A name and the proof that we know its password, by the server's challenge.

    The challenge is remembered for later requests to the same origin; the first one costs two.
    """

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password
        self._challenges: dict[object, dict[str, str]] = {}
        self._count = 0

    def apply(self, request: Request) -> None:
        challenge = self._challenges.get(request.url.origin)
        if challenge is not None:
            request.headers["Authorization"] = self._answer(request, challenge)

    def on_challenge(self, request: Request, response: Response) -> bool:
        for line in response.headers.get_all("www-authenticate"):
            challenge = parse_challenge(line)
            if challenge is None or _algorithm(challenge)[0] not in _DIGESTS:
                continue
            if "qop" in challenge and "auth" not in re.split(r"[\s,]+", challenge["qop"]):
                continue
            self._challenges[request.url.origin] = challenge
            self._count = 0
            return True
        return False

    def _answer(self, request: Request, challenge: Mapping[str, str]) -> str:
        """RFC 7616 §3.4."""
        algorithm, is_session = _algorithm(challenge)
        digest = _DIGESTS[algorithm]
        self._count += 1
        nonce, count, own = challenge["nonce"], f"{self._count:08x}", secrets.token_hex(8)
        user, realm = self._user, challenge.get("realm", "")
        secret = digest(f"{user}:{realm}:{self._password}".encode())
        if is_session:
            secret = digest(f"{secret}:{nonce}:{own}".encode())
        asked = digest(f"{request.method}:{request.url.target}".encode())
        fields = {"username": user, "realm": realm, "nonce": nonce, "uri": request.url.target}
        if "qop" in challenge:
            proof = digest(f"{secret}:{nonce}:{count}:{own}:auth:{asked}".encode())
            plain = f", qop=auth, nc={count}"
            fields["cnonce"] = own
        else:
            proof, plain = digest(f"{secret}:{nonce}:{asked}".encode()), ""
        fields["response"] = proof
        if "opaque" in challenge:
            fields["opaque"] = challenge["opaque"]
        quoted = ", ".join(f'{name}="{_quoted(value)}"' for name, value in fields.items())
        said = f", algorithm={challenge['algorithm']}" if "algorithm" in challenge else ""
        return f"Digest {quoted}{plain}{said}"


def parse_challenge(line: str) -> dict[str, str] | None:
    """Read the parameters of a Digest challenge; None when it is another scheme, or none at all."""
    scheme, _, rest = line.strip().partition(" ")
    if scheme.lower() != "digest":
        return None
    found: dict[str, str] = {}
    position = len(rest) - len(rest.lstrip())
    while (match := _PARAMETER.match(rest, position)) is not None:
        name, quoted, token = match.groups()
        found[name.lower()] = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        position = match.end()
    return found if "nonce" in found else None


def auth_of(value: Auth | tuple[str, str] | None) -> Auth | None:
    """Read what a caller wrote: a pair is Basic."""
    return Basic(*value) if isinstance(value, tuple) else value


def _algorithm(challenge: Mapping[str, str]) -> tuple[str, bool]:
    name = challenge.get("algorithm", "MD5").upper()
    return name.removesuffix("-SESS"), name.endswith("-SESS")


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
