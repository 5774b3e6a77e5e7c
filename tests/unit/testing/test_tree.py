"""The whole tree, started and ended by a block."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

from rocket_sup.testing import running_tree

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_a_tree_serves_as_long_as_the_block_runs() -> None:
    """On a free port, with the options it was given."""
    with running_tree("examples.hello:app", app_dir=ROOT, server={"num_acceptors": 2}) as tree:
        with urllib.request.urlopen(f"{tree.url}/health") as answer:
            status = answer.status
        acceptors = tree.status()["acceptors"]
        was_running = tree.is_running

    assert (status, len(acceptors), was_running) == (200, 2, True)
    assert not tree.is_running


@pytest.mark.slow
def test_a_tree_that_does_not_start_says_why() -> None:
    """With what it printed."""
    with pytest.raises(RuntimeError, match="no module"), running_tree("examples.nowhere:app", app_dir=ROOT):
        raise AssertionError("it was started")
