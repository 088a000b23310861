"""The processes of a run: its main process, and whatever that leaves behind."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from keiji_engine.runner.spec import RunSpec

# What Python or a nohup has set to be ignored would stay so in the child; it is to start as from a shell.
_RESET = (
    signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD,
    signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU,
)  # fmt: skip
_MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024
_KILL_LIMIT = 3.0


class Child:
    """The main process of a run, the leader of a process group of its own.

    Its number stays taken until `reap`, so that signals to the group cannot reach a stranger. The CPU time is
    that of all processes of the run; the peak memory that of the largest, which Linux never gives as less than the
    shim's own 13 MB.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.cpu_seconds = 0.0
        self.peak_memory_bytes = 0
        self._status: int | None = None

    @classmethod
    def start(cls, spec: RunSpec, output: int, errors: int) -> Child:
        """Start the command with the two descriptors as its standard output and error.

        Raises:
            OSError: it cannot be executed; the message says why.
        """
        try:
            os.chdir(spec.directory)
        except FileNotFoundError:
            Path(spec.directory).mkdir(parents=True, exist_ok=True)
            os.chdir(spec.directory)
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, errors, 2),
        ]
        try:
            pid = os.posix_spawn(
                spec.command[0], spec.command, spec.environment, file_actions=actions,
                setpgroup=0, setsigmask=(), setsigdef=_RESET,
            )  # fmt: skip
        except FileNotFoundError:
            if Path(spec.command[0]).exists():
                raise OSError(errno.ENOENT, "the interpreter in its first line is not there", spec.command[0]) from None
            raise
        return cls(pid)

    def has_ended(self) -> bool:
        """Whether the main process has ended. Zombies of those that it left behind are buried on the way."""
        if self._status is not None:
            return True
        if sys.platform == "darwin":  # no waitid before Python 3.13, and no subreaper: there is the one child only
            self._collect(self.pid, os.WNOHANG)
            return self._status is not None
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == self.pid:
                return True
            self._collect(ended.si_pid, 0)
        return False

    def terminate(self) -> None:
        """Ask the main process and its group to end; one that is stopped goes on, to hear it."""
        self._signal(os.killpg, signal.SIGTERM)
        self._signal(os.killpg, signal.SIGCONT)

    def kill(self) -> None:
        """Kill the main process, in whatever group it is now, and its first group. `reap` does so with all others."""
        self._signal(os.killpg, signal.SIGKILL)
        if self._status is None:
            self._signal(os.kill, signal.SIGKILL)

    def _signal(self, send: Callable[[int, int], None], number: signal.Signals) -> None:
        try:
            send(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # nobody is left there, or (macOS) only zombies, or it has become another user's

    def reap(self) -> int:
        """Kill what the main process left behind, and itself unless it has ended; return its exit code, or -signal."""
        self.kill()
        if self._status is None:
            self._collect(self.pid, 0)
        self._kill_descendants()
        return os.waitstatus_to_exitcode(self._status or 0)

    def _kill_descendants(self) -> None:
        # Whatever lost its parent is our child now (subreaper), and the number of a child is not given away before we
        # bury it. What a killed one had started comes to us in turn, hence the loop.
        limit = time.monotonic() + _KILL_LIMIT
        while (children := _children()) and time.monotonic() < limit:
            for pid in children:
                try:
                    os.kill(pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    continue
            for pid in children:
                self._collect(pid, os.WNOHANG)
            time.sleep(0.001)

    def _collect(self, pid: int, options: int) -> None:
        try:
            found, status, usage = os.wait4(pid, options)
        except ChildProcessError:
            return
        if found == 0:
            return
        if found == self.pid:
            self._status = status
        self.cpu_seconds += usage.ru_utime + usage.ru_stime
        self.peak_memory_bytes = max(self.peak_memory_bytes, usage.ru_maxrss * _MEMORY_UNIT)


def _children() -> list[int]:
    """Return our own children; none where the system does not tell."""
    pid = os.getpid()
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_bytes().split()]
    except FileNotFoundError:
        return _children_by_parent(pid)


def _children_by_parent(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            stat = entry.read_bytes()
        except OSError:
            continue  # it ended meanwhile
        if int(stat.rpartition(b")")[2].split()[1]) == parent:
            found.append(int(entry.parent.name))
    return found
