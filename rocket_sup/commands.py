"""The commands that talk to a running tree over its control socket.

Each makes one request, waits for the answer, which comes when the work is done, and prints it: for people, or
as the JSON it is. The tree is found by `--control PATH`, by the configuration it was started with, or because
it is the only one there.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from rocket_sup.config_load import Inputs
from rocket_sup.control_path import control_path, default_directory, sockets_in
from rocket_sup.errors import RocketError
from rocket_sup.ops.control import call
from rocket_sup.status_text import children_text, status_text

Document = dict[str, Any]  # JSON

_PATIENCE_S: Final = 30.0
_LONG_PATIENCE_S: Final = 600.0  # a reload boots every acceptor in turn
_CONTROL_VARIABLE: Final = "ROCKET_CONTROL_SOCKET"


class ControlNotFoundError(RocketError):
    """There is no running tree to talk to, or more than one."""


def find_control(control: str | None, config: str | None, environment: Mapping[str, str]) -> Path:
    """Find the control socket of the tree that is meant.

    Args:
        control: the path, when the operator gave it.
        config: the file the tree was started with, when the operator named it.
        environment: normally `os.environ`.

    Raises:
        ControlNotFoundError: none is running in the default places, or several are.
        ConfigError: the file is wrong.
    """
    named = control or environment.get(_CONTROL_VARIABLE, "")
    if named:
        return Path(named)
    if config is not None:
        path = control_path(
            Inputs(Path(config), environment, {}).load(needs_handler=False).config, environment
        )
        if not path.name.startswith("pid-"):  # port 0: only the tree itself knows the name
            return path
    places = [default_directory(environment)]
    runtime = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if runtime:
        places.insert(0, Path(runtime))
    alive = [path for place in places for path in sockets_in(place) if _answers(path)]
    if len(alive) == 1:
        return alive[0]
    if alive:
        listed = "\n".join(f"  {path}" for path in alive)
        raise ControlNotFoundError(f"several servers are running; choose one with --control:\n{listed}")
    looked = " and ".join(str(place) for place in places)
    raise ControlNotFoundError(f"no server is running here (looked in {looked}); --control names its socket")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(1.0)
        return sock.connect_ex(str(path)) == 0


def _parser(command: str, summary: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"rocket-sup {command}", description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False
    )
    parser.add_argument("--control", metavar="PATH", help="the control socket of the server")
    parser.add_argument(
        "-c", "--config", metavar="FILE", help="the file it was started with, to find the socket"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="how long to wait for the answer")
    return parser


def _ask(parsed: argparse.Namespace, request: Document, *, patience_s: float = _PATIENCE_S) -> Document:
    path = find_control(parsed.control, parsed.config, os.environ)
    return call(path, request, patience_s if parsed.timeout is None else parsed.timeout)


def _conclude(parsed: argparse.Namespace, answer: Document, show: Callable[[Document], str]) -> int:
    """Print an answer and say how the command ends: 0 when the tree did it, 1 when it did not."""
    is_done = bool(answer.get("ok"))
    if parsed.json:
        print(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())
    elif is_done:
        print(show(answer))
    else:
        report = str(answer.get("report") or "").rstrip()
        error = f"rocket-sup: {answer.get('error', 'refused, without a reason')}"
        sys.stderr.write("".join(f"{text}\n" for text in (report, error) if text))
    return 0 if is_done else 1


def _status(arguments: Sequence[str]) -> int:
    parsed = _parser("status", SUMMARIES["status"]).parse_args(arguments)
    return _conclude(parsed, _ask(parsed, {"command": "status"}), status_text)


def _reload(arguments: Sequence[str]) -> int:
    parsed = _parser("reload", SUMMARIES["reload"]).parse_args(arguments)
    answer = _ask(parsed, {"command": "reload"}, patience_s=_LONG_PATIENCE_S)
    return _conclude(parsed, answer, _reloaded)


def _reloaded(answer: Document) -> str:
    generation = answer.get("generation")
    lines = ["reloaded" if generation is None else f"reloaded: generation {generation}"]
    if answer.get("needs_restart"):
        lines.append(f"changed, but read at start only: {', '.join(answer['needs_restart'])}")
    return "\n".join(lines)


def _scale(arguments: Sequence[str]) -> int:
    parser = _parser("scale", SUMMARIES["scale"])
    parser.add_argument("acceptors", type=int, metavar="N", help="how many acceptors there shall be")
    parsed = parser.parse_args(arguments)
    answer = _ask(parsed, {"command": "scale", "acceptors": parsed.acceptors}, patience_s=_LONG_PATIENCE_S)
    return _conclude(parsed, answer, lambda _: f"acceptors: {parsed.acceptors}")


def _max_connections(arguments: Sequence[str]) -> int:
    parser = _parser("max-connections", SUMMARIES["max-connections"])
    parser.add_argument("limit", type=int, metavar="N", help="how many connections there may be at once")
    parsed = parser.parse_args(arguments)
    answer = _ask(parsed, {"command": "max_connections", "limit": parsed.limit})
    return _conclude(parsed, answer, lambda _: f"max_connections: {parsed.limit}")


def _restart(arguments: Sequence[str]) -> int:
    parser = _parser("restart", SUMMARIES["restart"])
    parser.add_argument("id", metavar="ID", help="an acceptor, acceptor-1, or a child, as in status")
    parsed = parser.parse_args(arguments)
    answer = _ask(parsed, {"command": "restart", "id": parsed.id}, patience_s=_LONG_PATIENCE_S)
    return _conclude(parsed, answer, lambda _: f"restarted {parsed.id}")


def _drain(arguments: Sequence[str]) -> int:
    parsed = _parser("drain", SUMMARIES["drain"]).parse_args(arguments)
    return _conclude(parsed, _ask(parsed, {"command": "drain"}), _draining)


def _draining(answer: Document) -> str:
    deadline = answer.get("drain_s")
    return "draining" if deadline is None else f"draining: at most {deadline:g} s"


def _children(arguments: Sequence[str]) -> int:
    parser = _parser("children", SUMMARIES["children"])
    parser.add_argument("action", nargs="?", choices=("list", *_DONE), default="list")
    parser.add_argument("id", nargs="?", metavar="ID", help="which child; not for list")
    parsed = parser.parse_args(arguments)
    if (parsed.action == "list") != (parsed.id is None):
        parser.error(
            "list takes no ID" if parsed.action == "list" else f"{parsed.action} which child? ID is missing"
        )
    request = {"command": "children", "action": parsed.action}
    if parsed.id is None:
        return _conclude(parsed, _ask(parsed, request), children_text)
    answer = _ask(parsed, {**request, "id": parsed.id}, patience_s=_LONG_PATIENCE_S)
    return _conclude(parsed, answer, lambda _: f"{_DONE[parsed.action]} {parsed.id}")


def _reopen_logs(arguments: Sequence[str]) -> int:
    parsed = _parser("reopen-logs", SUMMARIES["reopen-logs"]).parse_args(arguments)
    return _conclude(parsed, _ask(parsed, {"command": "reopen_logs"}), lambda _: "log files opened again")


_DONE: Final[Mapping[str, str]] = {
    "start": "started",
    "terminate": "terminated",
    "restart": "restarted",
    "delete": "deleted",
}

COMMANDS: Final[Mapping[str, Callable[[Sequence[str]], int]]] = {
    "status": _status,
    "reload": _reload,
    "scale": _scale,
    "max-connections": _max_connections,
    "restart": _restart,
    "drain": _drain,
    "children": _children,
    "reopen-logs": _reopen_logs,
}

SUMMARIES: Final[Mapping[str, str]] = {
    "status": "show the running tree",
    "reload": "load code and configuration anew, acceptor by acceptor, once each is ready",
    "scale": "change the number of acceptors",
    "max-connections": "change max_connections until the next reload",
    "restart": "replace one acceptor, or restart one child",
    "drain": "finish what is under way and stop",
    "children": "list the children, or start, terminate, restart, delete one",
    "reopen-logs": "open the log files again after they were rotated",
}
