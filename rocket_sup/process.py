"""Operating-system processes as children: fork, execute, signal, reap.

A `Process` is held by pid and pidfd: a signal through the pidfd can never hit a stranger that got the same
number. A forked child keeps only the descriptors it is told to keep, so that the end of any process is seen
by all who wait for it. Nothing here decides anything: restarts and deadlines are the policy's.

Linux only: pidfd_open(2), prctl(2), waitid(2).
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rocket_sup.channel import Channel
from rocket_sup.spec import ExitKind, ExitReason

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NAME = 15
_EXIT_NOT_FOUND = 127  # as the shell does, for a command that cannot be executed
_EXIT_UNEXPECTED = 1  # as the interpreter does for an exception nobody caught

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class Process:
    """A living child, or one that was not reaped yet.

    Attributes:
        pid: its number; stable until it is reaped.
        pidfd: readable once it has ended; signals go through it.
        channel: our end of the message channel; None for executed commands.
        boot_report: why it could not start, in its own words, when it said so.
        killed_because: set by us before we kill it, so that the exit reason names the cause and not the
        weapon. was_asked: we asked it to stop; a clean end is then `shutdown`.
        is_ready: it said so.
        is_ready_at_once: it counts as started as soon as it exists, for it will never say so.
    """

    pid: int
    pidfd: int
    channel: Channel | None = None
    boot_report: str = ""
    killed_because: ExitKind | None = None
    was_asked: bool = False
    is_ready_at_once: bool = False
    is_ready: bool = False
    oom_kills_before: int = field(default_factory=lambda: oom_kills())

    def signal(self, signum: int) -> None:
        """Send a signal; nothing happens when the process is gone already."""
        try:
            signal.pidfd_send_signal(self.pidfd, signum)
        except ProcessLookupError:
            pass  # it ended by itself: the reaper tells how

    def close(self) -> None:
        """Forget the process: close our descriptors of it."""
        os.close(self.pidfd)
        if self.channel is not None:
            self.channel.close()

    def exit_reason(self, status: int) -> ExitReason:
        """Turn a wait status into an exit reason.

        Args:
            status: as returned by waitpid(2).
        """
        if os.WIFSIGNALED(status):
            return self._killed(os.WTERMSIG(status))
        code = os.WEXITSTATUS(status)
        if self.boot_report:
            return ExitReason(ExitKind.BOOT_FAILED, code=code, detail=self.boot_report)
        if self.killed_because is not None:
            return ExitReason(self.killed_because, code=code)
        if code == 0:
            return ExitReason(ExitKind.SHUTDOWN if self.was_asked else ExitKind.NORMAL)
        return ExitReason(ExitKind.EXIT, code=code)

    def _killed(self, signum: int) -> ExitReason:
        name = _signal_name(signum)
        if signum == signal.SIGKILL and self.killed_because is not None:
            return ExitReason(self.killed_because, signal=name)
        if signum == signal.SIGKILL and oom_kills() > self.oom_kills_before:
            return ExitReason(ExitKind.OOM, signal=name)
        if signum == signal.SIGTERM and self.was_asked:
            return ExitReason(ExitKind.SHUTDOWN, signal=name)
        return ExitReason(ExitKind.KILLED, signal=name)


def _signal_name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"  # a real-time signal has no name


def fork(run: Callable[[], int], *, keep: Iterable[int], name: str) -> Process:
    """Fork a child that runs a function and exits with its result.

    The child starts with default signal dispositions, no descriptors but 0, 1, 2 and `keep`, and never
    returns from here: the parent's objects stay as they were, untouched, on its stack.

    Args:
        run: what the child does; its return value is the exit status.
        keep: descriptors the child needs.
        name: shown by ps and top, at most 15 bytes.

    Raises:
        OSError: the kernel gives no process or no descriptor; no child is left.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        pid = os.fork()
        if pid == 0:
            _run_forked(run, keep=keep, name=name, mask=blocked)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    try:
        return Process(pid, os.pidfd_open(pid))
    except OSError:  # out of descriptors: a child that nobody holds would serve on unwatched
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _run_forked(run: Callable[[], int], *, keep: Iterable[int], name: str, mask: Iterable[int]) -> None:
    status = _EXIT_UNEXPECTED
    try:
        # Objects of the parent that own descriptors must never be finalised here: their numbers will be used
        # anew.
        gc.freeze()
        _reset_signals()
        close_all_but({0, 1, 2, *keep})
        _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        status = run()
    except SystemExit as leave:
        status = 0 if leave.code is None else leave.code if isinstance(leave.code, int) else _EXIT_UNEXPECTED
    except BaseException:  # the last boundary of this process: report, then leave with a status
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status & 0xFF)  # as the kernel cuts it; an int too large for C would raise, and return


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for signum in (
        signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
        signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU,
    ):  # fmt: skip
        signal.signal(signum, signal.SIG_DFL)


def close_all_but(keep: set[int]) -> None:
    """Close every descriptor of this process that is not named."""
    for text in os.listdir("/proc/self/fd"):
        fd = int(text)
        if fd not in keep:
            try:
                os.close(fd)
            except OSError:
                pass  # the descriptor that listed the directory is closed by now


def execute(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: str | None = None,
    name: str,
) -> Process:
    """Fork a child and replace it by a command.

    The command gets SIGTERM when its parent dies, however it dies. One that cannot be executed ends with
    status 127 and a line on the standard error.

    Args:
        command: program and arguments; the program is searched in PATH.
        environment: the command's whole environment.
        directory: where it runs; None: here.
        name: for the error line.
    """
    parent = os.getpid()

    def run() -> int:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            return 0  # the parent died before the line above: nobody would tell us
        os.setpgid(0, 0)  # its own group: Ctrl-C in the terminal is ours to pass on, in order
        try:
            if directory is not None:
                os.chdir(directory)
            os.execvpe(command[0], list(command), dict(environment))  # noqa: S606 - no shell is the point
        except OSError as error:
            os.write(2, f"{name}: cannot execute {command[0]!r}: {error.strerror}\n".encode())
        return _EXIT_NOT_FOUND

    return fork(run, keep=(), name=name)


def become_subreaper() -> None:
    """Let orphans below this process become its children, so that it can reap them (prctl(2))."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def set_name(name: str) -> None:
    """Set the name that ps and top show for this process, at most 15 bytes."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def reap() -> tuple[int, int] | None:
    """Reap one ended child of this process; None when none has ended.

    Returns:
        Its pid and wait status.
    """
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def oom_kills() -> int:
    """Count the processes of our cgroup that the kernel killed for want of memory; 0 where cgroups cannot be
    read."""
    try:
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            hierarchy, _, path = line.split(":", 2)
            if hierarchy == "0":
                events = Path("/sys/fs/cgroup", path.lstrip("/"), "memory.events").read_text()
                return next(
                    (int(row.split()[1]) for row in events.splitlines() if row.startswith("oom_kill ")), 0
                )
    except (OSError, ValueError, IndexError):
        pass  # no cgroup v2, or hidden in this sandbox: the reason stays "killed(SIGKILL)"
    return 0
