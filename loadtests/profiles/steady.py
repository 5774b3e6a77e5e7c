"""Steady: a constant number of busy visitors on kept connections."""

from __future__ import annotations

from loadtests.users import Visitor


class Steady(Visitor):
    """Nothing special, all the time."""
