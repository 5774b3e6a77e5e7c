"""Checks that need more than one option: each finds its mistake, and no other."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rocket_sup.config import ChildConfig, Config
from rocket_sup.config_check import findings
from rocket_sup.config_files import FilesConfig

SOUND = Config(children=(ChildConfig(name="queue", command=("sh",)),))


def changed(section: str, **values: Any) -> Config:
    """A sound configuration with some values of one section changed."""
    return replace(SOUND, **{section: replace(getattr(SOUND, section), **values)})


def child(**values: Any) -> Config:
    """A sound configuration with one child changed."""
    return replace(SOUND, children=(replace(SOUND.children[0], **values),))


def test_a_sound_configuration_has_no_findings() -> None:
    """The defaults, and one child."""
    assert [] == list(findings(SOUND))


@pytest.mark.parametrize(
    ("config", "key", "sentence"),
    [
        (
            changed("server", handler="app"),
            "server.handler",
            '"app" is not of the form "package.module:attribute"',
        ),
        (changed("server", handler="a b:app"), "server.handler", "is not of the form"),
        (changed("files", directory="/nowhere"), "files.directory", "is not a directory"),
        (
            replace(changed("server", handler="a:b"), files=FilesConfig(directory="/")),
            "files.directory",
            "an application is named too",
        ),
        (changed("server", root_path="api"), "server.root_path", '"api" is not a path such as "/api"'),
        (changed("server", root_path="/api/"), "server.root_path", "without a slash at its end"),
        (changed("server", app_dir="/nowhere"), "server.app_dir", '"/nowhere" is not a directory'),
        (changed("server", host="1.2.3"), "server.host", '"1.2.3" is neither an IP address nor a host name'),
        (changed("server", bind=("8080",)), "server.bind", '"8080" is not an address'),
        (changed("server", bind=("fd:3", "fd:3")), "server.bind", '"fd:3" is there twice'),
        (changed("server", bind=("unix:/nowhere/a",)), "server.bind", "there is no directory /nowhere"),
        (changed("server", unix_mode="rw-"), "server.unix_mode", '"rw-" is not an octal mode such as "0666"'),
        (changed("server", unix_mode="0888"), "server.unix_mode", "is not an octal mode"),
        (
            changed("limits", request_line=9999, head=999),
            "limits.request_line",
            "9999 is more than limits.head, 999",
        ),
        (
            changed("supervisor", backoff_initial=2.0, backoff_max=1.0),
            "supervisor.backoff_initial",
            "2 is more than supervisor.backoff_max, 1",
        ),
        (changed("acceptor", hang=0.5), "acceptor.hang", "0.5 is not above acceptor.suspect, 1"),
        (changed("log", file="/nowhere/a.log"), "log.file", "there is no directory /nowhere"),
        (changed("log", access_file="/"), "log.access_file", '"/" is a directory'),
        (changed("control", socket="/" + "x" * 107), "control.socket", "is longer than the 107 bytes"),
        (changed("control", socket="/nowhere/s"), "control.socket", "there is no directory /nowhere"),
        (
            changed("proxy", trusted=("a.example",)),
            "proxy.trusted",
            '"a.example" is no address and no network',
        ),
        (changed("proxy", host=True), "proxy.host", "means nothing while proxy.headers says"),
        (child(name="a b"), "children[0].name", '"a b" is not a name'),
        (child(name=""), "children[0].name", '"" is not a name'),
        (child(name="acceptor-3"), "children[0].name", '"acceptor-3" is the name of a process of our own'),
        (child(name="listener"), "children[0].name", "of our own"),
        (child(cwd="/nowhere"), "children[0].cwd", '"/nowhere" is not a directory'),
        (child(command=("no-such-program",)), "children[0].command", 'there is no program "no-such-program"'),
        (child(command=("./sh",), cwd="/"), "children[0].command", 'there is no program "./sh"'),
        (child(env={"PATH": "/nowhere"}), "children[0].command", 'there is no program "sh"'),
        (child(significant=True), "children[0].significant", "a permanent child never ends for good"),
        (
            child(significant=True, restart="transient"),
            "children[0].significant",
            'means nothing while supervisor.auto_shutdown is "never"',
        ),
        (
            replace(SOUND, children=(SOUND.children[0], SOUND.children[0])),
            "children[1].name",
            '"queue" is already the name of children[0]',
        ),
    ],
)
def test_each_mistake_is_found(config: Config, key: str, sentence: str) -> None:
    """The finding names the key and says what is wrong."""
    found = list(findings(config))

    assert [key] == list({each for each, _ in found})
    assert sentence in found[0][1]


@pytest.mark.parametrize(
    "config",
    [
        changed("server", handler="päckage.module:factory.app"),
        changed("server", bind=("127.0.0.1:0", "127.0.0.1:0")),
        changed("server", bind=("unix:@abstract",)),
        changed("acceptor", hang=0.0),
        changed("server", unix_mode="0o600"),
        child(command=("./sh",), cwd="/bin"),
        child(command=("/bin/sh",)),
    ],
)
def test_what_only_looks_like_a_mistake_is_accepted(config: Config) -> None:
    """Two free ports, abstract sockets, a watch that is switched off, programs by path."""
    assert [] == list(findings(config))


def test_a_loop_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Better before the start than in every acceptor."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    assert [
        ("server.loop", "uvloop is not installed; pip install 'rocket-sup[fast]', or write \"auto\"")
    ] == list(findings(changed("server", loop="uvloop")))


@pytest.mark.parametrize("engine", ["epoll", "io_uring"])
def test_a_native_engine_that_is_not_built_is_told(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    """It was asked for by name, so nothing else will do; built, it is no mistake."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (found,) = findings(changed("server", engine=engine))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())

    assert (
        "server.engine",
        f'"{engine}" needs the native module, which is not built:'
        ' install Rust and reinstall, or write "auto" or "python"',
    ) == found
    assert [] == list(findings(changed("server", engine=engine)))


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, or the directory it would be made in; root may write anything, so the answer is made up."""
    (tmp_path / "old.log").touch()
    denied = {str(tmp_path / "old.log"), str(tmp_path)}
    monkeypatch.setattr("os.access", lambda path, mode: path not in denied)

    found = list(findings(changed("log", file=f"{tmp_path}/old.log", access_file=f"{tmp_path}/new.log")))

    assert ["log.file", "log.access_file"] == [key for key, _ in found]
    assert "cannot be written by user" in found[0][1]


def test_files_in_an_existing_directory_are_fine(tmp_path: Path) -> None:
    """Only the directory has to be there; the file is made."""
    assert [] == list(findings(changed("log", file=str(tmp_path / "a.log"), access_file="here.log")))
