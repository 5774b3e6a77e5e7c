"""What an operator may ask of a running tree, by control socket or by signal.

An order is answered when its work is done: a reload when the last new acceptor is ready, or the first has
failed. Orders that the Listener carries out are answered by it, under a token. Only the Supervisor's own
state is touched here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Protocol

from rocket_sup import __version__, status
from rocket_sup.actions import Answer as PolicyAnswer
from rocket_sup.channel import Message
from rocket_sup.config import ChildConfig, Config, to_document
from rocket_sup.config_load import Inputs
from rocket_sup.errors import ConfigError, SupervisionError
from rocket_sup.heldsockets import HeldSockets
from rocket_sup.log import EventLog
from rocket_sup.ops.control import Answer, Document
from rocket_sup.ops.systemd import Notifier
from rocket_sup.scoreboard import Scoreboard
from rocket_sup.shell import ProcessTree
from rocket_sup.sidecar import spec_of

_LISTENER = "listener"
# Read once, when the tree starts; a reload that changes one of them says so and goes on.
_FIXED = (
    ("server", ("host", "port", "bind", "unix_mode", "backlog")),
    ("supervisor", ("strategy", "max_restarts", "max_seconds", "auto_shutdown", "backoff")),
    ("control", ("enabled", "socket")),
    ("log", ("level", "format", "file")),
)


class Owner(Protocol):
    """The Supervisor, as far as orders look at it and change it."""

    config: Config
    inputs: Inputs
    generation: int
    acceptors: int
    log: EventLog
    notifier: Notifier
    held: HeldSockets
    scoreboard: Scoreboard
    started_at: float
    listener_state: Message
    is_up: bool
    is_stopping: bool
    commands: dict[str, ChildConfig]
    tree: ProcessTree

    def tell_listener(self, kind: str, **fields: Any) -> bool:
        """Send the Listener an order; False when there is no Listener to hear it."""

    def stop(self, *, why: str) -> None:
        """Begin to end the tree."""


class Orders:
    """The orders of one Supervisor."""

    def __init__(self, supervisor: Owner) -> None:
        self._supervisor = supervisor
        self._first_config = supervisor.config
        self.rates = status.Rates(supervisor.scoreboard)
        self._waiting: dict[int, tuple[Answer, Callable[[Message], None] | None]] = {}
        self._tokens = 0
        self._is_reloading = False

    def handle(self, request: Document, answer: Answer) -> None:
        """Carry out one request of the control socket."""
        command = request.get("command")
        try:
            if command == "status":
                answer({"ok": True, **self.describe()})
            elif command == "reload":
                self.reload(answer)
            elif command == "scale":
                self.scale(_integer(request, "acceptors"), answer)
            elif command == "max_connections":
                self._limit(_integer(request, "limit"), answer)
            elif command == "restart":
                self._restart(_text(request, "id"), answer)
            elif command == "drain":
                self._drain(answer)
            elif command == "reopen_logs":
                self.reopen_logs()
                answer({"ok": True})
            elif command == "children":
                self._children(request, answer)
            else:
                answer({"ok": False, "error": f"unknown command {command!r}; known: {', '.join(_COMMANDS)}"})
        except ValueError as error:
            answer({"ok": False, "error": str(error)})

    def log_answer(self, document: Document) -> None:
        """Answer an order that came by signal: into the log."""
        fields = {key: value for key, value in document.items() if key not in ("ok", "report")}
        if document["ok"]:
            self._supervisor.log.info("order_done", **fields)
        else:
            self._supervisor.log.error("order_failed", **fields)  # its report was logged where it arose

    def describe(self) -> Document:
        """Describe the whole tree."""
        owner = self._supervisor
        board, state = owner.scoreboard, owner.listener_state
        process = owner.tree.running.get(_LISTENER)
        binds = owner.held.describe()
        return {
            "version": __version__,
            "supervisor": {
                "pid": os.getpid(),
                "uptime_s": round(time.monotonic() - owner.started_at, 1),
                "generation": owner.generation,
                "state": "stopping" if owner.is_stopping else "running" if owner.is_up else "starting",
            },
            "listener": {
                "pid": process.pid if process is not None else None,
                "state": state.get("state", "starting") if process is not None else "restarting",
                "binds": [bind["address"] for bind in binds],
                "sockets": binds,
                "steering": "cbpf" if any(bind["steering"] == "cbpf" for bind in binds) else "shared",
                "steered": state.get("steered", []),
                "acceptors": owner.acceptors,
            },
            "engines": status.engines(state),
            "acceptors": status.acceptors(board, state, self.rates),
            "connections": status.connections(board),
            "totals": status.totals(board),
            "children": status.children(owner.tree.policy.which_children()),
        }

    # --- reload ---

    def reload(self, answer: Answer) -> None:
        """Read the configuration again and replace the acceptors one by one, each once its successor is
        ready."""
        owner = self._supervisor
        if self._is_reloading or owner.is_stopping:
            answer({"ok": False, "error": "stopping" if owner.is_stopping else "a reload is under way"})
            return
        owner.notifier.reloading(
            "reloading"
        )  # the service manager waits for READY after this, whatever comes
        try:
            config = owner.inputs.load().config
        except ConfigError as error:
            owner.notifier.ready("serving: the new configuration is wrong")
            owner.log.error("configuration_refused", report=str(error))
            answer(
                {
                    "ok": False,
                    "error": "the configuration is wrong; nothing was changed",
                    "report": str(error),
                }
            )
            return
        self._is_reloading = True
        generation = owner.generation + 1

        def finish(outcome: Message) -> None:
            self._is_reloading = False
            owner.notifier.ready(
                "serving" if outcome["ok"] else "serving the old code: the new did not start"
            )
            if outcome["ok"]:
                self._adopt_config(config, generation)
                outcome["needs_restart"] = _fixed_changes(self._first_config, config)

        self._ask_listener("reload", answer, finish, config=to_document(config), generation=generation)

    def _adopt_config(self, config: Config, generation: int) -> None:
        owner = self._supervisor
        before, owner.config, owner.generation = owner.config, config, generation
        owner.scoreboard.max_connections = config.server.max_connections
        if config.server.num_acceptors not in (0, before.server.num_acceptors):
            self.scale(config.server.num_acceptors, self.log_answer)
        self._change_children(before, config)

    def _change_children(self, before: Config, after: Config) -> None:
        """Stop commands that are gone from the configuration, start new ones, restart changed ones."""
        owner = self._supervisor
        old = {child.name: child for child in before.children}
        new = {child.name: child for child in after.children}
        for name in old:
            if new.get(name) != old[name]:
                self._policy("terminate_child", name, ("replace", name))
        for name, child in new.items():
            owner.commands[name] = child
            if name not in old:
                self._policy("start_child", spec_of(child, after.supervisor), None)

    # --- acceptors ---

    def scale(self, acceptors: int, answer: Answer) -> None:
        """Have this many acceptors."""
        owner = self._supervisor
        most = owner.scoreboard.capacity // 2
        if not 1 <= acceptors <= most:
            answer({"ok": False, "error": f"{acceptors} acceptors asked for, 1 to {most} allowed"})
            return

        def finish(outcome: Message) -> None:
            if outcome["ok"]:
                owner.acceptors = acceptors

        self._ask_listener("scale", answer, finish, acceptors=acceptors)

    def _limit(self, limit: int, answer: Answer) -> None:
        if limit < 1:
            answer({"ok": False, "error": f"max_connections {limit}, 1 or more allowed"})
            return
        board = self._supervisor.scoreboard
        before, board.max_connections = board.max_connections, limit
        for index in board.waiting():
            board.ring(index)
        answer({"ok": True, "max_connections": limit, "was": before})

    def _restart(self, child_id: str, answer: Answer) -> None:
        if child_id == _LISTENER:
            answer({"ok": False, "error": "the listener is restarted by `reload`, which drops nothing"})
        elif child_id.startswith("acceptor-"):
            self._ask_listener("restart", answer, None, id=child_id)
        else:
            self._policy("terminate_child", child_id, ("restart", answer, child_id))

    def _drain(self, answer: Answer) -> None:
        self._supervisor.stop(why="drain asked for")
        answer({"ok": True, "pid": os.getpid(), "drain_s": self._supervisor.config.timeouts.drain})

    def reopen_logs(self) -> None:
        """Open log files again, in every process, after they were rotated."""
        self._supervisor.log.reopen()
        self._supervisor.tell_listener("reopen_logs")

    # --- children ---

    def _children(self, request: Document, answer: Answer) -> None:
        action = request.get("action", "list")
        owner = self._supervisor
        if action == "list":
            count = owner.tree.policy.count_children()
            answer({
                "ok": True,
                "children": status.children(owner.tree.policy.which_children()),
                "count": {"specs": count.specs, "active": count.active, "supervisors": count.supervisors,
                          "workers": count.workers},
            })  # fmt: skip
            return
        child_id = _text(request, "id")
        if child_id == _LISTENER:
            raise ValueError("the listener belongs to the tree: it can be reloaded, not terminated")
        if action == "start":
            action = "restart"  # the specification is in the configuration: starting is OTP's restart_child
        if action not in ("restart", "terminate", "delete"):
            raise ValueError(f"unknown action {action!r}; known: list, start, terminate, restart, delete")
        self._policy(f"{action}_child", child_id, ("answer", answer, action))

    def _policy(self, call: str, argument: Any, token: object) -> None:
        policy = self._supervisor.tree.policy
        try:
            actions = getattr(policy, call)(argument, time.monotonic(), token=token)
        except SupervisionError as error:  # `auto_shutdown` is fixed, and a reload brought a child it forbids
            self._supervisor.log.error("child_refused", report=str(error))
            return
        self._supervisor.tree.perform(actions)

    def on_policy_reply(self, token: object, result: str) -> None:
        """Hear how a call to the supervision machine ended."""
        if not isinstance(token, tuple):
            return
        if token[0] == "answer":
            token[1](_outcome(result))
        elif token[0] == "restart":
            _, answer, child_id = token
            if result == PolicyAnswer.OK:
                self._policy("restart_child", child_id, ("answer", answer, "restart"))
            else:
                answer(_outcome(result))
        elif token[0] == "replace":
            self._policy("delete_child", token[1], None)
            child = {c.name: c for c in self._supervisor.config.children}.get(token[1])
            if child is not None:
                self._policy("start_child", spec_of(child, self._supervisor.config.supervisor), None)

    # --- the Listener's part ---

    def _ask_listener(
        self, kind: str, answer: Answer, finish: Callable[[Message], None] | None, **fields: Any
    ) -> None:
        self._tokens += 1
        self._waiting[self._tokens] = (answer, finish)
        error = "the listener is restarting; try again"
        try:
            is_told = self._supervisor.tell_listener(kind, token=self._tokens, **fields)
        except ValueError as too_large:
            is_told, error = False, str(too_large)
        if not is_told:
            self.on_listener_answer({"token": self._tokens, "ok": False, "error": error})

    def on_listener_answer(self, message: Message) -> None:
        """Pass an answer on to whoever asked."""
        answer, finish = self._waiting.pop(message["token"])
        if finish is not None:
            finish(message)
        answer({key: value for key, value in message.items() if key not in ("token", "type")})

    def on_listener_gone(self) -> None:
        """Tell all who wait that nobody will answer them."""
        for token in list(self._waiting):
            self.on_listener_answer(
                {
                    "token": token,
                    "ok": False,
                    "error": "the listener died on the way; what it did so far stands",
                }
            )


_COMMANDS = ("status", "reload", "scale", "max_connections", "restart", "drain", "reopen_logs", "children")


def _outcome(result: str) -> Document:
    return (
        {"ok": True, "result": str(result)}
        if result == PolicyAnswer.OK
        else {"ok": False, "error": str(result)}
    )


def _fixed_changes(before: Config, after: Config) -> list[str]:
    return [
        f"{section}.{key}"
        for section, keys in _FIXED
        for key in keys
        if getattr(getattr(before, section), key) != getattr(getattr(after, section), key)
    ]


def _integer(request: Document, key: str) -> int:
    value = request.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{key}: an integer is needed, {value!r} was given")
    return value


def _text(request: Document, key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key}: a text is needed, {value!r} was given")
    return value
