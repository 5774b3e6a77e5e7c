"""The constant-rate driver in a process of its own, beside a test that injects faults meanwhile.

A process of its own because the driver's timing must not wait for the test's interpreter lock. The child
writes one JSON document when its standard input ends or its schedule is over; a parent that dies ends it the
same way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict

from loadtests.constant_rate import Plan
from loadtests.results import Result

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Background:
    """A run under way. Use as a context manager, or call `stop` once."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        command = [sys.executable, "-m", "loadtests.constant_rate", "--output", "-", "--until-eof"]
        for name, value in asdict(plan).items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._output = b""
        self._reader = threading.Thread(target=self._read, name="constant-rate output", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self._output = self._process.stdout.read()

    def __enter__(self) -> Background:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def pid(self) -> int:
        """The driver's process."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the driver is still at work."""
        return self._process.poll() is None

    def stop(self) -> Result:
        """End the schedule now, wait for what is in flight, return the records.

        Raises:
            RuntimeError: the driver ended without a result.
        """
        return self._collect(end_now=True)

    def wait(self) -> Result:
        """Wait for the schedule's own end, return the records.

        Raises:
            RuntimeError: the driver ended without a result.
        """
        return self._collect(end_now=False)

    def _collect(self, *, end_now: bool) -> Result:
        assert self._process.stdin is not None
        if end_now:
            self._process.stdin.close()
            limit_s = self._plan.timeout_s + 30
        else:
            limit_s = self._plan.seconds + self._plan.timeout_s + 30
        self._process.wait(limit_s)
        self._reader.join()
        if not self._output:
            raise RuntimeError(
                f"the constant-rate driver ended with {self._process.returncode} and no result"
            )
        return Result.from_document(json.loads(self._output))
