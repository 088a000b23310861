"""The engine's end of the launcher: starting it, talking with it, seeing it end."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from keiji.errors import KeijiError

START_LIMIT = 15.0
END_LIMIT = 10.0

# Isolated, and without site: nothing of the user's gets into it, and it starts in half the time. It never collects
# garbage (see there), so it need not look for some while it loads either.
_PROGRAM = (
    "import gc, sys; gc.disable(); sys.path += sys.argv[4:]; "
    "from keiji_engine.runner.launcher import main; main(*sys.argv[1:4])"
)


class Launcher:
    """A launcher that runs. ``pid`` is its process id."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.pid = process.pid

    @classmethod
    async def start(cls, runs: Path, lock: int) -> Launcher:
        """Start one, and wait until it says that it is ready.

        Args:
            runs: folder of the run files.
            lock: descriptor that holds the launcher's lock, which passes on to it.

        Raises:
            KeijiError: it does not start.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: ASYNC220  # 5 ms, once; and asyncio's own cannot be waited for by us
                    [
                        sys.executable,
                        "-I",
                        "-S",
                        "-c",
                        _PROGRAM,
                        str(theirs.fileno()),
                        str(lock),
                        str(runs),
                        *_places(),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,  # shims outlive the engine, and must not hold its terminal or pipe
                    cwd="/",
                    start_new_session=True,  # a signal to the engine's group does not reach it
                    pass_fds=(theirs.fileno(), lock),
                )
            except OSError as error:
                ours.close()
                raise KeijiError(f"the launcher could not be started: {error}") from error
        launcher = cls(process, *await asyncio.open_unix_connection(sock=ours))
        try:
            async with asyncio.timeout(START_LIMIT):
                line = await launcher._reader.readline()
        except (TimeoutError, ConnectionError):
            line = b""
        except BaseException:
            await launcher.close()
            raise
        if not line:
            process.kill()
            await launcher.close()
            raise KeijiError(f"the launcher did not start (it ended with {process.returncode})")
        return launcher

    async def messages(self) -> AsyncIterator[dict[str, str]]:
        """Yield what it says, until it has ended."""
        while line := await self._next():
            yield json.loads(line)

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message; a launcher that has died is seen by `messages`, not here."""
        self._writer.write(json.dumps(message).encode() + b"\n")
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    async def close(self) -> None:
        """Let it finish what it has received, and end; one that does not is killed."""
        self._writer.close()
        loop = asyncio.get_running_loop()
        limit = loop.time() + END_LIMIT
        while self._process.poll() is None:
            if loop.time() > limit:
                self._process.kill()
            await asyncio.sleep(0.002)
        self._writer.transport.abort()  # whatever is still to be sent has nobody to read it
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _next(self) -> bytes:
        try:
            line = await self._reader.readline()
        except ConnectionError:
            return b""
        return line if line.endswith(b"\n") else b""


def _places() -> list[str]:
    """Return where the launcher finds keiji and, where the system has no time zones of its own, those."""
    places = [str(Path(__file__).parents[2])]
    zones = importlib.util.find_spec("tzdata")
    if zones is not None and zones.origin is not None:
        places.append(str(Path(zones.origin).parents[1]))
    return places
