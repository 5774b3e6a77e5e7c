"""Soak: a moderate mixture for hours, to see what grows: memory, descriptors, latency.

Run it with `--run-time 8h` and watch `rocket-sup status` beside it.
"""

from __future__ import annotations

from locust import between

from loadtests.users import PatientVisitor, ShortVisitor, SlowReader, Visitor


class Regular(Visitor):
    """Most of them."""

    weight = 10
    wait_time = between(0.1, 1.0)


class Short(ShortVisitor):
    """Some come and go."""

    weight = 5
    wait_time = between(0.1, 1.0)


class Patient(PatientVisitor):
    """Some stay and say little."""

    weight = 4


class Slow(SlowReader):
    """And somebody is always on a bad line."""

    weight = 1
