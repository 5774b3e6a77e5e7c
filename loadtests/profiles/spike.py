"""Spike: a tenth of `--users`; all at once for the middle fifth of `--shape-seconds`; a tenth again."""

from __future__ import annotations

from locust import LoadTestShape

from loadtests.users import ShortVisitor, Visitor


class Known(Visitor):
    """Half of them on kept connections."""


class New(ShortVisitor):
    """Half of them with a new connection each time."""


class Spike(LoadTestShape):
    """Suddenly everybody."""

    use_common_options = True  # --users

    def tick(self) -> tuple[int, float] | None:
        """Users and spawn rate at this moment; None ends the run."""
        assert self.runner is not None
        options = self.runner.environment.parsed_options
        elapsed = self.get_run_time() / options.shape_seconds
        if elapsed > 1:
            return None
        most = options.num_users or 50
        return (most if 0.4 <= elapsed < 0.6 else max(1, most // 10)), most
