"""Who is measured and how each is started: one process that serves, on a given port, pinned to one core.

A server is a command line and, where it needs one, a configuration file written into the run's temporary
directory. Flags are chosen in each peer's favour: its fastest loop and parser, no access log unless that is
the workload, no limit on requests per connection, idle timeouts long enough for the memory measurement.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
APPLICATIONS = os.path.join(HERE, "applications")
BUILD = os.path.join(HERE, "build")
BIN = os.path.join(BUILD, "venv", "bin")
LIBRARIES = os.path.join(BUILD, "debian", "usr", "lib", "x86_64-linux-gnu")  # unpacked there, not installed


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server runs: its port, and a directory of its own for files."""

    port: int
    directory: str

    def write(self, name: str, text: str) -> str:
        """Write a file into the directory; its path."""
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path


@dataclass(frozen=True, slots=True)
class Server:
    """A server of the comparison.

    Attributes:
        command: port and directory to command line; `logs` asks for an access log to a file.
        package: the distribution whose version is reported; "" for none.
        logged: whether it takes part in the workload with an access log.
        idle: whether it takes part in the measurement of idle connections.
    """

    name: str
    command: Callable[[Place, bool], list[str]]
    package: str = ""
    logged: bool = False
    idle: bool = False


def tool(name: str) -> str:
    """A command of the benchmark's own virtual environment."""
    return os.path.join(BIN, name)


def floor(place: Place, logs: bool) -> list[str]:
    return [os.path.join(BUILD, "floor"), str(place.port)]


def nginx(place: Place, logs: bool) -> list[str]:
    scratch = "\n".join(
        f"{kind}_temp_path {place.directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    access = f"{place.directory}/access.log combined buffer=64k flush=1s" if logs else "off"
    config = f"""
        worker_processes 1; daemon off; pid {place.directory}/pid; error_log {place.directory}/error.log;
        events {{ worker_connections 8192; }}
        http {{
            {scratch}
            access_log {access};
            keepalive_requests 1000000000; keepalive_timeout 600;
            server {{
                listen 127.0.0.1:{place.port} backlog=1024; location = /health {{ default_type "text/plain;
                charset=utf-8"; return 200 ok; }} location = /json {{ default_type application/json; return
                200 '{{"message":"Hello, World!"}}'; }} location = /api/users {{ default_type text/plain;
                return 200 $content_length; }} location ~ ^/api/users/(?<id>[^/]+)$ {{
                    default_type application/json; return 200 '{{"id":"$id","name":"Alice"}}';
                }}
            }}
        }}"""
    return [shutil.which("nginx") or "/usr/sbin/nginx", "-c", place.write("nginx.conf", config)]


def rocket(loop: str) -> Callable[[Place, bool], list[str]]:
    def command(place: Place, logs: bool) -> list[str]:
        access = 'access = "off"'
        if logs:
            access = f'access = "combined"\naccess_file = "{place.directory}/access.log"'
        config = f"""
[server]
handler = "rocket:app"
app_dir = "{APPLICATIONS}"
bind = ["127.0.0.1:{place.port}"]
num_acceptors = 1
loop = "{loop}"
[timeouts]
idle = 600
[log]
level = "warning"
{access}
[control]
socket = "{place.directory}/control.sock"
"""
        return [tool("rocket-sup"), "--config", place.write("rocket.toml", config)]

    return command


def uvicorn(place: Place, logs: bool) -> list[str]:
    command = [tool("uvicorn"), "asgi:app", "--app-dir", APPLICATIONS, "--port", str(place.port)]
    command += ["--loop", "uvloop", "--http", "httptools", "--lifespan", "off", "--ws", "none"]
    command += ["--timeout-keep-alive", "600", "--log-level", "info" if logs else "warning"]
    return command if logs else [*command, "--no-access-log"]


def granian(interface: str) -> Callable[[Place, bool], list[str]]:
    def command(place: Place, logs: bool) -> list[str]:
        application = "rsgi:app" if interface == "rsgi" else "asgi:app"
        flags = ["--interface", interface, "--working-dir", APPLICATIONS, "--port", str(place.port)]
        flags += ["--loop", "uvloop", "--runtime-mode", "st", "--no-ws", "--http", "1"]
        # its default admits 1024 connections at once: too few for the measurement of idle ones
        flags += ["--backlog", "8192", "--backpressure", "8192"]
        flags += ["--log-level", "info" if logs else "warning", *(["--access-log"] if logs else [])]
        return [tool("granian"), application, *flags]

    return command


def socketify(place: Place, logs: bool) -> list[str]:
    return [tool("python"), os.path.join(APPLICATIONS, "uws.py"), str(place.port)]


def wsgi(name: str) -> Callable[[Place, bool], list[str]]:
    def command(place: Place, logs: bool) -> list[str]:
        return [tool("python"), os.path.join(APPLICATIONS, "wsgi.py"), name, str(place.port)]

    return command


def gunicorn(place: Place, logs: bool) -> list[str]:
    command = [tool("gunicorn"), "asgi:app", "--chdir", APPLICATIONS, "-b", f"127.0.0.1:{place.port}"]
    return [*command, "-k", "asgi", "-w", "1", "--keep-alive", "600", "--log-level", "warning"]


def hypercorn(place: Place, logs: bool) -> list[str]:
    config = place.write("hypercorn.toml", f'bind = "127.0.0.1:{place.port}"\nkeep_alive_timeout = 600\n')
    return [tool("python"), "-c", HYPERCORN, config]


# hypercorn has no option for the directory of the application; its own main is called with the path prepended
HYPERCORN = f"""
import sys; sys.path.insert(0, {APPLICATIONS!r})
from hypercorn.__main__ import main
sys.exit(main(["-c", sys.argv[1], "-k", "uvloop", "-w", "0", "--keep-alive", "600", "asgi:app"]))
"""

SERVERS = {
    server.name: server
    for server in (
        Server("floor", floor),
        Server("nginx", nginx, logged=True, idle=True),
        Server("rocket", rocket("uvloop"), "rocket-sup", logged=True, idle=True),
        Server("rocket-asyncio", rocket("asyncio"), "rocket-sup"),
        Server("socketify", socketify, "socketify"),
        Server("fastpysgi", wsgi("fastpysgi"), "fastpysgi"),
        Server("bjoern", wsgi("bjoern"), "bjoern"),
        Server("granian-rsgi", granian("rsgi"), "granian", logged=True, idle=True),
        Server("granian-asgi", granian("asgi"), "granian"),
        Server("uvicorn", uvicorn, "uvicorn", logged=True, idle=True),
        Server("gunicorn-asgi", gunicorn, "gunicorn"),
        Server("hypercorn", hypercorn, "hypercorn"),
    )
}
