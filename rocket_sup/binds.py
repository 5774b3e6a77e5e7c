"""The addresses a server listens on, as they are written in `server.bind`.

Four forms: `1.2.3.4:80` (also `name:80` and `:80`), `[::]:80`, `unix:/path` (or `unix:@name`, abstract),
`fd:3` (inherited). Pure: it parses and never resolves, binds or looks at a file.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from dataclasses import dataclass

from rocket_sup.config import Config

_TCP = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<host>[^:\[\]]*)):(?P<port>\d{1,5})", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_FORMS = '"0.0.0.0:8080", "[::]:8080", "unix:/run/rocket.sock" or "fd:3"'

UNIX_PATH_BYTES = 107  # sun_path holds 108 with the final NUL, unix(7)


class BindKind(enum.Enum):
    """What sort of socket an address means."""

    TCP = "tcp"
    UNIX = "unix"
    FD = "fd"


@dataclass(frozen=True, slots=True)
class Bind:
    """One address.

    Attributes:
        kind: which of the other fields count.
        host, port: of a TCP address; an IPv6 host is without brackets.
        path: of a Unix socket; it begins with "@" when the name is abstract.
        fd: the inherited descriptor.
    """

    kind: BindKind
    host: str = ""
    port: int = 0
    path: str = ""
    fd: int = -1

    def __str__(self) -> str:
        if self.kind is BindKind.UNIX:
            return f"unix:{self.path}"
        if self.kind is BindKind.FD:
            return f"fd:{self.fd}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_bind(text: str) -> Bind:
    """Parse one address.

    Raises:
        ValueError: it has none of the four forms; the text says what was expected.
    """
    scheme, _, rest = text.partition(":")
    if scheme == "unix":
        return _unix(text, rest)
    if scheme == "fd":
        if not re.fullmatch(r"\d{1,6}", rest, re.ASCII):
            raise ValueError(f'"{text}" needs a descriptor number, as in "fd:3"')
        return Bind(BindKind.FD, fd=int(rest))
    match = _TCP.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is not an address; write {_FORMS}')
    host = match["host"] if match["six"] is None else match["six"]
    return Bind(BindKind.TCP, host=check_host(host or "0.0.0.0"), port=_port(match["port"]))  # noqa: S104 - ":80" is all


def check_host(host: str) -> str:
    """Return `host` when it is an IP address or could be a host name; raise `ValueError` otherwise."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        looks_numeric = re.fullmatch(r"[\d.]+", host) is not None
        if looks_numeric or not _NAME.fullmatch(host) or len(host) > 253:
            raise ValueError(f'"{host}" is neither an IP address nor a host name') from None
    return host


def binds_of(config: Config) -> tuple[Bind, ...]:
    """Return where a checked configuration listens: `server.bind`, or else host and port."""
    server = config.server
    if not server.bind:
        return (Bind(BindKind.TCP, host=server.host, port=server.port),)
    return tuple(parse_bind(text) for text in server.bind)


def _unix(text: str, path: str) -> Bind:
    if not path.startswith(("/", "@", "./")) or path in ("/", "@", "./"):
        raise ValueError(f'"{text}" needs a path, as in "unix:/run/rocket.sock"')
    if len(path.encode()) > UNIX_PATH_BYTES:
        raise ValueError(f'"{text}" is longer than the {UNIX_PATH_BYTES} bytes a Unix socket path may have')
    return Bind(BindKind.UNIX, path=path)


def _port(digits: str) -> int:
    port = int(digits)
    if port > 65535:
        raise ValueError(f"port {port} is outside the range 0 to 65535")
    return port
