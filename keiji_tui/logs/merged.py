"""The logs of several tasks as one, in the order of their times.

Nothing is copied: as in the log of one task there are only lines around a place. Which place that is, is a cut through
all of them, so many bytes of each; as a position it counts as their sum. So positions grow as one goes on, without
gaps, and everything that is made for one log (scrolling, finding, filtering, following) works on several.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import TypeVar

from keiji.errors import TaskNotFound
from keiji.records import Run
from keiji_tui.engine.link import LogLink
from keiji_tui.logs.chunk import Chunk, Line
from keiji_tui.logs.merge import (
    Cut,
    Entry,
    MergedChunk,
    OffsetVector,
    SourceBatch,
    from_the_last_gap,
    ordered,
    time_of,
    up_to_the_first_gap,
)
from keiji_tui.logs.source import PAGE, SCAN, LogEvent, ReadResult, TaskLog, nearest

_TOGETHER_SECONDS = 0.05  # what several logs tell within this is put in order
_PROBE = 4 * 1024  # bytes that are read to learn the time of a place
_LEAST = 8 * 1024
_T = TypeVar("_T")


class MergedLog:
    """Several logs as one source of lines, each of which says of what task it is.

    Args:
        least: bytes that are read of each log at least.
    """

    def __init__(self, link: LogLink, slugs: Sequence[str], least: int = _LEAST) -> None:
        self._logs = [TaskLog(link, slug) for slug in slugs]
        self._least = least
        self._told: Cut | None = None  # as far as `follow` has got

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def oldest(self) -> int:
        return OffsetVector.of(await self._oldest())

    async def last(self, limit: int) -> ReadResult:
        found = await asyncio.gather(*(_or_nothing(partial(log.last, self._share(limit)), 0) for log in self._logs))
        size = OffsetVector.of(each.size for each in found)
        return ReadResult(self._ending([each.piece for each in found]), size)

    def _ending(self, pieces: Sequence[Chunk]) -> Chunk:
        strands = [SourceBatch(n, [piece], is_last=piece.position == 0) for n, piece in enumerate(pieces)]
        return self._backward(from_the_last_gap(strands), [piece.end for piece in pieces])

    async def after(self, position: int, limit: int) -> ReadResult:
        cut, share = await self._cut(position), self._share(limit)
        found = await asyncio.gather(
            *(_or_nothing(partial(log.after, at, share), at) for log, at in zip(self._logs, cut, strict=True))
        )
        strands = [SourceBatch(n, [each.piece], is_last=each.piece.end >= each.size) for n, each in enumerate(found)]
        start = [max(at, each.piece.position) for at, each in zip(cut, found, strict=True)]
        return ReadResult(
            self._forward(up_to_the_first_gap(strands), start), OffsetVector.of(each.size for each in found)
        )

    async def before(self, position: int, limit: int) -> tuple[Chunk | None, bool]:
        cut, share = await self._cut(position), self._share(limit)
        found = await asyncio.gather(
            *(_or_none(partial(log.before, at, share)) for log, at in zip(self._logs, cut, strict=True))
        )
        strands = [
            SourceBatch(n, [piece] if piece else [], is_last=is_oldest) for n, (piece, is_oldest) in enumerate(found)
        ]
        entries = from_the_last_gap(strands)
        if not entries:
            return None, True
        is_all = all(is_oldest for _, is_oldest in found) and len(entries) == sum(len(s.entries) for s in strands)
        return self._backward(entries, cut), is_all

    async def around(self, position: int) -> tuple[ReadResult, int]:
        place = OffsetVector.of(await self._cut(position))
        (above, _), below = await asyncio.gather(self.before(place, PAGE), self.after(place, PAGE))
        return ReadResult(above.joined([below.piece]) if above is not None else below.piece, below.size), place

    async def runs(self) -> Sequence[Run]:
        return [run for runs in await asyncio.gather(*(log.runs() for log in self._logs)) for run in runs]

    async def run_beside(self, position: int, *, backwards: bool) -> int | None:
        cut = await self._cut(position)
        beside: list[tuple[datetime, int, int]] = []
        for number, log in enumerate(self._logs):
            starts = {run.log_start: run.started_at for run in await log.runs() if run.log_start is not None}
            at = nearest(starts, cut[number], backwards=backwards)
            if at is not None and (started := starts[at]) is not None:
                beside.append((started, number, at))
        if not beside:
            return None
        started, number, at = max(beside) if backwards else min(beside)
        oldest, ends = await self._bounds()
        since = started.timestamp()
        numbers = range(len(self._logs))
        place = await asyncio.gather(*(self._first_since(since, n, oldest[n], ends[n]) for n in numbers if n != number))
        place.insert(number, at)
        return OffsetVector.of(place)

    def paths(self) -> list[Path]:
        return [path for log in self._logs for path in log.paths()]

    def _share(self, limit: int) -> int:
        return max(self._least, limit // len(self._logs))

    def _forward(self, entries: Sequence[Entry], start: Iterable[int]) -> Chunk:
        """Return the lines of entries that follow a cut."""
        cut = list(start)
        first = place = OffsetVector.of(cut)
        made = []
        for entry in entries:
            cut[entry.log] = entry.line.end
            begin, place = place, OffsetVector.of(cut)
            made.append(Line(begin, place, entry.line.raw, task=self._logs[entry.log].slug))
        return MergedChunk(first, place, "".join(f"{entry.text}\n" for entry in entries), tuple(made))

    def _backward(self, entries: Sequence[Entry], end: Iterable[int]) -> Chunk:
        """Return the lines of entries that end at a cut."""
        start = list(end)
        for entry in reversed(entries):
            start[entry.log] = entry.line.position
        return self._forward(entries, start)

    async def _oldest(self) -> list[int]:
        return await asyncio.gather(*(_or_zero(log) for log in self._logs))

    # ── places ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _cut(self, position: int) -> Cut:
        if isinstance(position, OffsetVector):
            return position.cut
        oldest, ends = await self._bounds()
        return tuple(ends if position >= sum(ends) else await self._nearest(position, oldest, ends))

    async def _bounds(self) -> tuple[list[int], list[int]]:
        """Return where the oldest line of each log is, and where each ends."""
        oldest = await self._oldest()
        found = await asyncio.gather(*(_or_nothing(partial(log.last, 1), 0) for log in self._logs))
        return oldest, [each.size for each in found]

    async def _nearest(self, position: int, low: list[int], high: list[int]) -> list[int]:
        """Return a cut between two others that is just before a position: what is before it is older in each log.

        Each step halves the log of which most is in question, by the time of its middle.
        """
        near = max(PAGE, (sum(high) - sum(low)) // 500)
        while sum(high) - sum(low) > near and position > sum(low):
            widest = max(range(len(low)), key=lambda number: high[number] - low[number])
            middle = await self._timed(widest, (low[widest] + high[widest]) // 2)
            if middle is None or not low[widest] < middle[0] < high[widest]:
                break
            at, time = middle
            cut = await asyncio.gather(
                *(self._first_since(time, n, low[n], high[n]) for n in range(len(low)) if n != widest)
            )
            cut.insert(widest, at)
            low, high = (cut, high) if sum(cut) <= position else (low, cut)
        return low

    async def _first_since(self, time: float, number: int, low: int, high: int) -> int:
        """Return where the first line of a log since a time begins, between two of its places."""
        log, end = self._logs[number], high
        while end - low > PAGE:
            middle = (low + end) // 2
            found = await self._timed(number, middle)
            if found is None or found[0] >= end or found[1] >= time:
                end = middle
            else:
                low = found[0]
        lines = (await log.after(low, end - low + PAGE)).piece.lines()
        since = (line.position for line in lines if time_of(line.raw) >= time)
        return min(next(since, high), high)

    async def _timed(self, number: int, position: int) -> tuple[int, float] | None:
        """Return the first line with a time behind a place in one log: where it begins, and its time."""
        for limit in (_PROBE, PAGE):
            piece = (await self._logs[number].after(position, limit)).piece.whole()
            for line in piece.lines():
                time = time_of(line.raw)
                if time > -inf:
                    return line.position, time
        return None

    # ── following ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def follow(self) -> AsyncIterator[LogEvent]:
        heard: asyncio.Queue[tuple[int, LogEvent | Exception]] = asyncio.Queue(maxsize=16 * len(self._logs))
        tails = [asyncio.create_task(_tail(log, number, heard)) for number, log in enumerate(self._logs)]
        try:
            ends, look = await self._begin(heard)
            async for told in self._so_far(ends, look):
                yield told
            while True:
                for told in self._added(ends, await _batch(heard)):
                    yield told
        finally:
            for tail in tails:
                tail.cancel()

    async def _begin(self, heard: asyncio.Queue[tuple[int, LogEvent | Exception]]) -> tuple[list[int], LogEvent]:
        """Wait until each log has told what its end looks like; return where that is, and all of it."""
        looks: dict[int, LogEvent] = {}
        while len(looks) < len(self._logs):
            number, told = await heard.get()
            if isinstance(told, TaskNotFound):
                told = LogEvent(Chunk(0, 0, ""), 0)
            if isinstance(told, Exception):
                raise told
            looks.setdefault(number, told)
        pieces = [looks[number].piece for number in range(len(self._logs))]
        size = OffsetVector.of(looks[number].size for number in range(len(self._logs)))
        return [piece.end for piece in pieces], LogEvent(self._ending(pieces), size, is_look=True)

    async def _so_far(self, ends: list[int], look: LogEvent) -> AsyncIterator[LogEvent]:
        """Tell what there is, or what came since this was told the last time where that is little."""
        told, self._told = self._told, tuple(ends)
        if told is None or sum(ends) - sum(told) > SCAN:
            yield look
        elif any(end < known for end, known in zip(ends, told, strict=True)):
            yield look._replace(restarted=True)
        else:
            self._told, place = told, OffsetVector.of(told)
            while place < sum(ends):
                piece, size = await self.after(place, SCAN)
                if piece.end <= place:
                    break
                yield LogEvent(piece, size)
                place = OffsetVector.of(await self._cut(piece.end))
                self._told = place.cut
            ends[:] = place.cut

    def _added(self, ends: list[int], batch: Sequence[tuple[int, LogEvent | Exception]]) -> Iterator[LogEvent]:
        """Yield what was added, put in order, and move the ends on."""
        added = _Added(ends)
        for number, told in batch:
            if isinstance(told, TaskNotFound):
                continue
            if isinstance(told, Exception):
                raise told
            piece = told.piece
            is_restarted = told.restarted or (piece.position == 0 and bool(piece.text) and piece.end <= ends[number])
            if is_restarted or piece.position > ends[number]:  # what was passed over is in the file
                yield from self._tell(added)
                ends[number] = piece.position
                added = _Added(ends, is_restarted=is_restarted)
            piece = piece.behind(ends[number])
            if piece.end > ends[number]:
                added.pieces.setdefault(number, []).append(piece)
                ends[number] = piece.end
        yield from self._tell(added)
        self._told = tuple(ends)

    def _tell(self, added: _Added) -> Iterator[LogEvent]:
        if added.pieces or added.is_restarted:
            strands = [SourceBatch(number, pieces, is_last=True) for number, pieces in added.pieces.items()]
            piece = self._forward(ordered(strands), added.start)
            yield LogEvent(piece, piece.end, restarted=added.is_restarted)


class _Added:
    """What came in from a cut on, by log."""

    def __init__(self, start: Sequence[int], *, is_restarted: bool = False) -> None:
        self.start = tuple(start)
        self.is_restarted = is_restarted
        self.pieces: dict[int, list[Chunk]] = {}


async def _tail(log: TaskLog, number: int, heard: asyncio.Queue[tuple[int, LogEvent | Exception]]) -> None:
    try:
        async for told in log.follow():
            await heard.put((number, told))
    except Exception as error:  # noqa: BLE001 - whoever hears it raises it
        await heard.put((number, error))


async def _batch(heard: asyncio.Queue[tuple[int, _T]]) -> list[tuple[int, _T]]:
    batch = [await heard.get()]
    await asyncio.sleep(_TOGETHER_SECONDS)
    while not heard.empty():
        batch.append(heard.get_nowait())
    return batch


# What asks is handed on and called here: of what is given up before its turn, nothing is left that waits for ever.


async def _or_nothing(ask: Callable[[], Awaitable[ReadResult]], position: int) -> ReadResult:
    """Return what is found, and nothing of a task that was deleted."""
    try:
        return await ask()
    except TaskNotFound:
        return ReadResult(Chunk(position, position, ""), position)


async def _or_none(ask: Callable[[], Awaitable[tuple[Chunk | None, bool]]]) -> tuple[Chunk | None, bool]:
    try:
        return await ask()
    except TaskNotFound:
        return None, True


async def _or_zero(log: TaskLog) -> int:
    try:
        return await log.oldest()
    except TaskNotFound:
        return 0
