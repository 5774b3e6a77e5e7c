"""A selector for asyncio whose `select` serves HTTP until asyncio has work.

The native reactor watches the descriptors that asyncio registers here and all HTTP connections with one
kernel object. What is ready for asyncio is returned as any selector does; what is ready for HTTP never gets
here. See `crates/rocket-py/src/reactor.rs`.
"""

from __future__ import annotations

import selectors
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

_MASK = selectors.EVENT_READ | selectors.EVENT_WRITE


class Reactor(Protocol):
    """The native half."""

    def watch(self, fd: int, mask: int, /) -> None: ...
    def unwatch(self, fd: int, /) -> None: ...
    def select(self, timeout: float | None, /) -> list[tuple[int, int]]: ...
    def fileno(self) -> int: ...
    def turn(self) -> bool: ...
    def close(self) -> None: ...


class NativeSelector(selectors.BaseSelector):
    """The selector of one loop.

    Args:
        reactor: waits and serves.
    """

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._map = _Watched(self)

    def register(self, fileobj: int | object, events: int, data: object = None) -> selectors.SelectorKey:
        """Watch a descriptor.

        Raises:
            ValueError: no descriptor, or no events.
            KeyError: it is watched already.
            OSError: the kernel refuses it.
        """
        if not events or events & ~_MASK:
            raise ValueError(f"Invalid events: {events!r}")
        key = selectors.SelectorKey(fileobj, self._fd_of(fileobj), events, data)  # type: ignore[arg-type]
        if key.fd in self._keys:
            raise KeyError(f"{fileobj!r} (FD {key.fd}) is already registered")
        self._reactor.watch(key.fd, events)
        self._keys[key.fd] = key
        return key

    def unregister(self, fileobj: int | object) -> selectors.SelectorKey:
        """Watch it no more; it may be closed by now.

        Raises:
            KeyError: it was not watched.
        """
        try:
            key = self._keys.pop(self._fd_of(fileobj))
        except KeyError:
            raise KeyError(f"{fileobj!r} is not registered") from None
        try:
            self._reactor.unwatch(key.fd)
        except OSError:
            pass  # closed before: the kernel has forgotten it
        return key

    def modify(self, fileobj: int | object, events: int, data: object = None) -> selectors.SelectorKey:
        """Watch it for other events, or with other data.

        Raises:
            KeyError: it is not watched.
        """
        key = self.get_key(fileobj)
        if events != key.events:
            self._reactor.watch(key.fd, events)
        key = self._keys[key.fd] = key._replace(events=events, data=data)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Serve HTTP until a watched descriptor is ready, or the loop has other work, or time is over."""
        keys = self._keys
        return [
            (key, mask & key.events)
            for fd, mask in self._reactor.select(timeout)
            if (key := keys.get(fd)) is not None and mask & key.events
        ]

    def close(self) -> None:
        """Forget everything; connections are ended by their wire before."""
        self._keys.clear()
        self._reactor.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Show what is watched, by descriptor; file objects are found, too."""
        return self._map

    def get_key(self, fileobj: int | object) -> selectors.SelectorKey:
        """Find what was registered.

        Raises:
            KeyError: it is not watched.
        """
        try:
            return self._keys[self._fd_of(fileobj)]
        except KeyError:
            raise KeyError(f"{fileobj!r} is not registered") from None

    def _fd_of(self, fileobj: int | object) -> int:
        """Name the descriptor of a file object, also of one that was closed while it was watched."""
        fd = fileobj if isinstance(fileobj, int) else getattr(fileobj, "fileno", lambda: -1)()
        if fd >= 0:
            return int(fd)
        for key in self._keys.values():
            if key.fileobj is fileobj:
                return key.fd
        raise ValueError(f"Invalid file descriptor: {fd}")


class _Watched(Mapping[Any, selectors.SelectorKey]):
    """See `get_map`. asyncio looks here for file objects, from Python 3.13 on."""

    def __init__(self, selector: NativeSelector) -> None:
        self._selector = selector

    def __len__(self) -> int:
        return len(self._selector._keys)

    def __iter__(self) -> Iterator[int]:
        return iter(self._selector._keys)

    def __getitem__(self, fileobj: int | object) -> selectors.SelectorKey:
        return self._selector.get_key(fileobj)
