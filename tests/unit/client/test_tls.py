"""Whom a client trusts."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from rocket_sup.client.tls import Tls


def test_the_system_is_trusted_unless_told_otherwise() -> None:
    """Names and certificates are checked, or neither is; a context of the caller is taken."""
    usual, nobody = Tls().context(["http/1.1"]), Tls(verify=False).context(["http/1.1"])
    own = ssl.create_default_context()

    assert (True, ssl.CERT_REQUIRED) == (usual.check_hostname, usual.verify_mode)
    assert (False, ssl.CERT_NONE) == (nobody.check_hostname, nobody.verify_mode)
    assert own is Tls(verify=own).context(["h2"])


def test_files_that_are_not_there(tmp_path: Path) -> None:
    """They are missed when the context is made, not when a server is."""
    with pytest.raises(OSError, match="No such file"):
        Tls(verify=str(tmp_path / "none.pem")).context([])
    with pytest.raises(OSError, match="No such file"):
        Tls(certificate=str(tmp_path / "none.pem")).context([])
    with pytest.raises(OSError, match="No such file"):
        Tls(certificate=(str(tmp_path / "a"), str(tmp_path / "b"), "secret")).context([])


def test_only_what_was_named_is_trusted(tmp_path: Path) -> None:
    """A directory of certificates instead of the system's."""
    context = Tls(verify=f"{tmp_path}/").context([])

    assert ssl.CERT_REQUIRED is context.verify_mode
    assert [] == context.get_ca_certs()
