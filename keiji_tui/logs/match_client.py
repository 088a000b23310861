"""Client of the process that matches lines. It starts the process when needed, and kills it if it takes too long."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from typing import IO

import msgspec

from keiji.errors import KeijiError
from keiji_tui.logs.match_protocol import Request, Response

_HEADER_BYTES = 4
_INTERRUPT_AFTER_SECONDS = 0.3


class PatternError(KeijiError):
    """the expression cannot be matched"""


class MatchClient:
    """Sends requests to the process, one at a time, without blocking the event loop.

    Attributes:
        limit_seconds: time after which the process kills itself if it has not responded; for the next process.
    """

    def __init__(self) -> None:
        self.limit_seconds = 1.5
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = asyncio.Lock()
        self._sent_at: float | None = None

    @property
    def busy_seconds(self) -> float:
        """The time since the current request was sent; 0 if there is none."""
        return 0.0 if self._sent_at is None else time.monotonic() - self._sent_at

    def interrupt(self) -> None:
        """Abort the current request if it takes long, so that the next one does not have to wait for it."""
        if self.busy_seconds > _INTERRUPT_AFTER_SECONDS:
            self.close()

    async def request(self, request: Request) -> Response:
        """Return the response to a request.

        Cancellation kills the process, because it could not serve another request until it has finished this one.

        Raises:
            PatternError: the pattern is invalid, matching it takes too long, or the process cannot be started.
        """
        body = msgspec.msgpack.encode(request)
        async with self._lock:
            process = self._process or self._start()
            self._process = process
            self._sent_at = time.monotonic()
            try:
                received = await asyncio.to_thread(_exchange, process, body)
            except asyncio.CancelledError:
                self.close()
                raise
            finally:
                self._sent_at = None
        if received is None:
            self.close()
            raise PatternError("the expression takes too long; try a simpler one")
        response = msgspec.msgpack.decode(received, type=Response)
        if response.error:
            raise PatternError(response.error)
        return response

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "keiji_tui.logs.match_worker", str(self.limit_seconds)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise PatternError(f"cannot start a process for the search: {error.strerror or error}") from error

    def close(self) -> None:
        """Kill the process; the next request starts another one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    _close_pipe(pipe)


def _exchange(process: subprocess.Popen[bytes], body: bytes) -> bytes | None:
    """Send a request and return the response; None if the process ended."""
    source, sink = process.stdout, process.stdin
    if source is None or sink is None:
        return None
    try:
        sink.write(len(body).to_bytes(_HEADER_BYTES, "big") + body)
        sink.flush()
        header = source.read(_HEADER_BYTES)
        received = source.read(int.from_bytes(header, "big"))
    except (OSError, ValueError):  # `close` closes the pipes
        return None
    return received if len(header) == _HEADER_BYTES else None


def _close_pipe(pipe: IO[bytes]) -> None:
    with contextlib.suppress(OSError):
        pipe.close()
