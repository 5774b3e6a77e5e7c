"""The benchmark's first answer from an application of FastAPI."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

app = FastAPI()


@app.get("/health", response_class=PlainTextResponse)
async def health() -> str:
    return "ok"
