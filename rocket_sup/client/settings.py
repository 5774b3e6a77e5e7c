"""What a client may take and how long it waits: frozen data, every default with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, init=False)
class Timeout:
    """How long each phase of a request may take, in seconds; None waits for ever.

    Attributes:
        connect: resolving, connecting and TLS together; 10 lets three lost SYNs pass.
        read: without a byte of the answer; 30 is what most proxies allow a handler.
        write: without the server taking a byte of the request.
        pool: waiting for a connection while all are taken.
        total: everything, redirects and retries included; None, as nobody else can know it.
    """

    connect: float | None
    read: float | None
    write: float | None
    pool: float | None
    total: float | None

    def __init__(
        self,
        *,
        connect: float | None = 10.0,
        read: float | None = 30.0,
        write: float | None = 30.0,
        pool: float | None = 60.0,
        total: float | None = None,
    ) -> None:
        for name, value in (
            ("connect", connect),
            ("read", read),
            ("write", write),
            ("pool", pool),
            ("total", total),
        ):
            if value is not None and not value > 0:
                raise ValueError(f"timeout {name} is {value}, must be greater than 0, or None")
            object.__setattr__(self, name, value)

    def without_pool(self) -> Timeout:
        """The same, but waiting for a connection as long as it takes."""
        return Timeout(connect=self.connect, read=self.read, write=self.write, pool=None, total=self.total)

    @classmethod
    def of(cls, value: Timeout | float | None) -> Timeout:
        """Read what a caller wrote: one number is a limit for every phase, None is no limit at all."""
        if isinstance(value, Timeout):
            return value
        return cls(connect=value, read=value, write=value, pool=value)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may take.

    Attributes:
        max_connections: open at once, over all origins; 1000 fits below the usual 1024 descriptors.
        max_per_origin: open at once to one origin.
        max_connecting: being made at once; more would only queue in the server's backlog.
        idle_s: how long an unused connection is kept; servers close theirs after 5 to 75 seconds.
        max_head: bytes of one response head, or of the trailers; nginx and Go stay below 64 KiB.
        max_fields: lines in one head.
        max_body: bytes of content collected for one response; None collects whatever comes. A streamed
            response is not bounded.
        max_decoded: bytes that compressed content may become; a bomb of 1000:1 stops here.
        max_redirects: followed for one request; 20 is what browsers follow.
        dns_ttl_s: how long addresses of a name are believed; the resolver of the system tells no lifetimes.
    """

    max_connections: int = 1000
    max_per_origin: int = 1000
    max_connecting: int = 100
    idle_s: float = 15.0
    max_head: int = 65536
    max_fields: int = 256
    max_body: int | None = None
    max_decoded: int = 256 * 1024 * 1024
    max_redirects: int = 20
    dns_ttl_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("max_connections", "max_per_origin", "max_connecting", "max_head", "max_fields"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be at least 1")


DEFAULT_TIMEOUT = Timeout()
DEFAULT_LIMITS = Limits()
