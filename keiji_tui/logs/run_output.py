"""The last lines that one run printed, for pages that show them without the rest of the log."""

from __future__ import annotations

from keiji_tui.engine.link import LogLink
from keiji_tui.logs.chunk import Chunk, Line
from keiji_tui.logs.line import parse_line
from keiji_tui.logs.source import PAGE_BYTES


async def last_lines(link: LogLink, log: str, run_id: str, count: int) -> tuple[Line, ...]:
    """Return up to ``count`` of the last lines of a run, without those that keiji wrote about it.

    Only the end of the log is read: a run that other runs have followed may be out of reach. Raises KeijiError.
    """
    part = await link.read(log, None, PAGE_BYTES)
    return tuple(lines_of_run(Chunk(part.position, part.end, part.text), run_id)[-count:])


def lines_of_run(chunk: Chunk, run_id: str) -> list[Line]:
    """Return the lines that a run printed and that are not blank."""
    return [line for line in chunk.lines() if _is_output(line, run_id)]


def _is_output(line: Line, run_id: str) -> bool:
    parsed = parse_line(line.raw)
    return parsed.run == run_id and not parsed.is_life_cycle and bool(parsed.message.strip())
