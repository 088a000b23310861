"""The terminal's side of matching: a process that is started when it is first needed, and ended when it takes long."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from typing import IO

import msgspec

from keiji.errors import KeijiError
from keiji_tui.logs.match_protocol import Answer, Question

_HEADER = 4
_PATIENCE_SECONDS = 0.3


class PatternFailed(KeijiError):
    """the expression cannot be matched"""


class Matcher:
    """Answers questions about lines, one at a time, beside everything that the terminal does."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = asyncio.Lock()
        self._asked_at: float | None = None

    @property
    def busy_seconds(self) -> float:
        """For how long the question has been with the process that is under way."""
        return 0.0 if self._asked_at is None else time.monotonic() - self._asked_at

    def interrupt(self) -> None:
        """Give up a question that takes long, so that the next one does not wait for it."""
        if self.busy_seconds > _PATIENCE_SECONDS:
            self.close()

    async def ask(self, question: Question) -> Answer:
        """Return the answer. Raises PatternFailed for what is no expression, or one that takes too long.

        A question whose asker is cancelled ends the process: nobody else could be answered before it is done.
        """
        body = msgspec.msgpack.encode(question)
        async with self._turn:
            process = self._process or _start()
            self._process = process
            self._asked_at = time.monotonic()
            try:
                answered = await asyncio.to_thread(_exchange, process, body)
            except asyncio.CancelledError:
                self.close()
                raise
            finally:
                self._asked_at = None
        if answered is None:
            self.close()
            raise PatternFailed("the expression takes too long; try a simpler one")
        found = msgspec.msgpack.decode(answered, type=Answer)
        if found.error:
            raise PatternFailed(found.error)
        return found

    def close(self) -> None:
        """End the process; the next question starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    _close(pipe)


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "keiji_tui.logs.match_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _exchange(process: subprocess.Popen[bytes], body: bytes) -> bytes | None:
    """Return the answer to a question, None where the process ended over it."""
    source, sink = process.stdout, process.stdin
    if source is None or sink is None:
        return None
    try:
        sink.write(len(body).to_bytes(_HEADER, "big") + body)
        sink.flush()
        header = source.read(_HEADER)
        answered = source.read(int.from_bytes(header, "big"))
    except (OSError, ValueError):  # its pipes are closed as it is ended
        return None
    return answered if len(header) == _HEADER else None


def _close(pipe: IO[bytes]) -> None:
    with contextlib.suppress(OSError):
        pipe.close()
