"""The configuration: one frozen object, built once, with every default in one place.

An attribute is called as its key in `rocket.toml`; a section is a class, `[engine.io_uring]` the attribute
`engine_io_uring`. Each field carries an `Option`
(kind, unit, range, meaning, flags) from which the checks, the command line, `config/rocket.toml` and the
documentation are derived. Reading and merging files, environment and arguments is the work of
`config_load.py`; this module reads nothing.

`to_document` and `from_document` carry a configuration between processes of the tree as JSON-able data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from rocket_sup.config_child import ChildConfig as ChildConfig
from rocket_sup.config_engine import IoUringConfig
from rocket_sup.config_files import FilesConfig
from rocket_sup.config_proxy import ProxyConfig
from rocket_sup.config_websocket import WebSocketConfig
from rocket_sup.options import DAY, KIB, MIB, TIB, Kind, Option, option


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What is served, where, and by how many."""

    handler: str = option(
        "", Kind.TEXT, 'The application, "package.module:attribute".', flags=("APPLICATION", "--handler")
    )
    factory: bool = option(
        False, Kind.BOOLEAN, "The attribute is a function that returns the application.", flags=("--factory",)
    )
    interface: str = option(
        "auto",
        Kind.CHOICE,
        "How the application is called; auto looks at it.",
        choices=("auto", "router", "asgi", "wsgi"),
        flags=("--interface",),
    )
    lifespan: str = option(
        "auto",
        Kind.CHOICE,
        "Lifespan of an ASGI application; on demands it, auto goes on without where it is not known.",
        choices=("auto", "on", "off"),
        flags=("--lifespan",),
    )
    root_path: str = option(
        "",
        Kind.TEXT,
        "Where a proxy in front has put an ASGI or WSGI application, as in /api; it removes that from paths.",
        flags=("--root-path",),
    )
    app_dir: str = option(
        ".",
        Kind.TEXT,
        "Directory put first on the import path, from the working directory.",
        flags=("--app-dir",),
    )
    host: str = option(
        "0.0.0.0",  # noqa: S104 - a server serves
        Kind.TEXT,
        "Address to listen on; IPv6 without brackets.",
        flags=("--host",),
    )
    port: int = option(
        8080,
        Kind.INTEGER,
        "TCP port to listen on.",
        between=(0, 65535),
        special="0: a free port, chosen by the kernel",
        flags=("--port", "-p"),
    )
    bind: tuple[str, ...] = option(
        (),
        Kind.LIST,
        'Where to listen, several at once: "0.0.0.0:8080", "[::]:8080", "unix:/run/rocket.sock", "fd:3".'
        " Replaces host and port.",
        special="[]: host and port",
        flags=("--bind", "-b"),
    )
    unix_mode: str = option("0666", Kind.TEXT, "Permissions of Unix sockets made for `bind`, octal.")
    num_acceptors: int = option(
        0,
        Kind.INTEGER,
        "Acceptor processes.",
        between=(0, 1024),
        special="0: the processors this process may use (affinity and cgroup)",
        flags=("--num-acceptors", "--workers", "-w"),
    )
    max_connections: int = option(
        10_000,
        Kind.INTEGER,
        "Connections at once, across all acceptors, exact.",
        between=(1, 10_000_000),
        flags=("--max-connections",),
    )
    max_body: int = option(
        1 * MIB,
        Kind.BYTES,
        "Largest request content; above it 413.",
        unit="bytes",
        between=(0, TIB),
        flags=("--max-body",),
    )
    backlog: int = option(
        1024,
        Kind.INTEGER,
        "Connections the kernel queues for each acceptor; it caps this at net.core.somaxconn.",
        between=(1, 65535),
        flags=("--backlog",),
    )
    engine: str = option(
        "auto",
        Kind.CHOICE,
        "What moves the bytes; auto takes epoll when the native module is built, else python.",
        choices=("auto", "python", "epoll", "io_uring"),
        flags=("--engine",),
    )
    loop: str = option(
        "auto",
        Kind.CHOICE,
        "Event loop; auto takes asyncio for a native engine, and for python uvloop when it is installed.",
        choices=("auto", "asyncio", "uvloop"),
        flags=("--loop",),
    )
    switch_interval: float = option(
        0.0,
        Kind.NUMBER,
        "How long a thread of yours may keep the interpreter when the event loop wants it.",
        unit="seconds",
        between=(0, 1),
        special="0: Python's own, 0.005",
    )
    overload: str = option(
        "wait",
        Kind.CHOICE,
        "At max_connections: wait closes the longest-idle kept connections, then leaves newcomers in the"
        " kernel's queue; reject answers 503 with Retry-After.",
        choices=("wait", "reject"),
        flags=("--overload",),
    )
    retry_after: int = option(
        1, Kind.INTEGER, "Retry-After of such a 503.", unit="seconds", between=(0, 86400)
    )


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """How much of each part of a message is taken from a client."""

    request_line: int = option(
        8 * KIB, Kind.BYTES, "Request line; above it 414.", unit="bytes", between=(64, 16 * MIB)
    )
    head: int = option(
        32 * KIB,
        Kind.BYTES,
        "Request line and header section; above it 431.",
        unit="bytes",
        between=(256, 16 * MIB),
    )
    headers: int = option(128, Kind.INTEGER, "Header fields; above it 431.", between=(1, 10_000))
    pipeline: int = option(64, Kind.INTEGER, "Answers owed before we stop reading.", between=(1, 10_000))
    chunk_extensions: int = option(
        4 * KIB, Kind.BYTES, "Chunk extensions of one message, in all.", unit="bytes", between=(0, MIB)
    )
    trailers: int = option(
        8 * KIB, Kind.BYTES, "Trailer section of one message.", unit="bytes", between=(0, MIB)
    )


@dataclass(frozen=True, slots=True)
class TimeoutsConfig:
    """How long a client, a handler and a shutdown may take."""

    first_byte: float = option(
        10.0,
        Kind.NUMBER,
        "Silence after a connection is accepted.",
        unit="seconds",
        between=(0, DAY),
        special="0: off",
    )
    head: float = option(
        10.0,
        Kind.NUMBER,
        "The whole head, however it drips.",
        unit="seconds",
        between=(0, DAY),
        special="0: off",
    )
    body: float = option(
        20.0,
        Kind.NUMBER,
        "Content without progress; after that long, body_min_rate must be kept up too.",
        unit="seconds",
        between=(0, DAY),
        special="0: off",
    )
    body_min_rate: int = option(
        512,
        Kind.BYTES,
        "Slowest average rate of content, in either direction, once body or write seconds have passed.",
        unit="bytes per second",
        between=(0, 1024 * MIB),
        special="0: off",
    )
    idle: float = option(
        30.0,
        Kind.NUMBER,
        "A kept connection between two requests.",
        unit="seconds",
        between=(0, DAY),
        special="0: off",
        flags=("--timeout-keep-alive",),
    )
    write: float = option(
        20.0, Kind.NUMBER, "A client that does not read.", unit="seconds", between=(0, DAY), special="0: off"
    )
    handler: float = option(
        0.0,
        Kind.NUMBER,
        "An async handler; above it 503 and the task is cancelled.",
        unit="seconds",
        between=(0, DAY),
        special="0: off",
    )
    drain: float = option(
        30.0,
        Kind.NUMBER,
        "Requests under way, when an acceptor stops.",
        unit="seconds",
        between=(0, DAY),
        special="0: do not wait",
        flags=("--timeout-graceful-shutdown", "--graceful-timeout"),
    )


@dataclass(frozen=True, slots=True)
class SupervisorConfig:
    """How the top of the tree treats the listener and the children."""

    strategy: str = option(
        "one_for_one",
        Kind.CHOICE,
        "Who is restarted with a child that ended: it alone, all, or it and those after it.",
        choices=("one_for_one", "one_for_all", "rest_for_one"),
    )
    max_restarts: int = option(
        3,
        Kind.INTEGER,
        "Restarts within max_seconds; one more ends the tree with exit status 70.",
        between=(0, 100_000),
    )
    max_seconds: float = option(
        5.0, Kind.NUMBER, "The window of max_restarts.", unit="seconds", between=(1, DAY)
    )
    auto_shutdown: str = option(
        "never",
        Kind.CHOICE,
        "Whether the tree ends with its significant children.",
        choices=("never", "any_significant", "all_significant"),
    )
    backoff: bool = option(False, Kind.BOOLEAN, "Wait longer and longer before each restart of the listener.")
    backoff_initial: float = option(
        1.0, Kind.NUMBER, "The first such wait.", unit="seconds", between=(0.01, DAY)
    )
    backoff_max: float = option(
        60.0, Kind.NUMBER, "The longest such wait.", unit="seconds", between=(0.01, DAY)
    )


@dataclass(frozen=True, slots=True)
class AcceptorConfig:
    """How acceptors are watched, recycled and restarted."""

    boot: float = option(
        60.0,
        Kind.NUMBER,
        "Time to import the application and say ready.",
        unit="seconds",
        between=(0, DAY),
        special="0: no deadline",
    )
    suspect: float = option(
        1.0,
        Kind.NUMBER,
        "Heartbeat this old: no new connections are steered there.",
        unit="seconds",
        between=(0.1, 3600),
    )
    hang: float = option(
        30.0,
        Kind.NUMBER,
        "Heartbeat this old: its stacks are dumped and it is replaced.",
        unit="seconds",
        between=(0, DAY),
        special="0: never",
    )
    max_requests: int = option(
        0,
        Kind.INTEGER,
        "Requests after which an acceptor is recycled.",
        between=(0, 2**53),
        special="0: never",
        flags=("--max-requests", "--limit-max-requests"),
    )
    max_requests_jitter: int = option(
        0,
        Kind.INTEGER,
        "At most this many requests more, at random, so that they do not all recycle at once.",
        between=(0, 2**53),
        flags=("--max-requests-jitter",),
    )
    max_memory: int = option(
        0,
        Kind.BYTES,
        "Resident memory above which an acceptor is recycled.",
        unit="bytes",
        between=(0, 64 * TIB),
        special="0: never",
    )
    threads: int = option(
        40,
        Kind.INTEGER,
        "Threads of each acceptor, for handlers declared blocking and for WSGI applications.",
        between=(0, 1000),
        special="0: WSGI applications are called on the event loop, one request at a time",
    )
    run: str = option(
        "loop",
        Kind.CHOICE,
        "Where handlers run that do not say so: on the event loop, or all in threads, for code that blocks.",
        choices=("loop", "threads"),
    )
    max_restarts: int = option(
        0,
        Kind.INTEGER,
        "Restarts of acceptors within max_seconds; one more restarts the listener.",
        between=(0, 100_000),
        special="0: their number plus 3",
    )
    max_seconds: float = option(
        5.0, Kind.NUMBER, "The window of max_restarts.", unit="seconds", between=(1, DAY)
    )


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Events of the server, and one line for each request."""

    level: str = option(
        "info",
        Kind.CHOICE,
        "Least important event that is written.",
        choices=("debug", "info", "warning", "error"),
        flags=("--log-level",),
    )
    format: str = option(
        "text",
        Kind.CHOICE,
        "Text to read, or one JSON object per line.",
        choices=("text", "json"),
        flags=("--log-format",),
    )
    file: str = option("", Kind.TEXT, "File of the events.", special='"": standard error')
    access: str = option(
        "combined",
        Kind.CHOICE,
        "One line for each request: Apache's combined format, or a JSON object.",
        choices=("off", "combined", "json"),
        flags=("--access-log",),
    )
    access_file: str = option("", Kind.TEXT, "File of the requests.", special='"": standard output')


@dataclass(frozen=True, slots=True)
class ControlConfig:
    """The Unix socket through which `rocket-sup status`, `reload`, ... reach the running tree."""

    enabled: bool = option(True, Kind.BOOLEAN, "Listen for commands.")
    socket: str = option(
        "",
        Kind.TEXT,
        "Path of the socket, mode 0600.",
        special='"": in $RUNTIME_DIRECTORY, else under $XDG_RUNTIME_DIR, else in /tmp/rocket-sup-UID/',
    )


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration."""

    server: ServerConfig = field(default_factory=ServerConfig)
    files: FilesConfig = field(default_factory=FilesConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    timeouts: TimeoutsConfig = field(default_factory=TimeoutsConfig)
    supervisor: SupervisorConfig = field(default_factory=SupervisorConfig)
    acceptor: AcceptorConfig = field(default_factory=AcceptorConfig)
    proxy: ProxyConfig = field(default_factory=ProxyConfig)
    log: LogConfig = field(default_factory=LogConfig)
    control: ControlConfig = field(default_factory=ControlConfig)
    websocket: WebSocketConfig = field(default_factory=WebSocketConfig)
    engine_io_uring: IoUringConfig = field(default_factory=IoUringConfig)
    children: tuple[ChildConfig, ...] = ()


Section = type[
    ServerConfig
    | FilesConfig
    | LimitsConfig
    | TimeoutsConfig
    | SupervisorConfig
    | AcceptorConfig
    | ProxyConfig
    | LogConfig
    | ControlConfig
    | WebSocketConfig
    | IoUringConfig
]

SECTIONS: Final[Mapping[str, Section]] = {
    "server": ServerConfig,
    "files": FilesConfig,
    "limits": LimitsConfig,
    "timeouts": TimeoutsConfig,
    "supervisor": SupervisorConfig,
    "acceptor": AcceptorConfig,
    "proxy": ProxyConfig,
    "log": LogConfig,
    "control": ControlConfig,
    "websocket": WebSocketConfig,
    "engine.io_uring": IoUringConfig,
}


def section_of(config: Config, name: str) -> Any:  # an instance of one of SECTIONS
    """Return the section that is called so in `rocket.toml`."""
    return getattr(config, attribute_of(name))


def attribute_of(name: str) -> str:
    """Name the attribute of `Config` that holds a section."""
    return name.replace(".", "_")


def options_of(section: type[Any]) -> dict[str, Option]:
    """Return the options of a section class, or of `ChildConfig`, by key, in the order they are written."""
    return {each.name: each.metadata["option"] for each in fields(section)}


def to_document(config: Config) -> dict[str, Any]:
    """Turn a configuration into dicts, lists and plain values that JSON can carry."""
    document: dict[str, Any] = {name: _plain(section_of(config, name)) for name in SECTIONS}
    document["children"] = [_plain(child) for child in config.children]
    return document


def from_document(document: Mapping[str, Any]) -> Config:
    """Rebuild a configuration from what `to_document` made; sections left out get their defaults.

    Raises:
        TypeError: a key this version does not know (our fault: operators go through `config_load.load`).
    """
    sections = {
        attribute_of(name): _rebuilt(section, document.get(name, {})) for name, section in SECTIONS.items()
    }
    children = tuple(_rebuilt(ChildConfig, child) for child in document.get("children", ()))
    return Config(**sections, children=children)


def _plain(section: Any) -> dict[str, Any]:  # any dataclass of this module
    values = {each.name: getattr(section, each.name) for each in fields(section)}
    return {
        key: list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
    }


def _rebuilt(section: type[Any], values: Mapping[str, Any]) -> Any:  # an instance of `section`
    return section(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    )
