"""Builds what the comparison needs: the C floor, and a virtual environment with the peers beside this
package.

Everything lands in `benchmarks/build`, which is not committed. A peer that does not build is left out, and
the result says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable

from benchmarks.servers import BUILD, HERE, LIBRARIES, SERVERS, tool

REQUIREMENTS = {  # distribution: what is asked of the package index
    "uvicorn": "uvicorn[standard]",
    "granian": "granian[uvloop]",
    "socketify": "socketify",
    "fastpysgi": "fastpysgi",
    "bjoern": "bjoern",
    "gunicorn": "gunicorn",
    "hypercorn": "hypercorn[uvloop]",
}
DEBIAN = {  # distribution: Debian packages whose files it needs to load or to build
    "socketify": ("libuv1",),
    "bjoern": ("libev4", "libev-dev"),
}
ROOT = os.path.dirname(HERE)


def provision(names: Iterable[str]) -> dict[str, str]:
    """Build and install what the named servers need.

    Returns:
        Server name to version, for those that are usable; the others are missing.

    Raises:
        RuntimeError: wrk, a C compiler or the package itself is missing: nothing can be compared.
    """
    os.makedirs(BUILD, exist_ok=True)
    if shutil.which("wrk") is None or shutil.which("taskset") is None:
        raise RuntimeError("wrk and taskset are needed (Debian: apt install wrk util-linux)")
    build_floor()
    if not os.path.exists(tool("python")):
        venv.create(os.path.join(BUILD, "venv"), with_pip=True)
    if not is_installed("rocket-sup") and not install("-e", f"{ROOT}[fast]"):
        raise RuntimeError("the package itself could not be installed")
    versions: dict[str, str] = {}
    for name in names:
        server = SERVERS[name]
        if name == "floor":
            versions[name] = subprocess.run(["cc", "--version"], capture_output=True, text=True).stdout.split(
                "\n"
            )[0]
        elif name == "nginx":
            if shutil.which("nginx") or os.path.exists("/usr/sbin/nginx"):
                found = subprocess.run(["/usr/sbin/nginx", "-v"], capture_output=True, text=True).stderr
                versions[name] = found.strip().removeprefix("nginx version: ")
        else:
            unpack(DEBIAN.get(server.package, ()))
            if not is_installed(server.package):
                install(REQUIREMENTS[server.package])
            if version := is_installed(server.package):
                versions[name] = version
    return versions


def build_floor() -> None:
    """Compile floor.c, unless it is up to date."""
    source, binary = os.path.join(HERE, "floor.c"), os.path.join(BUILD, "floor")
    if os.path.exists(binary) and os.path.getmtime(binary) > os.path.getmtime(source):
        return
    try:
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", binary, source], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f"floor.c could not be built: {error}") from error


def unpack(packages: Iterable[str]) -> None:
    """Fetch Debian packages and unpack them under `build/debian`; needs no root and changes no system."""
    target = os.path.join(BUILD, "debian")
    for package in packages:
        marker = os.path.join(target, package)
        if os.path.exists(marker):
            continue
        os.makedirs(target, exist_ok=True)
        before = set(os.listdir(target))
        done = subprocess.run(["apt-get", "download", package], cwd=target, capture_output=True, text=True)
        if done.returncode:
            sys.stderr.write(f"{package}: {(done.stderr.strip().splitlines() or ['?'])[-1]}\n")
            continue
        for archive in set(os.listdir(target)) - before:
            subprocess.run(["dpkg", "-x", archive, target], cwd=target, check=True)
        with open(marker, "w", encoding="utf-8"):
            pass  # the marker's existence is all that is read


def is_installed(package: str) -> str:
    """The installed version in the benchmark's environment, or ""; -I: the checkout itself does not count."""
    code = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    found = subprocess.run([tool("python"), "-I", "-c", code, package], capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else ""


def install(*what: str) -> bool:
    """pip install into the benchmark's environment; False, with pip's last words shown, when that failed."""
    command = [tool("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
    headers = os.path.join(BUILD, "debian", "usr", "include")
    environment = {**os.environ, "CFLAGS": f"-I{headers}", "LDFLAGS": f"-L{LIBRARIES}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        sys.stderr.write(f"left out: {what[-1]}: {last}\n")
    return done.returncode == 0
