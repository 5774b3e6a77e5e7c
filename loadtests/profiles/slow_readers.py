"""Slow readers: half of the users read in sips; the other half shows whether anybody else notices."""

from __future__ import annotations

from loadtests.users import SlowReader, Visitor


class Slow(SlowReader):
    """Takes its time."""


class Others(Visitor):
    """Must be served as if the slow ones were not there."""
