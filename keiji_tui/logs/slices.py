"""Reading a log by slices: whole lines before a place, behind it, and all that lie between two, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from keiji_engine.bus.protocol import LARGEST_LOG_SLICE, LogSlice
from keiji_tui.logs.lines import Piece, whole_lines

PAGE = 64 * 1024  # bytes that are read at once for somebody who scrolls
SCAN = LARGEST_LOG_SLICE  # where most of what is read is not shown

# From where on, or None for the last lines, and how many bytes. Raises KeijiError.
Read = Callable[[int | None, int], Awaitable[LogSlice]]


def piece_of(found: LogSlice) -> Piece:
    """Return a slice without what is known of the file around it."""
    return Piece(found.position, found.end, found.text)


async def back(read: Read, before: int, limit: int) -> tuple[Piece | None, bool]:
    """Return whole lines that end at ``before``, and whether they are the oldest that are kept; None for none."""
    at = max(0, before - limit)
    found = await read(at, before - at) if before else None
    if found is None or found.position >= before or not found.text:
        return None, True
    is_oldest = found.position > at or at == 0
    piece = _cut(piece_of(found), before)
    return (piece, True) if is_oldest else (whole_lines(piece), False)


async def backwards(read: Read, before: int) -> AsyncIterator[Piece]:
    """Yield all that is kept before a place, from there towards the oldest; each is read while the last is used."""
    reading = asyncio.ensure_future(back(read, before, SCAN))
    try:
        while True:
            piece, is_oldest = await reading
            if piece is None:
                return
            if not is_oldest:
                reading = asyncio.ensure_future(back(read, piece.position, SCAN))
            yield piece
            if is_oldest:
                return
    finally:
        reading.cancel()


async def forwards(read: Read, begin: int, end: int | None = None) -> AsyncIterator[Piece]:
    """Yield all from a place on up to ``end``, or to the end of the file as it is then."""
    reading = asyncio.ensure_future(read(begin, SCAN))
    try:
        while end is None or begin < end:
            found = await reading
            if found.end <= begin:
                return
            begin = found.end
            if end is None or begin < end:
                reading = asyncio.ensure_future(read(begin, SCAN))
            piece = piece_of(found)
            yield piece if end is None else _cut(piece, end)
    finally:
        reading.cancel()


def _cut(piece: Piece, end: int) -> Piece:
    """Return what of a piece lies before ``end``: one that begins further on than asked also reaches further."""
    if piece.end <= end:
        return piece
    text = piece.text.encode()[: end - piece.position].decode(errors="replace")
    return Piece(piece.position, end, text)
