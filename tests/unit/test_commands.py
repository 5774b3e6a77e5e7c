"""Commands to a running tree: the request they send, what they print, how they end; against a real socket."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rocket_sup.commands import COMMANDS, SUMMARIES, ControlNotFoundError, find_control
from rocket_sup.ops.control import ControlError

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"

Answer = dict[str, Any]
Serve = Callable[[Path, Answer], list[Answer]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A tree that answers one request on a socket, and keeps the requests it got."""
    stack: list[tuple[socket.socket, threading.Thread]] = []

    def start(path: Path, answer: Answer) -> list[Answer]:
        path.parent.mkdir(parents=True, exist_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(path))
        sock.listen()
        requests: list[Answer] = []

        def loop() -> None:
            while True:
                try:
                    client, _ = sock.accept()
                except OSError:
                    return
                with client, client.makefile("rwb") as stream:
                    line = stream.readline()
                    if line:
                        requests.append(json.loads(line))
                        stream.write(json.dumps(answer).encode() + b"\n")

        thread = threading.Thread(target=loop)
        thread.start()
        stack.append((sock, thread))
        return requests

    yield start
    for sock, thread in stack:
        path = sock.getsockname()
        sock.shutdown(socket.SHUT_RDWR)
        sock.close()
        thread.join()
        os.unlink(path)


@pytest.mark.parametrize(
    ("command", "request_", "answer", "printed"),
    [
        ("reload", {"command": "reload"}, {"ok": True, "generation": 3}, "reloaded: generation 3"),
        (
            "reload",
            {"command": "reload"},
            {"ok": True, "needs_restart": ["server.port"]},
            "reloaded\nchanged, but read at start only: server.port",
        ),
        ("scale 5", {"command": "scale", "acceptors": 5}, {"ok": True}, "acceptors: 5"),
        ("max-connections 9", {"command": "max_connections", "limit": 9}, {"ok": True}, "max_connections: 9"),
        ("restart queue", {"command": "restart", "id": "queue"}, {"ok": True}, "restarted queue"),
        ("drain", {"command": "drain"}, {"ok": True, "drain_s": 30.0}, "draining: at most 30 s"),
        ("drain", {"command": "drain"}, {"ok": True}, "draining"),
        ("children", {"command": "children", "action": "list"}, {"ok": True}, "no children"),
        (
            "children terminate queue",
            {"command": "children", "action": "terminate", "id": "queue"},
            {"ok": True},
            "terminated queue",
        ),
        (
            "children start queue",
            {"command": "children", "action": "start", "id": "queue"},
            {"ok": True},
            "started queue",
        ),
        ("reopen-logs", {"command": "reopen_logs"}, {"ok": True}, "log files opened again"),
    ],
)
def test_a_command_sends_its_request_and_prints_what_was_done(
    tmp_path: Path,
    serve: Serve,
    capsys: pytest.CaptureFixture[str],
    command: str,
    request_: Answer,
    answer: Answer,
    printed: str,
) -> None:
    """One request, one answer, one line or two."""
    requests = serve(tmp_path / "s", answer)
    name, *rest = command.split()

    status = COMMANDS[name]([*rest, "--control", str(tmp_path / "s")])

    assert (0, [request_], f"{printed}\n") == (status, requests, capsys.readouterr().out)


def test_the_status_is_printed_for_people_or_as_it_is(
    tmp_path: Path, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """--json leaves nothing out, what is unknown to this version either."""
    answer = {"ok": True, "version": "9", "unknown": [1]}
    serve(tmp_path / "s", answer)

    COMMANDS["status"](["--control", str(tmp_path / "s")])
    people = capsys.readouterr().out
    COMMANDS["status"](["--json", "--control", str(tmp_path / "s")])

    assert people.startswith("rocket-sup 9: ")
    assert answer == json.loads(capsys.readouterr().out)


def test_a_refusal_is_told_with_its_report(
    tmp_path: Path, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, with status 1: the traceback of the new code, then why nothing changed."""
    serve(tmp_path / "s", {"ok": False, "error": "the old code serves on", "report": "Traceback ...\nboom\n"})

    status = COMMANDS["reload"](["--control", str(tmp_path / "s")])

    assert (1, "Traceback ...\nboom\nrocket-sup: the old code serves on\n") == (
        status,
        capsys.readouterr().err,
    )


def test_a_refusal_as_json_is_still_a_failure(
    tmp_path: Path, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scripts look at the status first."""
    serve(tmp_path / "s", {"ok": False, "error": "no"})

    assert 1 == COMMANDS["drain"](["--json", "--control", str(tmp_path / "s")])
    assert {"ok": False, "error": "no"} == json.loads(capsys.readouterr().out)


def test_nobody_listening_is_an_error_that_names_the_socket(tmp_path: Path) -> None:
    """A server that is gone leaves its socket behind."""
    with pytest.raises(ControlError, match=str(tmp_path)):
        COMMANDS["status"](["--control", str(tmp_path / "s")])


@pytest.mark.parametrize("arguments", [["list", "queue"], ["delete"], ["eat", "queue"]])
def test_wrong_usage_of_children_is_refused(arguments: list[str]) -> None:
    """list takes no id, the others need one, and there are no others."""
    with pytest.raises(SystemExit) as caught:
        COMMANDS["children"](arguments)

    assert 2 == caught.value.code


def test_the_socket_is_the_one_that_was_named(tmp_path: Path) -> None:
    """By flag, by variable, by configuration, in this order."""
    (tmp_path / "rocket.toml").write_text(f'[control]\nsocket = "{tmp_path}/c"\n')
    config = str(tmp_path / "rocket.toml")
    environment = {"ROCKET_CONTROL_SOCKET": "/b"}

    assert [Path("/a"), Path("/b"), tmp_path / "c"] == [
        find_control("/a", config, environment),
        find_control(None, config, environment),
        find_control(None, config, {}),
    ]


def test_a_free_port_has_no_name_in_the_configuration(tmp_path: Path, serve: Serve) -> None:
    """Then the only server there is meant."""
    (tmp_path / "rocket.toml").write_text("[server]\nport = 0\n")
    serve(tmp_path / "rocket-sup" / "pid-1.sock", {})

    found = find_control(None, str(tmp_path / "rocket.toml"), {"XDG_RUNTIME_DIR": str(tmp_path)})

    assert tmp_path / "rocket-sup" / "pid-1.sock" == found


def test_the_only_server_is_found_and_dead_ones_do_not_count(tmp_path: Path, serve: Serve) -> None:
    """A socket that nobody listens on is a server that was killed."""
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with pytest.raises(ControlNotFoundError, match="no server is running here"):
        find_control(None, None, environment)
    directory = tmp_path / "rocket-sup"
    serve(directory / "8080.sock", {})
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(directory / "dead.sock"))

    assert directory / "8080.sock" == find_control(None, None, environment)


def test_of_several_servers_none_is_chosen(tmp_path: Path, serve: Serve) -> None:
    """They are listed, systemd's directory among the places."""
    serve(tmp_path / "run" / "control.sock", {})
    serve(tmp_path / "rocket-sup" / "8080.sock", {})
    environment = {"XDG_RUNTIME_DIR": str(tmp_path), "RUNTIME_DIRECTORY": str(tmp_path / "run")}

    with pytest.raises(ControlNotFoundError) as caught:
        find_control(None, None, environment)

    assert [
        "several servers are running; choose one with --control:",
        f"  {tmp_path}/run/control.sock",
        f"  {tmp_path}/rocket-sup/8080.sock",
    ] == str(caught.value).splitlines()


def test_every_command_has_a_summary_and_a_line_on_its_page() -> None:
    """docs/command-line.md leaves none out."""
    text = PAGE.read_text()

    assert list(COMMANDS) == list(SUMMARIES)
    assert [] == [name for name in COMMANDS if f"`rocket-sup {name}" not in text]
