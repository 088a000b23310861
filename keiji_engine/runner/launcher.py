"""The small process that forks a shim for each run. It is executed by itself, as ``-c`` with `main`'s arguments.

The engine asks through a socket, one JSON document a line: ``{"launch": [spec, …]}``. What comes back:
``{"ready": pid}`` once; ``{"began": run_id}`` from a shim whose run file exists; ``{"failed": run_id, "reason": …}``
for a run that could not begin; ``{"gone": run_id}`` for a shim that died. A shim's word may get lost, for it must not
wait for an engine that does not listen; its run file cannot.

Launcher and starting shims hold the launcher's lock; a shim lets go of it once its run file exists. So where the lock
is free, every run that was received has its file.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from keiji_engine.runner import shim
from keiji_engine.runner.spec import RunSpec

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_NAME = 15  # PR_SET_NAME


def main(socket_number: str, lock_number: str, folder: str) -> None:
    """Serve the engine until it closes its end.

    Args:
        socket_number: descriptor of the socket.
        lock_number: descriptor that holds the launcher's lock.
        folder: where the run files are.
    """
    engine, lock = int(socket_number), int(lock_number)
    for descriptor in (engine, lock):
        os.set_inheritable(descriptor, False)
    with socket.socket(fileno=engine) as connection:
        _Launcher(connection, lock, Path(folder)).serve()
    os._exit(0)  # the tidy end of an interpreter takes longer than all of the above


class _Launcher:
    def __init__(self, connection: socket.socket, lock: int, folder: Path) -> None:
        self.connection = connection
        self.lock = lock
        self.folder = folder
        self.shims: dict[int, str] = {}
        # Prepared here, for all shims at once.
        self.prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
        self.bell, write = os.pipe()
        for end in (self.bell, write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        gc.collect()
        gc.freeze()  # or the collector would write into every page that is shared with the shims
        gc.disable()

    def serve(self) -> None:
        if self.prctl is not None:
            self.prctl(_NAME, b"keiji-launcher")
        self._tell({"ready": os.getpid()})
        poll = select.poll()
        poll.register(self.bell, select.POLLIN)
        poll.register(self.connection, select.POLLIN)
        received = bytearray()
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self.bell in ready:
                self._bury()
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
            ZoneInfo(data["zone"])  # read once here, and every shim has it
        try:
            pid = os.fork()
        except OSError as error:
            self._tell({"failed": run_id, "reason": f"no process could be created: {error.strerror}"})
            return
        if pid:
            self.shims[pid] = run_id
            return
        status = 1
        try:
            self._become_shim(RunSpec.from_dict(data))
            status = 0
        except FileExistsError:
            self._began(run_id)  # by an earlier shim, and the engine does not know
            status = 0
        except Exception as error:  # noqa: BLE001  # nobody above could hear of it
            self._tell({"failed": run_id, "reason": f"the shim failed: {type(error).__name__}: {error}"})
        finally:
            os._exit(status)

    def _become_shim(self, spec: RunSpec) -> None:
        os.setsid()
        if self.prctl is not None:
            self.prctl(_NAME, b"keiji-shim")
            self.prctl(_SUBREAPER, 1)
        shim.supervise(spec, self.folder, lambda: self._began(spec.run_id))

    def _began(self, run_id: str) -> None:
        """Cut all ties between this shim and the launcher."""
        os.close(self.lock)
        # Not setblocking(): that would reach the launcher, which shares this end of the socket.
        self._tell({"began": run_id}, socket.MSG_DONTWAIT)
        self.connection.close()

    def _bury(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.bell, 4096)
        while self.shims:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            run_id = self.shims.pop(pid)
            if status:
                self._tell({"gone": run_id})

    def _tell(self, message: dict[str, Any], flags: int = 0) -> None:
        # An engine that has died, or (for a shim) does not listen, finds the run files when it is back.
        with contextlib.suppress(OSError):
            self.connection.sendall(json.dumps(message).encode() + b"\n", flags)


def _messages(received: bytearray) -> Iterator[dict[str, Any]]:
    while (end := received.find(b"\n")) >= 0:
        line = bytes(received[:end])
        del received[: end + 1]
        yield json.loads(line)
