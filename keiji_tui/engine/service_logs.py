"""The logs of services, read from files, so that they are available when the engine is not running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from keiji.errors import KeijiError
from keiji.log_reader import LogReader
from keiji.records import Run
from keiji_engine.bus.protocol import MAX_LOG_SLICE_BYTES, LogChunk, LogSlice
from keiji_tui.engine.link import LogPart

SERVICES = ("bus", "scheduler", "runner", "watcher", "repo", "engine")  # repo: the database; engine: the process
_POLL_SECONDS = 0.25
_LAST_LINES = 1000  # of a log that is opened; earlier ones are read on demand


class ServiceLogs:
    """The logs of services, by name. Files are read in threads, so that a slow disk does not block keys.

    Args:
        path: returns the path of the newest part of a log.
    """

    def __init__(self, path: Callable[[str], Path]) -> None:
        self._path = path

    async def follow(self, log: str) -> AsyncIterator[LogPart]:
        first = await self.read(log, None, MAX_LOG_SLICE_BYTES)
        yield first
        end = first.end
        while True:
            part = await self.read(log, end, MAX_LOG_SLICE_BYTES)
            if part.size < end:  # truncated or deleted, so positions start again at 0
                end = 0
                yield LogChunk(task=log, position=0, end=0, text="", restarted=True)
            elif part.text:
                end = part.end
                yield LogChunk(task=log, position=part.position, end=part.end, text=part.text)
            else:
                await asyncio.sleep(_POLL_SECONDS)

    async def read(self, log: str, position: int | None, limit: int) -> LogSlice:
        return await asyncio.to_thread(self._read, log, position, limit)

    def _read(self, log: str, position: int | None, limit: int) -> LogSlice:
        path = self._path(log)
        reader = LogReader(path)
        try:
            size = reader.size()
            begin, data = reader.tail(_LAST_LINES, limit) if position is None else reader.read(position, limit)
        except OSError as error:
            raise KeijiError(f"the log cannot be read ({error.strerror or error}): {path}") from error
        end = begin + len(data)
        text = data.decode(errors="replace")
        return LogSlice(id="", task=log, position=begin, end=end, size=max(size, end), text=text)

    def log_path(self, log: str) -> Path:
        return self._path(log)

    async def runs(self, _log: str, _limit: int) -> tuple[Run, ...]:
        return ()
