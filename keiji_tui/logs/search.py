"""Scans a whole log chunk by chunk, for searches and exports that can be cancelled at any time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import NamedTuple, TextIO

from keiji.records import Run
from keiji_tui.logs.chunk import Chunk
from keiji_tui.logs.logfmt import parse
from keiji_tui.logs.match_client import MatchClient
from keiji_tui.logs.match_protocol import ALL_LINES, Export, LineFilter, Select
from keiji_tui.logs.source import SCAN_BYTES, Source

NO_NAMES: Mapping[str, str] = MappingProxyType({})
_MAX_ERROR_CHUNKS = 4  # chunks at the end of a run that are searched for its last error line


class Extent(NamedTuple):
    """The part of a log between two positions; if ``run`` is not "", only the lines of that run."""

    begin: int
    end: int
    run: str = ""


OnProgress = Callable[[int], None]  # called with the position that was reached


async def chunks_before(source: Source, position: int) -> AsyncGenerator[Chunk, None]:
    """Yield everything before ``position``, newest chunk first. The next chunk is read ahead. Raises KeijiError."""
    reading = asyncio.ensure_future(source.before(position, SCAN_BYTES))
    try:
        while True:
            chunk, is_oldest = await reading
            if chunk is None:
                return
            if not is_oldest:
                reading = asyncio.ensure_future(source.before(chunk.position, SCAN_BYTES))
            yield chunk
            if is_oldest:
                return
    finally:
        reading.cancel()


async def chunks_after(source: Source, begin: int, end: int | None = None) -> AsyncGenerator[Chunk, None]:
    """Yield everything from ``begin`` to ``end`` or to the end of the log. The next chunk is read ahead.

    Raises KeijiError.
    """
    reading = asyncio.ensure_future(source.after(begin, SCAN_BYTES))
    try:
        while end is None or begin < end:
            chunk = (await reading).chunk
            if chunk.end <= begin:
                return
            begin = chunk.end
            if end is None or begin < end:
                reading = asyncio.ensure_future(source.after(begin, SCAN_BYTES))
            yield chunk if end is None else chunk.ending_at(end)
    finally:
        reading.cancel()


async def find(
    source: Source, match_client: MatchClient, what: Select, position: int, on_progress: OnProgress, *, backwards: bool
) -> int | None:
    """Return the start of the nearest matching line before or after a position; None if there is none.

    Args:
        what: the filter and the pattern to find; its text is ignored.
        backwards: whether to search the lines before ``position``, instead of those from it on.

    Raises:
        KeijiError: the log cannot be read, or the pattern cannot be matched.
    """
    async with aclosing((chunks_before if backwards else chunks_after)(source, position)) as chunks:
        async for chunk in chunks:
            response = await match_client.request(Select(chunk.text, what.line_filter, what.find))
            if response.selected:
                return chunk.lines()[response.selected[-1 if backwards else 0]].position
            on_progress(chunk.position if backwards else chunk.end)
    return None


async def save(
    source: Source,
    match_client: MatchClient,
    file: TextIO,
    extent: Extent,
    on_progress: OnProgress,
    *,
    line_filter: LineFilter = ALL_LINES,
    names: Mapping[str, str] = NO_NAMES,
) -> int:
    """Write lines to a file as they are displayed, and return their number.

    Args:
        names: name by slug, to prefix each line with the name of its task; empty for no prefix.

    Raises:
        KeijiError: the log cannot be read.
        OSError: the file cannot be written.
    """
    begin, end, run = extent
    count = 0
    async with aclosing(chunks_after(source, begin, end)) as chunks:
        async for chunk in chunks:
            prefixes = [names[line.task] for line in chunk.lines()] if names else []
            text = (await match_client.request(Export(chunk.text, line_filter, run, prefixes))).text
            await asyncio.to_thread(file.write, text)
            count += text.count("\n")
            on_progress(chunk.end)
    return count


async def last_error(source: Source, run: Run) -> int | None:
    """Return the start of the last error line of a run, or of its last line if it has none. Raises KeijiError."""
    if run.log_end is None:
        return run.log_start
    last = None
    count = 0
    async with aclosing(chunks_before(source, run.log_end)) as chunks:
        async for chunk in chunks:
            for line in reversed(chunk.lines()):
                parsed = parse(line.raw)
                if parsed.run != run.run_id:
                    continue
                last = line.position if last is None else last
                if parsed.is_error and not parsed.is_life_cycle:
                    return line.position
            count += 1
            if count == _MAX_ERROR_CHUNKS or chunk.position <= (run.log_start or 0):
                break
    return last
