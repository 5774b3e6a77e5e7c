"""The package installs with Rust and without it, and says which of the two it was.

A copy of what the repository holds is installed beside the interpreter's own packages; nothing is downloaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("rocket_sup", "crates", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
APPLICATION = "from rocket_sup import Router\napp = Router()\napp.get('/')(lambda req: 'ok')\n"

pytestmark = pytest.mark.slow


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the sources, without anything that was built."""
    copy = tmp_path / "sources"
    copy.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            built = shutil.ignore_patterns("target", "*.so", "__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=built)
        else:
            shutil.copy(ROOT / name, copy / name)
    return copy


def run(*command: str, cwd: Path, **environment: str) -> str:
    """Run a command to its end; what it printed, and a failure if it failed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def log_until(word: str, *, of: list[str], cwd: Path, **environment: str) -> str:
    """Start a server, wait for an event in its log, stop it, and return the log until then."""
    with subprocess.Popen(
        of, cwd=cwd, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        lines = []
        for line in server.stderr:
            lines.append(line)
            if f" {word} " in line:
                break
        server.terminate()
        server.stderr.read()  # to its end, so that it can finish writing
    assert server.returncode == 0, "".join(lines)
    return "".join(lines)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("cargo", ["absent", "failing"])
def test_an_installation_without_rust_succeeds_and_says_so(sources: Path, tmp_path: Path, cargo: str) -> None:
    """While it is installed, and at every start; the command works, and the portable engine serves."""
    programs, site = tmp_path / "programs", tmp_path / "site"
    programs.mkdir()
    if cargo == "failing":
        (programs / "cargo").write_text("#!/bin/sh\nexit 101\n")
        (programs / "cargo").chmod(0o755)
    surroundings = {"PATH": f"{programs}", "ROCKET_NATIVE": ""}
    installed = run(
        *(sys.executable, "-m", "pip", "install", "--verbose", "--no-deps", "--no-build-isolation"),
        *("--disable-pip-version-check", "--no-index", "--target", str(site), str(sources)),
        cwd=tmp_path,
        **surroundings,
    )

    assert "rocket-sup: the native module was not built" in installed
    assert [] == list(site.rglob("*.so"))
    (tmp_path / "app.py").write_text(APPLICATION)
    here = {**surroundings, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "rocket_sup"]
    assert run(*command, "--version", cwd=tmp_path, **here).startswith("rocket-sup ")
    assert run(*command, "check", "app:app", cwd=tmp_path, **here).startswith("OK: app:app")
    serve = [*command, "app:app", "--host", "127.0.0.1", "--port", "0", "--workers", "1"]
    log = log_until("engine", of=serve, cwd=tmp_path, **here)
    assert " warning engine name=python" in log
    assert "install Rust and reinstall, or accept about 1.4x the CPU" in log


def test_a_source_distribution_can_build_the_module(sources: Path, tmp_path: Path) -> None:
    """All crates are in it with the lock, and nothing that was built."""
    (sources / "crates" / "target").mkdir()
    (sources / "crates" / "target" / "junk").touch()
    run(sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", str(tmp_path / "dist"), cwd=sources)
    (archive,) = (tmp_path / "dist").iterdir()
    with tarfile.open(archive) as file:
        packed = {name.partition("/")[2] for name in file.getnames()}
    crates = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "crates").rglob("*")
        if path.suffix in (".rs", ".toml", ".lock") and "target" not in path.parts
    }

    assert {"setup.py", "crates/Cargo.lock", "rocket_sup/cli.py", "rocket_sup/py.typed"} <= packed
    assert set() == crates - packed
    assert "crates/target/junk" not in packed
