"""Going through a whole log for what somebody looks for, a slice at a time, so that it can be stopped at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import NamedTuple, TextIO

from keiji.records import Run
from keiji_tui.logs.logfmt import parse
from keiji_tui.logs.match_client import Matcher
from keiji_tui.logs.match_protocol import ALL, Choose, LineFilter, Print
from keiji_tui.logs.slices import backwards, forwards
from keiji_tui.logs.source import Source

NO_NAMES: Mapping[str, str] = MappingProxyType({})
_MOST_FOR_ERROR = 4  # slices at the end of a run in which its last error line is looked for


class Extent(NamedTuple):
    """What lies between two positions: all of it, or what one run printed."""

    begin: int
    end: int
    run: str = ""


Progress = Callable[[int], None]  # told the position that was reached


async def find_back(source: Source, matcher: Matcher, what: Choose, before: int, progress: Progress) -> int | None:
    """Return where the last line before a position begins that has ``what.find`` in it. Raises KeijiError."""
    async with aclosing(backwards(source, before)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            found = await matcher.ask(Choose(piece.text, what.sift, what.find))
            if found.chosen:
                return piece.lines()[found.chosen[-1]].position
            progress(piece.position)
    return None


async def find_on(source: Source, matcher: Matcher, what: Choose, begin: int, progress: Progress) -> int | None:
    """Return where the first line from a position on begins that has ``what.find`` in it. Raises KeijiError."""
    async with aclosing(forwards(source, begin)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            found = await matcher.ask(Choose(piece.text, what.sift, what.find))
            if found.chosen:
                return piece.lines()[found.chosen[0]].position
            progress(piece.end)
    return None


async def save(
    source: Source,
    matcher: Matcher,
    file: TextIO,
    extent: Extent,
    progress: Progress,
    *,
    sift: LineFilter = ALL,
    names: Mapping[str, str] = NO_NAMES,
) -> int:
    """Write lines as they are shown to a file, with the names of tasks before them where there are any to tell apart.

    Returns how many lines it were. Raises KeijiError and OSError.
    """
    begin, end, run = extent
    count = 0
    async with aclosing(forwards(source, begin, end)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            before = [names[line.task] for line in piece.lines()] if names else []
            text = (await matcher.ask(Print(piece.text, sift, run, before))).text
            await asyncio.to_thread(file.write, text)
            count += text.count("\n")
            progress(piece.end)
    return count


async def last_error(source: Source, run: Run) -> int | None:
    """Return where the last line begins that a run printed as an error, or else its last line. Raises KeijiError."""
    if run.log_end is None:
        return run.log_start
    last = None
    slices = 0
    async with aclosing(backwards(source, run.log_end)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            for line in reversed(piece.lines()):
                said = parse(line.raw)
                if said.run != run.run_id:
                    continue
                last = line.position if last is None else last
                if said.is_error and not said.is_life_cycle:
                    return line.position
            slices += 1
            if slices == _MOST_FOR_ERROR or piece.position <= (run.log_start or 0):
                break
    return last
