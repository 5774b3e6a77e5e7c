"""The example of how to test does what it says: its tests are run here."""

from __future__ import annotations

from examples.test_hello import test_in_this_process as test_in_this_process
from examples.test_hello import test_on_a_port as test_on_a_port
from examples.test_hello import test_under_the_tree as test_under_the_tree
