"""The logs of several tasks merged by time.

Nothing is copied: as in the log of one task, only the lines around a position are loaded. A position in the merged log
stands for one byte offset in each log, and its value is the sum of these offsets. Positions therefore increase without
gaps, and whatever works on one log (scrolling, searching, filtering, following) works on several.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import accumulate
from math import inf
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeVar

from keiji.errors import KeijiError, TaskNotFound
from keiji.records import Run
from keiji_tui.engine.link import LogLink
from keiji_tui.logs.chunk import Chunk, Line, join_fragments
from keiji_tui.logs.logfmt import moment_of
from keiji_tui.logs.source import PAGE_BYTES, SCAN_BYTES, LogEvent, ReadResult, TaskLog, nearest

_BATCH_SECONDS = 0.05  # events of several logs that arrive within this time are sorted
_PROBE_BYTES = 4 * 1024  # read to find the time at an offset
_MIN_READ_BYTES = 8 * 1024
_T = TypeVar("_T")

Offsets = tuple[int, ...]  # one byte offset in each log


# ── positions and lines ──────────────────────────────────────────────────────────────────────────────────────────────


class OffsetVector(int):
    """A position in a merged log, which knows the offsets that it stands for."""

    offsets: Offsets

    @classmethod
    def from_offsets(cls, offsets: Iterable[int]) -> OffsetVector:
        """Return the position that stands for the offsets."""
        values = tuple(offsets)
        position = cls(sum(values))
        position.offsets = values
        return position


@dataclass(frozen=True, slots=True)
class MergedChunk(Chunk):
    """Whole lines of several logs; ``text`` contains them as they are in the files, in the same order."""

    merged_lines: tuple[Line, ...] = ()

    def starting_at(self, position: int) -> Chunk:
        return self._select([number for number, line in enumerate(self.merged_lines) if line.position >= position])

    def ending_at(self, end: int) -> Chunk:
        return self._select([number for number, line in enumerate(self.merged_lines) if line.end <= end])

    def _select(self, numbers: Sequence[int]) -> Chunk:
        if len(numbers) == len(self.merged_lines):
            return self
        if not numbers:
            return MergedChunk(self.end, self.end, "")
        texts = self.text.split("\n")[numbers[0] : numbers[-1] + 1]
        lines = self.merged_lines[numbers[0] : numbers[-1] + 1]
        return MergedChunk(lines[0].position, lines[-1].end, "".join(f"{text}\n" for text in texts), lines)

    def without_partial_line(self) -> Chunk:
        return self

    def lines(self) -> list[Line]:
        return join_fragments(self.merged_lines)

    def stored_lines(self) -> list[Line]:
        return list(self.merged_lines)

    def joined_with(self, following: Sequence[Chunk]) -> Chunk:
        chunks = [self, *following]
        lines = tuple(line for chunk in chunks for line in chunk.stored_lines())
        return MergedChunk(self.position, chunks[-1].end, "".join(chunk.text for chunk in chunks), lines)


class Entry(NamedTuple):
    """A line of one log with its sort key.

    Args:
        time: in seconds since the epoch.
        log: number of the log.
        text: the line as it is in the file, untruncated.
    """

    time: float
    log: int
    line: Line
    text: str


class SourceBatch:
    """The lines of one log that were read together.

    Args:
        number: number of the log.
        is_last: whether the log has no lines beyond them in the direction of reading.
    """

    def __init__(self, number: int, chunks: Iterable[Chunk], *, is_last: bool) -> None:
        lines = [
            (line, text)
            for chunk in chunks
            for line, text in zip(chunk.stored_lines(), chunk.text.split("\n"), strict=False)
        ]
        # A line without a time belongs to the line before it. `max` keeps a log in order if its clock was set back.
        times = accumulate((time_of(line.raw) for line, _ in lines), max)
        self.entries = [Entry(time, number, *line) for time, line in zip(times, lines, strict=True)]
        self.is_last = is_last

    def drop_untimed_head(self) -> None:
        """Drop leading lines without a time: they belong to a line that was not read."""
        first = next((number for number, entry in enumerate(self.entries) if entry.time > -inf), 0)
        if not self.is_last:
            del self.entries[:first]


def time_of(raw: str) -> float:
    """Return when a line was printed, in seconds since the epoch; minus infinity if it has no time."""
    moment = moment_of(raw)
    return -inf if moment is None else moment.timestamp()


def sorted_entries(batches: Sequence[SourceBatch]) -> list[Entry]:
    """Return all entries by time; those of one log keep their order."""
    return sorted((entry for batch in batches for entry in batch.entries), key=itemgetter(0, 1))


def complete_prefix(batches: Sequence[SourceBatch]) -> list[Entry]:
    """Return the first entries by time, up to where a line that was not read could belong between them."""
    bounds = [batch.entries[-1][:2] for batch in batches if batch.entries and not batch.is_last]
    bound = min(bounds, default=(inf, 0))
    return [entry for entry in sorted_entries(batches) if entry[:2] <= bound]


def complete_suffix(batches: Sequence[SourceBatch]) -> list[Entry]:
    """Return the last entries by time, back to where a line that was not read could belong between them."""
    for batch in batches:
        batch.drop_untimed_head()
    bounds = [batch.entries[0][:2] for batch in batches if batch.entries and not batch.is_last]
    bound = max(bounds, default=(-inf, 0))
    return [entry for entry in sorted_entries(batches) if entry[:2] >= bound]


# ── the source ───────────────────────────────────────────────────────────────────────────────────────────────────────


class MergedLog:
    """Several logs as one source. Each line knows the slug of its task.

    Args:
        min_read: minimum number of bytes to read from each log.
    """

    def __init__(self, link: LogLink, slugs: Sequence[str], min_read: int = _MIN_READ_BYTES) -> None:
        self._logs = [TaskLog(link, slug) for slug in slugs]
        self._min_read = min_read
        self._followed_to: Offsets | None = None

    async def oldest(self) -> int:
        return OffsetVector.from_offsets(await self._oldest_offsets())

    async def last(self, limit: int) -> ReadResult:
        results = await asyncio.gather(*(_or_empty(partial(log.last, self._share(limit)), 0) for log in self._logs))
        size = OffsetVector.from_offsets(result.size for result in results)
        return ReadResult(self._tail([result.chunk for result in results]), size)

    def _tail(self, chunks: Sequence[Chunk]) -> Chunk:
        batches = [SourceBatch(n, [chunk], is_last=chunk.position == 0) for n, chunk in enumerate(chunks)]
        return self._chunk_before(complete_suffix(batches), [chunk.end for chunk in chunks])

    async def after(self, position: int, limit: int) -> ReadResult:
        offsets, share = await self._offsets(position), self._share(limit)
        results = await asyncio.gather(
            *(
                _or_empty(partial(log.after, offset, share), offset)
                for log, offset in zip(self._logs, offsets, strict=True)
            )
        )
        batches = [SourceBatch(n, [r.chunk], is_last=r.chunk.end >= r.size) for n, r in enumerate(results)]
        start = [max(offset, result.chunk.position) for offset, result in zip(offsets, results, strict=True)]
        size = OffsetVector.from_offsets(result.size for result in results)
        return ReadResult(self._chunk_after(complete_prefix(batches), start), size)

    async def before(self, position: int, limit: int) -> tuple[Chunk | None, bool]:
        offsets, share = await self._offsets(position), self._share(limit)
        results = await asyncio.gather(
            *(_or_none(partial(log.before, offset, share)) for log, offset in zip(self._logs, offsets, strict=True))
        )
        batches = [
            SourceBatch(n, [chunk] if chunk else [], is_last=is_oldest) for n, (chunk, is_oldest) in enumerate(results)
        ]
        entries = complete_suffix(batches)
        if not entries:
            return None, True
        is_complete = len(entries) == sum(len(batch.entries) for batch in batches)
        is_oldest = is_complete and all(is_oldest for _, is_oldest in results)
        return self._chunk_before(entries, offsets), is_oldest

    async def around(self, position: int) -> tuple[ReadResult, int]:
        exact = OffsetVector.from_offsets(await self._offsets(position))
        (above, _), below = await asyncio.gather(self.before(exact, PAGE_BYTES), self.after(exact, PAGE_BYTES))
        chunk = above.joined_with([below.chunk]) if above is not None else below.chunk
        return ReadResult(chunk, below.size), exact

    async def runs(self) -> Sequence[Run]:
        return [run for runs in await asyncio.gather(*(log.runs() for log in self._logs)) for run in runs]

    async def adjacent_run(self, position: int, *, backwards: bool) -> int | None:
        offsets = await self._offsets(position)
        candidates: list[tuple[datetime, int, int]] = []
        for number, log in enumerate(self._logs):
            starts = {run.log_start: run.started_at for run in await log.runs() if run.log_start is not None}
            start = nearest(starts, offsets[number], backwards=backwards)
            if start is not None and (started_at := starts[start]) is not None:
                candidates.append((started_at, number, start))
        if not candidates:
            return None
        started_at, number, start = max(candidates) if backwards else min(candidates)
        oldest, ends = await self._bounds()
        time = started_at.timestamp()
        others = (n for n in range(len(self._logs)) if n != number)
        found = await asyncio.gather(*(self._first_since(time, n, oldest[n], ends[n]) for n in others))
        found.insert(number, start)
        return OffsetVector.from_offsets(found)

    def paths(self) -> list[Path]:
        return [path for log in self._logs for path in log.paths()]

    def _share(self, limit: int) -> int:
        return max(self._min_read, limit // len(self._logs))

    def _chunk_after(self, entries: Sequence[Entry], start: Iterable[int]) -> Chunk:
        """Return the chunk of the entries that follow the offsets ``start``."""
        offsets = list(start)
        first = position = OffsetVector.from_offsets(offsets)
        lines = []
        for entry in entries:
            offsets[entry.log] = entry.line.end
            begin, position = position, OffsetVector.from_offsets(offsets)
            line = entry.line._replace(position=begin, end=position, task=self._logs[entry.log].slug)
            lines.append(line)
        return MergedChunk(first, position, "".join(f"{entry.text}\n" for entry in entries), tuple(lines))

    def _chunk_before(self, entries: Sequence[Entry], end: Iterable[int]) -> Chunk:
        """Return the chunk of the entries that end at the offsets ``end``."""
        start = list(end)
        for entry in reversed(entries):
            start[entry.log] = entry.line.position
        return self._chunk_after(entries, start)

    async def _oldest_offsets(self) -> list[int]:
        return await asyncio.gather(*(_oldest_or_zero(log) for log in self._logs))

    # ── from positions to offsets ────────────────────────────────────────────────────────────────────────────────────

    async def _offsets(self, position: int) -> Offsets:
        if isinstance(position, OffsetVector):
            return position.offsets
        oldest, ends = await self._bounds()
        return tuple(ends if position >= sum(ends) else await self._bisect(position, oldest, ends))

    async def _bounds(self) -> tuple[list[int], list[int]]:
        """Return the oldest offset and the end of each log."""
        oldest = await self._oldest_offsets()
        results = await asyncio.gather(*(_or_empty(partial(log.last, 1), 0) for log in self._logs))
        return oldest, [result.size for result in results]

    async def _bisect(self, position: int, low: list[int], high: list[int]) -> list[int]:
        """Return offsets of one instant whose sum is just below ``position``.

        Each step halves the widest range, and uses the time of the line in its middle to narrow the others.
        """
        precision = max(PAGE_BYTES, (sum(high) - sum(low)) // 500)
        while sum(high) - sum(low) > precision and position > sum(low):
            widest = max(range(len(low)), key=lambda number: high[number] - low[number])
            middle = await self._timed_line(widest, (low[widest] + high[widest]) // 2)
            if middle is None or not low[widest] < middle[0] < high[widest]:
                break
            offset, time = middle
            offsets = await asyncio.gather(
                *(self._first_since(time, n, low[n], high[n]) for n in range(len(low)) if n != widest)
            )
            offsets.insert(widest, offset)
            low, high = (offsets, high) if sum(offsets) <= position else (low, offsets)
        return low

    async def _first_since(self, time: float, number: int, low: int, high: int) -> int:
        """Return the offset between ``low`` and ``high`` of the first line since ``time`` in one log."""
        log, end = self._logs[number], high
        while end - low > PAGE_BYTES:
            middle = (low + end) // 2
            line = await self._timed_line(number, middle)
            if line is None or line[0] >= end or line[1] >= time:
                end = middle
            else:
                low = line[0]
        lines = (await log.after(low, end - low + PAGE_BYTES)).chunk.lines()
        since = (line.position for line in lines if time_of(line.raw) >= time)
        return min(next(since, high), high)

    async def _timed_line(self, number: int, offset: int) -> tuple[int, float] | None:
        """Return offset and time of the first line with a time after ``offset`` in one log."""
        for limit in (_PROBE_BYTES, PAGE_BYTES):
            chunk = (await self._logs[number].after(offset, limit)).chunk.without_partial_line()
            for line in chunk.lines():
                time = time_of(line.raw)
                if time > -inf:
                    return line.position, time
        return None

    # ── following ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def follow(self) -> AsyncIterator[LogEvent]:
        queue: asyncio.Queue[tuple[int, LogEvent | Exception]] = asyncio.Queue(maxsize=16 * len(self._logs))
        tasks = [asyncio.create_task(_forward(log, number, queue)) for number, log in enumerate(self._logs)]
        try:
            ends, tail = await self._receive_tails(queue)
            async for event in self._catch_up(ends, tail):
                yield event
            while True:
                for event in self._merge(ends, await _next_batch(queue)):
                    yield event
        finally:
            for task in tasks:
                task.cancel()

    async def _receive_tails(
        self, queue: asyncio.Queue[tuple[int, LogEvent | Exception]]
    ) -> tuple[list[int], LogEvent]:
        """Wait for the tail of each log; return their ends and the merged tail."""
        tails: dict[int, LogEvent] = {}
        while len(tails) < len(self._logs):
            number, event = await queue.get()
            if isinstance(event, TaskNotFound):
                event = LogEvent(Chunk(0, 0, ""), 0)
            if isinstance(event, Exception):
                raise event
            tails.setdefault(number, event)
        chunks = [tails[number].chunk for number in range(len(self._logs))]
        size = OffsetVector.from_offsets(tails[number].size for number in range(len(self._logs)))
        return [chunk.end for chunk in chunks], LogEvent(self._tail(chunks), size, is_tail=True)

    async def _catch_up(self, ends: list[int], tail: LogEvent) -> AsyncIterator[LogEvent]:
        """Yield the tail; or, after an interruption, what was missed, if that is not too much."""
        followed_to, self._followed_to = self._followed_to, tuple(ends)
        if followed_to is None or sum(ends) - sum(followed_to) > SCAN_BYTES:
            yield tail
        elif any(end < known for end, known in zip(ends, followed_to, strict=True)):
            yield tail._replace(restarted=True)
        else:
            self._followed_to, position = followed_to, OffsetVector.from_offsets(followed_to)
            while position < sum(ends):
                chunk, size = await self.after(position, SCAN_BYTES)
                if chunk.end <= position:
                    break
                yield LogEvent(chunk, size)
                position = OffsetVector.from_offsets(await self._offsets(chunk.end))
                self._followed_to = position.offsets
            ends[:] = position.offsets

    def _merge(self, ends: list[int], events: Sequence[tuple[int, LogEvent | Exception]]) -> Iterator[LogEvent]:
        """Yield the merged additions, and advance ``ends``."""
        additions = _Additions(ends)
        for number, event in events:
            if isinstance(event, TaskNotFound):
                continue
            if isinstance(event, Exception):
                raise event
            chunk = event.chunk
            is_restarted = event.restarted or (chunk.position == 0 and bool(chunk.text) and chunk.end <= ends[number])
            if is_restarted or chunk.position > ends[number]:  # a gap in the events can be read from the file
                yield from self._merged_events(additions)
                ends[number] = chunk.position
                additions = _Additions(ends, is_restarted=is_restarted)
            chunk = chunk.starting_at(ends[number])
            if chunk.end > ends[number]:
                additions.chunks.setdefault(number, []).append(chunk)
                ends[number] = chunk.end
        yield from self._merged_events(additions)
        self._followed_to = tuple(ends)

    def _merged_events(self, additions: _Additions) -> Iterator[LogEvent]:
        if additions.chunks or additions.is_restarted:
            batches = [SourceBatch(number, chunks, is_last=True) for number, chunks in additions.chunks.items()]
            chunk = self._chunk_after(sorted_entries(batches), additions.start)
            yield LogEvent(chunk, chunk.end, restarted=additions.is_restarted)


class _Additions:
    """The chunks that were added to each log, by its number, since the offsets ``start``."""

    def __init__(self, start: Sequence[int], *, is_restarted: bool = False) -> None:
        self.start = tuple(start)
        self.is_restarted = is_restarted
        self.chunks: dict[int, list[Chunk]] = {}


async def _forward(log: TaskLog, number: int, queue: asyncio.Queue[tuple[int, LogEvent | Exception]]) -> None:
    try:
        async for event in log.follow():
            await queue.put((number, event))
        await queue.put((number, KeijiError(f"the log of {log.slug} is no longer followed")))
    except Exception as error:  # noqa: BLE001 - the receiver raises it
        await queue.put((number, error))


async def _next_batch(queue: asyncio.Queue[tuple[int, _T]]) -> list[tuple[int, _T]]:
    batch = [await queue.get()]
    await asyncio.sleep(_BATCH_SECONDS)
    while not queue.empty():
        batch.append(queue.get_nowait())
    return batch


# These take functions rather than coroutines: a coroutine that is cancelled before it starts would never be awaited.


async def _or_empty(read: Callable[[], Awaitable[ReadResult]], position: int) -> ReadResult:
    """Return the result of ``read``, or an empty one at ``position`` if the task was deleted."""
    try:
        return await read()
    except TaskNotFound:
        return ReadResult(Chunk(position, position, ""), position)


async def _or_none(read: Callable[[], Awaitable[tuple[Chunk | None, bool]]]) -> tuple[Chunk | None, bool]:
    try:
        return await read()
    except TaskNotFound:
        return None, True


async def _oldest_or_zero(log: TaskLog) -> int:
    try:
        return await log.oldest()
    except TaskNotFound:
        return 0
