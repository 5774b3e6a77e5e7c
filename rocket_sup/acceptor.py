"""An Acceptor: one process, one event loop, its own sockets. Here the tree and the wire meet.

It imports the application, says ready, accepts, and hands each client to the wire of its engine. It lives as
long as it is told to: SIGTERM drains and closes idle connections at once (the whole tree is leaving), SIGQUIT
drains patiently (a successor serves: idle clients may send one more request, which is answered with
`Connection: close`). When the Supervisor dies it drains by itself; when only the Listener dies, it serves on.

The loop bumps the heartbeat it is judged by. DUMP_SIGNAL dumps the stacks of all threads and tasks: the
Listener sends it before it replaces a hung acceptor.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import random
import signal
import socket
import sys
import time
import traceback
from types import FrameType
from typing import Any

import psutil

from rocket_sup import scoreboard as board
from rocket_sup.acceptorpool import AcceptorBrief
from rocket_sup.accesslog import AccessLog
from rocket_sup.adapters.asgi import ServerAddress
from rocket_sup.adapters.lifespan import Lifetime
from rocket_sup.admission import Admission, AdmissionRules
from rocket_sup.application import load_configured
from rocket_sup.channel import ChannelClosedError
from rocket_sup.engine.choice import choose
from rocket_sup.engine.contract import Engine, WireBrief
from rocket_sup.engine.tcpwire import TcpEngine
from rocket_sup.errors import ApplicationError, EngineError
from rocket_sup.listener import EXIT_APPLICATION
from rocket_sup.log import EventLog
from rocket_sup.proxy import believe_proxies
from rocket_sup.router import Router
from rocket_sup.scoreboard import SlotState
from rocket_sup.tcp import TcpApplication
from rocket_sup.threads import move_to_threads
from rocket_sup.vigil import DUMP_SIGNAL

HEARTBEAT_S = 0.1
_MEMORY_EVERY = 20  # heartbeats: every two seconds
_RECYCLE_AGAIN_S = 60.0  # the replacement did not start: ask again then
_LIFETIME_MARGIN_S = 3.0  # past the drain; below the pool's DRAIN_MARGIN_S, after which we are killed
_MAX_REPORT = 64 * 1024  # characters of a traceback; below the channel's limit


def run(brief: AcceptorBrief) -> int:
    """Be an acceptor until told to leave.

    Returns:
        The exit status: 0 drained, 3 the application cannot be imported.
    """
    slot = brief.scoreboard.slot(brief.slot_index)
    if slot.state is not SlotState.BOOTING or slot.pid not in (0, os.getpid()):
        return 0  # the Listener died while it forked us, and the slot is somebody else's by now
    slot.write(board.PID, os.getpid())  # the Listener writes it too; whoever of the two is alive has done it
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # typed at the terminal: the Supervisor decides
    settings = brief.config.log
    log = EventLog(level=settings.level, format=settings.format, file=settings.file)
    if brief.config.server.switch_interval:
        sys.setswitchinterval(brief.config.server.switch_interval)
    try:
        application = load_configured(brief.config, _address_of(brief.fds[0]))
        engine: Engine = choose(brief.config)
        if isinstance(application, TcpApplication):
            engine = TcpEngine(engine, application, brief.config)
        loop = _new_loop(engine)
    except ApplicationError as error:
        return _fail(brief, error.report or str(error))
    except (ImportError, EngineError) as error:
        return _fail(brief, str(error))
    asyncio.set_event_loop(loop)
    try:
        router = application if isinstance(application, Router) else Router()  # nobody asks it below HTTP
        believe_proxies(router, brief.config.proxy)
        if brief.config.acceptor.run == "threads":
            move_to_threads(router)
        return Acceptor(brief, router, engine=engine, loop=loop, log=log).serve()
    except ApplicationError as error:
        return _fail(brief, error.report or str(error))
    finally:
        loop.close()


def _new_loop(engine: Engine) -> asyncio.AbstractEventLoop:
    try:
        return engine.new_loop()
    except OSError as error:  # of a ring: too large for this user, bound to a processor that is not there
        raise EngineError(f"the engine {engine.name} cannot start: {error}") from error


def _fail(brief: AcceptorBrief, report: str) -> int:
    try:
        brief.channel.send("boot_failed", report=report[-_MAX_REPORT:])
    except ChannelClosedError:
        pass  # the Listener is gone: nobody asks any more
    return EXIT_APPLICATION


class Acceptor:
    """The process's state; see the module's docstring."""

    def __init__(
        self,
        brief: AcceptorBrief,
        router: Router,
        *,
        engine: Engine,
        loop: asyncio.AbstractEventLoop,
        log: EventLog,
    ) -> None:
        config = brief.config
        self._brief = brief
        self._config = config
        self._engine = engine
        self._loop = loop
        self._log = log
        self._slot = brief.scoreboard.slot(brief.slot_index)
        self._access_log = (
            AccessLog(format=config.log.access, file=config.log.access_file)
            if config.log.access != "off"
            else None
        )
        self._wire = engine.make_wire(
            WireBrief(
                router=router,
                config=config,
                loop=loop,
                log=log,
                access_log=self._access_log,
                on_closed=self._on_connection_closed,
                on_stop_accepting=self._on_stop_accepting,
                flight_box=self._slot.flight_box(),
                places=self._slot,
            )
        )
        self._admission = Admission(
            loop,
            self._wire,
            scoreboard=brief.scoreboard,
            slot=self._slot,
            rules=AdmissionRules(config.server.overload == "reject", config.server.retry_after),
            log=log,
        )
        self._lifetime = Lifetime(router, log)
        self._drained = asyncio.Event()
        self._drain_until: float | None = None
        self._is_patient = False
        self._beats = 0
        self._due = 0.0
        self._recycle_at = _recycle_at(config.acceptor.max_requests, config.acceptor.max_requests_jitter)
        self._asked_to_recycle = 0.0
        self._process = psutil.Process()

    def serve(self) -> int:
        """Begin the application's life, say ready, serve, drain, end it.

        Raises:
            ApplicationError: the application does not start.
        """
        self._watch_surroundings()
        self._loop.run_until_complete(self._lifetime.begin())
        # What is imported by now stays: the collector need not walk it again for as long as this process
        # lives.
        gc.collect()
        gc.freeze()
        self._wire.start()
        self._admission.open(self._brief.fds)
        self._beat()
        self._slot.state = SlotState.READY
        self._tell_engine()
        self._tell("ready")
        self._loop.run_until_complete(self._drained.wait())
        self._wire.abort_all()
        self._loop.run_until_complete(self._end_lifetime())
        self._loop.run_until_complete(self._last_turns())
        self._wire.stop()
        self._publish()
        if self._access_log is not None:
            self._access_log.flush()
        return 0

    async def _end_lifetime(self) -> None:
        """Let the application end, within what is left of the drain, and a little more than nothing."""
        until = self._drain_until or 0.0
        patience_s = max(0.0, until - time.monotonic()) + _LIFETIME_MARGIN_S
        try:
            async with asyncio.timeout(patience_s):
                await self._lifetime.end()
        except TimeoutError:
            self._log.error("shutdown_failed", error=f"the application has not ended within {patience_s:g} s")

    async def _last_turns(self) -> None:
        """Let aborted connections and cancelled handlers end."""
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()
        for _ in range(3):
            await asyncio.sleep(0)

    # --- surroundings ---

    def _watch_surroundings(self) -> None:
        _install_stack_dump(self._loop)
        self._loop.add_signal_handler(signal.SIGTERM, self._drain, False)
        self._loop.add_signal_handler(signal.SIGQUIT, self._drain, True)
        self._loop.add_reader(self._brief.channel.fileno(), self._receive)
        self._loop.add_reader(self._brief.lifeline, self._on_supervisor_gone)

    def _receive(self) -> None:
        try:
            while (received := self._brief.channel.receive()) is not None:
                message, fds = received
                if message["type"] == "adopt":
                    self._admission.adopt(message["number"], fds)
                elif message["type"] == "release":
                    self._admission.release(message["number"])
                elif message["type"] == "reopen_logs":
                    self._reopen_logs()
        except ChannelClosedError:
            self._loop.remove_reader(
                self._brief.channel.fileno()
            )  # the Listener died: serve on, its successor knows us

    def _reopen_logs(self) -> None:
        self._log.reopen()
        if self._access_log is not None:
            self._access_log.flush()
            self._access_log.reopen()

    def _tell(self, kind: str, **fields: Any) -> None:
        try:
            self._brief.channel.send(kind, **fields)
        except ChannelClosedError:
            pass  # the Listener is gone; its successor reads the scoreboard

    def _tell_engine(self) -> None:
        engine = self._engine
        self._tell(
            "engine",
            name=engine.name,
            loop=type(self._loop).__module__.partition(".")[0],
            reason=engine.reason,
            is_fallback=engine.is_fallback,
        )

    def _on_supervisor_gone(self) -> None:
        self._loop.remove_reader(self._brief.lifeline)
        self._drain(False)

    def _flush(self) -> None:
        try:
            self._brief.channel.flush()
        except ChannelClosedError:
            pass  # the Listener is gone; its successor reads the scoreboard

    def _on_connection_closed(self) -> None:
        self._admission.on_connection_closed()

    def _on_stop_accepting(self) -> None:
        self._tell("stop_server", cause="connection setup hook")

    # --- the heartbeat ---

    def _beat(self) -> None:
        now = time.monotonic()
        self._slot.beat(time.monotonic_ns())
        self._slot.write(board.LAG_NS, max(0, round((now - self._due) * 1e9)) if self._due else 0)
        self._due = now + HEARTBEAT_S
        self._publish()
        self._admission.review()
        self._beats += 1
        self._flush()
        if self._beats % 10 == 0 and self._access_log is not None:
            self._access_log.flush()
        self._consider_recycling(now)
        self._consider_leaving(now)
        self._loop.call_later(HEARTBEAT_S, self._beat)

    def _publish(self) -> None:
        slot, statistics = self._slot, self._wire.statistics
        slot.write(board.REQUESTS, statistics.requests)
        slot.write(board.BYTES_RECEIVED, statistics.bytes_received)
        slot.write(board.BYTES_SENT, statistics.bytes_sent)
        websockets = len(self._wire.sessions)
        slot.write(board.WEBSOCKETS, websockets)
        slot.write(board.IN_FLIGHT, max(0, statistics.in_flight - websockets))
        slot.write_many(board.THREADS, self._wire.thread_use())
        slot.write_many(board.STATUSES, statistics.statuses)
        slot.write_many(board.LATENCY, statistics.latency)
        self._admission.publish_idle()

    def _consider_recycling(self, now: float) -> None:
        if self._beats % _MEMORY_EVERY == 1:
            rss_bytes = self._process.memory_info().rss
            self._slot.write(board.RSS_BYTES, rss_bytes)
            most = self._config.acceptor.max_memory
            if most and rss_bytes > most:
                self._ask_to_recycle("max_memory", now)
        if self._recycle_at and self._wire.statistics.requests >= self._recycle_at:
            self._ask_to_recycle("max_requests", now)

    def _ask_to_recycle(self, cause: str, now: float) -> None:
        """Ask for a successor: we leave when it is ready, so no capacity is lost."""
        if self._drain_until is None and (
            not self._asked_to_recycle or now > self._asked_to_recycle + _RECYCLE_AGAIN_S
        ):
            self._asked_to_recycle = now
            self._tell("recycle", cause=cause)

    # --- leaving ---

    def _drain(self, is_patient: bool) -> None:
        """Stop accepting and finish what was begun; `is_patient` leaves idle connections the time to say
        goodbye."""
        now = time.monotonic()
        if self._drain_until is None:
            self._drain_until = now + self._config.timeouts.drain
            self._admission.close()
            self._slot.state = SlotState.DRAINING
        elif is_patient:
            return
        self._is_patient = is_patient
        if is_patient:
            self._wire.is_draining = True
            self._wire.sessions.drain()
        else:
            self._wire.drain()
        self._consider_leaving(now)

    def _consider_leaving(self, now: float) -> None:
        if self._drain_until is None:
            return
        connections = self._wire.connection_count()
        # Handlers may have work behind their answers, when their connections are gone already.
        handlers = self._wire.statistics.in_flight
        if not (connections or handlers) or now >= self._drain_until:
            if connections or handlers:
                self._log.warning(
                    "drain_incomplete", id=self._brief.child_id, connections=connections, handlers=handlers
                )
            self._drained.set()


def _address_of(listening_fd: int) -> ServerAddress:
    """Say where a listening socket is, as applications are told."""
    with socket.socket(fileno=os.dup(listening_fd)) as listening:
        address = listening.getsockname()
    return (address[0], address[1]) if isinstance(address, tuple) else (address, None)


def _recycle_at(requests: int, jitter: int) -> int:
    return requests + random.randint(0, jitter) if requests else 0  # noqa: S311 - spreads load, guards nothing


def _install_stack_dump(loop: asyncio.AbstractEventLoop) -> None:
    """On DUMP_SIGNAL write all stacks to the standard error: threads at once in C, then tasks if Python still
    runs code."""

    def dump_tasks(_signum: int, _frame: FrameType | None) -> None:
        for task in asyncio.all_tasks(loop):
            lines = [f"Task {task.get_name()} (pid {os.getpid()}):\n"]
            for frame in task.get_stack():
                lines.extend(traceback.format_stack(frame, limit=1))
            sys.stderr.write("".join(lines))
        sys.stderr.flush()

    signal.signal(DUMP_SIGNAL, dump_tasks)
    faulthandler.register(DUMP_SIGNAL, file=sys.stderr, all_threads=True, chain=True)
    faulthandler.enable(file=sys.stderr)
