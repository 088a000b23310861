"""Where the lines of a log come from, and one log of a task as such a source."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from keiji.records import Run
from keiji_engine.bus.protocol import MAX_LOG_SLICE_BYTES, LogSlice
from keiji_tui.engine.link import LogLink, LogPart
from keiji_tui.logs.chunk import Chunk

PAGE = 64 * 1024  # bytes that are read at once for somebody who scrolls
SCAN = MAX_LOG_SLICE_BYTES  # for a filtered log, of which most lines are not shown
MOST_RUNS = 1000

# From where on, or None for the last lines, and how many bytes. Raises KeijiError.
Read = Callable[[int | None, int], Awaitable[LogSlice]]


class ReadResult(NamedTuple):
    """What was read, and where the log ended by then."""

    piece: Chunk
    size: int


class LogEvent(NamedTuple):
    """What a source tells by itself.

    Args:
        is_look: whether ``piece`` is how the end looks, rather than what was added.
        restarted: whether the log was deleted, so that positions count from the start again.
    """

    piece: Chunk
    size: int
    is_look: bool = False
    restarted: bool = False


class Source(Protocol):
    """Lines in an order, each at its position. What reads raises KeijiError where that is not possible."""

    def follow(self) -> AsyncIterator[LogEvent]:
        """Tell what the end looks like, then what is added. Raises KeijiError where there is no engine."""
        ...

    async def oldest(self) -> int:
        """Return the position of the oldest line that is kept."""
        ...

    async def last(self, limit: int) -> ReadResult:
        """Return ``limit`` bytes at most from the end."""
        ...

    async def after(self, position: int, limit: int) -> ReadResult:
        """Return ``limit`` bytes at most from a position on, or from the oldest line where that is behind it."""
        ...

    async def before(self, position: int, limit: int) -> tuple[Chunk | None, bool]:
        """Return whole lines that end at a position, and whether they are the oldest that are kept; None for none."""
        ...

    async def around(self, position: int) -> tuple[ReadResult, int]:
        """Return what lies on both sides of a position, from a line on, and where that position has come to be."""
        ...

    async def runs(self) -> Sequence[Run]:
        """Return the runs that printed it, newest first."""
        ...

    async def run_beside(self, position: int, *, backwards: bool) -> int | None:
        """Return where the nearest run begins before a position, or behind it; None where there is none."""
        ...

    def paths(self) -> list[Path]:
        """Return the files of this machine that have its newest lines."""
        ...


class TaskLog:
    """The log of one task, as the engine keeps it: a position is a number of bytes from its beginning."""

    def __init__(self, link: LogLink, slug: str) -> None:
        self._link = link
        self.slug = slug

    async def follow(self) -> AsyncIterator[LogEvent]:
        async for part in self._link.follow(self.slug):
            yield _told(part)

    async def _read(self, position: int | None, limit: int) -> LogSlice:
        return await self._link.read(self.slug, position, limit)

    async def oldest(self) -> int:
        return (await self._read(0, 1)).position

    async def last(self, limit: int) -> ReadResult:
        return _found(await self._read(None, limit))

    async def after(self, position: int, limit: int) -> ReadResult:
        return _found(await self._read(position, limit))

    async def before(self, position: int, limit: int) -> tuple[Chunk | None, bool]:
        return await back(self._read, position, limit)

    async def around(self, position: int) -> tuple[ReadResult, int]:
        at = max(0, position - PAGE)
        found = _found(await self._read(at, 2 * PAGE))
        return (ReadResult(found.piece.whole(), found.size) if found.piece.position == at > 0 else found), position

    async def runs(self) -> Sequence[Run]:
        return await self._link.runs(self.slug, MOST_RUNS)

    async def run_beside(self, position: int, *, backwards: bool) -> int | None:
        starts = [run.log_start for run in await self.runs() if run.log_start is not None]
        return nearest(starts, position, backwards=backwards)

    def paths(self) -> list[Path]:
        path = self._link.log_path(self.slug)
        return [path] if path.exists() else []


def nearest(places: Iterable[int], position: int, *, backwards: bool) -> int | None:
    """Return which place comes next before a position, or behind it."""
    if backwards:
        return max((place for place in places if place < position), default=None)
    return min((place for place in places if place > position), default=None)


async def back(read: Read, before: int, limit: int) -> tuple[Chunk | None, bool]:
    """Return whole lines that end at ``before``, and whether they are the oldest that are kept; None for none."""
    at = max(0, before - limit)
    found = await read(at, before - at) if before else None
    if found is None or found.position >= before or not found.text:
        return None, True
    is_oldest = found.position > at or at == 0
    piece = _found(found).piece.until(before)
    return (piece, True) if is_oldest else (piece.whole(), False)


def _found(part: LogSlice) -> ReadResult:
    return ReadResult(Chunk(part.position, part.end, part.text), part.size)


def _told(part: LogPart) -> LogEvent:
    piece = Chunk(part.position, part.end, part.text)
    return (
        LogEvent(piece, part.size, is_look=True)
        if isinstance(part, LogSlice)
        else LogEvent(piece, part.end, restarted=part.restarted)
    )
