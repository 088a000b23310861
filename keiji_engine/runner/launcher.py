"""The small process that forks a shim for each run. It is executed with ``python -c`` and the arguments of `main`.

The engine sends requests over a socket, one JSON document per line: ``{"launch": [spec, …]}``. The answers are
``{"ready": pid}``, once; ``{"began": run_id}``, from a shim whose run file exists; ``{"failed": run_id, "reason": …}``,
for a run that could not begin; and ``{"gone": run_id}``, for a shim that died. Messages from a shim may be lost, since
a shim never blocks on the engine; its run file is authoritative.

The launcher and its starting shims hold the launcher's lock; a shim releases it once its run file exists. Therefore, if
the lock is free, every run that a launcher has received has a run file.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from keiji_engine.runner import prctl, shim
from keiji_engine.runner.spec import RunSpec

_UNCATCHABLE = {signal.SIGKILL, signal.SIGSTOP}
# Errors of the program itself, the continuation after a stop, and signals with handlers of their own.
_DEFAULT = {
    signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS, signal.SIGTRAP,
    signal.SIGCONT, signal.SIGCHLD, signal.SIGTERM,
}  # fmt: skip


def main(socket_fd: str, lock_fd: str, runs: str) -> None:
    """Serve the engine until it closes its end of the socket.

    Args:
        socket_fd: descriptor of the socket.
        lock_fd: descriptor that holds the launcher's lock.
        runs: folder of the run files.
    """
    _restore_descriptor_limit(os.environ.pop("KEIJI_DESCRIPTOR_LIMIT", ""))
    if umask := os.environ.pop("KEIJI_UMASK", ""):
        os.umask(int(umask))  # the engine's own is for its files, not for those of the runs
    descriptor, lock = int(socket_fd), int(lock_fd)
    for inherited in (descriptor, lock):
        os.set_inheritable(inherited, False)
    with socket.socket(fileno=descriptor) as connection:
        _Launcher(connection, lock, Path(runs)).serve()
    os._exit(0)  # skips the finalization of the interpreter, which is slow


def _restore_descriptor_limit(limit: str) -> None:
    """Undo for the runs what the engine has done to its own limit of descriptors."""
    if limit:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(limit), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


class _Launcher:
    def __init__(self, connection: socket.socket, lock: int, runs: Path) -> None:
        self.connection = connection
        self.lock = lock
        self.runs = runs
        self.shims: dict[int, str] = {}
        # A self-pipe: a signal makes poll() return.
        self.wakeup_fd, write_fd = os.pipe()
        for end in (self.wakeup_fd, write_fd):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        _ignore_signals()
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        gc.collect()
        gc.freeze()  # otherwise, the collector would write to every memory page that is shared with the shims
        gc.disable()

    def serve(self) -> None:
        prctl.set_name(b"keiji-launcher")
        self._send({"ready": os.getpid()})
        poll = select.poll()
        poll.register(self.wakeup_fd, select.POLLIN)
        poll.register(self.connection, select.POLLIN)
        received = bytearray()
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self.wakeup_fd in ready:
                self._reap()
            if self.connection.fileno() in ready:
                chunk = self._receive()
                if not chunk:
                    return
                received += chunk
                for message in _messages(received):
                    for spec in message.get("launch", ()):
                        self._launch(spec)

    def _receive(self) -> bytes:
        try:
            return self.connection.recv(1 << 20)
        except ConnectionError:
            return b""

    def _launch(self, data: dict[str, Any]) -> None:
        run_id = str(data["run_id"])
        with contextlib.suppress(ZoneInfoNotFoundError, ValueError, OSError):
            ZoneInfo(data["zone"])  # cached before the fork, so that no shim has to load it
        try:
            pid = os.fork()
        except OSError as error:
            self._send({"failed": run_id, "reason": f"the process could not be created: {error.strerror}"})
            return
        if pid:
            self.shims[pid] = run_id
            return
        status = 1
        try:
            self._run_shim(RunSpec.from_dict(data))
            status = 0
        except FileExistsError:
            self._detach(run_id)  # an earlier shim has begun the run, but the engine has not noticed yet
            status = 0
        except Exception as error:  # noqa: BLE001  # this is the outermost frame of the shim: report the failure
            self._send({"failed": run_id, "reason": f"the shim failed: {type(error).__name__}: {error}"})
        finally:
            os._exit(status)

    def _run_shim(self, spec: RunSpec) -> None:
        os.setsid()
        prctl.set_name(b"keiji-shim")
        prctl.become_subreaper()
        shim.supervise(spec, self.runs, lambda: self._detach(spec.run_id))

    def _detach(self, run_id: str) -> None:
        """Report that the run has begun, and close everything that this shim shares with the launcher."""
        os.close(self.lock)
        # MSG_DONTWAIT rather than setblocking(False), which would also affect the launcher's end of the socket.
        self._send({"began": run_id}, socket.MSG_DONTWAIT)
        self.connection.close()

    def _reap(self) -> None:
        """Reap the shims that have ended, and report those that failed."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wakeup_fd, 4096)
        while self.shims:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            run_id = self.shims.pop(pid)
            if status:
                self._send({"gone": run_id})

    def _send(self, message: dict[str, Any], flags: int = 0) -> None:
        # The message is lost if the engine has died or, for a shim, does not read fast enough. The engine then gets the
        # same information from the run files.
        with contextlib.suppress(OSError):
            self.connection.sendall(json.dumps(message).encode() + b"\n", flags)


def _ignore_signals() -> None:
    """Survive every signal that a service manager or a terminal may send to all processes, in the shims as well.

    The launcher ends when the engine closes the socket. SIGTERM is blocked, so that a shim receives it as soon as it
    has a handler. The other signals get a handler that does nothing: unlike SIG_IGN, it does not apply to the programs
    that the shims execute. The process that starts the launcher blocks all signals until then.
    """
    for number in signal.valid_signals() - _UNCATCHABLE:
        signal.signal(number, signal.SIG_DFL if number in _DEFAULT else lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM})


def _messages(received: bytearray) -> Iterator[dict[str, Any]]:
    """Yield the complete messages in the buffer and remove them from it."""
    while (end := received.find(b"\n")) >= 0:
        line = bytes(received[:end])
        del received[: end + 1]
        yield json.loads(line)
