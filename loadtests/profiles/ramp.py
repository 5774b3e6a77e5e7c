"""Ramp: from one user up to `--users`, evenly over `--shape-seconds`."""

from __future__ import annotations

from locust import LoadTestShape

from loadtests.users import Visitor


class Ramping(Visitor):
    """An ordinary visitor; the shape makes the profile."""


class Ramp(LoadTestShape):
    """More and more."""

    use_common_options = True  # --users

    def tick(self) -> tuple[int, float] | None:
        """Users and spawn rate at this moment; None ends the run."""
        assert self.runner is not None
        options = self.runner.environment.parsed_options
        elapsed = self.get_run_time()
        if elapsed > options.shape_seconds:
            return None
        most = options.num_users or 50
        return max(1, round(most * elapsed / options.shape_seconds)), most
