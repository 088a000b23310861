"""The processes of a run: its main process and the descendants that it leaves behind."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from keiji_engine.runner.spec import RunSpec

# Python or nohup may ignore signals, and children inherit that. Reset them to the defaults, as a shell does.
_RESET_SIGNALS = (
    signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD,
    signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU,
)  # fmt: skip
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes
_KILL_TIMEOUT = 3.0  # seconds


class Child:
    """The main process of a run, which leads a process group of its own.

    Its pid stays reserved until `reap`, so a signal to its group cannot reach an unrelated process. The CPU time is
    the total of all processes of the run; the peak memory is that of the largest one, and on Linux never less than
    the shim's own 13 MB.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.cpu_seconds = 0.0
        self.peak_memory_bytes = 0
        self._status: int | None = None

    @classmethod
    def start(cls, spec: RunSpec, stdout: int, stderr: int) -> Child:
        """Start the command with the two descriptors as its standard output and standard error.

        Raises:
            OSError: the command cannot be executed.
            ValueError: an argument or a variable contains a null byte.
        """
        try:
            os.chdir(spec.directory)
        except FileNotFoundError:
            Path(spec.directory).mkdir(mode=0o700, parents=True, exist_ok=True)
            os.chdir(spec.directory)
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, stdout, 1),
            (os.POSIX_SPAWN_DUP2, stderr, 2),
        ]
        try:
            pid = os.posix_spawn(
                spec.command[0], spec.command, spec.environment, file_actions=actions,
                setpgroup=0, setsigmask=(), setsigdef=_RESET_SIGNALS,
            )  # fmt: skip
        except FileNotFoundError:
            if Path(spec.command[0]).exists():
                raise OSError(
                    errno.ENOENT, "the interpreter in its first line does not exist", spec.command[0]
                ) from None
            raise
        return cls(pid)

    def has_exited(self) -> bool:
        """Return whether the main process has exited. Reaps orphaned descendants as a side effect."""
        if self._status is not None:
            return True
        if sys.platform == "darwin":  # no waitid before Python 3.13; without a subreaper there is only one child
            self._wait(self.pid, os.WNOHANG)
            return self._status is not None
        while exited := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if exited.si_pid == self.pid:
                return True
            self._wait(exited.si_pid, 0)
        return False

    def terminate(self) -> None:
        """Send SIGTERM to the process group, then SIGCONT, so that stopped processes receive it too."""
        self._signal(os.killpg, signal.SIGTERM)
        self._signal(os.killpg, signal.SIGCONT)

    def kill(self) -> None:
        """Kill the initial process group, and the main process even if it has left it; `reap` kills the others."""
        self._signal(os.killpg, signal.SIGKILL)
        if self._status is None:
            self._signal(os.kill, signal.SIGKILL)

    def _signal(self, send: Callable[[int, int], None], number: signal.Signals) -> None:
        try:
            send(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # all processes have ended, only zombies are left (macOS), or the process has changed its user

    def reap(self) -> int:
        """Kill the main process, if it is still running, and all its descendants; return its exit code, or -signal."""
        self.kill()
        if self._status is None:
            self._wait(self.pid, 0)
        self._kill_descendants()
        return os.waitstatus_to_exitcode(self._status or 0)

    def _kill_descendants(self) -> None:
        # The shim is a subreaper, so orphaned descendants become its own children, and the pid of a child is not reused
        # before it is reaped. The children of a process that is killed are orphaned in turn, hence the loop.
        deadline = time.monotonic() + _KILL_TIMEOUT
        while (children := _child_pids()) and time.monotonic() < deadline:
            for pid in children:
                try:
                    os.kill(pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    continue
            for pid in children:
                self._wait(pid, os.WNOHANG)
            time.sleep(0.001)

    def _wait(self, pid: int, options: int) -> None:
        """Wait for a child, and record its status and resource usage."""
        try:
            reaped_pid, status, usage = os.wait4(pid, options)
        except ChildProcessError:
            return
        if reaped_pid == 0:
            return
        if reaped_pid == self.pid:
            self._status = status
        self.cpu_seconds += usage.ru_utime + usage.ru_stime
        self.peak_memory_bytes = max(self.peak_memory_bytes, usage.ru_maxrss * _MAXRSS_UNIT)


def _child_pids() -> list[int]:
    """Return the pids of this process's children; none if the system has no /proc."""
    pid = os.getpid()
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_bytes().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return _child_pids_from_stat(pid)


def _child_pids_from_stat(parent: int) -> list[int]:
    pids = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            stat = entry.read_bytes()
        except OSError:
            continue  # the process has ended
        if int(stat.rpartition(b")")[2].split()[1]) == parent:
            pids.append(int(entry.parent.name))
    return pids
