"""One event loop in one thread, for everybody in the process who has none.

Started by the first who needs it, shared by all synchronous clients, and never stopped: its thread is a
daemon, which ends with the process. A process that was forked from one with such a thread gets its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

T = TypeVar("T")


class _Shared:
    """The loop of this process. Written under the lock; read without, as a reference is read at once."""

    lock = threading.Lock()
    loop: asyncio.AbstractEventLoop | None = None
    owner = 0  # the process that started it


def shared_loop() -> asyncio.AbstractEventLoop:
    """Return the loop, started if need be."""
    loop = _Shared.loop
    if loop is None or _Shared.owner != os.getpid():
        with _Shared.lock:
            if _Shared.loop is None or _Shared.owner != os.getpid():
                _Shared.loop = _start()
                _Shared.owner = os.getpid()
            loop = _Shared.loop
    return loop


def run(coroutine: Coroutine[Any, Any, T]) -> T:  # Any: what a coroutine yields concerns its loop
    """Run a coroutine on the shared loop and wait for its result.

    Raises:
        RuntimeError: it was called on that loop itself, which would wait for ever.
    """
    loop = shared_loop()
    try:
        is_inside = asyncio.get_running_loop() is loop
    except RuntimeError:
        is_inside = False
    if is_inside:
        coroutine.close()
        raise RuntimeError("a synchronous client was called on its own event loop; use AsyncClient there")
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()  # Ctrl-C while waiting: nobody wants the result
        raise


def _start() -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop
    if find_spec("uvloop") is not None:
        loop = import_module("uvloop").new_event_loop()
    else:
        loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="rocket-client", daemon=True).start()
    return loop


os.register_at_fork(after_in_child=lambda: setattr(_Shared, "lock", threading.Lock()))
