"""Builds what the comparison needs: the C programs, files to ask for, and a virtual environment with the
peers beside this package.

Everything lands in `benchmarks/build`, which is not committed. A peer that does not build is left out, and
the result says why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from collections.abc import Iterable

from benchmarks.peers import SERVERS
from benchmarks.servers import BUILD, FILES, HERE, LIBRARIES, ROOT, tool
from benchmarks.workloads import WORKLOADS

REQUIREMENTS = {  # distribution: what is asked of the package index
    "uvicorn": "uvicorn[standard]",
    "granian": "granian[uvloop]",
}
FRAMEWORKS = ("fastapi",)  # of the applications, for every server that takes them
DEBIAN = {  # distribution: Debian packages whose files it needs to load or to build
    "socketify": ("libuv1",),
    "bjoern": ("libev4", "libev-dev"),
}


def provision(names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Build and install what the named servers need.

    Returns:
        Server name to version, for those that are usable; server name to reason, for the others.

    Raises:
        RuntimeError: wrk, a C compiler or the package itself is missing: nothing can be compared.
    """
    os.makedirs(BUILD, exist_ok=True)
    if shutil.which("wrk") is None or shutil.which("taskset") is None:
        raise RuntimeError("wrk and taskset are needed (Debian: apt install wrk util-linux)")
    for name in ("floor", "talk"):
        build(name)
    write_files()
    install_ourselves()
    versions: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for name in names:
        package = SERVERS[name].package
        if package:
            reason = provide(package)
            version = installed(package)
        elif name == "nginx":
            version, reason = nginx_version(), "Debian: apt install nginx-light"
        else:
            version, reason = compiler_version(), ""
        if version:
            versions[name] = version
        else:
            reasons[name] = f"not installed: {reason}"
    return versions, reasons


def build(name: str) -> None:
    """Compile one of the C programs, unless it is up to date."""
    source, binary = os.path.join(HERE, f"{name}.c"), os.path.join(BUILD, name)
    if os.path.exists(binary) and os.path.getmtime(binary) > os.path.getmtime(source):
        return
    try:
        subprocess.run(["cc", "-O3", "-Wall", "-Wextra", "-Werror", "-o", binary, source], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f"{name}.c could not be built: {error}") from error


def write_files() -> None:
    """Write what the workloads with files ask for."""
    for workload in WORKLOADS.values():
        if workload.interface == "static":
            path = os.path.join(FILES, os.path.basename(workload.path))
            os.makedirs(FILES, exist_ok=True)
            with open(path, "w", encoding="ascii") as file:
                file.write(workload.body)


def compiler_version() -> str:
    return subprocess.run(["cc", "--version"], capture_output=True, text=True).stdout.split("\n")[0]


def nginx_version() -> str:
    found = shutil.which("nginx") or "/usr/sbin/nginx"
    if not os.path.exists(found):
        return ""
    shown = subprocess.run([found, "-v"], capture_output=True, text=True).stderr
    return shown.strip().removeprefix("nginx version: nginx/")


def install_ourselves() -> None:
    """Install this checkout, editable; again when what is built from it has changed.

    Raises:
        RuntimeError: that failed.
    """
    if not os.path.exists(tool("python")):
        venv.create(os.path.join(BUILD, "venv"), with_pip=True)
    stamp = os.path.join(BUILD, "installed")
    if installed("rocket-sup") and os.path.exists(stamp) and os.path.getmtime(stamp) > newest_source():
        return
    if reason := install("-e", f"{ROOT}[fast]", *FRAMEWORKS):
        raise RuntimeError(f"the package itself could not be installed: {reason}")
    with open(stamp, "w", encoding="utf-8"):
        pass  # its time is all that is read


def newest_source() -> float:
    """When the sources of what an installation builds were last changed."""
    sources = [os.path.join(ROOT, name) for name in ("pyproject.toml", "setup.py")]
    for directory, below, files in os.walk(os.path.join(ROOT, "crates")):
        below[:] = [name for name in below if name != "target"]
        sources += [os.path.join(directory, name) for name in files]
    return max(os.path.getmtime(source) for source in sources)


def provide(package: str) -> str:
    """Install a peer unless it is there; why not, or ""."""
    if installed(package):
        return ""
    unpack(DEBIAN.get(package, ()))
    return install(REQUIREMENTS.get(package, package))


def unpack(packages: Iterable[str]) -> None:
    """Fetch Debian packages and unpack them under `build/debian`; needs no root and changes no system."""
    target = os.path.join(BUILD, "debian")
    for package in packages:
        marker = os.path.join(target, package)
        if os.path.exists(marker):
            continue
        os.makedirs(target, exist_ok=True)
        before = set(os.listdir(target))
        if subprocess.run(["apt-get", "download", package], cwd=target, capture_output=True).returncode:
            continue  # the installation that needs it will say what is missing
        for archive in set(os.listdir(target)) - before:
            subprocess.run(["dpkg", "-x", archive, target], cwd=target, check=True)
        with open(marker, "w", encoding="utf-8"):
            pass  # the marker's existence is all that is read


def installed(package: str) -> str:
    """The installed version in the benchmark's environment, or ""; -I: the checkout itself does not count."""
    code = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    found = subprocess.run([tool("python"), "-I", "-c", code, package], capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else ""


def install(*what: str) -> str:
    """pip install into the benchmark's environment; pip's last words when that failed, else ""."""
    command = [tool("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
    headers = os.path.join(BUILD, "debian", "usr", "include")
    environment = {**os.environ, "CFLAGS": f"-I{headers}", "LDFLAGS": f"-L{LIBRARIES}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no message"])[-1]
