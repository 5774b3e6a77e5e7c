"""Which engine serves, and why.

`auto` is epoll where the native module is there: it costs as much as io_uring, within what can be measured,
and works in every sandbox; io_uring is for who asks for it. Without the module it is the portable engine. A
choice that is not the wanted one is marked as a fallback, and said loudly by whoever logs it; an engine that
was asked for by name and needs what is not there is refused.
"""

from __future__ import annotations

from rocket_sup.config import Config
from rocket_sup.engine import native
from rocket_sup.engine.contract import Engine
from rocket_sup.engine.portable import PortableEngine
from rocket_sup.errors import EngineError


def choose(config: Config) -> Engine:
    """Choose by `server.engine`, and by what this process may use.

    Raises:
        EngineError: an engine was asked for that cannot be had.
    """
    wanted, loop = config.server.engine, config.server.loop
    if wanted == "python":
        return PortableEngine(loop, reason="server.engine asks for it")
    module, missing = native.load()
    if module is None:
        if wanted != "auto":
            raise EngineError(f'server.engine is "{wanted}", but {missing}')
        return PortableEngine(loop, reason=missing, is_fallback=True)
    if wanted == "auto":
        reason = "the native module is there; io_uring, which costs as much, is used when asked for"
        return native.NativeEngine(module, "epoll", config, reason=reason)
    refusal: str | None = module.probe_uring() if wanted == "io_uring" else None
    if refusal is not None:
        reason = f"io_uring cannot be used here: {refusal}"
        return native.NativeEngine(module, "epoll", config, reason=reason, is_fallback=True)
    return native.NativeEngine(module, wanted, config, reason="server.engine asks for it")
