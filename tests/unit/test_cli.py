"""The command line as a whole: which command, which exit status, what is printed where."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rocket_sup import __version__, acceptor, cli
from rocket_sup.config_document import default_toml
from rocket_sup.config_load import Inputs, Loaded
from rocket_sup.errors import ApplicationError, RocketError

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"

Served = list[tuple[Loaded, Inputs]]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory with one application."""
    monkeypatch.chdir(tmp_path)
    Path("app_of_cli.py").write_text("from rocket_sup import Router\napp = Router()\n")
    return tmp_path


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    """What would be served: whole trees are started in tests/tree, not here."""
    calls: Served = []

    def run(loaded: Loaded, inputs: Inputs, load_acceptor: object) -> int:
        calls.append((loaded, inputs))
        return 0

    monkeypatch.setattr(cli, "run", run)
    return calls


@pytest.mark.parametrize(
    "arguments", [["app_of_cli:app", "--port", "9"], ["serve", "app_of_cli:app", "-p", "9"]]
)
def test_an_application_is_served_without_a_file(served: Served, arguments: list[str]) -> None:
    """With or without the word serve."""
    assert 0 == cli.main(arguments)

    ((loaded, inputs),) = served
    assert ("app_of_cli:app", 9) == (loaded.config.server.handler, loaded.config.server.port)
    assert loaded.config == inputs.load().config


def test_a_file_is_served(served: Served) -> None:
    """The one that is named; the one that lies here."""
    Path("rocket.toml").write_text('[server]\nhandler = "app_of_cli:app"\nport = 7\n')

    assert (0, 0) == (cli.main(["--config", "rocket.toml"]), cli.main([]))
    assert [7, 7] == [loaded.config.server.port for loaded, _ in served]


def test_arguments_are_those_of_the_process_by_default(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the console script calls it."""
    monkeypatch.setattr(sys, "argv", ["rocket-sup", "app_of_cli:app"])

    assert 0 == cli.main()
    assert 1 == len(served)


def test_a_wrong_configuration_ends_with_78_and_all_mistakes(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, one a line; nothing is served."""
    status = cli.main(["app_of_cli:app", "--port", "x", "--backlog", "0"])

    assert (78, []) == (status, served)
    assert [
        'argument --port: server.port: "x" is not an integer (0 to 65535)',
        'argument --backlog: server.backlog: "0" is outside the range 1 to 65535',
    ] == capsys.readouterr().err.splitlines()


def test_no_application_at_all_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    """`rocket-sup` in an empty directory says what to write."""
    assert 78 == cli.main([])
    assert 'write handler = "package.module:attribute"' in capsys.readouterr().err


def test_an_application_that_cannot_be_imported_ends_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its report first, then the sentence."""

    def run(*_: object) -> int:
        raise ApplicationError("it cannot be served", report="Traceback ...\nboom\n")

    monkeypatch.setattr(cli, "run", run)

    assert 3 == cli.main(["app_of_cli:app"])
    assert "Traceback ...\nboom\nit cannot be served\n" == capsys.readouterr().err


@pytest.mark.parametrize(("error", "status"), [(RocketError("no"), 1), (KeyboardInterrupt(), 130)])
def test_other_ends_have_their_status(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int
) -> None:
    """A failure of ours, and Ctrl-C before the tree took over."""

    def run(*_: object) -> int:
        raise error

    monkeypatch.setattr(cli, "run", run)

    assert status == cli.main(["app_of_cli:app"])


def test_a_file_that_cannot_be_opened_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log on a read-only disk is the operator's; an error without a file is ours, with its traceback."""
    errors = [PermissionError(13, "Permission denied", "/var/log/x"), OSError(9, "Bad file descriptor")]

    def run(*_: object) -> int:
        raise errors.pop(0)

    monkeypatch.setattr(cli, "run", run)

    assert 1 == cli.main(["app_of_cli:app"])
    assert "rocket-sup: /var/log/x: Permission denied\n" == capsys.readouterr().err
    with pytest.raises(OSError, match="Bad file descriptor"):
        cli.main(["app_of_cli:app"])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--no-such-flag"], "unrecognized arguments: --no-such-flag"),
        (
            ["statsu"],
            '"statsu" is neither a command nor an application nor a directory; did you mean "status"?',
        ),
        (
            ["zzz.qqq"],
            '"zzz.qqq" is neither a command nor an application nor a directory; an application is written'
            ' "zzz.qqq:app"',
        ),
        (["no/where/"], '"no/where/" is neither a command nor an application nor a directory\n'),
        (["--port", "9", "status"], "a command comes first: rocket-sup status ..."),
        (["scale"], "the following arguments are required: N"),
    ],
)
def test_wrong_usage_ends_with_2(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """argparse's status, and a sentence that helps."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)

    assert 2 == caught.value.code
    assert complaint in capsys.readouterr().err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Name and number."""
    with pytest.raises(SystemExit):
        cli.main(["--version"])

    assert f"rocket-sup {__version__}\n" == capsys.readouterr().out


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """And so does docs/command-line.md."""
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out

    assert [] == [name for name in cli.COMMANDS if f"\n  {name} " not in text]
    assert [] == [name for name in cli.COMMANDS if f"`rocket-sup {name}" not in PAGE.read_text()]


def test_check_says_ok(capfd: pytest.CaptureFixture[str]) -> None:
    """First word OK, status 0."""
    assert 0 == cli.main(["check", "app_of_cli:app"])
    assert capfd.readouterr().out.startswith("OK: app_of_cli:app at 0.0.0.0:8080")


@pytest.mark.parametrize(
    ("arguments", "status"), [(["check", "app_of_cli:ap"], 3), (["check", "app_of_cli:app", "-w", "x"], 78)]
)
def test_check_says_what_is_wrong(
    arguments: list[str], status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the statuses a start would end with."""
    assert status == cli.main(arguments)

    out, err = capfd.readouterr()
    assert "" == out
    assert err


def test_config_prints_the_default_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Ready to be redirected."""
    assert 0 == cli.main(["config", "--default"])
    assert default_toml() == capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["config"], ["config", "--explain"]])
def test_config_explains(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every key, also when no application is named."""
    assert 0 == cli.main([*arguments, "--port", "9"])
    assert "# argument --port" in capsys.readouterr().out


def test_a_reader_that_leaves_is_no_traceback() -> None:
    """`rocket-sup config --default | head -1`."""
    command = f"{sys.executable} -m rocket_sup config --default | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)

    assert ("# Every option", "") == (done.stdout[:14], done.stderr)


def test_a_broken_pipe_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is pointed elsewhere, so that the interpreter's last flush has a place to go."""
    reader, writer = os.pipe()
    os.close(reader)
    saved, broken = sys.stdout, os.fdopen(writer, "w")
    monkeypatch.setattr(sys, "stdout", broken)
    status = cli.main(["config", "--default"])
    monkeypatch.setattr(sys, "stdout", saved)
    broken.close()

    assert 1 == status


def test_reload_is_handed_to_the_reloader(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same command line, but for the flag."""
    calls: list[tuple[Inputs, list[str]]] = []

    def serve(inputs: Inputs, rest: list[str]) -> int:
        calls.append((inputs, rest))
        return 5

    monkeypatch.setattr("rocket_sup.reloader.serve_and_reload", serve)

    assert 5 == cli.main(["app_of_cli:app", "--reload", "--port", "9"])
    assert ["app_of_cli:app", "--port", "9"] == calls[0][1]


def test_the_body_of_an_acceptor_is_loaded_where_acceptors_are_forked() -> None:
    """By a function, which the supervisor does not call itself."""
    assert acceptor.run is cli._load_acceptor()


def test_the_process_that_becomes_the_supervisor_stays_light() -> None:
    """No event loop and no parser before a process is forked that needs one."""
    code = "import sys, rocket_sup.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert set() == set(done.stdout.split()) & {
        "asyncio",
        "uvloop",
        "httptools",
        "psutil",
        "watchfiles",
        "ssl",
    }
