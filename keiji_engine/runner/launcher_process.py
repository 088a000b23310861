"""The engine's handle on the launcher process: starts it, exchanges messages with it, and detects its end."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from keiji.errors import KeijiError

START_TIMEOUT = 15.0  # seconds
STOP_TIMEOUT = 10.0

# Isolated mode without site: the user's environment does not affect it, and it starts in half the time. The launcher
# disables the garbage collector (see there); it is already off while the modules are imported.
_PROGRAM = (
    "import gc, sys; gc.disable(); sys.path += sys.argv[4:]; "
    "from keiji_engine.runner.launcher import main; main(*sys.argv[1:4])"
)


class LauncherProcess:
    """A running launcher. ``pid`` is its process id."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.pid = process.pid

    @classmethod
    async def start(cls, runs: Path, lock: int) -> LauncherProcess:
        """Start a launcher and wait until it is ready.

        Args:
            runs: folder of the run files.
            lock: descriptor that holds the launcher's lock; the launcher inherits it.

        Raises:
            KeijiError: the launcher does not start.
        """
        engine_socket, launcher_socket = socket.socketpair()
        with launcher_socket:
            # Not asyncio.create_subprocess_exec, since `close` polls for the exit. A thread, since it reads the disk.
            starting = asyncio.ensure_future(asyncio.to_thread(_start_process, runs, launcher_socket.fileno(), lock))
            try:
                process = await asyncio.shield(starting)
            except asyncio.CancelledError:
                await asyncio.wait([starting])  # it uses the descriptors
                engine_socket.close()
                raise
            except OSError as error:
                engine_socket.close()
                raise KeijiError(f"the launcher could not be started: {error}") from error
        launcher = cls(process, *await asyncio.open_unix_connection(sock=engine_socket))
        try:
            async with asyncio.timeout(START_TIMEOUT):
                line = await launcher._reader.readline()
        except (TimeoutError, ConnectionError):
            line = b""
        except BaseException:
            await launcher.close()
            raise
        if not line:
            process.kill()
            await launcher.close()
            raise KeijiError(f"the launcher did not start: it ended with code {process.returncode}")
        return launcher

    async def messages(self) -> AsyncIterator[dict[str, str]]:
        """Yield the messages of the launcher and its shims until it ends."""
        while line := await self._read_line():
            yield json.loads(line)

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message. If the launcher has died, `messages` ends; this does not raise."""
        self._writer.write(json.dumps(message).encode() + b"\n")
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    async def close(self) -> None:
        """Let the launcher process what it has received and end; kill it after `STOP_TIMEOUT`."""
        self._writer.close()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STOP_TIMEOUT
        while self._process.poll() is None:
            if loop.time() > deadline:
                self._process.kill()
            await asyncio.sleep(0.002)
        self._writer.transport.abort()  # discard unsent data, which no process will read
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _read_line(self) -> bytes:
        try:
            line = await self._reader.readline()
        except ConnectionError:
            return b""
        return line if line.endswith(b"\n") else b""


def _start_process(runs: Path, socket_fd: int, lock: int) -> subprocess.Popen[bytes]:
    # The launcher inherits the mask: no signal ends it before it has its handlers.
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(socket_fd), str(lock), str(runs), *_search_path()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # shims outlive the engine and must not keep its terminal or pipe open
            cwd="/",
            start_new_session=True,  # signals to the engine's process group must not reach it
            pass_fds=(socket_fd, lock),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)


def _search_path() -> list[str]:
    """Return the import path of the launcher: keiji, and tzdata for systems without a time zone database."""
    folders = [str(Path(__file__).parents[2])]
    tzdata = importlib.util.find_spec("tzdata")
    if tzdata is not None and tzdata.origin is not None:
        folders.append(str(Path(tzdata.origin).parents[1]))
    return folders
