"""What a child of the operator's is without being told."""

from __future__ import annotations

from rocket_sup.config import ChildConfig, options_of


def test_a_child_is_restarted_for_ever() -> None:
    """Unless its table says otherwise; name and command have to be said."""
    child = ChildConfig(name="queue", command=("sh",))

    assert (child.restart, child.significant, child.ready) == ("permanent", False, "exec")
    required = {key for key, each in options_of(ChildConfig).items() if "required" in each.help}
    assert {"name", "command"} == required
