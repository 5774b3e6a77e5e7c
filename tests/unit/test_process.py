"""Real children: what they inherit, how they end, and what their end is called."""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from rocket_sup import process as process_module
from rocket_sup.channel import Channel
from rocket_sup.process import (
    Process,
    become_subreaper,
    close_all_but,
    execute,
    fork,
    oom_kills,
    reap,
    set_name,
)
from rocket_sup.spec import ExitKind, ExitReason


class Pipe:
    """Where a child writes what the test wants to know."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def read(self) -> str:
        """Read to the end; our own writing end is closed first."""
        os.close(self.writing)
        with os.fdopen(self.reading, closefd=False) as file:
            return file.read()

    def say(self, text: object) -> None:
        """Write, in the child."""
        os.write(self.writing, str(text).encode())


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe; both ends are closed after the test."""
    pipe = Pipe()
    yield pipe
    for fd in (pipe.reading, pipe.writing):
        try:
            os.close(fd)
        except OSError:
            pass  # closed by read()


def status_of(process: Process) -> int:
    """Wait for the end and close what we hold."""
    status = os.waitpid(process.pid, 0)[1]
    process.close()
    return status


def run(body: Callable[[], int], *keep: int) -> int:
    """Fork, wait, return the wait status."""
    return status_of(fork(body, keep=keep, name="test"))


def fake(**fields: object) -> Process:
    """A process that is only asked to name its end."""
    process = Process(1, -1, oom_kills_before=0)
    for name, value in fields.items():
        setattr(process, name, value)
    return process


# --- fork ---


def test_a_child_keeps_only_the_descriptors_it_is_given(pipe: Pipe) -> None:
    """Beside 0, 1, 2 a child has what was named, and nothing else, close-on-exec or not."""
    secret = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(secret, True)

    def body() -> int:
        pipe.say(
            sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}"))
        )
        return 0

    run(body, pipe.writing)
    os.close(secret)

    assert str([0, 1, 2, pipe.writing]) == pipe.read()


def test_a_child_starts_with_default_signals(pipe: Pipe) -> None:
    """Handlers, ignored signals, the wake-up descriptor and the blocked set of the parent's loop are gone."""
    handled = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD, signal.SIGTTIN)
    before = [signal.signal(signum, lambda _signum, _frame: None) for signum in handled]
    wakeup_reading, wakeup = os.pipe2(os.O_NONBLOCK)
    signal.set_wakeup_fd(wakeup)

    def body() -> int:
        handlers = {signal.getsignal(signum) for signum in handled}
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        pipe.say((handlers == {signal.SIG_DFL}, blocked, signal.set_wakeup_fd(-1)))
        return 0

    run(body, pipe.writing)
    signal.set_wakeup_fd(-1)
    for signum, handler in zip(handled, before, strict=True):
        signal.signal(signum, handler)
    os.close(wakeup_reading)
    os.close(wakeup)

    assert "(True, set(), -1)" == pipe.read()


def test_the_parent_blocks_no_signal_after_a_fork() -> None:
    """The mask that protects the fork is taken off again."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    run(lambda: 0)

    assert before == signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_signal_sent_at_once_is_not_lost(pipe: Pipe) -> None:
    """SIGTERM that meets a child before its first line ends it, when the child has undone our handlers."""
    process = fork(lambda: signal.pause() or 0, keep=(), name="test")
    process.signal(signal.SIGTERM)
    status = status_of(process)

    assert signal.SIGTERM == os.WTERMSIG(status)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (lambda: 0, 0),
        (lambda: 7, 7),
        (lambda: sys.exit(4), 4),
        (lambda: sys.exit(), 0),
        (lambda: sys.exit("why"), 1),
        (lambda: sys.exit(2**70 + 9), 9),
        (lambda: 1 // 0, 1),
    ],
    ids=["returns 0", "returns 7", "sys.exit(4)", "sys.exit()", "sys.exit(text)", "sys.exit(huge)", "raises"],
)
def test_how_a_child_ends_is_its_exit_status(body: Callable[[], int], expected: int) -> None:
    """The result is the status; SystemExit counts; an exception that nobody caught is 1."""
    assert expected == os.WEXITSTATUS(run(body))


def test_an_exception_in_a_child_is_told(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The traceback of a child goes to the standard error; the parent's stack is never unwound there."""
    unwound: list[int] = []
    monkeypatch.setattr(sys, "stderr", os.fdopen(2, "w", closefd=False))  # the real one, not pytest's
    try:
        run(lambda: 1 // 0)
    finally:
        unwound.append(os.getpid())

    assert [os.getpid()] == unwound
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_child_that_cannot_be_held_is_not_left_behind() -> None:
    """When there is no descriptor for its pidfd, the child is killed and reaped before the error is told."""

    def body() -> int:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        try:
            fork(lambda: signal.pause() or 0, keep=(), name="test")
        except OSError as error:
            told = error.errno
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return told
        return 0

    assert errno.EMFILE == os.WEXITSTATUS(run(body))


def test_what_the_parent_had_not_written_is_written_once(pipe: Pipe) -> None:
    """Buffers of standard output are flushed before the fork, so that no child writes them again."""
    saved = os.dup(1)
    os.dup2(pipe.writing, 1)
    out, sys.stdout = sys.stdout, os.fdopen(1, "w", closefd=False)
    try:
        sys.stdout.write("once ")
        run(lambda: 0)
    finally:
        sys.stdout.close()
        sys.stdout = out
        os.dup2(saved, 1)
        os.close(saved)

    assert "once " == pipe.read()


def test_a_child_has_a_name(pipe: Pipe) -> None:
    """ps shows the name, cut to what the kernel keeps; a process can give itself another."""

    def body() -> int:
        pipe.say(Path("/proc/self/comm").read_text())
        set_name("a name that is far too long")
        pipe.say(Path("/proc/self/comm").read_text())
        return 0

    status_of(fork(body, keep=(pipe.writing,), name="acceptor-1"))

    assert "acceptor-1\na name that is \n" == pipe.read()


def test_close_all_but_survives_gaps(pipe: Pipe) -> None:
    """Descriptors that do not exist may be named, and the one that lists the directory is no trouble."""

    def body() -> int:
        close_all_but({0, 1, 2, 9999, pipe.writing})
        pipe.say("done")
        return 0

    run(body, pipe.writing)

    assert "done" == pipe.read()


# --- Process ---


def test_a_process_that_is_gone_takes_no_signal() -> None:
    """A signal to a process that ended, reaped or not, is no error."""
    process = fork(lambda: 0, keep=(), name="test")
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    process.signal(signal.SIGTERM)
    os.waitpid(process.pid, 0)
    process.signal(signal.SIGTERM)
    process.close()


def test_the_pidfd_tells_the_end() -> None:
    """The pidfd is readable once the process has ended."""
    process = fork(lambda: 0, keep=(), name="test")
    os.waitid(os.P_PIDFD, process.pidfd, os.WEXITED | os.WNOWAIT)

    assert 0 == status_of(process)


def test_closing_a_process_closes_its_channel() -> None:
    """Nothing of a forgotten process stays open."""
    process = fork(lambda: 0, keep=(), name="test")
    process.channel, other = Channel.pair()
    other.close()
    status_of(process)

    assert -1 == process.channel.fileno()


EXIT = 256  # a wait status holds the exit status in its second byte
CASES: list[tuple[str, Mapping[str, object], int, ExitReason]] = [
    ("0", {}, 0, ExitReason(ExitKind.NORMAL)),
    ("0 when asked", {"was_asked": True}, 0, ExitReason(ExitKind.SHUTDOWN)),
    ("3", {}, 3 * EXIT, ExitReason(ExitKind.EXIT, code=3)),
    ("3 when asked", {"was_asked": True}, 3 * EXIT, ExitReason(ExitKind.EXIT, code=3)),
    ("SEGV", {}, signal.SIGSEGV, ExitReason(ExitKind.KILLED, signal="SIGSEGV")),
    ("SEGV, core dumped", {}, signal.SIGSEGV | 0x80, ExitReason(ExitKind.KILLED, signal="SIGSEGV")),
    ("TERM", {}, signal.SIGTERM, ExitReason(ExitKind.KILLED, signal="SIGTERM")),
    ("TERM when asked", {"was_asked": True}, signal.SIGTERM, ExitReason(ExitKind.SHUTDOWN, signal="SIGTERM")),
    ("KILL", {}, signal.SIGKILL, ExitReason(ExitKind.KILLED, signal="SIGKILL")),
    ("KILL when asked", {"was_asked": True}, signal.SIGKILL, ExitReason(ExitKind.KILLED, signal="SIGKILL")),
    ("real-time signal", {}, 40, ExitReason(ExitKind.KILLED, signal="signal 40")),
    (
        "hung", {"killed_because": ExitKind.HUNG}, signal.SIGKILL,
        ExitReason(ExitKind.HUNG, signal="SIGKILL"),
    ),
    (
        "hung, another signal first", {"killed_because": ExitKind.HUNG}, signal.SIGSEGV,
        ExitReason(ExitKind.KILLED, signal="SIGSEGV"),
    ),
    (
        "boot report", {"boot_report": "no module"}, 3 * EXIT,
        ExitReason(ExitKind.BOOT_FAILED, code=3, detail="no module"),
    ),
    (
        "boot report, then killed", {"boot_report": "no module"}, signal.SIGKILL,
        ExitReason(ExitKind.KILLED, signal="SIGKILL"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "status", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_reason_of_an_end(
    fields: Mapping[str, object], status: int, expected: ExitReason, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wait status, our own doing and the process's last words together name the reason."""
    monkeypatch.setattr(process_module, "oom_kills", lambda: 0)

    assert expected == fake(**fields).exit_reason(status)


def test_a_kill_by_the_kernel_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL while the cgroup counts one more out-of-memory kill is oom, unless we killed it ourselves."""
    monkeypatch.setattr(process_module, "oom_kills", lambda: 1)

    assert ExitReason(ExitKind.OOM, signal="SIGKILL") == fake().exit_reason(signal.SIGKILL)
    assert ExitKind.HUNG is fake(killed_because=ExitKind.HUNG).exit_reason(signal.SIGKILL).kind
    assert ExitKind.KILLED is fake().exit_reason(signal.SIGABRT).kind


@pytest.mark.parametrize(
    ("cgroup", "events", "expected"),
    [
        ("0::/a", "low 0\noom 3\noom_kill 2\n", 2),
        ("4:memory:/x\n0::/a", "oom_kill 7\n", 7),
        ("0::/a", "low 0\n", 0),
        ("0::/a", None, 0),
        ("4:memory:/x", "oom_kill 7\n", 0),
        ("nonsense", "oom_kill 7\n", 0),
    ],
    ids=["counted", "hybrid", "old kernel", "no memory controller", "cgroup v1", "unreadable"],
)
def test_out_of_memory_kills_are_read_from_the_cgroup(
    cgroup: str, events: str | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The count is that of our own cgroup, or 0 wherever it cannot be read."""
    files = {"/proc/self/cgroup": cgroup, "/sys/fs/cgroup/a/memory.events": events}

    def read_text(path: Path) -> str:
        text = files.get(str(path))
        if text is None:
            raise FileNotFoundError(path)
        return text

    monkeypatch.setattr(Path, "read_text", read_text)

    assert expected == oom_kills()


def test_out_of_memory_kills_of_this_machine() -> None:
    """Whatever this machine offers, there is a number."""
    assert oom_kills() >= 0


# --- execute ---


def test_a_command_runs_where_and_as_it_was_told(pipe: Pipe, tmp_path: Path) -> None:
    """Its arguments are taken as they are, its environment and directory are the given ones."""
    script = f'echo "$1|$PWD|$WORD|$HOME" > {tmp_path}/said'
    process = execute(
        ["sh", "-c", script, "sh", "a b;c"],
        environment={"PATH": os.environ["PATH"], "WORD": "x"},
        directory=str(tmp_path),
        name="test",
    )

    assert 0 == status_of(process)
    assert f"a b;c|{tmp_path}|x|\n" == (tmp_path / "said").read_text()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["cut", "-d", " ", "-f", "5", "/proc/self/stat"], "{pid}\n"),
        (["ls", "/proc/self/fd"], "0\n1\n2\n3\n"),  # 3 is the directory being listed
    ],
    ids=["process group", "descriptors"],
)
def test_a_command_is_on_its_own(
    command: list[str], expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It leads a process group of its own, and holds no descriptors of ours."""
    secret = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(secret, True)
    process = execute(command, environment=os.environ, name="test")
    pid = process.pid
    status_of(process)
    os.close(secret)

    assert expected.format(pid=pid) == capfd.readouterr().out


@pytest.mark.parametrize(
    ("command", "directory", "said"),
    [
        (["no-such-program"], None, "'no-such-program': No such file or directory"),
        (["/etc/passwd"], None, "'/etc/passwd': Permission denied"),
        (["true"], "/no/such/directory", "'true': No such file or directory"),
    ],
    ids=["missing", "not executable", "no directory"],
)
def test_a_command_that_cannot_be_executed(
    command: list[str], directory: str | None, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its status is 127, as the shell's, and a line says which command and why."""
    status = status_of(execute(command, environment=os.environ, directory=directory, name="queue"))

    assert 127 == os.WEXITSTATUS(status)
    assert f"queue: cannot execute {said}\n" == capfd.readouterr().err


def test_a_command_dies_with_its_parent(pipe: Pipe) -> None:
    """When the process that executed it is killed, a command gets SIGTERM from the kernel."""

    def parent() -> int:
        pipe.say(execute(["sleep", "60"], environment=os.environ, name="test").pid)
        signal.pause()
        return 0

    process = fork(parent, keep=(pipe.writing,), name="test")
    pid = int(os.read(pipe.reading, 20))
    # The child has asked for the signal once it is a sleep: before, it checks that the parent lives.
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}/comm").read_text() != "sleep\n" and time.monotonic() < deadline:
        os.sched_yield()
    process.signal(signal.SIGKILL)
    status_of(process)
    status = os.waitpid(pid, 0)[1]  # an orphan, and thus ours: the tests are a subreaper

    assert signal.SIGTERM == os.WTERMSIG(status)


# --- reaping ---


def test_reaping_gives_each_ended_child_once() -> None:
    """Nobody to reap is None, with and without living children."""
    assert reap() is None
    living = fork(lambda: signal.pause() or 0, keep=(), name="test")
    assert reap() is None
    ended = fork(lambda: 5, keep=(), name="test")
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)

    assert (ended.pid, 5 * EXIT) == reap()
    assert reap() is None
    ended.close()
    living.signal(signal.SIGKILL)
    status_of(living)


def test_a_subreaper_gets_its_orphans(pipe: Pipe) -> None:
    """The child of a child that died becomes a child of the subreaper, and can be reaped by it."""

    def subreaper() -> int:
        become_subreaper()

        def parent() -> int:
            grandchild = fork(lambda: signal.pause() or 0, keep=(), name="test")
            pipe.say(grandchild.pid)
            return 0

        status_of(fork(parent, keep=(pipe.writing,), name="test"))
        orphan = int(os.read(pipe.reading, 20))
        os.kill(orphan, signal.SIGTERM)
        pipe.say(os.waitpid(orphan, 0) == (orphan, signal.SIGTERM))
        return 0

    assert 0 == run(subreaper, pipe.reading, pipe.writing)
    assert "True" == pipe.read()
