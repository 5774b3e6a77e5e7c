"""The native engines, and the only door to their module, `rocket_sup.engine._native` (`crates/rocket-py`).

Nobody else imports that module, and everything works without it: `load` gives it, or the reason why it is
not to be had. It is loaded where this file is imported first, which is in the Listener, before it forks:
acceptors share its pages and need not look for it.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from rocket_sup.config import Config
from rocket_sup.engine.contract import Wire, WireBrief
from rocket_sup.engine.nativewire import NativeWire
from rocket_sup.engine.portable import new_loop
from rocket_sup.engine.selector import NativeSelector

NOT_BUILT: Final = "the native module is not built: install Rust and reinstall, or accept about 1.4x the CPU"
# A module built from another version of the source may be lying about; it is known by what it lacks.
_PARTS: Final = ("Lane", "Reactor", "probe_uring")
_MODULE: Final = "rocket_sup.engine._native"


def find(environment: Mapping[str, str]) -> tuple[ModuleType | None, str]:
    """Look for the native module.

    Args:
        environment: `ROCKET_NATIVE=0` in it says to do without.

    Returns:
        The module and "", or None and why.
    """
    if environment.get("ROCKET_NATIVE") == "0":
        return None, "the native module is switched off by ROCKET_NATIVE=0"
    if importlib.util.find_spec(_MODULE) is None:
        return None, NOT_BUILT
    try:
        module = importlib.import_module(_MODULE)
    except ImportError as error:  # for another interpreter, processor or C library
        return None, f"the native module cannot be loaded: {error}"
    missing = [part for part in _PARTS if not hasattr(module, part)]
    if missing:
        return None, f"the native module is of another version, without {', '.join(missing)}: build it again"
    return module, ""


_FOUND: Final = find(os.environ)


def load() -> tuple[ModuleType | None, str]:
    """Give the native module and "", or None and why; see `find`."""
    return _FOUND


class NativeEngine:
    """See `contract.Engine`."""

    def __init__(
        self, module: ModuleType, name: str, config: Config, *, reason: str, is_fallback: bool = False
    ) -> None:
        """Prepare to serve.

        Args:
            module: what `load` gave.
            name: "epoll" or "io_uring".
            config: `server.loop` and the engine's own options.
            reason: why this engine was chosen.
            is_fallback: it stands in for another that was wanted.
        """
        self.name = name
        self.reason = reason
        self.is_fallback = is_fallback
        self._module = module
        self._config = config
        self._is_selector = config.server.loop != "uvloop"
        self._reactor: Any = None

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Make the event loop: asyncio's own, with the reactor as its selector; uvloop when it is asked for.

        Raises:
            ImportError: uvloop is asked for and not installed.
            OSError: the kernel gives no more.
        """
        ring = self._config.engine_io_uring if self.name == "io_uring" else None
        self._reactor = self._module.Reactor(ring)
        if self._is_selector:
            loop: asyncio.AbstractEventLoop = asyncio.SelectorEventLoop(NativeSelector(self._reactor))
            self._reactor.attach_loop(loop)
            return loop
        return new_loop("uvloop")

    def make_wire(self, brief: WireBrief) -> Wire:
        """Make a wire on a loop of `new_loop`."""
        return NativeWire(self._module, self._reactor, brief, is_selector=self._is_selector)
