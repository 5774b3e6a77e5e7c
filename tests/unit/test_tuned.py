"""A service with the deadlines of one connection."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

from rocket_sup.config import TimeoutsConfig
from rocket_sup.service import Service
from rocket_sup.tuned import TunedService


def test_only_the_deadlines_are_its_own() -> None:
    """What changes in the service behind it is seen, and what is set is set there."""
    behind = SimpleNamespace(timeouts=TimeoutsConfig(), idle_s=60.0, is_draining=False, log="log")
    timeouts = TimeoutsConfig(idle=0, head=1.0)
    tuned = TunedService(cast("Service", behind), timeouts)

    assert (timeouts, math.inf, "log") == (tuned.timeouts, tuned.idle_s, tuned.log)
    behind.is_draining = True
    assert tuned.is_draining
    tuned.is_draining = False
    assert not behind.is_draining
    assert 60.0 == behind.idle_s
    assert 5.0 == TunedService(cast("Service", behind), TimeoutsConfig(idle=5.0)).idle_s
