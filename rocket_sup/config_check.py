"""Checks that need more than one option, or more than its type: addresses, names, paths, one limit against
another.

Each check yields pairs of a full key and a sentence; `config_load.py` adds where the key was written. The
checks assume that every single value already passed `options.read`.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
from collections.abc import Iterator
from itertools import chain

from rocket_sup.binds import UNIX_PATH_BYTES, BindKind, check_host, parse_bind
from rocket_sup.config import ChildConfig, Config
from rocket_sup.options import plain

Finding = tuple[str, str]

_HANDLER = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_ROOT_PATH = re.compile(r"(/[^/?#%\s]+)*")
_CHILD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_RESERVED = re.compile(r"listener|supervisor|acceptor-\d+")


def findings(config: Config) -> Iterator[Finding]:
    """Yield every mistake as (full key, sentence), for example `("server.bind", "...")`."""
    return chain(
        _handler(config),
        _files(config),
        _addresses(config),
        _numbers(config),
        _logs(config),
        _engine(config),
        _proxy(config),
        _children(config),
    )


def _handler(config: Config) -> Iterator[Finding]:
    handler = config.server.handler
    if handler and not _HANDLER.fullmatch(handler):
        yield "server.handler", f'"{handler}" is not of the form "package.module:attribute"'
    root_path = config.server.root_path
    if not _ROOT_PATH.fullmatch(root_path):
        yield "server.root_path", f'"{root_path}" is not a path such as "/api", without a slash at its end'
    if not os.path.isdir(config.server.app_dir):
        yield "server.app_dir", f'"{config.server.app_dir}" is not a directory'


def _files(config: Config) -> Iterator[Finding]:
    directory = config.files.directory
    if directory and config.server.handler:
        yield "files.directory", f'an application is named too, "{config.server.handler}": only one is served'
    if directory and not os.path.isdir(directory):
        yield "files.directory", f'"{directory}" is not a directory'


def _addresses(config: Config) -> Iterator[Finding]:
    server = config.server
    try:
        check_host(server.host)
    except ValueError as error:
        yield "server.host", str(error)
    seen: set[str] = set()
    for text in server.bind:
        try:
            bind = parse_bind(text)
        except ValueError as error:
            yield "server.bind", str(error)
            continue
        is_free_port = bind.kind is BindKind.TCP and bind.port == 0
        if str(bind) in seen and not is_free_port:
            yield "server.bind", f'"{text}" is there twice'
        seen.add(str(bind))
        if bind.path and not bind.path.startswith("@"):
            yield from _directory_of("server.bind", bind.path)
    if not re.fullmatch(r"(0o?)?[0-7]{3}", server.unix_mode):
        yield "server.unix_mode", f'"{server.unix_mode}" is not an octal mode such as "0666"'
    path = config.control.socket
    if len(path.encode()) > UNIX_PATH_BYTES:
        yield (
            "control.socket",
            f'"{path}" is longer than the {UNIX_PATH_BYTES} bytes a Unix socket path may have',
        )
    yield from _directory_of("control.socket", path)


def _numbers(config: Config) -> Iterator[Finding]:
    limits, supervisor, acceptor = config.limits, config.supervisor, config.acceptor
    if limits.request_line > limits.head:
        yield (
            "limits.request_line",
            f"{limits.request_line} is more than limits.head, {limits.head}, which contains it",
        )
    if supervisor.backoff_initial > supervisor.backoff_max:
        initial, most = plain(supervisor.backoff_initial), plain(supervisor.backoff_max)
        yield "supervisor.backoff_initial", f"{initial} is more than supervisor.backoff_max, {most}"
    if 0 < acceptor.hang <= acceptor.suspect:
        hang, suspect = plain(acceptor.hang), plain(acceptor.suspect)
        yield (
            "acceptor.hang",
            f"{hang} is not above acceptor.suspect, {suspect}: suspicion comes before replacement",
        )


def _logs(config: Config) -> Iterator[Finding]:
    for key, path in (("log.file", config.log.file), ("log.access_file", config.log.access_file)):
        found = list(_directory_of(key, path))
        yield from found
        place = path if os.path.exists(path) else os.path.dirname(path) or "."
        if path and not found and not os.access(place, os.W_OK):
            yield key, f'"{path}" cannot be written by user {os.geteuid()}'


def _engine(config: Config) -> Iterator[Finding]:
    wanted = config.server.engine
    if wanted not in ("auto", "python") and importlib.util.find_spec("rocket_sup.engine._native") is None:
        yield (
            "server.engine",
            f'"{wanted}" needs the native module, which is not built:'
            ' install Rust and reinstall, or write "auto" or "python"',
        )
    if config.server.loop == "uvloop" and importlib.util.find_spec("uvloop") is None:
        yield "server.loop", "uvloop is not installed; pip install 'rocket-sup[fast]', or write \"auto\""


def _proxy(config: Config) -> Iterator[Finding]:
    for entry in config.proxy.trusted:
        if entry not in ("unix", "*"):
            try:
                ipaddress.ip_network(entry)
            except ValueError as error:
                yield "proxy.trusted", f'"{entry}" is no address and no network, nor "unix" or "*": {error}'
    if config.proxy.host and config.proxy.family == "off":
        yield "proxy.host", "means nothing while proxy.headers says that no fields are read"


def _children(config: Config) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for index, child in enumerate(config.children):
        key = f"children[{index}]"
        if child.name in seen:
            yield f"{key}.name", f'"{child.name}" is already the name of children[{seen[child.name]}]'
        seen.setdefault(child.name, index)
        yield from ((f"{key}.{name}", sentence) for name, sentence in _child(child, config))


def _child(child: ChildConfig, config: Config) -> Iterator[Finding]:
    if not _CHILD_NAME.fullmatch(child.name):
        yield "name", f'"{child.name}" is not a name: up to 64 letters, digits, "_", "-" or "."'
    elif _RESERVED.fullmatch(child.name):
        yield "name", f'"{child.name}" is the name of a process of our own'
    if child.significant and child.restart == "permanent":
        yield (
            "significant",
            'a permanent child never ends for good; write restart = "transient" or "temporary"',
        )
    if child.significant and config.supervisor.auto_shutdown == "never":
        yield "significant", 'means nothing while supervisor.auto_shutdown is "never"'
    if child.cwd and not os.path.isdir(child.cwd):
        yield "cwd", f'"{child.cwd}" is not a directory'
    elif child.command and not _is_executable(child):
        yield "command", f'there is no program "{child.command[0]}" to execute'


def _is_executable(child: ChildConfig) -> bool:
    program = child.command[0]
    if "/" in program:
        places = [os.path.join(child.cwd, program)]
    else:
        places = [os.path.join(place, program) for place in os.get_exec_path({**os.environ, **child.env})]
    return any(os.path.isfile(place) and os.access(place, os.X_OK) for place in places)


def _directory_of(key: str, path: str) -> Iterator[Finding]:
    directory = os.path.dirname(path)
    if directory and not os.path.isdir(directory):
        yield key, f'"{path}": there is no directory {directory}'
    elif path and os.path.isdir(path):
        yield key, f'"{path}" is a directory'
