"""The application of a directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from rocket_sup.application import load_configured
from rocket_sup.config import Config
from rocket_sup.config_files import FilesConfig
from rocket_sup.errors import ApplicationError
from rocket_sup.filesite import make_file_site
from rocket_sup.router import Router


def test_every_path_is_a_file(tmp_path: Path) -> None:
    """Frozen, and what the configuration gives when it names a directory."""
    site = make_file_site(FilesConfig(directory=str(tmp_path)))
    loaded = load_configured(Config(files=FilesConfig(directory=str(tmp_path))))

    assert site.find("GET", "/a/b") is not None
    assert isinstance(loaded, Router)
    assert loaded.find("HEAD", "/") is not None


def test_what_cannot_be_served_is_said(tmp_path: Path) -> None:
    """The directory is gone since the configuration was checked; a field that cannot be sent."""
    with pytest.raises(ApplicationError, match="nowhere"):
        make_file_site(FilesConfig(directory=str(tmp_path / "nowhere")))
    with pytest.raises(ApplicationError, match="Cache-Control"):
        make_file_site(FilesConfig(directory=str(tmp_path), cache_control="a\nb"))
