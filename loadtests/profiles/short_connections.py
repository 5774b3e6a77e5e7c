"""Short connections: each request opens one and ends it, so that accepting is what is tested."""

from __future__ import annotations

from loadtests.users import ShortVisitor


class ShortConnections(ShortVisitor):
    """Comes, asks once, leaves; again and again."""
