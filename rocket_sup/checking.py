"""`rocket-sup check`: import the application the way an acceptor would, in a process of its own.

A process of its own, because an import may start threads, open sockets, never return or end the interpreter;
none of that may happen to whoever asked. The child writes the report itself and tells the rest by its exit
status.
"""

from __future__ import annotations

import os
import signal
import sys

from rocket_sup.binds import binds_of
from rocket_sup.config import Config
from rocket_sup.config_load import Loaded
from rocket_sup.errors import ApplicationError
from rocket_sup.processors import effective_processors

_IMPORTED = 0
_REFUSED = 3


def check(loaded: Loaded) -> str:
    """Import the application of a configuration that was already checked.

    Returns:
        One line to print: "OK: ..." with what would be served.

    Raises:
        ApplicationError: it cannot be imported; the child has already written the traceback.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _import_and_leave(loaded.config)
    _, status = os.waitpid(pid, 0)
    _raise_for(status, loaded.config)
    return _summary(loaded)


def _import_and_leave(config: Config) -> None:
    # Not above: whoever asks may be about to become the Supervisor, which loads no wire.
    from rocket_sup.application import load_configured

    status = _REFUSED
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, config.acceptor.boot)  # 0 is no deadline, here and there
        load_configured(config)
        status = _IMPORTED
    except ApplicationError as error:
        sys.stderr.write("".join(f"{text.rstrip()}\n" for text in (error.report, str(error)) if text))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _raise_for(status: int, config: Config) -> None:
    code = os.waitstatus_to_exitcode(status)
    handler = config.files.directory or config.server.handler
    if code == -signal.SIGALRM:
        raise ApplicationError(f"{handler} was not imported within acceptor.boot, {config.acceptor.boot:g} s")
    if code < 0:
        raise ApplicationError(f"{handler}: {signal.Signals(-code).name} ended the process that imported it")
    if code != _IMPORTED:
        raise ApplicationError(f"{handler} cannot be served")


def _summary(loaded: Loaded) -> str:
    config = loaded.config
    where = ", ".join(str(bind) for bind in binds_of(config))
    acceptors = config.server.num_acceptors or effective_processors()
    source = f"{loaded.path}: " if loaded.path else ""
    children = f", children: {', '.join(child.name for child in config.children)}" if config.children else ""
    served = config.files.directory or config.server.handler
    return f"OK: {source}{served} at {where}, acceptors: {acceptors}{children}"
