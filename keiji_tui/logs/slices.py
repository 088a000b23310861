"""Going through a log slice by slice, from a place to either end; each is read while the one before it is used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from keiji_tui.logs.chunk import Chunk
from keiji_tui.logs.source import SCAN, Source


async def backwards(source: Source, before: int) -> AsyncIterator[Chunk]:
    """Yield all that is kept before a place, from there towards the oldest."""
    reading = asyncio.ensure_future(source.before(before, SCAN))
    try:
        while True:
            piece, is_oldest = await reading
            if piece is None:
                return
            if not is_oldest:
                reading = asyncio.ensure_future(source.before(piece.position, SCAN))
            yield piece
            if is_oldest:
                return
    finally:
        reading.cancel()


async def forwards(source: Source, begin: int, end: int | None = None) -> AsyncIterator[Chunk]:
    """Yield all from a place on up to ``end``, or to the end of the log as it is then."""
    reading = asyncio.ensure_future(source.after(begin, SCAN))
    try:
        while end is None or begin < end:
            piece = (await reading).piece
            if piece.end <= begin:
                return
            begin = piece.end
            if end is None or begin < end:
                reading = asyncio.ensure_future(source.after(begin, SCAN))
            yield piece if end is None else piece.until(end)
    finally:
        reading.cancel()
