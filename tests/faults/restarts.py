"""Restart storms: an application that cannot live ends the tree as the intensity says, with a documented exit
status.

One that does not start is never tried in a loop: one report, status 3 when it cannot be imported. One that
boots and dies
at its first request, again and again, reaches the restart intensity: status 70.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable

from tests.faults.tree import Tree, TreeError
from tests.faults.verdict import Row, Verdict

EXIT_APPLICATION = 3
EXIT_INTENSITY = 70
LIMIT_S = 30.0


def run(say: Callable[[str], None]) -> list[Row]:
    """Three applications that cannot live."""
    return [
        *_run("import fails", "broken", _starts_and_ends, say),
        *_run("dies while booting", "crashes", _starts_and_ends, say),
        *_run("dies when asked", "first_request", _is_asked_to_death, say),
    ]


def _run(
    scenario: str,
    application: str,
    body: Callable[[Tree, Verdict], None],
    say: Callable[[str], None],
) -> list[Row]:
    verdict = Verdict(scenario)
    began = time.monotonic()
    with Tree(application) as tree:
        try:
            body(tree, verdict)
            left = tree.members()
            verdict.check("no orphan process", not left, left or "none")
            verdict.check("the port is free", not tree.is_listening(), "free")
            seen = f"{len(tree.log())} bytes"
            verdict.check(
                "the log stays short (64 KiB)", len(tree.log()) < 65536, seen, tree.tail().splitlines()
            )
        except (TreeError, OSError) as error:
            verdict.check(
                "the scenario runs to its end", False, type(error).__name__, str(error).splitlines()
            )
    say(f"{scenario}: over after {time.monotonic() - began:.1f} s")
    return verdict.rows


def _starts_and_ends(tree: Tree, verdict: Verdict) -> None:
    tree.start(ready=False)
    code = tree.wait_exit(LIMIT_S)
    log = tree.log()
    verdict.check(
        f"ends with status {EXIT_APPLICATION}", code == EXIT_APPLICATION, code, tree.tail().splitlines()
    )
    if verdict.scenario == "import fails":
        count = len(re.findall(r"RuntimeError: this deploy is broken on purpose", log))
        verdict.check("its traceback is shown once", count == 1, f"{count} times", log.splitlines())


def _is_asked_to_death(tree: Tree, verdict: Verdict) -> None:
    tree.start()
    asked = 0
    deadline = time.monotonic() + LIMIT_S
    while tree.is_alive() and time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", tree.port), 1.0) as sock:
                sock.settimeout(1.0)
                sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                asked += 1
                sock.recv(1)
        except OSError:
            time.sleep(0.01)
    code = tree.wait_exit(10.0)
    seen = f"{code} after {asked} requests"
    verdict.check(
        f"ends with status {EXIT_INTENSITY}", code == EXIT_INTENSITY, seen, tree.tail().splitlines()
    )
    reports = len(re.findall(r"reached_max_restart_intensity", tree.log()))
    verdict.check(
        "the log names the intensity as the cause", reports >= 1, f"{reports} times", tree.tail().splitlines()
    )
