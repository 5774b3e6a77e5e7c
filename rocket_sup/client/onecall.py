"""One call for one answer, with everything behind it: connections that are kept, HTTP/2, a cache.

Clients are made when they are first needed, one for each way of connecting, and shared by all callers and
threads of the process. Answers to GET and HEAD are kept for `ttl` seconds, in memory; callers who ask for the
same at the same time cause one request.
"""

from __future__ import annotations

import os
import threading

from rocket_sup.client.cache.store import MemoryStore
from rocket_sup.client.settings import Limits
from rocket_sup.client.syncclient import Client

_lock = threading.Lock()
_clients: dict[tuple[int, bool, int], Client] = {}  # by process, HTTP/2 or not, and connections


def send_request_with_cache(
    method: str,
    url: str,
    body: str | bytes = "",
    use_http2: bool = False,
    keep_alive: bool = True,
    max_workers: int = 10,
    ttl: float = 60,
) -> str:
    """Send a request and return the text of its answer, whatever its status.

    Args:
        method: GET and HEAD are answered from the cache while what it has is not older than `ttl`.
        url: absolute.
        body: the content; "" for none.
        use_http2: offer HTTP/2 (extra `http2`).
        keep_alive: keep the connection for the next call.
        max_workers: connections at once, of all callers with the same number; the others wait.
        ttl: seconds; 0 asks the server.

    Raises:
        ClientError: there is no answer.
    """
    client = _client(use_http2, max_workers)
    headers = {} if keep_alive else {"Connection": "close"}
    if ttl > 0 and method in ("GET", "HEAD") and not body:
        return client.request(method, url, headers=headers, ttl=ttl).text
    return client.request(method, url, headers=headers, content=body).text


def _client(use_http2: bool, max_workers: int) -> Client:
    key = (os.getpid(), use_http2, max_workers)
    with _lock:
        client = _clients.get(key)
        if client is None:
            limits = Limits(max_connections=max_workers, max_per_origin=max_workers)
            client = _clients[key] = Client(http2=use_http2, limits=limits, cache=MemoryStore())
        return client
