"""`--reload`, for development: run the server as a child and have it reload when the source changes.

This process watches; the server is a process of its own, started with the same arguments. A change is a
SIGHUP to it: the tree then brings up new acceptors before the old ones leave, as in production, so that a
broken edit keeps the last good code serving. A server that ended by itself (a syntax error at its first
start) is started again at the next change.

Until a server answers on its control socket it may not hear SIGHUP yet, so that it is replaced rather than
told.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from rocket_sup.config import Config
from rocket_sup.config_load import Inputs
from rocket_sup.control_path import control_path, default_directory
from rocket_sup.errors import RocketError
from rocket_sup.ops.control import ControlError, call

_POLL_MS: Final = 100  # how late a signal, or the end of the server, is noticed
_NO_WATCHER = "--reload needs watchfiles, which is not installed: pip install 'rocket-sup[reload]'"


class ReloaderError(RocketError):
    """Watching is not possible."""


def serve_and_reload(inputs: Inputs, arguments: Sequence[str]) -> int:
    """Serve until stopped, reloading when a `*.py` file below `server.app_dir`, or the configuration changes.

    Args:
        inputs: of the configuration, to know what to watch.
        arguments: of the command line, without `--reload`.

    Returns:
        The exit status of the server.

    Raises:
        ReloaderError: watchfiles is not installed.
        ConfigError: the configuration is wrong at the start.
    """
    try:
        watchfiles = importlib.import_module("watchfiles")
    except ImportError:
        raise ReloaderError(_NO_WATCHER) from None
    config = inputs.load().config
    command = [sys.executable, "-m", "rocket_sup", *arguments]
    return Reloader(command, config, inputs, watchfiles, say=_say).run()


class Reloader:
    """Watches the source and keeps one server running.

    Args:
        command: what runs the server.
        config: its configuration.
        inputs: with its file, which is watched too.
        watchfiles: the module.
        say: tells the developer what happens, one line.
    """

    def __init__(
        self,
        command: Sequence[str],
        config: Config,
        inputs: Inputs,
        watchfiles: Any,  # a module has no type of its own
        *,
        say: Callable[[str], None],
    ) -> None:
        self._command = command
        self._config = config
        self._file = None if inputs.path is None else os.path.realpath(inputs.path)
        self._directory = os.path.realpath(config.server.app_dir)
        self._watchfiles = watchfiles
        self._say = say
        self._server: subprocess.Popen[bytes] | None = None
        self._stop_signals: list[int] = []  # in the order they came; the loop passes them on
        self._is_stopping = False
        self._is_replacing = False

    def run(self) -> int:
        """Run until a signal, or until the server ended well."""
        with _handling_stop_signals(self._stop_signals.append), closing(self._changes()) as watch:
            next(watch)  # only now it watches: no edit after the start is missed
            self._start()
            while True:
                changes = next(watch)
                self._pass_signals_on()
                if changes and not self._is_stopping:
                    self._on_change(changes)
                if self._server is not None and self._server.poll() is not None:
                    status = self._on_server_ended(self._server.returncode)
                    if status is not None:
                        return status
                if self._server is None and self._is_stopping:
                    return 0

    def _changes(self) -> Generator[list[str], None, None]:
        """Yield the paths that changed, or nothing now and then."""
        places = {self._directory} | ({os.path.dirname(self._file)} if self._file else set())
        watch = self._watchfiles.watch(
            *sorted(places),
            watch_filter=lambda _, path: self._is_source(path),
            rust_timeout=_POLL_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
        )
        for changes in watch:
            yield sorted({path for _, path in changes})

    def _is_source(self, path: str) -> bool:
        if os.path.realpath(path) == self._file:
            return True
        parts = Path(path).parts
        return path.endswith(".py") and not any(
            part in _NOT_SOURCE or part.startswith(".") for part in parts[1:]
        )

    def _on_change(self, paths: Iterable[str]) -> None:
        self._say(f"changed: {', '.join(os.path.relpath(path, self._directory) for path in paths)}")
        if self._server is None:
            self._start()
        elif self._hears_signals(self._server.pid):
            self._server.send_signal(signal.SIGHUP)
        else:
            self._is_replacing = True
            self._server.terminate()

    def _on_server_ended(self, status: int) -> int | None:
        """Return the status to end with, or None to go on."""
        self._server = None
        if self._is_stopping:
            return status
        if self._is_replacing:
            self._is_replacing = False
            self._start()
        elif status == 0:
            return status
        else:
            self._say(f"the server ended with status {status}; waiting for a change")
        return None

    def _pass_signals_on(self) -> None:
        while self._stop_signals:
            signum = self._stop_signals.pop(0)
            self._is_stopping = True
            if self._server is not None:
                self._server.send_signal(signal.SIGTERM if signum == signal.SIGHUP else signum)

    def _start(self) -> None:
        # SIGHUP would end a server that has no handler for it yet; what is ignored stays so across exec.
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            # Its own process group: Ctrl-C reaches this process alone, which passes it on once.
            self._server = subprocess.Popen(self._command, process_group=0)  # noqa: S603 - our own command line
        finally:
            signal.signal(signal.SIGHUP, before)

    def _hears_signals(self, pid: int) -> bool:
        path = control_path(self._config, os.environ)
        if path.name.startswith("pid-"):
            path = default_directory(os.environ) / f"pid-{pid}.sock"
        try:
            answer = call(path, {"command": "status"}, 2.0)
        except ControlError:
            return False
        supervisor = answer.get("supervisor", {})
        return bool(supervisor.get("pid") == pid and supervisor.get("state", "running") == "running")


_NOT_SOURCE = frozenset({"__pycache__", "node_modules", "site-packages"})


@contextmanager
def _handling_stop_signals(note: Callable[[int], None]) -> Iterator[None]:
    stop_signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP: the terminal was closed
    before = {signum: signal.signal(signum, lambda number, _: note(number)) for signum in stop_signals}
    try:
        yield
    finally:
        for signum, previous in before.items():
            signal.signal(signum, previous)


def _say(text: str) -> None:
    sys.stderr.write(f"rocket-sup --reload: {text}\n")
    sys.stderr.flush()
