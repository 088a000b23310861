"""Reads one log of any size: what is looked at, what comes in, and what lies before and behind, in bounded memory.

The link tells what is appended; whatever else is shown is read from the file, a slice at a time, when somebody gets
near it. So a log is opened at its end at once, however long it is, and nobody who reads further up is disturbed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from keiji.errors import KeijiError
from keiji_tui.logs.buffer import LogBuffer
from keiji_tui.logs.chunk import Chunk, Line, skipped
from keiji_tui.logs.match_client import Matcher, PatternFailed
from keiji_tui.logs.match_protocol import ALL, Choose, LineFilter
from keiji_tui.logs.pending_chunks import PendingChunks
from keiji_tui.logs.source import PAGE, SCAN, LogEvent, Source

PACE_SECONDS = 0.05  # what comes in is applied together, this often at most


class LogReader:
    """One log, seen through a filter or as it is.

    Args:
        matcher: answers which lines the filter lets through.
        changed: called when there is something else to show.

    Attributes:
        following: whether the end is what is looked at.
        unseen: lines that came while somebody read further up.
        landed: where a jump came to an end, for the view to take.
        trouble: why nothing more can be shown; "" where it can.
        is_scanning: whether lines are being looked for that the filter lets through.
    """

    def __init__(self, matcher: Matcher, changed: Callable[[], None]) -> None:
        self.buffer = LogBuffer()
        self.sift: LineFilter = ALL
        self.following = True
        self.unseen = 0
        self.landed: int | None = None
        self.trouble = ""
        self.is_scanning = False
        self._matcher = matcher
        self._changed = changed
        self._intake = PendingChunks()
        self._seen = (0, 0)  # where the first line on the screen is, and the last one
        self._heading = 0  # which way somebody scrolled last
        self._goal: int | None = None
        self._is_halted = False
        self._stuck_at: int | None = None  # nothing whole follows there yet
        self._era = 0  # counts up when what is being read is no longer wanted
        self._shown, self._shown_at = -1, 0.0  # the version of the buffer, and when
        self._wake = asyncio.Event()
        self._pace: asyncio.TimerHandle | None = None

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────

    def forget(self) -> None:
        """Be ready for another log."""
        self.sift, self.trouble = ALL, ""
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._era += 1
        self.buffer.clear()
        self._intake.clear()
        self.following, self.unseen, self._seen, self._heading = True, 0, (0, 0), 0
        self._goal = self.landed = self._stuck_at = None
        self._is_halted = self.is_scanning = False

    def take(self, told: LogEvent) -> None:
        """Take in what the source told; it is shown with whatever else comes within a moment."""
        self.trouble = ""
        if self._is_begun_anew(told):
            self._begin_anew()
        self.buffer.size = max(self.buffer.size, told.size)
        self._stuck_at = None
        if told.is_look:
            self._intake.look_at(told.piece)
        else:
            if not self.following:
                self.unseen += told.piece.text.count("\n")
            self._intake.add(told.piece)
        if self._pace is None:
            self._pace = asyncio.get_running_loop().call_later(PACE_SECONDS, self._paced)

    def _paced(self) -> None:
        self._pace = None
        self._wake.set()

    def _is_begun_anew(self, told: LogEvent) -> bool:
        """Return whether the log was deleted, so that positions count from the start again."""
        known = max(self.buffer.end or 0, self._intake.end or 0)
        if not known:
            return False
        if told.is_look:
            return told.size < known
        piece = told.piece
        return told.restarted or (piece.position == 0 and piece.end <= known and bool(piece.text))

    # ── what a person does ───────────────────────────────────────────────────────────────────────────────────────────

    def follow(self) -> None:
        """Go to the end and stay there."""
        self.following, self.unseen, self._goal = True, 0, None
        self._wake.set()

    def go_to(self, position: int) -> None:
        """Go to a place in the file; where that was reached, ``landed`` says."""
        self.following, self._is_halted, self._heading = False, False, 0
        buffer = self.buffer
        if len(buffer) and buffer[0].position <= position < buffer[-1].end:
            self._goal, self.landed = None, position
            self._changed()
        else:
            self._goal = position
            self._wake.set()

    def look(self, first: int, last: int, heading: int = 0) -> None:
        """Note what is on the screen, and which way somebody scrolled; load what they are near to."""
        if heading:
            self._heading, self._is_halted = heading, False
        if heading or (first, last) != self._seen:
            self._seen = (first, last)
            self._wake.set()

    def filter(self, sift: LineFilter) -> None:
        """Show other lines: from the first one on the screen on, or the newest where the end is followed."""
        self._era += 1
        self._matcher.interrupt()
        self.sift, self._is_halted, self._heading = sift, False, 0
        self.trouble = ""
        self._intake.clear()
        buffer = self.buffer
        place = buffer.size if self.following else self._seen[0]
        if buffer.end is not None:
            buffer.reset([], place, place)
        if not self.following:
            self._goal = place
        self._wake.set()

    def try_again(self) -> None:
        """Load what could not be loaded, as the engine answers again."""
        self._wake.set()

    def halt(self) -> bool:
        """Stop looking for more that the filter lets through; return whether that was under way."""
        was_scanning, self.is_scanning = self.is_scanning, False
        self._is_halted = self._is_halted or was_scanning
        if was_scanning:
            self._era += 1
            self._matcher.interrupt()
        return was_scanning

    @property
    def progress(self) -> float:
        """How much of what lies before the end has been looked through."""
        buffer = self.buffer
        return (buffer.size - (buffer.begin or 0)) / max(1, buffer.size - (buffer.oldest or 0))

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def attend(self, source: Source) -> NoReturn:
        """Load what is wanted, for as long as this is not cancelled."""
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            era = self._era
            try:
                while await self._step(source):
                    self.trouble = ""
                    self._show()
                    await asyncio.sleep(0)
            except KeijiError as error:
                if era == self._era:
                    self.trouble = error.message
                    self._is_halted = isinstance(error, PatternFailed)
            self.is_scanning = False
            self._changed()

    def _show(self) -> None:
        """Have other lines shown at once, and how far a scan has got from time to time."""
        now = time.monotonic()
        if self._shown != self.buffer.version or self.landed is not None or now - self._shown_at > PACE_SECONDS:
            self._shown, self._shown_at = self.buffer.version, now
            self._changed()

    async def _step(self, source: Source) -> bool:
        """Do the most urgent thing; return whether there was any."""
        buffer = self.buffer
        if self._goal is not None:
            await self._jump(source, self._goal)
            return True
        if self._intake:
            await self._apply()
            return True
        if buffer.end is None:
            return False
        if buffer.oldest is None:
            buffer.oldest = await source.oldest()
            return True
        if not buffer.is_at_end and self._stuck_at != buffer.end and self.following:
            await self._catch_up(source)
            return True
        load = self._next_load()
        if load is None:
            return False
        self.is_scanning = not self.sift.is_all
        await load(source)
        # A scan ends with its last step, not with the next wake-up: a key that stops scans must not find one that is
        # over.
        self.is_scanning = self.is_scanning and self._next_load() is not None
        return True

    def _next_load(self) -> Callable[[Source], Awaitable[None]] | None:
        """Return what loads lines near the screen, in the direction that lacks them; None if neither does."""
        buffer = self.buffer
        if self._is_halted:
            return None
        may_forward, may_back = (not buffer.is_full or self._heading == way for way in (1, -1))
        is_stuck = buffer.is_at_end or self._stuck_at == buffer.end
        if may_forward and not is_stuck and not self.following and not buffer.has_margin_behind(self._seen[1]):
            return self._forward
        if may_back and not buffer.is_at_start and not buffer.has_margin_before(self._seen[0]):
            return self._back
        return None

    async def _apply(self) -> None:
        """Show what came in, where it belongs to what is looked at; the rest is in the file for whoever gets there."""
        piece = self._intake.pop()
        buffer, era = self.buffer, self._era
        if buffer.end is not None:
            if piece.end <= buffer.end or not (self.following or self._may_grow()):
                return
            if piece.position > buffer.end:
                if self.following and self.sift.is_all:  # what was passed over is in the file
                    piece = piece if piece.text.startswith("time=") else piece.whole()
                    buffer.reset(piece.lines(), piece.position, piece.end)
                return
            piece = piece.behind(buffer.end)
        lines = await self._let_through(piece)
        if era != self._era:
            return
        if buffer.end is None:
            buffer.reset(lines, piece.position, piece.end)
        else:
            buffer.append(lines, piece.position, piece.end)

    def _may_grow(self) -> bool:
        return not self.buffer.is_full and not self.buffer.has_margin_behind(self._seen[1])

    async def _catch_up(self, source: Source) -> None:
        buffer, era = self.buffer, self._era
        if not self.sift.is_all or buffer.size - (buffer.end or 0) <= PAGE:
            await self._forward(source)
            return
        piece, size = await source.last(PAGE)
        if era == self._era and self.following:
            buffer.size = max(buffer.size, size)
            buffer.reset(piece.lines(), piece.position, piece.end)
            if not len(buffer):
                self._stuck_at = buffer.end

    async def _forward(self, source: Source) -> None:
        begin, era = self.buffer.end or 0, self._era
        piece, size = await source.after(begin, PAGE if self.sift.is_all else SCAN)
        if era != self._era:
            return
        self.buffer.size = max(self.buffer.size, size)
        if piece.end <= begin:
            self._stuck_at = begin
            return
        lines = await self._let_through(piece)
        if era == self._era and self.buffer.end == begin:
            self.buffer.append(lines, piece.position, piece.end)

    async def _back(self, source: Source) -> None:
        before, era = self.buffer.begin or 0, self._era
        piece, is_oldest = await source.before(before, PAGE if self.sift.is_all else SCAN)
        if piece is None:
            self.buffer.oldest = before
            return
        lines = await self._let_through(piece)
        if era == self._era and self.buffer.begin == before:
            if is_oldest:
                self.buffer.oldest = piece.position
            if piece.end < before and self.sift.is_all:
                lines = [*lines, skipped(piece.end, before)]
            self.buffer.prepend(lines, piece.position)

    async def _jump(self, source: Source, goal: int) -> None:
        buffer, era = self.buffer, self._era
        (piece, size), place = await source.around(goal)
        shown = await self._let_through(piece)
        if era != self._era or self._goal != goal:
            return
        if piece.position > goal:
            buffer.oldest = piece.position
        buffer.size = max(buffer.size, size)
        buffer.reset(shown, piece.position, piece.end)
        self._goal, self.landed, self._seen = None, place, (place, place)

    async def _let_through(self, piece: Chunk) -> list[Line]:
        if self.sift.is_all or not piece.text:
            return piece.lines()
        chosen = (await self._matcher.ask(Choose(piece.text, self.sift))).chosen
        lines = piece.lines() if chosen else []
        return [lines[number] for number in chosen]
