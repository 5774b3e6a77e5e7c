"""Kept alive: many connections, each idle most of the time."""

from __future__ import annotations

from loadtests.users import PatientVisitor


class KeptAlive(PatientVisitor):
    """Its connection lives as long as the run, unless the server's idle deadline is shorter."""
