"""Files of a directory beside handlers: rocket-sup examples.files:app

curl -i localhost:8080/                                   # examples/public/index.html
curl -i localhost:8080/style.css -r 0-3                   # 206, four bytes
curl -i localhost:8080/api/time                           # a handler, as its pattern says more than "/"
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rocket_sup import Request, Router

app = Router()
app.static("/", Path(__file__).parent / "public", max_age=60)


@app.get("/api/time")
def now(req: Request) -> dict[str, str]:
    """Say what time it is."""
    return {"now": datetime.now(UTC).isoformat()}
