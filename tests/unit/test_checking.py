"""`rocket-sup check`: the application is imported elsewhere, and whatever happens there is told."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from rocket_sup.checking import check
from rocket_sup.config_load import Loaded, load
from rocket_sup.errors import ApplicationError

GOOD = "from rocket_sup import Router\napp = Router()\n"


def loaded(directory: Path, code: str, *, more: str = "") -> Loaded:
    """A checked configuration whose application has this code."""
    (directory / "application_to_check.py").write_text(code)
    path = directory / "rocket.toml"
    path.write_text(
        f'[server]\nhandler = "application_to_check:app"\napp_dir = "{directory}"\nnum_acceptors = 2\n{more}'
    )
    return load(path, environment={}, arguments={})


def test_a_sound_application_is_said_to_be_ok(tmp_path: Path) -> None:
    """With what would be served, where, by how many."""
    summary = check(loaded(tmp_path, GOOD, more='[[children]]\nname = "queue"\ncommand = "sh"\n'))

    assert (
        f"OK: {tmp_path}/rocket.toml: application_to_check:app at 0.0.0.0:8080, acceptors: 2, children: queue"
        == summary
    )


def test_nothing_of_it_is_imported_here(tmp_path: Path) -> None:
    """Its threads, sockets and globals are none of this process."""
    check(loaded(tmp_path, GOOD))

    assert "application_to_check" not in sys.modules


def test_a_failing_import_is_told_with_its_traceback_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The author reads the lines of the application, not ours."""
    with pytest.raises(ApplicationError, match="application_to_check:app"):
        check(loaded(tmp_path, GOOD + "1 / 0\n"))

    err = capfd.readouterr().err
    assert 1 == err.count("Traceback")
    assert "ZeroDivisionError" in err
    assert "checking.py" not in err


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL ended the process that imported it"),
        ("import os; os._exit(7)", "cannot be served"),
        ("raise SystemExit(0)", "cannot be served"),
        ("raise KeyboardInterrupt", "cannot be served"),
        ("app = 3", "cannot be served"),
    ],
)
def test_an_application_that_ends_the_process_is_told(tmp_path: Path, code: str, complaint: str) -> None:
    """Whatever it does, this process is still there to say so."""
    with pytest.raises(ApplicationError, match=complaint):
        check(loaded(tmp_path, code))


@pytest.mark.slow
def test_an_import_that_does_not_end_is_cut_off(tmp_path: Path) -> None:
    """After acceptor.boot, as when serving."""
    code = "import select; select.select([], [], [])"
    began = time.monotonic()

    with pytest.raises(ApplicationError, match=r"was not imported within acceptor\.boot, 0\.5 s"):
        check(loaded(tmp_path, code, more="[acceptor]\nboot = 0.5\n"))
    assert 0.5 <= time.monotonic() - began < 2.5


def test_what_was_printed_before_is_not_printed_twice(tmp_path: Path) -> None:
    """The process that imports inherits what was not flushed yet."""
    loaded(tmp_path, GOOD + "print('importing')\n")
    code = (
        "from rocket_sup.checking import check\n"
        "from rocket_sup.config_load import load\n"
        "from pathlib import Path\n"
        "print('before')\n"
        "check(load(Path('rocket.toml'), environment={}, arguments={}))\n"
        "print('after')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert ["before", "importing", "after"] == done.stdout.split()
