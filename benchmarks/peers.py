"""How the peers are started, and the table of all servers."""

from __future__ import annotations

import os
import shutil

from benchmarks.servers import APPLICATIONS, FILES, Command, Place, Server, floor, rocket_server, tool
from benchmarks.workloads import Workload

NGINX = """
worker_processes 1; daemon off; pid {directory}/pid; error_log {directory}/error.log;
events {{ worker_connections 8192; }}
http {{
    {scratch}
    log_format json escape=json '{{"time":"$time_iso8601","client":"$remote_addr","method":"$request_method",'
        '"target":"$request_uri","status":$status,"bytes":$body_bytes_sent,"seconds":$request_time,'
        '"agent":"$http_user_agent"}}';
    access_log {access};
    keepalive_requests 1000000000; keepalive_timeout 600;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location = /health {{ default_type "text/plain; charset=utf-8"; return 200 ok; }}
        location = /api/users {{ default_type text/plain; return 200 $content_length; }}
        location ~ ^/api/users/(?<id>[^/]+)$ {{
            default_type application/json; return 200 '{{"id":"$id","name":"Alice"}}';
        }}
        location /files/ {{ alias {files}/; sendfile on; tcp_nopush on; }}
    }}
}}
"""


def nginx(place: Place, workload: Workload) -> list[str]:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    config = NGINX.format(
        directory=place.directory,
        port=place.port,
        files=FILES,
        scratch="\n    ".join(f"{kind}_temp_path {place.path(kind)};" for kind in kinds),
        access=f"{place.path('access.log')} json buffer=64k flush=1s" if workload.logs else "off",
    )
    return [shutil.which("nginx") or "/usr/sbin/nginx", "-c", place.write("nginx.conf", config)]


def asgi_application(workload: Workload) -> str:
    return "fast:app" if workload.interface == "fastapi" else "asgi:app"


def uvicorn(place: Place, workload: Workload) -> list[str]:
    command = [
        tool("uvicorn"),
        asgi_application(workload),
        "--app-dir",
        APPLICATIONS,
        "--port",
        str(place.port),
    ]
    command += ["--loop", "uvloop", "--http", "httptools", "--lifespan", "off"]
    command += ["--ws", "auto", "--ws-per-message-deflate", "false"]
    command += ["--timeout-keep-alive", "600", "--log-level", "info" if workload.logs else "warning"]
    return command if workload.logs else [*command, "--no-access-log"]


def granian(interface: str) -> Command:
    def command(place: Place, workload: Workload) -> list[str]:
        application = "rsgi:app" if interface == "rsgi" else asgi_application(workload)
        flags = ["--interface", interface, "--working-dir", APPLICATIONS, "--port", str(place.port)]
        flags += ["--loop", "uvloop", "--runtime-mode", "st", "--http", "1"]
        flags += ["--ws" if workload.interface == "ws" else "--no-ws"]
        # its default admits 1024 connections at once: too few for the measurement of idle ones
        flags += ["--backlog", "8192", "--backpressure", "8192"]
        flags += ["--log-level", "info" if workload.logs else "warning"]
        return [tool("granian"), application, *flags, *(["--access-log"] if workload.logs else [])]

    return command


def robyn(place: Place, _: Workload) -> list[str]:
    flags = ["--processes", "1", "--workers", "1", "--log-level", "WARNING", "--disable-openapi"]
    return [tool("python"), os.path.join(APPLICATIONS, "actix.py"), str(place.port), *flags]


def wsgi(name: str) -> Command:
    def command(place: Place, _: Workload) -> list[str]:
        return [tool("python"), os.path.join(APPLICATIONS, "wsgi.py"), name, str(place.port)]

    return command


def script(name: str) -> Command:
    """A program of `applications` that takes the port alone."""

    def command(place: Place, _: Workload) -> list[str]:
        return [tool("python"), os.path.join(APPLICATIONS, name), str(place.port)]

    return command


def gunicorn(place: Place, _: Workload) -> list[str]:
    command = [tool("gunicorn"), "wsgi:app", "--chdir", APPLICATIONS, "-b", f"127.0.0.1:{place.port}"]
    return [*command, "-k", "sync", "-w", "1", "--log-level", "warning"]


FLOORED = frozenset({"", "asgi", "fastapi", "wsgi", "ws"})  # files are compared with nginx
ASGI = frozenset({"", "asgi", "fastapi", "ws"})
WSGI = frozenset({"", "wsgi"})
SUSPENDING = frozenset({"async", "suspend"})  # a WSGI application cannot
LOGGING = frozenset({"logged"})  # no access log of its own
# The sync class of gunicorn has no kept connections: whatever is asked, each request is a new one.
KEEPING = frozenset({"browser", "post", "pipelined", "latency", "idle"})

SERVERS = {
    server.name: server
    for server in (
        Server("floor", "floor", floor, without=frozenset({"idle", "memory"}), interfaces=FLOORED),
        rocket_server("rocket-python", "python", "uvloop"),
        rocket_server("rocket-epoll", "epoll", "asyncio"),
        rocket_server("rocket-epoll-uvloop", "epoll", "uvloop"),
        rocket_server("rocket-io_uring", "io_uring", "asyncio"),
        Server("nginx", "peer", nginx, without=SUSPENDING, interfaces=frozenset({"", "static"})),
        Server("fastpysgi", "peer", wsgi("fastpysgi"), "fastpysgi", SUSPENDING | LOGGING, WSGI),
        Server("bjoern", "peer", wsgi("bjoern"), "bjoern", SUSPENDING | LOGGING, WSGI),
        Server("socketify", "peer", script("uws.py"), "socketify", LOGGING, frozenset({"", "ws"})),
        Server("granian-rsgi", "peer", granian("rsgi"), "granian"),
        Server("granian-asgi", "peer", granian("asgi"), "granian", interfaces=ASGI),
        Server("uvicorn", "peer", uvicorn, "uvicorn", interfaces=ASGI),
        Server("picows", "peer", script("pico.py"), "picows", interfaces=frozenset({"ws"})),
        Server("robyn", "peer", robyn, "robyn", LOGGING),
        Server("gunicorn-sync", "peer", gunicorn, "gunicorn", SUSPENDING | LOGGING | KEEPING),
    )
}
