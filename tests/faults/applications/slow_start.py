"""The steady application after a long import, so that a fault can hit an acceptor that is still booting."""

from __future__ import annotations

import os
import time

from rocket_sup import Request, Router

time.sleep(0.6)  # the long import

app = Router()


@app.get("/")
def short(_: Request) -> tuple[int, str, dict[str, str]]:
    return 200, "ok", {"X-Served-By": str(os.getpid())}
