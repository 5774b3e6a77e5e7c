"""The place of the control socket: the same for the server and for the command that looks for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from rocket_sup.config import Config, ControlConfig, ServerConfig
from rocket_sup.control_path import control_path, default_directory, make_directory, sockets_in


@pytest.mark.parametrize(
    ("config", "environment", "expected"),
    [
        (Config(control=ControlConfig(socket="/a/b")), {"RUNTIME_DIRECTORY": "/run/x"}, "/a/b"),
        (Config(), {"RUNTIME_DIRECTORY": "/run/x", "XDG_RUNTIME_DIR": "/run/user/1"}, "/run/x/control.sock"),
        (Config(), {"RUNTIME_DIRECTORY": "/run/x:/run/y"}, "/run/x/control.sock"),
        (Config(), {"XDG_RUNTIME_DIR": "/run/user/1"}, "/run/user/1/rocket-sup/8080.sock"),
        (Config(), {}, f"/tmp/rocket-sup-{os.getuid()}/8080.sock"),
        (Config(server=ServerConfig(bind=("fd:3",))), {"XDG_RUNTIME_DIR": "/r"}, "/r/rocket-sup/fd-3.sock"),
        (
            Config(server=ServerConfig(bind=("unix:/run/my app.sock", "fd:3"))),
            {"XDG_RUNTIME_DIR": "/r"},
            "/r/rocket-sup/run-my-app.sock.sock",
        ),
        (
            Config(server=ServerConfig(port=0)),
            {"XDG_RUNTIME_DIR": "/r"},
            f"/r/rocket-sup/pid-{os.getpid()}.sock",
        ),
    ],
)
def test_the_path_follows_from_configuration_and_environment(
    config: Config, environment: Mapping[str, str], expected: str
) -> None:
    """What is set, else systemd's directory, else the user's, else one in /tmp."""
    assert expected == str(control_path(config, environment))


def test_the_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """Whatever the umask; and making it twice is fine."""
    directory = tmp_path / "deep" / "rocket-sup"

    make_directory(directory)
    make_directory(directory)

    assert 0o700 == directory.stat().st_mode & 0o777


def test_a_directory_of_our_own_in_tmp_is_fine() -> None:
    """Where there is no $XDG_RUNTIME_DIR."""
    directory = Path(f"/tmp/rocket-sup-own-{os.getpid()}")
    try:
        make_directory(directory)
        make_directory(directory)
        assert 0o700 == directory.stat().st_mode & 0o777
    finally:
        directory.rmdir()


@pytest.mark.parametrize("mode", [0o755, 0o777])
def test_a_directory_in_tmp_that_others_can_enter_is_refused(mode: int) -> None:
    """Somebody else could put a socket there and hear our commands."""
    directory = Path(f"/tmp/rocket-sup-test-{os.getpid()}")
    directory.mkdir()
    try:
        directory.chmod(mode)
        with pytest.raises(PermissionError, match="must be a directory of user"):
            make_directory(directory)
    finally:
        directory.rmdir()


def test_a_link_in_tmp_is_refused(tmp_path: Path) -> None:
    """A link leads where its owner wants."""
    tmp_path.chmod(0o700)
    link = Path(f"/tmp/rocket-sup-link-{os.getpid()}")
    link.symlink_to(tmp_path)
    try:
        with pytest.raises(PermissionError, match="must be a directory of user"):
            make_directory(link)
    finally:
        link.unlink()


def test_sockets_are_found_and_other_files_are_not(tmp_path: Path) -> None:
    """Only what is a socket and is called like one."""
    (tmp_path / "file.sock").touch()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "8080.sock"))

        assert [tmp_path / "8080.sock"] == sockets_in(tmp_path)
    assert [] == sockets_in(tmp_path / "nowhere")


def test_the_default_directory_is_the_users() -> None:
    """As the XDG base directory specification has it."""
    assert Path("/run/user/1/rocket-sup") == default_directory({"XDG_RUNTIME_DIR": "/run/user/1"})
