"""The unit files, judged by systemd's own tools and compared with the configuration they start."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rocket_sup.config import Config

UNITS = Path(__file__).parents[2] / "config" / "systemd"
SERVICE = UNITS / "rocket-sup.service"
SOCKET = UNITS / "rocket-sup.socket"
BEFORE_253 = UNITS / "rocket-sup.service.d" / "before-253.conf"
COMMAND = "/opt/rocket-sup/bin/rocket-sup"

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze") and not os.environ.get("CI"),
    reason="systemd-analyze is not installed (Debian package systemd); required where CI is set",
)


def settings(path: Path) -> dict[str, list[str]]:
    """All assignments of a unit file, sections left aside."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if "=" in line and line[0] not in "#;[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def seconds(text: str) -> float:
    """A time span as systemd writes it, as far as our files use it."""
    return float(text[:-2]) / 1000 if text.endswith("ms") else float(text)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze; needs no running systemd."""
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A copy of the units whose command exists, in terms that the installed systemd knows."""
    version = int(re.findall(r"\d+", analyze("--version").stdout)[0])
    shutil.copytree(UNITS, tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "rocket-sup.service", tmp_path / "rocket-sup.service.d" / "before-253.conf"):
        text = path.read_text().replace(COMMAND, "/bin/true")
        if (
            version < 253
        ):  # what the drop-in for older versions does, where it cannot come too late for the parser
            text = text.replace("Type=notify-reload\n", "Type=notify\n")
        path.write_text(text)
    return tmp_path


@pytest.mark.slow
def test_systemd_accepts_every_line(installed: Path) -> None:
    """`systemd-analyze verify` has nothing to say about service, socket and drop-in."""
    result = analyze(
        "verify", "--man=no", str(installed / "rocket-sup.service"), str(installed / "rocket-sup.socket")
    )

    assert (0, "") == (result.returncode, result.stdout)


@pytest.mark.slow
def test_only_the_type_is_too_new_for_older_versions(tmp_path: Path) -> None:
    """Unchanged, the service is accepted too, but for the one setting that the drop-in replaces."""
    service = tmp_path / SERVICE.name
    service.write_text(SERVICE.read_text().replace(COMMAND, "/bin/true"))
    lines = analyze("verify", "--man=no", str(service)).stdout.splitlines()

    assert [] == [line for line in lines if "notify-reload" not in line]
    assert ["notify"] == settings(BEFORE_253)["Type"]
    assert ["notify-reload"] == settings(SERVICE)["Type"]


@pytest.mark.slow
def test_the_service_is_confined(installed: Path) -> None:
    """systemd rates the exposure of the service below 2.0 (it calls up to 2.0 safe, 9 and more unsafe)."""
    service = str(installed / "rocket-sup.service")
    result = analyze("security", "--offline=true", "--threshold=19", "--no-pager", service)

    assert 0 == result.returncode, result.stdout


def test_the_manager_is_more_patient_than_the_tree() -> None:
    """The deadlines of the default configuration act before those of the unit, which would kill."""
    unit, config = settings(SERVICE), Config()

    assert seconds(unit["TimeoutStopSec"][0]) > config.timeouts.drain + 10
    assert seconds(unit["TimeoutStartSec"][0]) > config.acceptor.boot + 10
    assert int(unit["LimitNOFILE"][0]) > 2 * config.server.max_connections


def test_the_socket_is_the_one_that_is_configured() -> None:
    """Address and queue of the socket unit are the defaults of the configuration."""
    unit, server = settings(SOCKET), Config().server

    assert [f"{server.host}:{server.port}"] == unit["ListenStream"]
    assert [str(server.backlog)] == unit["Backlog"]


def test_a_restart_is_not_tried_where_it_cannot_help() -> None:
    """Usage, import and configuration errors (2, 3, 78) end the unit; a storm (70) may pass."""
    assert ["2 3 78"] == settings(SERVICE)["RestartPreventExitStatus"]
