"""Where the lines of a log come from: the protocol of a source, and the log of one task as such a source."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from keiji.records import Run
from keiji_engine.bus.protocol import MAX_LOG_SLICE_BYTES, LogSlice
from keiji_tui.engine.link import LogLink, LogPart
from keiji_tui.logs.chunk import Chunk

PAGE_BYTES = 64 * 1024  # per read while scrolling
SCAN_BYTES = MAX_LOG_SLICE_BYTES  # per read of a filtered log, of which few lines are shown
MAX_RUNS = 1000
_MAX_LINE_BYTES = 1024 * 1024  # of a line whose start is searched for

# Takes a position (None for the end of the log) and a limit in bytes. Raises KeijiError.
Read = Callable[[int | None, int], Awaitable[LogSlice]]


class ReadResult(NamedTuple):
    """The chunk that was read, and the size of the log at that time, in bytes."""

    chunk: Chunk
    size: int


class LogEvent(NamedTuple):
    """An event of a followed log.

    Args:
        is_tail: whether ``chunk`` is the current tail of the log rather than an addition to it.
        restarted: whether the log was deleted, so that positions count from 0 again.
    """

    chunk: Chunk
    size: int
    is_tail: bool = False
    restarted: bool = False


class Source(Protocol):
    """Lines in order, each at its position. Methods that read raise KeijiError if reading is impossible."""

    def follow(self) -> AsyncIterator[LogEvent]:
        """Yield the current tail, then additions. Raises KeijiError if there is no engine."""
        ...

    async def oldest(self) -> int:
        """Return the position of the oldest line that is still stored."""
        ...

    async def last(self, limit: int) -> ReadResult:
        """Return up to ``limit`` bytes from the end."""
        ...

    async def after(self, position: int, limit: int) -> ReadResult:
        """Return up to ``limit`` bytes from ``position``, or from the oldest line if that is later."""
        ...

    async def before(self, position: int, limit: int) -> tuple[Chunk | None, bool]:
        """Return the whole lines that end at ``position`` (None if there are none), and whether they are the oldest."""
        ...

    async def around(self, position: int) -> tuple[ReadResult, int]:
        """Return the whole lines on both sides of ``position``, and the exact position that it corresponds to."""
        ...

    async def runs(self) -> Sequence[Run]:
        """Return the runs that printed the log, newest first."""
        ...

    async def adjacent_run(self, position: int, *, backwards: bool) -> int | None:
        """Return the start of the nearest run before or after ``position``; None if there is none."""
        ...

    def paths(self) -> list[Path]:
        """Return the local files with the newest lines."""
        ...


class TaskLog:
    """The log of one task, as the engine stores it. A position is a byte offset."""

    def __init__(self, link: LogLink, slug: str) -> None:
        self._link = link
        self.slug = slug

    async def follow(self) -> AsyncIterator[LogEvent]:
        async for part in self._link.follow(self.slug):
            yield _log_event(part)

    async def _read(self, position: int | None, limit: int) -> LogSlice:
        return await self._link.read(self.slug, position, limit)

    async def oldest(self) -> int:
        return (await self._read(0, 1)).position

    async def last(self, limit: int) -> ReadResult:
        return _read_result(await self._read(None, limit))

    async def after(self, position: int, limit: int) -> ReadResult:
        return _read_result(await self._read(position, limit))

    async def before(self, position: int, limit: int) -> tuple[Chunk | None, bool]:
        return await read_backwards(self._read, position, limit)

    async def around(self, position: int) -> tuple[ReadResult, int]:
        begin = max(0, position - PAGE_BYTES)
        result = _read_result(await self._read(begin, 2 * PAGE_BYTES))
        if not result.chunk.position == begin > 0:
            return result, position
        chunk = result.chunk.without_partial_line()
        if chunk is result.chunk:  # it is part of one line
            position = await line_start(self._read, begin)
            return _read_result(await self._read(position, 2 * PAGE_BYTES)), position
        return ReadResult(chunk, result.size), position

    async def runs(self) -> Sequence[Run]:
        return await self._link.runs(self.slug, MAX_RUNS)

    async def adjacent_run(self, position: int, *, backwards: bool) -> int | None:
        starts = [run.log_start for run in await self.runs() if run.log_start is not None]
        return nearest(starts, position, backwards=backwards)

    def paths(self) -> list[Path]:
        path = self._link.log_path(self.slug)
        return [path] if path.exists() else []


def nearest(candidates: Iterable[int], position: int, *, backwards: bool) -> int | None:
    """Return the candidate that is nearest before or after ``position``."""
    if backwards:
        return max((candidate for candidate in candidates if candidate < position), default=None)
    return min((candidate for candidate in candidates if candidate > position), default=None)


async def read_backwards(read: Read, before: int, limit: int) -> tuple[Chunk | None, bool]:
    """Return the whole lines that end at ``before`` (None if there are none), and whether they are the oldest."""
    begin = max(0, before - limit)
    part = await read(begin, before - begin) if before else None
    if part is None or part.position >= before or not part.text:
        return None, True
    is_oldest = part.position > begin or begin == 0
    chunk = _read_result(part).chunk.ending_at(before)
    if is_oldest:
        return chunk, True
    whole = chunk.without_partial_line()
    if whole is chunk:  # the last line is longer than the limit
        start = await line_start(read, begin)
        return await _read_line(read, start, before), start == 0
    return whole, False


async def _read_line(read: Read, begin: int, end: int) -> Chunk:
    """Return the line from ``begin`` to ``end``, which may need several reads."""
    chunks = [_read_result(await read(begin, min(SCAN_BYTES, end - begin))).chunk]
    while begin < chunks[-1].end < end:
        begin = chunks[-1].end
        chunks.append(_read_result(await read(begin, min(SCAN_BYTES, end - begin))).chunk)
    return chunks[0].joined_with(chunks[1:]).ending_at(end)


async def line_start(read: Read, position: int) -> int:
    """Return the start of the line that contains ``position``; or a later one if the line is extremely long."""
    end, oldest = position, max(0, position - _MAX_LINE_BYTES)
    while end > oldest:
        begin = max(oldest, end - SCAN_BYTES)
        part = await read(begin, end - begin)
        if part.position > begin:  # the oldest line that is stored
            return part.position
        newline = part.text.rfind("\n") + 1
        if newline:
            return min(position, part.end - len(part.text[newline:].encode(errors="replace")))
        end = begin
    return oldest


def _read_result(part: LogSlice) -> ReadResult:
    return ReadResult(Chunk(part.position, part.end, part.text), part.size)


def _log_event(part: LogPart) -> LogEvent:
    chunk = Chunk(part.position, part.end, part.text)
    if isinstance(part, LogSlice):
        return LogEvent(chunk, part.size, is_tail=True)
    return LogEvent(chunk, part.end, restarted=part.restarted)
