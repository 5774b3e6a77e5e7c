"""The control socket, both ends: the client against the server in a loop of its own process."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from rocket_sup.ops import control
from rocket_sup.ops.control import Answer, ControlError, ControlServer, Document, call
from rocket_sup.poller import Poller
from rocket_sup.process import Process, fork

TurnUntil = Callable[[Callable[[], object]], None]


class Scene:
    """A server that notes requests; what `respond` says is their answer, None is none yet."""

    def __init__(self, path: Path, poller: Poller, turn_until: TurnUntil) -> None:
        self.path = path
        self.poller = poller
        self.turn_until = turn_until
        self.requests: list[Document] = []
        self.answers: list[Answer] = []
        self.respond: Callable[[Document], Document | None] = lambda request: {"ok": True, "echo": request}
        self.server = ControlServer(path, poller=poller, handler=self.handle)

    def handle(self, request: Document, answer: Answer) -> None:
        self.requests.append(request)
        self.answers.append(answer)
        document = self.respond(request)
        if document is not None:
            answer(document)

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(5)
        client.connect(str(self.path))
        client.setblocking(False)
        return client

    def receive(self, client: socket.socket, lines: int = 1) -> list[Any]:
        """Read this many answers, the loop turning meanwhile."""
        received = bytearray()

        def is_there() -> bool:
            try:
                received.extend(client.recv(1 << 20))
            except BlockingIOError:
                pass
            return received.count(b"\n") >= lines

        self.turn_until(lambda: is_there() or self.nudge())
        return [orjson.loads(line) for line in received.splitlines()]

    def turn(self) -> None:
        """Turn the loop once, and do not wait."""
        self.poller.run_once(0.0)

    def nudge(self) -> bool:
        """Have the loop turn at once, though no descriptor of the server is ready."""
        os.write(self.bell[1], b"x")
        return False

    bell = (-1, -1)


@pytest.fixture
def scene(tmp_path: Path, poller: Poller, turn_until: TurnUntil) -> Iterator[Scene]:
    """A server on a socket of its own."""
    scene = Scene(tmp_path / "control.sock", poller, turn_until)
    scene.bell = os.pipe()
    poller.watch(scene.bell[0], lambda: os.read(scene.bell[0], 100) and None)
    yield scene
    scene.server.close()
    poller.unwatch(scene.bell[0])
    for fd in scene.bell:
        os.close(fd)


def calling(path: Path, request: Document, timeout_s: float) -> Process:
    """Use the client in a child, whose exit status is 0 when the answer was ok and 9 for a ControlError."""

    def body() -> int:
        try:
            return 0 if call(path, request, timeout_s)["ok"] else 1
        except ControlError:
            return 9

    return fork(body, keep=(), name="caller")


def status_of(process: Process) -> int:
    """Wait for the child."""
    status = os.waitpid(process.pid, 0)[1]
    process.close()
    return os.waitstatus_to_exitcode(status)


# --- a conversation ---


def test_a_request_is_answered(scene: Scene) -> None:
    """The client's document reaches the handler, and the handler's answer the client."""
    caller = calling(scene.path, {"command": "status"}, 5)
    scene.turn_until(lambda: scene.requests)

    assert 0 == status_of(caller)
    assert [{"command": "status"}] == scene.requests
    scene.turn_until(lambda: not scene.server._clients)


def test_an_answer_may_take_its_time(scene: Scene) -> None:
    """A handler answers when the work is done; meanwhile others are served."""
    scene.respond = lambda request: None if request["command"] == "slow" else {"ok": True}
    with scene.connect() as patient, scene.connect() as quick:
        patient.send(b'{"command":"slow"}\n')
        scene.turn_until(lambda: scene.requests)
        quick.send(b'{"command":"fast"}\n')

        assert [{"ok": True}] == scene.receive(quick)
        scene.answers[0]({"ok": True, "late": True})
        assert [{"ok": True, "late": True}] == scene.receive(patient)


def test_requests_of_one_client_are_answered_in_order(scene: Scene) -> None:
    """The second line is looked at when the first is answered, however the bytes arrive."""
    scene.respond = lambda request: None if request["n"] == 1 else {"n": request["n"]}
    with scene.connect() as client:
        client.send(b'{"n":1}\n{"n":2}\n{"n"')
        scene.turn_until(lambda: scene.requests)

        assert [{"n": 1}] == scene.requests
        scene.answers[0]({"n": 1})
        client.send(b":3}\n")
        assert [{"n": 1}, {"n": 2}, {"n": 3}] == scene.receive(client, lines=3)


@pytest.mark.parametrize(
    ("line", "error"),
    [(b"nonsense", "not a JSON document"), (b"[1]", "a request is an object"), (b"", "not a JSON document")],
)
def test_what_is_no_request_is_told_so(scene: Scene, line: bytes, error: str) -> None:
    """A mistake is answered, and the conversation goes on."""
    with scene.connect() as client:
        client.send(line + b"\n" + b'{"command":"status"}\n')
        first, second = scene.receive(client, lines=2)

    assert not first["ok"]
    assert error in first["error"]
    assert second["ok"]


def test_a_request_without_end_is_cut_off(scene: Scene) -> None:
    """What is received before a line's end is bounded."""
    with scene.connect() as client:
        client.setblocking(True)
        sent = 0
        while sent <= control._MAX_REQUEST:
            sent += client.send(b"x" * 32768)
            scene.turn()
        scene.turn_until(lambda: not scene.server._clients)

    assert [] == scene.requests


def test_a_client_that_left_hears_nothing(scene: Scene) -> None:
    """An answer for one that is gone is dropped, and answering twice is harmless."""
    scene.respond = lambda _request: None
    with scene.connect() as client:
        client.send(b"{}\n")
        scene.turn_until(lambda: scene.answers)
    scene.turn_until(lambda: not scene.server._clients)
    scene.answers[0]({"ok": True})
    scene.answers[0]({"ok": True})


def test_more_clients_than_allowed_are_turned_away(scene: Scene) -> None:
    """One client too many is closed at once, the others are served."""
    clients = []
    for count in range(control._MAX_CLIENTS):
        clients.append(scene.connect())
        scene.turn_until(lambda n=count: len(scene.server._clients) > n)
    with scene.connect() as extra:
        scene.turn()
        extra.setblocking(True)

        assert b"" == extra.recv(1)
    clients[0].send(b"{}\n")
    assert [{"ok": True, "echo": {}}] == scene.receive(clients[0])
    for client in clients:
        client.close()
    scene.turn_until(lambda: not scene.server._clients)


@pytest.mark.slow
def test_a_client_that_does_not_read_is_dropped(scene: Scene) -> None:
    """An answer that nobody takes costs a second, then the client."""
    scene.respond = lambda _request: {"big": "x" * (4 << 20)}
    with scene.connect() as client:
        client.send(b"{}\n")
        scene.turn_until(lambda: scene.requests and not scene.server._clients)


def test_closing_ends_all_conversations(scene: Scene, poller: Poller, tmp_path: Path) -> None:
    """After close the socket file is gone and clients read the end."""
    server = ControlServer(tmp_path / "other.sock", poller=poller, handler=scene.handle)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(tmp_path / "other.sock"))
        scene.turn_until(lambda: server._clients)
        server.close()

        assert b"" == client.recv(1)
    assert not (tmp_path / "other.sock").exists()


# --- the socket file ---


def test_only_the_owner_may_open_it(scene: Scene) -> None:
    """The mode is 0600 from the first moment; the umask is left as it was."""
    before = os.umask(0o022)
    os.umask(before)

    assert stat.S_ISSOCK(scene.path.stat().st_mode)
    assert 0o600 == stat.S_IMODE(scene.path.stat().st_mode)


def test_a_stale_socket_is_replaced(scene: Scene, poller: Poller, tmp_path: Path) -> None:
    """What a killed server left does not prevent the next start."""
    path = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    ControlServer(path, poller=poller, handler=scene.handle).close()

    assert not path.exists()


def test_a_living_server_keeps_its_socket(scene: Scene, poller: Poller) -> None:
    """A second server at the same path is refused, and the first still answers."""
    with pytest.raises(FileExistsError, match="another server answers at"):
        ControlServer(scene.path, poller=poller, handler=scene.handle)
    with scene.connect() as client:
        client.send(b"{}\n")
        assert [{"ok": True, "echo": {}}] == scene.receive(client)


def test_a_file_that_is_no_socket_is_left_alone(scene: Scene, poller: Poller, tmp_path: Path) -> None:
    """A path written by mistake costs nobody a file."""
    (tmp_path / "precious").write_text("data")

    with pytest.raises(FileExistsError, match="a file that is no socket stands at"):
        ControlServer(tmp_path / "precious", poller=poller, handler=scene.handle)
    assert "data" == (tmp_path / "precious").read_text()


@pytest.mark.timeout(10)
def test_a_server_too_busy_to_answer_keeps_its_socket(scene: Scene, poller: Poller, tmp_path: Path) -> None:
    """One whose queue is full is there, and is not waited for."""
    path = tmp_path / "busy.sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as queued:
        busy.bind(str(path))
        busy.listen(0)
        queued.connect(str(path))

        with pytest.raises(FileExistsError, match="another server answers at"):
            ControlServer(path, poller=poller, handler=scene.handle)


def test_the_socket_of_a_successor_is_not_removed(scene: Scene, poller: Poller, tmp_path: Path) -> None:
    """A server that closes late removes only its own file."""
    path = tmp_path / "control2.sock"
    first = ControlServer(path, poller=poller, handler=scene.handle)
    path.rename(tmp_path / "moved.sock")  # so that its inode is not used again
    second = ControlServer(path, poller=poller, handler=scene.handle)
    first.close()

    assert path.exists()
    second.close()
    assert not path.exists()


# --- the client ---


def test_nobody_listens(tmp_path: Path) -> None:
    """The error names the path and asks whether the server runs."""
    with pytest.raises(ControlError, match=r"none.sock: No such file or directory: is the server running\?"):
        call(tmp_path / "none.sock", {}, 1)


def test_no_answer_in_time(tmp_path: Path) -> None:
    """A server that takes the request and says nothing is a ControlError after the time given."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        with pytest.raises(ControlError, match=r"s: no answer within 0\.01 s"):
            call(tmp_path / "s", {}, 0.01)


def test_a_server_that_hangs_up(scene: Scene) -> None:
    """The end of the connection before an answer is a ControlError."""
    scene.respond = lambda _request: (
        [client.close() for client in list(scene.server._clients.values())] and None
    )
    caller = calling(scene.path, {}, 5)
    scene.turn_until(lambda: scene.requests)

    assert 9 == status_of(caller)
