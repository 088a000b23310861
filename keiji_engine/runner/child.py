"""The processes of a run: its main process and its descendants."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from keiji.standard_input import open_text
from keiji_engine.runner import prctl, process_tree
from keiji_engine.runner.process_tree import Process
from keiji_engine.runner.spec import RunSpec

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes
_MAX_ERROR_BYTES = 512
_KILL_TIMEOUT = 3.0  # seconds


class Child:
    """The main process of a run, which leads a process group of its own, and its descendants.

    On Linux the shim is a subreaper, so the orphaned descendants of the main process become its children. Elsewhere,
    only the process group is known.

    The pid of the main process stays reserved until `reap`, so a signal to its group cannot reach an unrelated process.
    The CPU time is the total of all processes of the run; the peak memory is that of the largest one, and on Linux
    never less than the shim's own 13 MB.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.cpu_seconds = 0.0
        self.peak_memory_bytes = 0
        self._status: int | None = None

    @classmethod
    def start(cls, spec: RunSpec, stdout: int, stderr: int, inherited: int | None = None) -> Child:
        """Start the command with the two descriptors as its standard output and standard error.

        If the shim is killed, the kernel kills the main process, too (only on Linux).

        Args:
            inherited: a descriptor that the command inherits under the same number.

        Raises:
            OSError: the command cannot be executed.
            ValueError: an argument or a variable contains a null byte.
        """
        try:
            os.chdir(spec.directory)
        except FileNotFoundError:
            if not spec.create_directory:
                raise
            Path(spec.directory).mkdir(mode=0o700, parents=True, exist_ok=True)
            os.chdir(spec.directory)
        stdin = open_text(spec.stdin) if spec.stdin else None
        error_fd, error_write_fd = os.pipe()  # closed by a successful exec
        shim = os.getpid()
        # Not posix_spawn, which cannot make the process die with its parent.
        # Without a text, standard input is /dev/null, as for the launcher.
        try:
            pid = os.fork()
        except OSError:
            os.close(error_fd)
            os.close(error_write_fd)
            raise
        if pid == 0:
            _execute(spec, shim, (stdin, stdout, stderr), inherited, error_write_fd)
        os.close(error_write_fd)
        if stdin is not None:
            os.close(stdin)
        error = os.read(error_fd, _MAX_ERROR_BYTES)
        os.close(error_fd)
        if not error:
            return cls(pid)
        os.waitpid(pid, 0)
        raise _execution_error(error, spec.command[0])

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

    def descendants(self) -> list[Process]:
        """Return the live descendants of the main process. Reaps those that have ended as a side effect."""
        shim = os.getpid()
        children = process_tree.child_pids(shim)
        for pid in children:
            if pid != self.pid:
                self._wait(pid, os.WNOHANG)
        if children == [self.pid] and self.has_exited():  # the usual case
            return []
        return [process for process in process_tree.descendants(shim) if process.pid != self.pid]

    def is_group_alive(self) -> bool:
        """Return whether a process of the initial process group is left. Call it only after the main process exited.

        For systems on which `descendants` finds none.
        """
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):  # macOS refuses signals to zombies
            return False
        return True

    def terminate(self) -> None:
        """Send SIGTERM to the main process and all its descendants, then SIGCONT, since stopped ones need it to react.

        Each process receives it once: programs often take a second SIGTERM as a request to end without cleaning up.
        """
        others = [process for process in self.descendants() if process.group != self.pid]
        for number in (signal.SIGTERM, signal.SIGCONT):
            self._signal(os.killpg, number)
            for process in others:
                process_tree.send_signal(process, number)

    def kill(self) -> None:
        """Kill the main process, its process group and all its descendants."""
        self._signal(os.killpg, signal.SIGKILL)
        if self._status is None:
            self._signal(os.kill, signal.SIGKILL)  # it may have left the group
        self._kill_descendants()

    def _signal(self, send: Callable[[int, int], None], number: signal.Signals) -> None:
        try:
            send(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # all processes have ended, only zombies are left (macOS), or the process has changed its user

    def reap(self) -> int:
        """Wait for the main process; return its exit code, or -signal."""
        if self._status is None:
            self._wait(self.pid, 0)
        return os.waitstatus_to_exitcode(self._status or 0)

    def _kill_descendants(self) -> None:
        # A process that is killed may have started another one just before.
        deadline = time.monotonic() + _KILL_TIMEOUT
        while (processes := self.descendants()) and time.monotonic() < deadline:
            for process in processes:
                process_tree.send_signal(process, signal.SIGKILL)
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


def _execute(
    spec: RunSpec, shim: int, streams: tuple[int | None, int, int], inherited: int | None, error_write_fd: int
) -> NoReturn:
    """Become the main process of the run. Runs in the forked process.

    Args:
        streams: its standard input (None for that of this process), standard output and standard error.
    """
    try:
        prctl.die_with_parent()
        if os.getppid() != shim:
            os._exit(1)  # the shim died before the call above
        os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # handlers are reset by execve
        for number, stream in enumerate(streams):
            if stream is not None:
                os.dup2(stream, number)
        if inherited is not None:
            os.set_inheritable(inherited, True)
        os.execve(spec.command[0], spec.command, spec.environment)
    except OSError as error:
        os.write(error_write_fd, str(error.errno).encode())
    except BaseException as error:  # noqa: BLE001  # the shim reports it
        os.write(error_write_fd, f"{type(error).__name__}: {error}".encode(errors="replace")[:_MAX_ERROR_BYTES])
    finally:
        os._exit(127)


def _execution_error(error: bytes, program: str) -> OSError | ValueError:
    if not error.isdigit():
        return ValueError(error.decode(errors="replace"))
    code = int(error)
    if code == errno.ENOENT and Path(program).exists():
        return OSError(code, "the interpreter in its first line does not exist", program)
    return OSError(code, os.strerror(code), program)
