"""Run Locust profiles without a browser, print one table, fail when a request failed.

    python -m loadtests.run                              # all profiles, five seconds each, server started for
    it python -m loadtests.run --profile soak --seconds 28800 --users 200 --host http://10.0.0.5:8080

Locust replaces the socket module with gevent's, so it always runs in a process of its own; this one only
starts it and reads its JSON. Without `--host`, `rocket-sup` is started on a free loopback port with the
configuration of the repository, and stopped afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.results import percentile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROFILES = ("steady", "ramp", "spike", "soak", "slow_readers", "kept_alive", "short_connections")
SHAPED = ("ramp", "spike")  # these bring the number of users and their end with them


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table: one kind of request of one profile.

    Attributes:
        times_ms: all response times, ascending, as Locust rounds them.
    """

    profile: str
    name: str
    requests: int
    failures: int
    seconds: float
    times_ms: list[float]

    def cells(self) -> tuple[str, ...]:
        """As text, in the order of `HEAD`."""
        rate = f"{self.requests / self.seconds:.1f}" if self.seconds else "-"
        shown = [
            f"{percentile(self.times_ms, part):g}" if self.times_ms else "-" for part in (0.5, 0.99, 1.0)
        ]
        return (self.profile, self.name, str(self.requests), str(self.failures), rate, *shown)


HEAD = ("profile", "request", "requests", "failures", "per second", "p50 ms", "p99 ms", "max ms")


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Start rocket-sup on a free loopback port; its address.

    Raises:
        RuntimeError: it does not serve within 20 s.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    beside = os.path.join(os.path.dirname(sys.executable), "rocket-sup")
    command = [beside] if os.path.exists(beside) else [sys.executable, "-m", "rocket_sup"]
    command += ["--config", os.path.join(ROOT, "config", "rocket.toml")]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryFile() as output:
        # the access log goes to the standard output: load tests want its cost, nobody wants its text
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=output)
        try:
            deadline = time.monotonic() + 20.0
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    raise RuntimeError(f"rocket-sup does not serve:\n{output.read().decode()[-2000:]}")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(40.0)  # longer than the drain deadline of the configuration
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def run_profile(profile: str, host: str, *, users: int, seconds: float) -> list[Line]:
    """Run one profile to its end.

    Raises:
        RuntimeError: Locust itself failed.
    """
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        f"loadtests/profiles/{profile}.py",
        "--headless",
        "--json",
    ]
    command += [
        "--host",
        host,
        "--users",
        str(users),
        "--shape-seconds",
        str(seconds),
        "--loglevel",
        "WARNING",
    ]
    if profile not in SHAPED:
        command += ["--spawn-rate", str(users), "--run-time", f"{max(1, round(seconds))}s"]
    # 0 also when requests failed: the statistics say so
    command += ["--exit-code-on-error", "0", "--stop-timeout", "10"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 120)
    try:
        entries = json.loads(done.stdout[done.stdout.index("[") :])
    except ValueError:
        raise RuntimeError(
            f"{profile}: locust ended with {done.returncode}:\n{done.stderr[-2000:]}"
        ) from None
    if "Error report" in done.stderr:
        sys.stderr.write(done.stderr[done.stderr.index("Error report") :])
    return [_line(profile, entry) for entry in entries]


def _line(profile: str, entry: dict[str, Any]) -> Line:
    times = sorted((float(value), count) for value, count in entry["response_times"].items())
    ordered = [value for value, count in times for _ in range(count)]
    seconds = entry["last_request_timestamp"] - entry["start_time"] if entry["num_requests"] else 0.0
    name = f"{entry['method']} {entry['name']}"
    return Line(profile, name, entry["num_requests"], entry["num_failures"], seconds, ordered)


def table(lines: Sequence[Line]) -> str:
    """Aligned columns."""
    rows = [HEAD, *(line.cells() for line in lines)]
    widths = [max(len(text) for text in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when every request of every profile succeeded, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--profile", default="all", help=f"all, or of {', '.join(PROFILES)}; comma-separated")
    parser.add_argument("--seconds", type=float, default=5.0, help="each profile; default %(default)s")
    parser.add_argument("--users", type=int, default=50, help="simulated users; default %(default)s")
    parser.add_argument("--host", default="", help="http://HOST:PORT; default: start a server for it")
    options = parser.parse_args(arguments)
    profiles = PROFILES if options.profile == "all" else tuple(options.profile.split(","))
    if unknown := set(profiles) - set(PROFILES):
        parser.error(f"unknown profile: {', '.join(sorted(unknown))}")
    lines: list[Line] = []
    with contextlib.ExitStack() as stack:
        host = options.host or stack.enter_context(serving())
        for profile in profiles:
            lines += run_profile(profile, host, users=options.users, seconds=options.seconds)
    sys.stdout.write(table(lines) + "\n")
    silent = [profile for profile in profiles if not any(x.profile == profile and x.requests for x in lines)]
    failed = sum(line.failures for line in lines)
    sys.stdout.write(
        f"\n{failed} failed" + (f"; without requests: {', '.join(silent)}" if silent else "") + "\n"
    )
    return 1 if failed or silent else 0


if __name__ == "__main__":
    sys.exit(main())
