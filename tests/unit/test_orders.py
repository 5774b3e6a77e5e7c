"""What an operator may ask: over a real tree of commands, with a Listener that is only spoken to."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rocket_sup import scoreboard as board
from rocket_sup.channel import Message
from rocket_sup.config import ChildConfig, Config
from rocket_sup.config_load import Inputs
from rocket_sup.heldsockets import HeldSockets
from rocket_sup.ops.control import Document
from rocket_sup.ops.systemd import Notifier
from rocket_sup.orders import Orders
from rocket_sup.policy import Policy
from rocket_sup.poller import Poller
from rocket_sup.process import Process, fork
from rocket_sup.scoreboard import Scoreboard
from rocket_sup.shell import ProcessTree
from rocket_sup.sidecar import Sidecars, spec_of
from rocket_sup.spec import ChildSpec, ExitReason, SupervisorFlags
from tests.unit.conftest import Journal

TurnUntil = Callable[[Callable[[], object]], None]
BASE = """
[server]
handler = "app:app"
num_acceptors = 2
max_connections = 100
"""
QUEUE = """
[[children]]
name = "queue"
command = ["sleep", "60"]
"""
CRON = """
[[children]]
name = "cron"
command = ["sleep", "61"]
"""


class Supervisor:
    """The owner of the orders: its commands are real, its Listener is a process that only waits."""

    def __init__(self, directory: Path, poller: Poller, journal: Journal) -> None:
        self.file = directory / "rocket.toml"
        self.file.write_text(BASE + QUEUE)
        self.inputs = Inputs(self.file, {}, {})
        self.config: Config = self.inputs.load().config
        self.generation = 1
        self.acceptors = 2
        self.log = journal.log
        self.notifier = Notifier(None)
        self.held = HeldSockets(self.config, [], self.notifier)
        self.scoreboard = Scoreboard(8, max_connections=100)
        self.started_at = time.monotonic()
        self.listener_state: Message = {}
        self.is_up = True
        self.is_stopping = False
        self.is_listener_there = True
        self.commands: dict[str, ChildConfig] = {child.name: child for child in self.config.children}
        self.told: list[dict[str, Any]] = []
        self.sidecars = Sidecars(poller, lambda _child_id: None)
        specs = [ChildSpec("listener"), *(spec_of(c, self.config.supervisor) for c in self.config.children)]
        self.tree = ProcessTree(
            Policy(SupervisorFlags(), specs),
            self,
            poller=poller,
            log=self.log,
            on_reply=lambda token, result: self.orders.on_policy_reply(token, result),
            on_orphan=lambda _pid: None,
        )
        self.orders = Orders(self)
        self.tree.perform(self.tree.policy.boot(time.monotonic()))

    def launch(self, child_id: str) -> Process:
        if child_id != "listener":
            return self.sidecars.launch(self.commands[child_id])
        process = fork(lambda: signal.pause() or 0, keep=(), name="listener")
        process.is_ready_at_once = True
        return process

    def on_message(self, child_id: str, message: Message, fds: list[int]) -> None:
        raise AssertionError("nobody has a channel")

    def on_gone(self, child_id: str, process: Process, reason: ExitReason) -> None:
        self.sidecars.forget(child_id)

    def ask_to_stop(self, child_id: str, process: Process) -> None:
        process.signal(signal.SIGTERM)

    def tell_listener(self, kind: str, **fields: Any) -> bool:
        if self.is_listener_there:
            self.told.append({"kind": kind, **fields})
        return self.is_listener_there

    def stop(self, *, why: str) -> None:
        self.is_stopping = True
        self.tree.perform(self.tree.policy.stop(time.monotonic()))

    def answer(self, **fields: Any) -> None:
        """Be the Listener, and answer the last order."""
        self.orders.on_listener_answer({"type": "answer", "token": self.told[-1]["token"], **fields})

    def pids(self) -> dict[str, int]:
        return {child_id: process.pid for child_id, process in self.tree.running.items()}


class Operator:
    """Who asks, and the answers."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.answers: list[Document] = []

    def ask(self, command: str, **fields: Any) -> Document | None:
        """Make a request; the answer, when it came at once."""
        before = len(self.answers)
        self.supervisor.orders.handle({"command": command, **fields}, self.answers.append)
        return self.answers[-1] if len(self.answers) > before else None


@pytest.fixture
def supervisor(
    tmp_path: Path, poller: Poller, journal: Journal, turn_until: TurnUntil
) -> Iterator[Supervisor]:
    """A tree of a Listener and one command, up; all of it is ended after the test."""
    supervisor = Supervisor(tmp_path, poller, journal)
    yield supervisor
    if not supervisor.is_stopping:
        supervisor.stop(why="test")
    turn_until(lambda: supervisor.tree.finished)
    for bell in supervisor.scoreboard.doorbells:
        os.close(bell)


@pytest.fixture
def operator(supervisor: Supervisor) -> Operator:
    """Somebody at the control socket."""
    return Operator(supervisor)


def refused(error: str) -> Document:
    """The answer that says no."""
    return {"ok": False, "error": error}


# --- requests ---


@pytest.mark.parametrize(
    ("request_fields", "error"),
    [
        ({"command": "dance"}, "unknown command 'dance'; known: status, reload, scale, max_connections, "
                               "restart, drain, reopen_logs, children"),
        ({}, "unknown command None; known: status, reload, scale, max_connections, restart, drain, "
             "reopen_logs, children"),
        ({"command": "scale"}, "acceptors: an integer is needed, None was given"),
        ({"command": "scale", "acceptors": True}, "acceptors: an integer is needed, True was given"),
        ({"command": "scale", "acceptors": 0}, "0 acceptors asked for, 1 to 4 allowed"),
        ({"command": "scale", "acceptors": 5}, "5 acceptors asked for, 1 to 4 allowed"),
        ({"command": "max_connections", "limit": 0}, "max_connections 0, 1 or more allowed"),
        ({"command": "restart"}, "id: a text is needed, None was given"),
        ({"command": "restart", "id": "listener"},
         "the listener is restarted by `reload`, which drops nothing"),
        ({"command": "restart", "id": "nobody"}, "not_found"),
        ({"command": "children", "action": "terminate", "id": "listener"},
         "the listener belongs to the tree: it can be reloaded, not terminated"),
        ({"command": "children", "action": "dance", "id": "queue"},
         "unknown action 'dance'; known: list, start, terminate, restart, delete"),
        ({"command": "children", "action": "terminate"}, "id: a text is needed, None was given"),
        ({"command": "children", "action": "delete", "id": "queue"}, "running"),
    ],
)  # fmt: skip
def test_requests_that_are_refused(
    operator: Operator, supervisor: Supervisor, request_fields: Document, error: str
) -> None:
    """Each mistake is answered at once with what was found and what is allowed; nothing is changed."""
    pids = supervisor.pids()
    supervisor.orders.handle(request_fields, operator.answers.append)

    assert [refused(error)] == operator.answers
    assert pids == supervisor.pids()
    assert [] == supervisor.told


def test_status_describes_the_tree(operator: Operator, supervisor: Supervisor) -> None:
    """One document with all parts."""
    answer = operator.ask("status")
    assert answer is not None

    assert answer["ok"]
    assert (os.getpid(), "running", 1) == tuple(
        answer["supervisor"][key] for key in ("pid", "state", "generation")
    )
    assert (supervisor.pids()["listener"], "starting", 2) == tuple(
        answer["listener"][key] for key in ("pid", "state", "acceptors")
    )
    assert ["listener", "queue"] == [child["id"] for child in answer["children"]]
    assert {"now": 0, "max": 100, "peak": 0, "waiting": 0} == answer["connections"]
    assert [] == answer["acceptors"]


@pytest.mark.parametrize(
    ("is_up", "is_stopping", "expected"), [(False, False, "starting"), (True, True, "stopping")]
)
def test_the_state_of_the_tree(
    operator: Operator, supervisor: Supervisor, is_up: bool, is_stopping: bool, expected: str
) -> None:
    """A tree is starting until it is up, and stopping once it was told to."""
    supervisor.is_up = is_up
    if is_stopping:
        supervisor.stop(why="test")
    answer = operator.ask("status")
    assert answer is not None

    assert expected == answer["supervisor"]["state"]


# --- acceptors ---


def test_scaling_is_the_listeners_work(operator: Operator, supervisor: Supervisor) -> None:
    """The answer is the Listener's, and the new number counts from then on."""
    assert operator.ask("scale", acceptors=3) is None
    assert [{"kind": "scale", "token": 1, "acceptors": 3}] == supervisor.told
    assert 2 == supervisor.acceptors
    supervisor.answer(ok=True, acceptors=3, was=2)

    assert [{"ok": True, "acceptors": 3, "was": 2}] == operator.answers
    assert 3 == supervisor.acceptors


def test_scaling_that_fails_changes_nothing(operator: Operator, supervisor: Supervisor) -> None:
    """An error of the Listener is passed on."""
    operator.ask("scale", acceptors=3)
    supervisor.answer(ok=False, error="no more sockets")

    assert [refused("no more sockets")] == operator.answers
    assert 2 == supervisor.acceptors


def test_restarting_an_acceptor_is_the_listeners_work(operator: Operator, supervisor: Supervisor) -> None:
    """The order is passed on under a token."""
    operator.ask("restart", id="acceptor-2")

    assert [{"kind": "restart", "token": 1, "id": "acceptor-2"}] == supervisor.told


def test_without_a_listener_orders_are_refused(operator: Operator, supervisor: Supervisor) -> None:
    """While the Listener is being restarted, an order that needs it is answered at once."""
    supervisor.is_listener_there = False

    assert refused("the listener is restarting; try again") == operator.ask("scale", acceptors=3)
    assert refused("the listener is restarting; try again") == operator.ask("reload")
    supervisor.is_listener_there = True
    assert operator.ask("reload") is None, "the refused reload is still under way"


def test_all_who_wait_are_told_when_the_listener_dies(operator: Operator, supervisor: Supervisor) -> None:
    """Nobody waits for an answer that will not come."""
    operator.ask("scale", acceptors=3)
    operator.ask("reload")
    supervisor.orders.on_listener_gone()
    supervisor.orders.on_listener_gone()

    assert [refused("the listener died on the way; what it did so far stands")] * 2 == operator.answers
    assert operator.ask("reload") is None


def test_the_limit_is_changed_at_once(operator: Operator, supervisor: Supervisor) -> None:
    """The new limit stands in the scoreboard, and whoever waits for a place is woken."""
    slot = supervisor.scoreboard.allocate(number=1, generation=1)
    assert slot is not None
    slot.write(board.WAITING, 1)

    assert {"ok": True, "max_connections": 7, "was": 100} == operator.ask("max_connections", limit=7)
    assert 7 == supervisor.scoreboard.max_connections
    assert 1 == os.eventfd_read(supervisor.scoreboard.doorbells[slot.index])
    slot.clear()


def test_draining_stops_the_tree(operator: Operator, supervisor: Supervisor) -> None:
    """The answer comes at once, with how long it may take."""
    assert {"ok": True, "pid": os.getpid(), "drain_s": 30.0} == operator.ask("drain")
    assert supervisor.is_stopping


def test_logs_are_opened_again(operator: Operator, supervisor: Supervisor, journal: Journal) -> None:
    """Ours after a rotation, and the Listener is told."""
    journal.path.rename(journal.path.with_suffix(".1"))

    assert {"ok": True} == operator.ask("reopen_logs")
    supervisor.log.info("afterwards")
    assert ["afterwards"] == journal.names()
    assert [{"kind": "reopen_logs"}] == supervisor.told


# --- reload ---


def test_a_wrong_configuration_changes_nothing(operator: Operator, supervisor: Supervisor) -> None:
    """The report has every problem, and the Listener hears nothing."""
    supervisor.file.write_text(BASE + 'port = "x"\n')
    answer = operator.ask("reload")
    assert answer is not None

    assert "the configuration is wrong; nothing was changed" == answer["error"]
    assert "server.port" in answer["report"]
    assert [] == supervisor.told


def test_a_reload_brings_the_new_configuration(operator: Operator, supervisor: Supervisor) -> None:
    """Once the Listener's acceptors run on it, it is the Supervisor's too; what is fixed is named."""
    supervisor.file.write_text(BASE.replace("100", "50") + "backlog = 7\n" + QUEUE)
    operator.ask("reload")

    assert ("reload", 2) == (supervisor.told[0]["kind"], supervisor.told[0]["generation"])
    assert 7 == supervisor.told[0]["config"]["server"]["backlog"]
    assert 1 == supervisor.generation
    assert refused("a reload is under way") == operator.ask("reload")
    supervisor.answer(ok=True, replaced=[1, 2], generation=2)
    assert {"ok": True, "replaced": [1, 2], "generation": 2, "needs_restart": ["server.backlog"]} == (
        operator.answers[-1]
    )
    assert (2, 50) == (supervisor.generation, supervisor.scoreboard.max_connections)
    assert operator.ask("reload") is None


def test_a_reload_that_does_not_start_keeps_the_old(operator: Operator, supervisor: Supervisor) -> None:
    """The old configuration and generation stay."""
    supervisor.file.write_text(BASE.replace("100", "50") + CRON)
    operator.ask("reload")
    before = supervisor.pids()
    supervisor.answer(ok=False, error="the new code did not start", report="SyntaxError")

    assert {"ok": False, "error": "the new code did not start", "report": "SyntaxError"} == operator.answers[
        -1
    ]
    assert (1, 100, before) == (
        supervisor.generation, supervisor.scoreboard.max_connections, supervisor.pids(),
    )  # fmt: skip


def test_a_reload_scales(operator: Operator, supervisor: Supervisor) -> None:
    """Another number of acceptors in the configuration is an order of its own to the Listener."""
    supervisor.file.write_text(BASE.replace("num_acceptors = 2", "num_acceptors = 4") + QUEUE)
    operator.ask("reload")
    supervisor.answer(ok=True)

    assert [("reload", None), ("scale", 4)] == [(t["kind"], t.get("acceptors")) for t in supervisor.told]


def test_a_reload_changes_commands(operator: Operator, supervisor: Supervisor, turn_until: TurnUntil) -> None:
    """A command that is gone is stopped and forgotten, a new one is started, others are left alone."""
    supervisor.file.write_text(BASE + QUEUE + CRON)
    operator.ask("reload")
    before = supervisor.pids()
    supervisor.answer(ok=True)

    assert before | {"cron": supervisor.pids()["cron"]} == supervisor.pids()
    supervisor.file.write_text(BASE + CRON)
    operator.ask("reload")
    supervisor.answer(ok=True)
    turn_until(lambda: "queue" not in supervisor.pids())
    assert ["listener", "cron"] == [child.id for child in supervisor.tree.policy.which_children()]


def test_a_changed_command_is_replaced(
    operator: Operator, supervisor: Supervisor, turn_until: TurnUntil
) -> None:
    """The old process is ended before the new command is started."""
    supervisor.file.write_text(BASE + QUEUE.replace("60", "62"))
    before = supervisor.pids()["queue"]
    operator.ask("reload")
    supervisor.answer(ok=True)
    turn_until(lambda: supervisor.pids().get("queue", before) != before)
    deadline = time.monotonic() + 5
    cmdline = Path(f"/proc/{supervisor.pids()['queue']}/cmdline")
    while b"62" not in cmdline.read_bytes() and time.monotonic() < deadline:
        os.sched_yield()

    assert b"sleep\x0062\x00" == cmdline.read_bytes()


def test_a_command_that_does_not_suit_the_tree_is_refused(
    operator: Operator, supervisor: Supervisor, journal: Journal
) -> None:
    """`auto_shutdown` is fixed at the start: a command that needs another is told of, not started."""
    significant = CRON + 'restart = "temporary"\nsignificant = true\n'
    supervisor.file.write_text(
        BASE + '[supervisor]\nauto_shutdown = "any_significant"\n' + QUEUE + significant
    )
    operator.ask("reload")
    supervisor.answer(ok=True)

    assert ["supervisor.auto_shutdown"] == operator.answers[-1]["needs_restart"]
    assert "cron" not in supervisor.pids()
    assert "child_refused" in journal.names()


# --- children ---


def test_children_are_listed(operator: Operator) -> None:
    """All of them, with their counts."""
    answer = operator.ask("children")
    assert answer is not None

    assert ["listener", "queue"] == [child["id"] for child in answer["children"]]
    assert {"specs": 2, "active": 2, "supervisors": 0, "workers": 2} == answer["count"]


def test_a_command_is_terminated_started_and_deleted(
    operator: Operator, supervisor: Supervisor, turn_until: TurnUntil
) -> None:
    """OTP's calls, each answered when it is done."""

    def ask(action: str) -> Document:
        before = len(operator.answers)
        operator.ask("children", action=action, id="queue")
        turn_until(lambda: len(operator.answers) > before)
        return operator.answers[-1]

    assert {"ok": True, "result": "ok"} == ask("terminate")
    assert "queue" not in supervisor.pids()
    assert {"ok": True, "result": "ok"} == ask("start")
    assert "queue" in supervisor.pids()
    assert refused("running") == ask("restart")
    assert {"ok": True, "result": "ok"} == ask("terminate")
    assert {"ok": True, "result": "ok"} == ask("delete")
    assert refused("not_found") == ask("start")


def test_a_command_is_restarted(operator: Operator, supervisor: Supervisor, turn_until: TurnUntil) -> None:
    """It is ended, started, and the answer comes when it runs again."""
    before = supervisor.pids()["queue"]
    assert operator.ask("restart", id="queue") is None
    turn_until(lambda: operator.answers)

    assert [{"ok": True, "result": "ok"}] == operator.answers
    assert before != supervisor.pids()["queue"]


def test_replies_to_nobody_are_dropped(supervisor: Supervisor) -> None:
    """Calls that nobody waits for have no token."""
    supervisor.orders.on_policy_reply(None, "ok")


def test_answers_to_signals_go_into_the_log(supervisor: Supervisor, journal: Journal) -> None:
    """An order that came by signal is answered in the log."""
    supervisor.orders.log_answer({"ok": True, "acceptors": 3})
    supervisor.orders.log_answer({"ok": False, "error": "no"})
    events = [event for event in journal.events() if event["event"].startswith("order_")]

    assert [("order_done", 3, None), ("order_failed", None, "no")] == [
        (event["event"], event.get("acceptors"), event.get("error")) for event in events
    ]
