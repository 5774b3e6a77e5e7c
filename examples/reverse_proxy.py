"""A reverse proxy: whatever is asked here is asked of another server, and streamed both ways.

UPSTREAM=http://127.0.0.1:9000 rocket-sup examples.reverse_proxy:app
curl -i localhost:8080/anything
"""

import os

from rocket_sup import Router
from rocket_sup.client import Limits, Timeout
from rocket_sup.reverse import METHODS, proxy, upstream_client

UPSTREAM = os.environ.get("UPSTREAM", "http://127.0.0.1:9000")

app = Router()
client = upstream_client(Limits(max_connections=200))
app.on_shutdown(client.close)
forward = proxy(UPSTREAM, client, timeout=Timeout(connect=2, read=30))
app.route("/**", methods=METHODS, stream=True, max_body=1 << 30)(forward)
