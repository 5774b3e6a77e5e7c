"""What runs before the first request and after the last: lifespans of ASGI applications, and own hooks.

The acceptor has one `Lifetime`: it is begun before the acceptor says ready, and ended when the connections
are gone. An ASGI application's part is one task from beginning to end, because what it enters at start (task
groups, above all) it has to leave in the same task. A start that fails is a boot that fails, with the
traceback for the operator; an end that fails is logged, since there is nothing left to be saved.

Specified in the ASGI specification, lifespan protocol 2.0.
"""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, Literal

from rocket_sup.errors import ApplicationError, LocalProtocolError
from rocket_sup.hooks import Life, LifeHook
from rocket_sup.router import Router, describe

if TYPE_CHECKING:
    from rocket_sup.log import EventLog

LifespanMode = Literal["auto", "on", "off"]

_PATIENCE_S: Final = 1.0  # for an application that has said that it cannot start, and does not return
_STARTUP: Final = {"type": "lifespan.startup"}
_SHUTDOWN: Final = {"type": "lifespan.shutdown"}


class Lifetime:
    """Everything an application does around its requests.

    Its own hooks come first and go last, so that what is mounted finds what they made; each kind ends in the
    reverse of its order.
    """

    def __init__(self, router: Router, log: EventLog) -> None:
        """Take the hooks and lifespans of a frozen router."""
        self._hooks = router.hooks
        self._lives = router.hooks.lives
        self._log = log
        self._begun: list[Life] = []

    async def begin(self) -> None:
        """Start everything.

        Raises:
            ApplicationError: something failed; what was started before it was ended again.
        """
        try:
            for hook in self._hooks.startup:
                await _call(hook, "startup")
            for life in self._lives:
                await life.begin()
                self._begun.append(life)
        except ApplicationError:
            await self.end()
            raise

    async def end(self) -> None:
        """End what was started; a failure is logged, and does not keep the others from their end."""
        while self._begun:
            await self._try(self._begun.pop().end())
        for hook in reversed(self._hooks.shutdown):
            await self._try(_call(hook, "shutdown"))

    async def _try(self, ending: Awaitable[None]) -> None:
        try:
            await ending
        except ApplicationError as error:
            self._log.error("shutdown_failed", error=str(error), traceback=error.report)


async def _call(hook: LifeHook, moment: str) -> None:
    try:
        result = hook()
        if inspect.isawaitable(result):
            await result
    except Exception as error:
        raise _failed(f"the {moment} hook {describe(hook)} failed", error) from error


def _failed(what: str, error: BaseException) -> ApplicationError:
    return ApplicationError(
        f"{what}: {type(error).__name__}: {error}", report="".join(traceback.format_exception(error))
    )


class Lifespan:
    """The lifespan of one ASGI application; a `Life`."""

    def __init__(
        self, app: Callable[..., Awaitable[None]], state: MutableMapping[str, Any], *, is_required: bool
    ) -> None:
        """Prepare to run an application's lifespan.

        Args:
            state: what the application puts into it is in every scope.
            is_required: an application that does not know the protocol fails.
        """
        self._app = app
        self._state = state
        self._is_required = is_required
        self._is_asked = False  # the application has received its startup event, so it knows the protocol
        self._is_foreign = False  # it has sent what does not belong here, so it does not
        self._sent: dict[str, str] = {}  # outcome by moment, with its message

    async def begin(self) -> None:
        """Start the application.

        Raises:
            ApplicationError: it says that it cannot start, or fails.
        """
        self._news = asyncio.Event()
        self._ending = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="lifespan")
        await self._wait_for("startup")
        if "startup.complete" in self._sent:
            return
        if "startup.failed" in self._sent:
            await self._give_up()
            raise self._refused("startup", self._failure())
        error = self._failure()
        if error is None and self._is_required:
            raise ApplicationError("the ASGI application returned from its lifespan before it had started")
        if error is not None and (self._is_required or (self._is_asked and not self._is_foreign)):
            raise _failed("the lifespan of the ASGI application failed at startup", error)

    async def end(self) -> None:
        """Let the application end.

        Raises:
            ApplicationError: it says that it could not, or fails.
        """
        if "startup.complete" not in self._sent:
            return
        self._ending.set()
        await self._wait_for("shutdown")
        error = self._failure()
        if "shutdown.failed" in self._sent:
            raise self._refused("shutdown", error)
        if error is not None:
            raise _failed("the lifespan of the ASGI application failed", error)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            if "startup.complete" in self._sent and not self._ending.is_set():
                # Told now: whatever it kept for the requests is gone, and the end may be weeks away.
                asyncio.get_running_loop().call_exception_handler(
                    {
                        "message": "the lifespan of the ASGI application failed while it served",
                        "exception": error,
                    }
                )
            raise
        finally:
            self._news.set()

    async def _receive(self) -> Mapping[str, Any]:
        if not self._is_asked:
            self._is_asked = True
            return _STARTUP
        await self._ending.wait()
        return _SHUTDOWN

    async def _send(self, message: Mapping[str, Any]) -> None:
        kind = str(message["type"])
        moment, _, outcome = kind.removeprefix("lifespan.").partition(".")
        if moment not in ("startup", "shutdown") or outcome not in ("complete", "failed"):
            self._is_foreign = True
            raise LocalProtocolError(f"the ASGI application sent {kind!r} in its lifespan")
        if any(sent.startswith(moment) for sent in self._sent):
            raise LocalProtocolError(f"the ASGI application sent {kind!r} after its {moment} was over")
        self._sent[f"{moment}.{outcome}"] = str(message.get("message", ""))
        self._news.set()

    async def _wait_for(self, moment: str) -> None:
        """Wait until the application has told how a moment went, or ended without a word."""
        while not self._task.done() and not any(sent.startswith(moment) for sent in self._sent):
            self._news.clear()
            await self._news.wait()
            await asyncio.sleep(0)  # a task that has just set the event is done in the next turn

    async def _give_up(self) -> None:
        """Let an application that cannot start end; it mostly raises what it was that failed."""
        self._ending.set()
        _, pending = await asyncio.wait([self._task], timeout=_PATIENCE_S)
        if pending:
            self._task.cancel()
            await asyncio.wait(pending, timeout=_PATIENCE_S)

    def _failure(self) -> BaseException | None:
        """What the application raised, if it has."""
        if not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    def _refused(self, moment: str, error: BaseException | None) -> ApplicationError:
        message = self._sent[f"{moment}.failed"]
        report = message
        if error is not None and "Traceback" not in message:  # many frameworks send theirs
            report = "".join(traceback.format_exception(error)) + message
        summary = message.strip().rpartition("\n")[2]
        return ApplicationError(f"the ASGI application failed at {moment}: {summary}", report=report)
