"""Boots fine and dies at the first request, without a word."""

from __future__ import annotations

import os

from rocket_sup import Request, Router

app = Router()


@app.get("/")
def die(_: Request) -> str:
    os._exit(9)
