"""The benchmark's files as a rocket-sup application."""

from __future__ import annotations

from pathlib import Path

from rocket_sup import Router

app = Router()
app.static("/files", Path(__file__).parents[1] / "build" / "files")
