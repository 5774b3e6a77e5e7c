"""Which engine serves is never a secret, and one that is not there is refused or replaced as was asked."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from rocket_sup.engine import native
from tests.faults.tree import ENGINE
from tests.tree.conftest import MakeTree, ask

pytestmark = pytest.mark.slow


def test_the_engine_and_its_reason_are_logged_and_shown(make_tree: MakeTree) -> None:
    """Once in the log for all acceptors, and of each in the status."""
    tree = make_tree()
    (engine,) = tree.status()["engines"]

    assert 2 == engine["acceptors"]
    assert {(engine["name"], engine["loop"])} == {
        (row["engine"], row["loop"]) for row in tree.status()["acceptors"]
    }
    (line,) = [line for line in tree.log().splitlines() if " engine " in line]
    assert f"name={engine['name']} loop={engine['loop']} " in line
    assert engine["reason"] in line
    if ENGINE != "auto":
        assert engine["name"] == ENGINE or engine["is_fallback"]


def test_without_the_native_module_the_portable_engine_serves_and_says_so(make_tree: MakeTree) -> None:
    """As a warning, with the reason."""
    tree = make_tree(start=False, server={"num_acceptors": 1, "engine": "auto"})
    tree.environment["ROCKET_NATIVE"] = "0"
    tree.start()
    (engine,) = tree.status()["engines"]

    assert ("python", True) == (engine["name"], engine["is_fallback"])
    assert b"200 OK" in ask(tree)
    (line,) = [line for line in tree.log().splitlines() if " engine " in line]
    assert "warning" in line.lower()
    assert "ROCKET_NATIVE=0" in line


# Has the kernel refuse io_uring_setup, which is 425 everywhere, with EPERM, as containers do.
FORBID_IO_URING = """
import ctypes, os, struct, sys
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code))
prctl = ctypes.CDLL(None, use_errno=True).prctl
assert prctl(38, 1, 0, 0, 0) == 0 == prctl(22, 2, ctypes.c_char_p(program))
os.execvp(sys.argv[1], sys.argv[1:])
"""


def test_a_forbidden_ring_is_replaced_and_the_log_says_why(make_tree: MakeTree) -> None:
    """By epoll, as a warning with what the kernel said."""
    if native.load()[0] is None:
        pytest.skip(native.load()[1])
    tree = make_tree(start=False, server={"num_acceptors": 1, "engine": "io_uring"})
    tree.launcher = [sys.executable, "-c", FORBID_IO_URING]
    tree.start()
    (engine,) = tree.status()["engines"]

    assert ("epoll", True) == (engine["name"], engine["is_fallback"])
    assert b"200 OK" in ask(tree)
    (line,) = [line for line in tree.log().splitlines() if " engine " in line]
    assert "warning" in line
    assert "a policy forbids io_uring" in line


def test_a_ring_that_cannot_be_made_is_told(make_tree: MakeTree) -> None:
    """As the kernel says it, and with the engine's name; no acceptor is tried again and again."""
    module, _ = native.load()
    if module is None or module.probe_uring() is not None:
        pytest.skip("there is no io_uring here")
    tree = make_tree(
        start=False,
        server={"engine": "io_uring"},
        more="[engine.io_uring]\nsqpoll = true\nsqpoll_cpu = 4095\n",
    )
    tree.start(ready=False)

    assert 3 == tree.wait_exit(15)
    assert "the engine io_uring cannot start: " in tree.log()


def test_how_long_threads_keep_the_interpreter_is_a_setting(make_tree: MakeTree) -> None:
    """Of every acceptor; unset, it is Python's own."""
    tree = make_tree(server={"num_acceptors": 1, "switch_interval": 0.0005})

    assert ask(tree, "/switch").endswith(b"\r\n\r\n0.0005")


def test_an_engine_asked_for_by_name_is_not_replaced_by_another(make_tree: MakeTree) -> None:
    """Without the module the tree does not start: not built is a mistake of the configuration, and a module
    that cannot be used is told like an application that cannot."""
    tree = make_tree(start=False, server={"engine": "epoll"})
    tree.environment["ROCKET_NATIVE"] = "0"
    tree.start(ready=False)

    if importlib.util.find_spec("rocket_sup.engine._native") is None:
        assert 78 == tree.wait_exit(15)
        assert '"epoll" needs the native module, which is not built' in tree.log()
    else:
        assert 3 == tree.wait_exit(15)
        assert 'server.engine is "epoll", but the native module is switched off' in tree.log()
